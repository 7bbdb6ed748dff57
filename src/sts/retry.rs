//! When a failed call is worth another: a bounded number within one deadline, full jitter between, and a
//! budget for all askers together, so that a failing STS is not met with three times the load.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::error::Class;

/// Tries within one deadline.
const MOST_ATTEMPTS: u32 = 3;
/// A full budget.
const BUDGET: u32 = 100;
/// What a retry costs; a success gives back one.
const RETRY_COST: u32 = 5;

/// Retries that all askers together may still make.
#[derive(Debug)]
pub(super) struct Budget(Mutex<u32>);

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new(BUDGET))
    }
}

impl Budget {
    /// Pays for one retry, if there is enough left.
    pub(super) fn spend(&self) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.checked_sub(RETRY_COST).map(|rest| *left = rest).is_some()
    }

    /// A call succeeded.
    pub(super) fn refill(&self) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *left = BUDGET.min(*left + 1);
    }
}

/// The longest pause before the next attempt; `None` where there is none to be made.
pub(super) fn pause(class: Class, attempts_made: u32) -> Option<Duration> {
    let first = match class {
        Class::Transient => Duration::from_millis(50),
        Class::Throttled => Duration::from_millis(400),
        Class::SourceCredentialsRejected | Class::Refused => return None,
    };
    (attempts_made < MOST_ATTEMPTS).then(|| first * 2u32.pow(attempts_made.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_succeed_is_tried_again_and_three_times_at_most() {
        assert_eq!(pause(Class::Transient, 1), Some(Duration::from_millis(50)));
        assert_eq!(pause(Class::Transient, 2), Some(Duration::from_millis(100)));
        assert_eq!(pause(Class::Throttled, 2), Some(Duration::from_millis(800)));
        assert_eq!(pause(Class::Transient, 3), None);
        assert_eq!(pause(Class::SourceCredentialsRejected, 1), None);
        assert_eq!(pause(Class::Refused, 1), None);
    }

    #[test]
    fn the_budget_runs_out_and_successes_refill_it() {
        let budget = Budget::default();
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 20);
        for _ in 0..RETRY_COST {
            assert!(!budget.spend());
            budget.refill();
        }
        assert!(budget.spend());
    }
}
