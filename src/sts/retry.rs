//! When a failed call is retried. Pure functions; when a call counts as lost is in `lost_calls`.
//!
//! Written here and not taken from a crate: the turns are shared by all requests, and the jitter comes in. Why these
//! numbers: `docs/understand/failures.md`.

use std::time::Duration;

use tencent_sts::ErrorClass;

/// Attempts for one temporary key, the first included. While half of all calls fail, 12 leave 1 of 4,096 without.
pub(super) const MAX_ATTEMPTS: u32 = 12;
/// So many attempts go before callers who came later; further ones use what the quota has to spare, so that requests
/// that always fail do not keep others from STS.
const ATTEMPTS_IN_PLACE: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_millis(100);
/// After each of so many failures, one more call may run at the same time.
const FAILURES_PER_PARALLEL_CALL: u32 = 3;

/// Whether another attempt can succeed.
pub(super) fn may_pass(class: ErrorClass) -> bool {
    match class {
        ErrorClass::Transient | ErrorClass::Throttled => true,
        ErrorClass::SourceCredentialsRejected | ErrorClass::RequestRejected => false,
    }
}

/// The longest pause before the next attempt, after so many failures.
pub(super) fn max_pause(failures: u32) -> Duration {
    MAX_PAUSE.min(FIRST_PAUSE * 2_u32.pow(failures.saturating_sub(1).min(8)))
}

/// How many calls may run at the same time, after so many failures.
pub(super) fn max_parallel(failures: u32) -> usize {
    usize::try_from(1 + failures / FAILURES_PER_PARALLEL_CALL).unwrap_or(usize::MAX)
}

/// Whether the next attempt waits where the first one did, and not behind all others.
pub(super) fn keeps_place(attempts_made: u32) -> bool {
    attempts_made < ATTEMPTS_IN_PLACE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_may_pass_are_retried() {
        for (class, retried) in [
            (ErrorClass::Transient, true),
            (ErrorClass::Throttled, true),
            (ErrorClass::SourceCredentialsRejected, false),
            (ErrorClass::RequestRejected, false),
        ] {
            assert_eq!(may_pass(class), retried, "{class:?}");
        }
    }

    #[test]
    fn twelve_attempts_with_their_longest_pauses_fit_into_the_default_timeout() {
        let pauses: Duration = (1..MAX_ATTEMPTS).map(max_pause).sum();
        assert!(pauses <= Duration::from_millis(1200), "{pauses:?}");
    }
}
