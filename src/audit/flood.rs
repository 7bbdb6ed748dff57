//! Refusals up to a rate, each kind by itself; of the rest, their number.

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

/// What keeps floods out of the log.
#[derive(Clone)]
pub(super) struct Flood {
    quota: Option<Quota>,
    kinds: Arc<Mutex<BTreeMap<String, Kind>>>,
    clock: Arc<dyn Clock>,
}

struct Kind {
    limiter: Limiter,
    suppressed: u64,
}

impl fmt::Debug for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flood").field("quota", &self.quota).finish_non_exhaustive()
    }
}

impl Flood {
    pub(super) fn new(rate: Rate, clock: Arc<dyn Clock>) -> Self {
        Self { quota: quota(rate), kinds: Arc::default(), clock }
    }

    /// Whether one more of a kind may have its line; if not, it is counted.
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

    /// Those that had no line since this was last asked, by kind.
    pub(super) fn suppressed(&self) -> Vec<(String, u64)> {
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

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_one_kind_is_told_by_its_number_and_hides_no_other() {
        let flood = Flood::new("3/minute".parse().unwrap(), TestClock::at(0));
        let admitted = |kind| (0..1000).filter(|_| flood.admit(kind)).count();
        assert_eq!(admitted("bad signature"), 3);
        assert_eq!(admitted("expired"), 3);
        let told = |kind: &str, count| (kind.to_owned(), count);
        assert_eq!(flood.suppressed(), [told("bad signature", 997), told("expired", 997)]);
        assert_eq!(flood.suppressed(), []);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(admitted("expired"), 1);
        assert_eq!(flood.suppressed(), [told("expired", 999)]);
    }

    #[tokio::test]
    async fn without_a_rate_every_refusal_has_its_line() {
        let flood = Flood::new(Rate::Off, TestClock::at(0));
        assert!((0..10_000).all(|_| flood.admit("expired")));
        assert_eq!(flood.suppressed(), []);
    }
}
