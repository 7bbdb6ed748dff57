//! Freshness rules: how long a credential may be served, and when it is refreshed.
//!
//! Pure functions over plain values. The cache and the advisor's replay both use them.

use std::time::Duration;

use jiff::Timestamp;

use super::outcome::MissReason;

/// Shortest remaining TTL of a credential that is served while STS fails. The official SDKs treat a credential as
/// expired 60 s before its end; others, and a client that reads the expiry, can still use it.
const MIN_STALE_TTL: Duration = Duration::from_secs(1);
/// A request cannot ask for a longer TTL than a new credential has after this time, so that one credential is renewed
/// at most once in it, however often a user asks.
const MIN_RENEWAL_INTERVAL: Duration = Duration::from_mins(1);
/// Default of `cache.min_remaining`, for lifetimes of 15 minutes and more.
const DEFAULT_MIN_TTL: Duration = Duration::from_mins(5);
/// Largest part of its lifetime for which a credential is due for refresh. More would refresh it as soon as it
/// is issued, again and again.
const MAX_REFRESH_SHARE: f64 = 0.95;
/// Largest deviation from the configured refresh margin, to either side.
const REFRESH_JITTER: f64 = 0.1;
/// Random value in the middle of its range: the margin is exactly as configured.
pub(super) const NO_JITTER: f64 = 0.5;

/// What a request requires of a credential.
#[derive(Debug, Clone, Copy)]
pub(super) struct FreshnessRequirement {
    min_ttl: Duration,
    /// Only where the request asks for more than `min_ttl`.
    requested_ttl: Option<Duration>,
    /// Version of the source credentials. Credentials issued with an older version may be invalidated at any
    /// time.
    source_credentials_version: u64,
}

/// What decides on a credential's freshness.
#[derive(Debug, Clone, Copy)]
pub(super) struct Freshness {
    /// Time until it expires.
    pub(super) ttl: Duration,
    /// Version of the source credentials that it was issued with.
    pub(super) source_credentials_version: u64,
    /// Whether another credential is to replace it.
    pub(super) is_superseded: bool,
}

impl Freshness {
    /// Whether it is active, and issued with this version of the source credentials for a user who was not revoked.
    pub(super) fn is_usable(self, source_credentials_version: u64) -> bool {
        !self.ttl.is_zero()
            && self.source_credentials_version == source_credentials_version
            && !self.is_superseded
    }
}

/// The request asks for a longer TTL than the cache can promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TtlTooLong {
    pub(super) requested: Duration,
    pub(super) max: Duration,
}

impl FreshnessRequirement {
    /// Requirement of a request for a credential of this `lifetime`.
    pub(super) fn new(
        min_ttl: Duration,
        requested_ttl: Option<Duration>,
        lifetime: Duration,
        source_credentials_version: u64,
    ) -> Result<Self, TtlTooLong> {
        let requested_ttl = requested_ttl.filter(|requested| *requested > min_ttl);
        let max = max_requestable_ttl(lifetime);
        match requested_ttl {
            Some(requested) if requested > max => Err(TtlTooLong { requested, max }),
            _ => Ok(Self { min_ttl: min_ttl.min(max), requested_ttl, source_credentials_version }),
        }
    }

    /// The TTL that a credential needs.
    pub(super) fn ttl(self) -> Duration {
        self.requested_ttl.unwrap_or(self.min_ttl)
    }

    /// `Ok` if a credential meets it, else the reason of the miss.
    pub(super) fn check(self, found: Freshness) -> Result<(), MissReason> {
        if found.ttl < self.min_ttl {
            Err(MissReason::Expired)
        } else if found.source_credentials_version < self.source_credentials_version {
            Err(MissReason::SourceCredentialsRotated)
        } else if found.is_superseded {
            Err(MissReason::Revoked)
        } else if self.requested_ttl.is_some_and(|requested| found.ttl < requested) {
            Err(MissReason::MinRemaining)
        } else {
            Ok(())
        }
    }
}

/// Shortest TTL a credential is served with: as configured, else five minutes or a third of its lifetime,
/// whichever is shorter.
pub(super) fn min_ttl(configured: Option<Duration>, lifetime: Duration) -> Duration {
    configured.unwrap_or_else(|| DEFAULT_MIN_TTL.min(lifetime / 3))
}

/// Upper bound for `min_remaining`. A larger value would bypass the cache on nearly every request.
fn max_requestable_ttl(lifetime: Duration) -> Duration {
    lifetime.saturating_sub(MIN_RENEWAL_INTERVAL.min(lifetime / 2))
}

/// How long before its end a credential is due for refresh. `jitter` in `0.0..1.0` moves the configured share by
/// up to a tenth, so that credentials issued together are not refreshed together.
pub(super) fn refresh_margin(ttl: Duration, refresh_share: f64, jitter: f64) -> Duration {
    let share = refresh_share * (1.0 - REFRESH_JITTER + 2.0 * REFRESH_JITTER * jitter);
    ttl.mul_f64(share.min(MAX_REFRESH_SHARE))
}

/// Whether a credential may be served while STS fails.
pub(super) fn is_servable_stale(ttl: Duration) -> bool {
    ttl >= MIN_STALE_TTL
}

/// When a credential is no longer served, not even stale.
pub(super) fn servable_until(expires_at: Timestamp) -> Timestamp {
    expires_at.checked_sub(MIN_STALE_TTL).unwrap_or(expires_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn of_ttl(ttl: Duration) -> Freshness {
        Freshness { ttl, source_credentials_version: 1, is_superseded: false }
    }

    #[test]
    fn the_default_minimum_is_five_minutes_or_a_third_of_a_short_lifetime() {
        for (configured, lifetime, expected) in [
            (None, MINUTE * 30, MINUTE * 5),
            (None, MINUTE, Duration::from_secs(20)),
            (Some(MINUTE * 2), MINUTE * 30, MINUTE * 2),
        ] {
            assert_eq!(min_ttl(configured, lifetime), expected, "{configured:?} {lifetime:?}");
        }
    }

    #[test]
    fn a_request_may_ask_for_all_but_a_minute_or_half_of_the_lifetime() {
        for (lifetime, max) in [(MINUTE * 30, MINUTE * 29), (MINUTE, Duration::from_secs(30))] {
            assert!(FreshnessRequirement::new(MINUTE / 3, Some(max), lifetime, 0).is_ok());
            let requested = max + Duration::from_secs(1);
            let refused = FreshnessRequirement::new(MINUTE / 3, Some(requested), lifetime, 0).unwrap_err();
            assert_eq!(refused, TtlTooLong { requested, max });
        }
        let required = FreshnessRequirement::new(MINUTE * 5, Some(MINUTE * 4), MINUTE * 3, 0);
        assert!(required.is_ok(), "a request for less than the minimum is no request for a longer TTL");
    }

    #[test]
    fn the_first_unmet_rule_is_the_reason_of_the_miss() {
        let required = FreshnessRequirement::new(MINUTE * 5, Some(MINUTE * 20), MINUTE * 30, 1).unwrap();
        let fresh = of_ttl(MINUTE * 20);
        for (found, expected) in [
            (fresh, Ok(())),
            (of_ttl((MINUTE * 5).checked_sub(Duration::from_nanos(1)).unwrap()), Err(MissReason::Expired)),
            (of_ttl(MINUTE * 19), Err(MissReason::MinRemaining)),
            (Freshness { source_credentials_version: 0, ..fresh }, Err(MissReason::SourceCredentialsRotated)),
            (Freshness { source_credentials_version: 2, ..fresh }, Ok(())),
            (Freshness { is_superseded: true, ..fresh }, Err(MissReason::Revoked)),
        ] {
            assert_eq!(required.check(found), expected, "{found:?}");
        }
    }

    #[test]
    fn the_refresh_margin_varies_by_a_tenth_and_is_never_the_whole_lifetime() {
        for (share, jitter, expected) in
            [(0.3, 0.0, 27), (0.3, NO_JITTER, 30), (0.3, 1.0, 33), (1.0, 0.5, 95)]
        {
            let margin = refresh_margin(Duration::from_secs(100), share, jitter);
            assert!(
                (margin.as_secs_f64() - f64::from(expected)).abs() < 1e-6,
                "{share} {jitter}: {margin:?}"
            );
        }
    }
}
