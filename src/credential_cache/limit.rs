//! How often one person may ask, hits included; and for how many scopes of their own choosing.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use governor::{
    RateLimiter, clock::Reference, middleware::NoOpMiddleware, nanos::Nanos, state::keyed::DashMapStateStore,
};

use diagnostics::Rate;
use runtime::{
    clock::Clock,
    rate_limit::{QuotaClock, quota},
};
use templates::{Grant, fingerprint::Fingerprint};

type Limiter = RateLimiter<Fingerprint, DashMapStateStore<Fingerprint>, QuotaClock, NoOpMiddleware<Nanos>>;

/// Between two sweeps of people who have not asked for long.
const SWEEP: Duration = Duration::from_mins(1);

/// The limit of every person.
#[derive(Debug)]
pub(super) struct PerUser {
    limiter: Option<Limiter>,
    clock: Arc<dyn Clock>,
    next_sweep: AtomicU64,
}

impl PerUser {
    pub(super) fn new(rate: Rate, clock: Arc<dyn Clock>) -> Self {
        let limiter = quota(rate).map(|quota| {
            RateLimiter::new(quota, DashMapStateStore::default(), QuotaClock(Arc::clone(&clock)))
        });
        Self { limiter, clock, next_sweep: AtomicU64::new(0) }
    }

    /// Leave to ask once, or how long until there is.
    pub(super) fn admit(&self, principal: Fingerprint) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        self.sweep(limiter);
        limiter.check_key(&principal).map_err(|not_until| {
            let now = Nanos::from(self.clock.monotonic());
            Duration::from(not_until.earliest_possible().duration_since(now))
        })
    }

    /// A person whose allowance is full again need not be remembered.
    fn sweep(&self, limiter: &Limiter) {
        let now = self.clock.monotonic().as_secs();
        let due = self.next_sweep.load(Ordering::Relaxed);
        let next = now + SWEEP.as_secs();
        if now >= due
            && self.next_sweep.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// How many keys for scopes of their own choosing one person may hold at once: each different scope costs a
/// call to STS and a place in memory, and there is no end of them.
#[derive(Debug)]
pub(super) struct Scopes {
    most: NonZeroU32,
    /// Of each person: their scopes, and until when those keys live.
    held: moka::sync::Cache<Fingerprint, Arc<Mutex<HashMap<Fingerprint, Duration>>>>,
    clock: Arc<dyn Clock>,
}

/// People remembered; who is forgotten begins anew.
const MOST_PEOPLE: u64 = 50_000;

impl Scopes {
    pub(super) fn new(most: NonZeroU32, clock: Arc<dyn Clock>) -> Self {
        Self { most, held: moka::sync::Cache::new(MOST_PEOPLE), clock }
    }

    /// Leave for a person to be given a key of this grant, or how long until there is; says whether the place is
    /// a new one. Asked only where no key is in memory.
    pub(super) fn admit(&self, grant: &Grant) -> Result<bool, Duration> {
        if !grant.is_narrowed() {
            return Ok(false);
        }
        let now = self.clock.monotonic();
        let of_person = self.held.get_with(grant.principal().fingerprint(), Arc::default);
        let mut held = of_person.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, until| *until > now);
        let full = u32::try_from(held.len()).is_ok_and(|count| count >= self.most.get());
        if full && !held.contains_key(&grant.fingerprint()) {
            let next = held.values().min().copied().unwrap_or(now);
            return Err(next.saturating_sub(now));
        }
        Ok(held.insert(grant.fingerprint(), now + grant.duration()).is_none())
    }

    /// No key came of a new place, so it does not count.
    pub(super) fn give_back(&self, grant: &Grant) {
        if let Some(of_person) = self.held.get(&grant.principal().fingerprint()) {
            of_person.lock().unwrap_or_else(PoisonError::into_inner).remove(&grant.fingerprint());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::clock::TestClock;

    #[tokio::test(start_paused = true)]
    async fn a_person_may_ask_so_often_and_is_told_when_again() {
        let limit = PerUser::new("3/minute".parse().unwrap(), TestClock::at(0));
        let (alice, bob) = (Fingerprint::of(&["alice"]), Fingerprint::of(&["bob"]));
        for _ in 0..3 {
            assert_eq!(limit.admit(alice), Ok(()));
        }
        assert_eq!(limit.admit(alice), Err(Duration::from_secs(20)));
        assert_eq!(limit.admit(bob), Ok(()));
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(limit.admit(alice), Ok(()));
        assert!(limit.admit(alice).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn people_who_no_longer_ask_are_forgotten() {
        let limit = PerUser::new("60/minute".parse().unwrap(), TestClock::at(0));
        for n in 0..1000 {
            limit.admit(Fingerprint::of(&[n.to_string()])).unwrap();
        }
        tokio::time::advance(SWEEP * 2).await;
        limit.admit(Fingerprint::of(&["somebody"])).unwrap();
        assert_eq!(limit.limiter.as_ref().unwrap().len(), 1);
    }
}
