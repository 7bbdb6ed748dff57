//! The rate limit of users whose requests reach several replicas.
//!
//! Each replica admits a small part of the limit by itself. Of a user who sends it more, it counts all requests, tells the
//! counts to the others from time to time, and learns what all replicas together have admitted. No request waits for
//! that. Knows nothing of Redis: counts go out as values, and answers come back as values.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::limits::{Limiter, limiter};
use crate::replicas::{RequestCount, RequestCounts};
use diagnostics::Rate;
use runtime::clock::Clock;
use templates::fingerprint::Fingerprint;

/// The part of the limit that all replicas together admit without counting, in per cent.
const UNCOUNTED_PERCENT: u32 = 25;
/// Users whose counts are told in one call: Redis does nothing else meanwhile.
const MAX_TOLD_USERS: usize = 200;

/// A rate limit for each user that holds over all replicas, approximately.
#[derive(Debug)]
pub(super) struct SharedRateLimit {
    limit: Limit,
    /// What this replica admits without counting.
    uncounted: Limiter,
    counted: Mutex<CountedUsers>,
    /// Whether any user is counted, so that requests of others cost nothing more.
    counts_any: AtomicBool,
    has_untold: Notify,
}

/// The limit of one user.
#[derive(Debug, Clone, Copy)]
struct Limit {
    /// Between two requests at the limit.
    interval: Duration,
    /// So much of it may be used at once.
    period: Duration,
    /// More cannot be used of it, if all replicas admit all of it before they learn of each other.
    longest_use: Duration,
}

/// Users who send more than the uncounted part.
#[derive(Debug, Default)]
struct CountedUsers {
    users: HashMap<Fingerprint, CountedUser>,
    /// Those with requests that the others do not know.
    untold: Vec<Fingerprint>,
    /// When the first of these was admitted, on the monotonic clock.
    untold_since: Duration,
}

/// What is known of a user's requests to all replicas (GCRA).
#[derive(Debug, Clone, Copy, Default)]
struct CountedUser {
    /// When nothing of the limit is used any more, on the monotonic clock.
    unused_from: Duration,
    /// Requests that the others do not know.
    untold: u32,
}

impl SharedRateLimit {
    /// Returns the limit for one of `replicas`; nothing if the rate is off.
    pub(super) fn new(rate: Rate, replicas: NonZeroU32, clock: &Arc<dyn Clock>) -> Option<Self> {
        let Rate::Per { count, period } = rate else { return None };
        let uncounted = Rate::Per { count: uncounted(count, replicas), period };
        Some(Self {
            limit: Limit { interval: period / count.get(), period, longest_use: period * replicas.get() },
            uncounted: limiter(uncounted, clock)?,
            counted: Mutex::default(),
            counts_any: AtomicBool::new(false),
            has_untold: Notify::new(),
        })
    }

    /// Counts one request at this time; `Err` with the time until the next one is allowed.
    pub(super) fn admit(&self, user: Fingerprint, now: Duration) -> Result<(), Duration> {
        let is_uncounted = self.uncounted.check_key(&user.first_bits()).is_ok();
        if is_uncounted && !self.counts_any.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut counted = self.counted();
        if is_uncounted && !counted.users.contains_key(&user) {
            return Ok(());
        }
        let is_first = counted.untold.is_empty();
        counted.admit(user, self.limit, now)?;
        self.counts_any.store(true, Ordering::Relaxed);
        if is_first {
            self.has_untold.notify_one();
        }
        Ok(())
    }

    /// Waits until there are requests that the others do not know.
    pub(super) async fn has_untold(&self) {
        self.has_untold.notified().await;
    }

    /// Takes the counts that the others do not know, of some users at a time; nothing if there are none.
    pub(super) fn take_untold(&self, now: Duration) -> Option<RequestCounts> {
        let mut counted = self.counted();
        let users = counted.take_untold();
        let age = now.saturating_sub(counted.untold_since);
        let Limit { interval, longest_use, .. } = self.limit;
        (!users.is_empty()).then_some(RequestCounts { users, age, interval, longest_use })
    }

    /// Takes over how much of their limits users have used at all replicas, as it was at `asked_at`.
    pub(super) fn learn(&self, used: &[(Fingerprint, Duration)], asked_at: Duration) {
        let mut counted = self.counted();
        for (user, used) in used {
            if let Some(user) = counted.users.get_mut(user) {
                user.learn(asked_at + (*used).min(self.limit.longest_use), self.limit);
            }
        }
    }

    /// Stops counting users who have used nothing lately. Iterates over all of them: not for an async worker thread.
    pub(super) fn remove_idle(&self, now: Duration) {
        self.uncounted.retain_recent();
        self.uncounted.shrink_to_fit();
        let mut counted = self.counted();
        counted.users.retain(|_, user| user.unused_from > now || user.untold > 0);
        counted.users.shrink_to_fit();
        self.counts_any.store(!counted.users.is_empty(), Ordering::Relaxed);
    }

    /// Each change leaves the state complete, so a poisoned lock does no harm.
    fn counted(&self) -> MutexGuard<'_, CountedUsers> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many requests in a period one replica admits without counting: at least one.
fn uncounted(count: NonZeroU32, replicas: NonZeroU32) -> NonZeroU32 {
    let part = u64::from(count.get()) * u64::from(UNCOUNTED_PERCENT) / 100 / u64::from(replicas.get());
    NonZeroU32::new(u32::try_from(part).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
}

impl CountedUsers {
    fn admit(&mut self, user: Fingerprint, limit: Limit, now: Duration) -> Result<(), Duration> {
        let entry = self.users.entry(user).or_default();
        entry.admit(limit, now)?;
        if entry.untold == 1 {
            if self.untold.is_empty() {
                self.untold_since = now;
            }
            self.untold.push(user);
        }
        Ok(())
    }

    fn take_untold(&mut self) -> Vec<RequestCount> {
        let first = self.untold.len().saturating_sub(MAX_TOLD_USERS);
        let told = self.untold.split_off(first).into_iter();
        let counts = told.filter_map(|user| {
            let requests = std::mem::take(&mut self.users.get_mut(&user)?.untold);
            Some(RequestCount { user, requests })
        });
        counts.collect()
    }
}

impl CountedUser {
    fn admit(&mut self, limit: Limit, now: Duration) -> Result<(), Duration> {
        let next = self.unused_from.max(now) + limit.interval;
        let wait = next.saturating_sub(now + limit.period);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.unused_from = next;
        self.untold += 1;
        Ok(())
    }

    /// Takes over what all have used, to which the requests since then are added. Redis may have lost what this replica
    /// knows.
    fn learn(&mut self, unused_from: Duration, limit: Limit) {
        self.unused_from = self.unused_from.max(unused_from + limit.interval * self.untold);
    }
}

#[cfg(test)]
#[path = "shared_rate_tests.rs"]
mod tests;
