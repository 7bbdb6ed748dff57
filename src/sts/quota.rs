//! The rate limit of STS calls: never more than `calls_per_second` in any second. Who may make the next call is
//! decided in `scheduler`.

mod recent_calls;
#[cfg(test)]
mod tests;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{RateLimiter, middleware::NoOpMiddleware, nanos::Nanos, state};

use self::recent_calls::RecentCalls;
use crate::replicas::{SharedQuota, SharedTurn};
use runtime::{clock::Clock, rate_limit::QuotaClock};

/// Throttling never lowers the rate below `calls_per_second / 2^MAX_SLOWDOWN`.
const MAX_SLOWDOWN: u32 = 3;
/// Throttling never lowers the rate below this many calls per second, which no STS minds.
const MIN_THROTTLED_RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
/// After this time without throttling, the rate doubles.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(5);
/// One burst of throttled calls halves the rate once.
const SLOWDOWN_INTERVAL: Duration = Duration::from_secs(1);
const MIN_WAIT: Duration = Duration::from_millis(1);

/// The limiter counts hundredths of a call, so that burst and refill can be fractions of calls.
const CELLS_PER_CALL: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
/// Cells per second for each call of the rate: 96 % of the rate is refilled.
const REFILL_CELLS: u32 = 96;
/// Cells of burst beyond one call, for each call of the rate: what is refilled in about 10 ms, which is how late a
/// timer may wake a waiting request without losing throughput.
const BURST_CELLS: u32 = 1;

type Limiter = RateLimiter<state::NotKeyed, state::InMemoryState, QuotaClock, NoOpMiddleware<Nanos>>;

/// The rate limit of one process.
#[derive(Debug)]
pub(super) struct Quota {
    per_second: NonZeroU32,
    /// The quota that replicas share, which lowers what is admitted here.
    shared: Option<Arc<SharedQuota>>,
    /// The replicas share nothing now, and this one has its part of the quota.
    is_alone: bool,
    clock: Arc<dyn Clock>,
    limiter: Limiter,
    /// The rate is halved this many times.
    slowdown: u32,
    changed_at: Duration,
    recent: RecentCalls,
    /// No call is expected to be admitted before, on the monotonic clock.
    next_call_at: Duration,
}

/// The state of the rate limit, in calls per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaStatus {
    /// The configured limit, or this replica's part of it.
    pub limit: u32,
    /// The present rate: below the limit for a while after STS throttled.
    pub allowed: u32,
    /// Calls admitted in the last second.
    pub used: u32,
    /// Requests that wait for the quota.
    pub waiting: usize,
}

impl QuotaStatus {
    /// The calls that may still be made in the present second. About 4 % are left at full load.
    pub fn available(&self) -> u32 {
        self.allowed.saturating_sub(self.used)
    }
}

impl Quota {
    pub(super) fn new(per_second: NonZeroU32, clock: Arc<dyn Clock>) -> Self {
        Self {
            per_second,
            shared: None,
            is_alone: false,
            limiter: Pace::of(per_second).limiter(&clock),
            slowdown: 0,
            changed_at: clock.monotonic(),
            recent: RecentCalls::default(),
            next_call_at: Duration::ZERO,
            clock,
        }
    }

    /// Admits only what all replicas together may call.
    pub(super) fn share(&mut self, shared: Arc<SharedQuota>) {
        self.shared = Some(shared);
    }

    /// Admits one call of all replicas, or returns how long to wait for it. While Redis does not say, this replica has
    /// its part of the quota.
    pub(super) fn try_acquire_shared(&mut self, is_for_refresh: bool) -> Result<(), Duration> {
        let Some(shared) = self.shared.clone() else { return self.try_acquire() };
        let turn = shared.poll(is_for_refresh);
        self.set_alone(turn == SharedTurn::Alone);
        if let SharedTurn::In(wait) = turn {
            let wait = wait.max(MIN_WAIT);
            self.next_call_at = self.clock.monotonic() + wait;
            return Err(wait);
        }
        self.try_acquire()?;
        if turn == SharedTurn::Now {
            shared.take();
        }
        Ok(())
    }

    /// Changes between the whole quota and this replica's part of it.
    fn set_alone(&mut self, is_alone: bool) {
        if self.is_alone != is_alone {
            self.is_alone = is_alone;
            let now = self.clock.monotonic();
            self.set_slowdown(self.slowdown, now, now);
        }
    }

    /// Calls a second that this process may make when STS does not throttle.
    fn limit(&self) -> NonZeroU32 {
        match &self.shared {
            Some(shared) if self.is_alone => shared.share(),
            _ => self.per_second,
        }
    }

    /// Admits one call, or returns how long to wait for it.
    pub(super) fn try_acquire(&mut self) -> Result<(), Duration> {
        let now = self.clock.monotonic();
        self.recover(now);
        match self.limiter.check_n(CELLS_PER_CALL) {
            Ok(Ok(())) => {
                self.recent.record(now);
                self.next_call_at = now + Pace::of(self.rate(self.slowdown)).time_per_call();
                Ok(())
            }
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(Nanos::from(now)).max(MIN_WAIT);
                self.next_call_at = now + wait;
                Err(wait)
            }
            // Does not happen: a burst always holds a call.
            Err(_insufficient_capacity) => Err(self.interval()),
        }
    }

    /// Reports a throttled call: the rate is halved for a while.
    pub(super) fn slow_down(&mut self) {
        let now = self.clock.monotonic();
        if self.slowdown == 0 || now.saturating_sub(self.changed_at) >= SLOWDOWN_INTERVAL {
            let slowdown = MAX_SLOWDOWN.min(self.slowdown + 1);
            self.set_slowdown(slowdown, now, now);
            tracing::warn!(calls_per_second = self.rate(slowdown), "STS throttles; calls per second halved");
        }
    }

    /// Doubles the rate for each recovery interval that has passed.
    fn recover(&mut self, now: Duration) {
        let intervals = now.saturating_sub(self.changed_at).as_nanos() / RECOVERY_INTERVAL.as_nanos();
        let doublings = u32::try_from(intervals).unwrap_or(u32::MAX).min(self.slowdown);
        if doublings > 0 {
            let due_at = self.changed_at + RECOVERY_INTERVAL * doublings;
            self.set_slowdown(self.slowdown - doublings, due_at, now);
        }
    }

    /// Starts a limiter for another rate. It was empty at `changed_at`, so that no second around the change holds
    /// more calls than the faster of the two rates allows.
    fn set_slowdown(&mut self, slowdown: u32, changed_at: Duration, now: Duration) {
        let pace = Pace::of(self.rate(slowdown));
        self.limiter = pace.limiter(&self.clock);
        if let Some(missing) = pace.missing_cells(now.saturating_sub(changed_at)) {
            // Taken from a full limiter of at least as many cells, which cannot fail.
            let _taken = self.limiter.check_n(missing);
        }
        (self.slowdown, self.changed_at) = (slowdown, changed_at);
    }

    fn rate(&self, slowdown: u32) -> NonZeroU32 {
        let limit = self.limit();
        let halved = NonZeroU32::new(limit.get() >> slowdown).unwrap_or(NonZeroU32::MIN);
        halved.max(MIN_THROTTLED_RATE.min(limit))
    }

    /// The time from one call to the next at the present rate, as a caller in the queue feels it.
    pub(super) fn interval(&self) -> Duration {
        let interval = Pace::of(self.rate(self.slowdown)).time_per_call();
        match &self.shared {
            Some(shared) if !self.is_alone && shared.is_contended() => interval * shared.replicas().get(),
            _ => interval,
        }
    }

    /// How long the next call will have to wait, give or take one interval.
    pub(super) fn expected_wait(&self, now: Duration) -> Duration {
        self.next_call_at.saturating_sub(now)
    }

    /// Whether less than half of the present rate is used.
    pub(super) fn has_spare_share(&self) -> bool {
        let used = self.recent.count(self.clock.monotonic());
        used < self.rate(self.slowdown).get().div_ceil(2)
    }

    /// The state at this moment, with so many waiting calls.
    pub(super) fn status(&mut self, waiting: usize) -> QuotaStatus {
        let now = self.clock.monotonic();
        self.recover(now);
        QuotaStatus {
            limit: self.limit().get(),
            allowed: self.rate(self.slowdown).get(),
            used: self.recent.count(now),
            waiting,
        }
    }
}

/// Burst and refill for a rate of calls per second.
///
/// In any second, both ends included, a limiter admits at most its burst and what is refilled meanwhile: for a rate
/// `r` these are `100 + r` and `96 r` hundredths of a call, together `1 + 0.97 r` calls and so never more than `r`.
/// A call more needs at least `(100 r - r) / 96 r` = 1.031 seconds. The 31 ms between are for calls that reach STS
/// closer together than they were sent.
#[derive(Debug, Clone, Copy)]
struct Pace {
    cell_interval: Duration,
    burst: NonZeroU32,
}

impl Pace {
    fn of(rate: NonZeroU32) -> Self {
        let cells_per_second = u64::from(rate.get()) * u64::from(REFILL_CELLS);
        // Rounded up, so that rounding never admits more.
        let cell_interval = Duration::from_nanos(1_000_000_000_u64.div_ceil(cells_per_second));
        let burst = CELLS_PER_CALL.saturating_add(rate.get().saturating_mul(BURST_CELLS));
        Self { cell_interval, burst }
    }

    /// A full limiter.
    fn limiter(self, clock: &Arc<dyn Clock>) -> Limiter {
        let quota = governor::Quota::with_period(self.cell_interval)
            .unwrap_or(governor::Quota::per_second(NonZeroU32::MIN));
        RateLimiter::direct_with_clock(quota.allow_burst(self.burst), QuotaClock(Arc::clone(clock)))
    }

    /// The cells that a limiter lacks which was empty so long ago. `None` if it is full.
    fn missing_cells(self, refilled_for: Duration) -> Option<NonZeroU32> {
        let refilled = refilled_for.as_nanos() / self.cell_interval.as_nanos();
        NonZeroU32::new(self.burst.get().saturating_sub(u32::try_from(refilled).unwrap_or(u32::MAX)))
    }

    fn time_per_call(self) -> Duration {
        self.cell_interval * CELLS_PER_CALL.get()
    }
}
