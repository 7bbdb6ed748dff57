//! When a failed call is retried: a bounded number of times within one deadline, with full jitter, and within one
//! budget for all requests, so that a failing STS does not get three times the load.
//!
//! Written here and not taken from a crate: the budget is shared, and the jitter comes in.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tencent_sts::ErrorClass;

/// Attempts within one deadline, the first included.
const MAX_ATTEMPTS: u32 = 3;
const MAX_BUDGET: u32 = 100;
const RETRY_COST: u32 = 5;
const SUCCESS_REFUND: u32 = 1;
const TRANSIENT_PAUSE: Duration = Duration::from_millis(50);
const THROTTLED_PAUSE: Duration = Duration::from_millis(400);

/// The retries that all requests together may still make.
#[derive(Debug)]
pub(super) struct RetryBudget(Mutex<u32>);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(Mutex::new(MAX_BUDGET))
    }
}

impl RetryBudget {
    /// Pays for one retry, if enough is left.
    pub(super) fn spend(&self) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.checked_sub(RETRY_COST).map(|rest| *left = rest).is_some()
    }

    /// Reports a successful call.
    pub(super) fn refill(&self) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *left = MAX_BUDGET.min(*left + SUCCESS_REFUND);
    }
}

/// The longest pause before the next attempt. `None` if no further attempt is made.
pub(super) fn max_pause(class: ErrorClass, attempts_made: u32) -> Option<Duration> {
    let first = match class {
        ErrorClass::Transient => TRANSIENT_PAUSE,
        ErrorClass::Throttled => THROTTLED_PAUSE,
        ErrorClass::SourceCredentialsRejected | ErrorClass::RequestRejected => return None,
    };
    (attempts_made < MAX_ATTEMPTS).then(|| first * 2u32.pow(attempts_made.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_may_pass_are_retried_with_three_attempts_at_most() {
        assert_eq!(max_pause(ErrorClass::Transient, 1), Some(Duration::from_millis(50)));
        assert_eq!(max_pause(ErrorClass::Transient, 2), Some(Duration::from_millis(100)));
        assert_eq!(max_pause(ErrorClass::Throttled, 2), Some(Duration::from_millis(800)));
        assert_eq!(max_pause(ErrorClass::Transient, 3), None);
        assert_eq!(max_pause(ErrorClass::SourceCredentialsRejected, 1), None);
        assert_eq!(max_pause(ErrorClass::RequestRejected, 1), None);
    }

    #[test]
    fn retries_use_up_the_budget_and_successes_refill_it() {
        let budget = RetryBudget::default();
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 20);
        for _ in 0..RETRY_COST {
            assert!(!budget.spend());
            budget.refill();
        }
        assert!(budget.spend());
    }
}
