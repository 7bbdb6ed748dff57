//! Flood control: the rate limit of refusals in the log, by kind.
//!
//! Written by hand on top of `governor`: its keyed limiters do not count what they refuse.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use governor::{
    Quota, RateLimiter,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};

use diagnostics::Rate;
use runtime::{
    clock::Clock,
    rate_limit::{QuotaClock, quota},
};

type Limiter = RateLimiter<NotKeyed, InMemoryState, QuotaClock, NoOpMiddleware<Nanos>>;

/// Limits the lines of each kind of refusal, and counts the suppressed ones.
#[derive(Clone)]
pub(super) struct FloodControl {
    quota: Option<Quota>,
    kinds: Arc<Mutex<BTreeMap<String, Kind>>>,
    clock: Arc<dyn Clock>,
}

struct Kind {
    limiter: Limiter,
    suppressed: u64,
}

impl fmt::Debug for FloodControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FloodControl").field("quota", &self.quota).finish_non_exhaustive()
    }
}

impl FloodControl {
    pub(super) fn new(rate: Rate, clock: Arc<dyn Clock>) -> Self {
        Self { quota: quota(rate), kinds: Arc::default(), clock }
    }

    /// Returns whether a refusal of this kind may be written; if not, counts it as suppressed.
    pub(super) fn admit(&self, kind: &str) -> bool {
        let Some(quota) = self.quota else { return true };
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kind) = kinds.get_mut(kind) {
            let admitted = kind.limiter.check().is_ok();
            kind.suppressed += u64::from(!admitted);
            return admitted;
        }
        let limiter = RateLimiter::direct_with_clock(quota, QuotaClock(Arc::clone(&self.clock)));
        let admitted = limiter.check().is_ok();
        kinds.insert(kind.to_owned(), Kind { limiter, suppressed: u64::from(!admitted) });
        admitted
    }

    /// Returns the numbers of suppressed refusals since the last call, by kind.
    pub(super) fn take_suppressed(&self) -> Vec<(String, u64)> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds
            .iter_mut()
            .filter(|(_, kind)| kind.suppressed > 0)
            .map(|(name, kind)| (name.clone(), std::mem::take(&mut kind.suppressed)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use runtime::clock::TestClock;

    /// How many of a thousand refusals are written.
    fn admitted(flood: &FloodControl, kind: &str) -> usize {
        (0..1000).filter(|_| flood.admit(kind)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_one_kind_is_counted_and_does_not_suppress_another_kind() {
        let flood = FloodControl::new("3/minute".parse().unwrap(), TestClock::at(0));
        assert_eq!(admitted(&flood, "bad signature"), 3);
        assert_eq!(admitted(&flood, "expired"), 3);
        assert_eq!(flood.take_suppressed(), [("bad signature".to_owned(), 997), ("expired".to_owned(), 997)]);
        assert_eq!(flood.take_suppressed(), []);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(admitted(&flood, "expired"), 1);
        assert_eq!(flood.take_suppressed(), [("expired".to_owned(), 999)]);
    }

    #[tokio::test]
    async fn without_a_rate_limit_every_refusal_is_written() {
        let flood = FloodControl::new(Rate::Off, TestClock::at(0));
        assert!((0..10_000).all(|_| flood.admit("expired")));
        assert_eq!(flood.take_suppressed(), []);
    }
}
