//! Limits of one user: requests, hits included, and credentials for scopes of their own choice.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use foldhash::fast::RandomState;
use governor::{
    RateLimiter, clock::Reference, middleware::NoOpMiddleware, nanos::Nanos, state::keyed::DashMapStateStore,
};

use super::shared_rate::SharedRateLimit;
use crate::replicas::ScopeBound;
use diagnostics::Rate;
use runtime::{
    clock::Clock,
    rate_limit::{QuotaClock, quota},
};
use templates::{Grant, fingerprint::Fingerprint};

/// By the first bits of a user's fingerprint, which take a quarter of the memory: should two users have the same, they share
/// one limit.
type States = DashMapStateStore<u64, RandomState>;
pub(super) type Limiter = RateLimiter<u64, States, QuotaClock, NoOpMiddleware<Nanos>>;

/// Users whose scopes are tracked. A user dropped from the table starts with no scopes.
const MAX_TRACKED_USERS: u64 = 50_000;

/// A rate limit for each user.
#[derive(Debug)]
pub(super) struct UserRateLimit {
    rate: Rate,
    limiter: Option<Limiter>,
    /// In place of the limiter, if there are other replicas. Set once.
    shared: OnceLock<SharedRateLimit>,
    clock: Arc<dyn Clock>,
}

impl UserRateLimit {
    pub(super) fn new(rate: Rate, clock: Arc<dyn Clock>) -> Self {
        Self { rate, limiter: limiter(rate, &clock), shared: OnceLock::new(), clock }
    }

    /// Makes it the limit over so many replicas. To be called once, before the first request.
    pub(super) fn share(&self, replicas: NonZeroU32) {
        if let Some(shared) = SharedRateLimit::new(self.rate, replicas, &self.clock) {
            // A second call would change nothing.
            let _ = self.shared.set(shared);
        }
    }

    /// The limit over all replicas, if there is one.
    pub(super) fn shared(&self) -> Option<&SharedRateLimit> {
        self.shared.get()
    }

    /// Counts one request; `Err` with the time until the next one is allowed.
    pub(super) fn admit(&self, principal: Fingerprint) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        if let Some(shared) = self.shared.get() {
            return shared.admit(principal, self.clock.monotonic());
        }
        limiter.check_key(&principal.first_bits()).map_err(|not_until| {
            let now = Nanos::from(self.clock.monotonic());
            Duration::from(not_until.earliest_possible().duration_since(now))
        })
    }

    /// Removes users whose quota is full again. Iterates over all users: not for an async worker thread.
    pub(super) fn remove_idle(&self) {
        if let Some(shared) = self.shared.get() {
            shared.remove_idle(self.clock.monotonic());
        }
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// Returns a rate limiter for users, or `None` if the rate is [`Rate::Off`].
pub(super) fn limiter(rate: Rate, clock: &Arc<dyn Clock>) -> Option<Limiter> {
    let clock = QuotaClock(Arc::clone(clock));
    quota(rate).map(|quota| RateLimiter::new(quota, States::default(), clock))
}

/// A limit on the scopes for which one user holds credentials. Each scope costs an STS call and a cache entry,
/// and a user can choose any number of them.
#[derive(Debug)]
pub(super) struct ScopeLimit {
    max_per_user: NonZeroU32,
    users: moka::sync::Cache<Fingerprint, Arc<Mutex<UserScopes>>>,
    clock: Arc<dyn Clock>,
}

/// Scopes of one user, by the fingerprint of their grant, and when each credential expires on the monotonic
/// clock.
type UserScopes = HashMap<Fingerprint, Duration>;

impl ScopeLimit {
    pub(super) fn new(max_per_user: NonZeroU32, clock: Arc<dyn Clock>) -> Self {
        Self { max_per_user, users: moka::sync::Cache::new(MAX_TRACKED_USERS), clock }
    }

    /// Counts the scope of a grant, and says whether it is a new one. `Err` with the time until the next one is
    /// allowed. Called only for cache misses.
    pub(super) fn admit(&self, grant: &Grant) -> Result<bool, Duration> {
        if !grant.is_narrowed() {
            return Ok(false);
        }
        let now = self.clock.monotonic();
        let user = self.users.get_with(grant.principal().fingerprint(), Arc::default);
        let mut scopes = user.lock().unwrap_or_else(PoisonError::into_inner);
        scopes.retain(|_, expires_at| *expires_at > now);
        let is_full = u32::try_from(scopes.len()).is_ok_and(|count| count >= self.max_per_user.get());
        if is_full && !scopes.contains_key(&grant.fingerprint()) {
            let first_expiry = scopes.values().min().copied().unwrap_or(now);
            return Err(first_expiry.saturating_sub(now));
        }
        Ok(scopes.insert(grant.fingerprint(), now + grant.duration()).is_none())
    }

    /// The limit for a grant at all replicas, if its scope counts. A scope that is held is renewed whatever others say.
    pub(super) fn bound(&self, grant: &Grant, is_held: bool) -> Option<ScopeBound> {
        grant.is_narrowed().then(|| ScopeBound {
            user: grant.principal().fingerprint(),
            max: if is_held { NonZeroU32::MAX } else { self.max_per_user },
            lifetime: grant.duration(),
        })
    }

    /// Counts a scope no longer than its credential lasts, which may come from another replica and be older.
    pub(super) fn hold(&self, grant: &Grant, ttl: Duration) {
        if !grant.is_narrowed() {
            return;
        }
        let Some(user) = self.users.get(&grant.principal().fingerprint()) else { return };
        let mut scopes = user.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(expires_at) = scopes.get_mut(&grant.fingerprint()) {
            *expires_at = (*expires_at).min(self.clock.monotonic() + ttl);
        }
    }

    /// Stops counting a new scope for which no credential was issued.
    pub(super) fn release(&self, grant: &Grant) {
        if let Some(user) = self.users.get(&grant.principal().fingerprint()) {
            user.lock().unwrap_or_else(PoisonError::into_inner).remove(&grant.fingerprint());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::clock::TestClock;

    #[tokio::test(start_paused = true)]
    async fn a_user_is_limited_and_learns_when_the_next_request_is_allowed() {
        let limit = UserRateLimit::new("3/minute".parse().unwrap(), TestClock::at(0));
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
    async fn users_without_recent_requests_are_removed() {
        let limit = UserRateLimit::new("60/minute".parse().unwrap(), TestClock::at(0));
        for n in 0..1000 {
            limit.admit(Fingerprint::of(&[n.to_string()])).unwrap();
        }
        tokio::time::advance(Duration::from_mins(2)).await;
        limit.admit(Fingerprint::of(&["another"])).unwrap();
        limit.remove_idle();
        assert_eq!(limit.limiter.as_ref().unwrap().len(), 1);
    }
}
