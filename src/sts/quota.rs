//! The rate limit of STS calls: never more than `calls_per_second` in any second, first come first served for users
//! who wait, and background work only when no user waits.

mod recent_calls;
#[cfg(test)]
mod tests;

use std::{
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use governor::{RateLimiter, middleware::NoOpMiddleware, nanos::Nanos, state};

use self::recent_calls::RecentCalls;
use super::{StsError, Urgency};
use runtime::{clock::Clock, rate_limit::QuotaClock};

/// Throttling never lowers the rate below `calls_per_second / 2^MAX_SLOWDOWN`.
const MAX_SLOWDOWN: u32 = 4;
/// After this time without throttling, the rate doubles.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(5);
/// One burst of throttled calls halves the rate once.
const SLOWDOWN_INTERVAL: Duration = Duration::from_secs(1);
const MIN_WAIT: Duration = Duration::from_millis(1);
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);

/// The limiter counts hundredths of a call, so that burst and refill can be fractions of calls.
const CELLS_PER_CALL: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
/// Cells per second for each call of the rate: 95 % of the rate is refilled.
const REFILL_CELLS: u32 = 95;
/// Cells of burst beyond one call, for each call of the rate: what is refilled in about 10 ms, which is how late a
/// timer may wake a waiting request without losing throughput.
const BURST_CELLS: u32 = 1;

type Limiter = RateLimiter<state::NotKeyed, state::InMemoryState, QuotaClock, NoOpMiddleware<Nanos>>;

/// The rate limit of one process.
#[derive(Debug)]
pub(super) struct Quota {
    per_second: NonZeroU32,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Held by the first user in the queue; the others wait for it in the order of their arrival.
    queue: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
}

/// The state of the rate limit, in calls per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaStatus {
    /// The configured limit.
    pub limit: u32,
    /// The present rate: below the limit for a while after STS throttled.
    pub allowed: u32,
    /// Calls admitted in the last second.
    pub used: u32,
    /// Requests that wait for the quota.
    pub waiting: usize,
}

impl QuotaStatus {
    /// The calls that may still be made in the present second. About 5 % are left at full load.
    pub fn available(&self) -> u32 {
        self.allowed.saturating_sub(self.used)
    }
}

#[derive(Debug)]
struct State {
    limiter: Limiter,
    /// The rate is halved this many times.
    slowdown: u32,
    changed_at: Duration,
    recent: RecentCalls,
}

impl Quota {
    pub(super) fn new(per_second: NonZeroU32, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            limiter: Pace::of(per_second).limiter(&clock),
            slowdown: 0,
            changed_at: clock.monotonic(),
            recent: RecentCalls::default(),
        };
        Self {
            per_second,
            clock,
            state: Mutex::new(state),
            queue: tokio::sync::Mutex::new(()),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits until one call may be made, at most until `deadline` on the monotonic clock.
    pub(super) async fn acquire(&self, urgency: Urgency, deadline: Duration) -> Result<(), StsError> {
        match urgency {
            Urgency::Background => {
                let _first = self.queue.try_lock().map_err(|_| self.exhausted())?;
                self.try_acquire().map_err(|_| self.exhausted())
            }
            Urgency::UserWaits => {
                let _waiting = WaitingCount::increment(&self.waiting);
                let left = deadline.saturating_sub(self.clock.monotonic());
                if self.expected_wait() > left {
                    return Err(self.exhausted());
                }
                let first = tokio::time::timeout(left, self.queue.lock()).await;
                let _first = first.map_err(|_| self.exhausted())?;
                while let Err(wait) = self.try_acquire() {
                    if self.clock.monotonic() + wait > deadline {
                        return Err(self.exhausted());
                    }
                    tokio::time::sleep(wait).await;
                }
                Ok(())
            }
        }
    }

    /// Admits one call, or returns how long to wait for it.
    fn try_acquire(&self) -> Result<(), Duration> {
        let mut state = self.state();
        let now = self.clock.monotonic();
        self.recover(&mut state, now);
        match state.limiter.check_n(CELLS_PER_CALL) {
            Ok(Ok(())) => {
                state.recent.record(now);
                Ok(())
            }
            Ok(Err(not_until)) => Err(not_until.wait_time_from(Nanos::from(now)).max(MIN_WAIT)),
            // Does not happen: a burst always holds a call.
            Err(_insufficient_capacity) => Err(MIN_RETRY_AFTER),
        }
    }

    /// Reports a throttled call: the rate is halved for a while.
    pub(super) fn slow_down(&self) {
        let mut state = self.state();
        let now = self.clock.monotonic();
        if state.slowdown == 0 || now.saturating_sub(state.changed_at) >= SLOWDOWN_INTERVAL {
            let slowdown = MAX_SLOWDOWN.min(state.slowdown + 1);
            self.set_slowdown(&mut state, slowdown, now, now);
            tracing::warn!(calls_per_second = self.rate(slowdown), "STS throttles; calls per second halved");
        }
    }

    /// Doubles the rate for each recovery interval that has passed.
    fn recover(&self, state: &mut State, now: Duration) {
        let intervals = now.saturating_sub(state.changed_at).as_nanos() / RECOVERY_INTERVAL.as_nanos();
        let doublings = u32::try_from(intervals).unwrap_or(u32::MAX).min(state.slowdown);
        if doublings > 0 {
            let due_at = state.changed_at + RECOVERY_INTERVAL * doublings;
            self.set_slowdown(state, state.slowdown - doublings, due_at, now);
        }
    }

    /// Starts a limiter for another rate. It was empty at `changed_at`, so that no second around the change holds
    /// more calls than the faster of the two rates allows.
    fn set_slowdown(&self, state: &mut State, slowdown: u32, changed_at: Duration, now: Duration) {
        let pace = Pace::of(self.rate(slowdown));
        state.limiter = pace.limiter(&self.clock);
        if let Some(missing) = pace.missing_cells(now.saturating_sub(changed_at)) {
            // Taken from a full limiter of at least as many cells, which cannot fail.
            let _taken = state.limiter.check_n(missing);
        }
        (state.slowdown, state.changed_at) = (slowdown, changed_at);
    }

    fn rate(&self, slowdown: u32) -> NonZeroU32 {
        NonZeroU32::new(self.per_second.get() >> slowdown).unwrap_or(NonZeroU32::MIN)
    }

    pub(super) fn status(&self) -> QuotaStatus {
        let mut state = self.state();
        let now = self.clock.monotonic();
        self.recover(&mut state, now);
        QuotaStatus {
            limit: self.per_second.get(),
            allowed: self.rate(state.slowdown).get(),
            used: state.recent.count(now),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    fn expected_wait(&self) -> Duration {
        let ahead = self.waiting.load(Ordering::Relaxed).saturating_sub(1);
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        let slowdown = self.state().slowdown;
        Pace::of(self.rate(slowdown)).time_per_call().saturating_mul(ahead)
    }

    fn exhausted(&self) -> StsError {
        StsError::QuotaExhausted { retry_after: self.expected_wait().max(MIN_RETRY_AFTER) }
    }

    /// A panic while the lock is held cannot leave the state half changed, so a poisoned lock does no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Burst and refill for a rate of calls per second.
///
/// In any second, both ends included, a limiter admits at most its burst and what is refilled meanwhile: for a rate
/// `r` these are `100 + r` and `95 r` hundredths of a call, together `1 + 0.96 r` calls and so never more than `r`.
/// A call more needs at least `(100 r - r) / 95 r` = 1.04 seconds. The 40 ms between are for calls that reach STS
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

/// Counts one waiting request until it is dropped.
struct WaitingCount<'a>(&'a AtomicUsize);

impl<'a> WaitingCount<'a> {
    fn increment(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for WaitingCount<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
