//! Decides when a call to STS may be made, and by whom: quota, circuit breaker and queue as one.
//!
//! Knows nothing of grants or of how a call is made. A call has a turn once the circuit lets it through, the quota
//! admits it and nobody waits before it.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    BreakerState, Priority, QuotaStatus, StsError,
    breaker::Breaker,
    lost_calls::LostCalls,
    queue::{Outlook, Place, Queue},
    quota::Quota,
};
use crate::replicas::SharedQuota;
use runtime::clock::Clock;
use templates::fingerprint::Fingerprint;

/// The turns of all calls of this process.
#[derive(Debug)]
pub(super) struct Scheduler {
    state: Mutex<State>,
    timeout: Duration,
    limits: WaitLimits,
    /// None without other replicas.
    shared: Option<Arc<SharedQuota>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct State {
    quota: Quota,
    breaker: Breaker,
    queue: Queue,
    lost_calls: LostCalls,
}

/// How long a first call may wait for its turn.
#[derive(Debug, Clone, Copy)]
struct WaitLimits {
    newcomer: Duration,
    /// Longer, because whole seconds of `Retry-After` bring clients back in groups.
    returning: Duration,
}

impl WaitLimits {
    /// Waiting and calling have budgets of their own: half of the time is for the call.
    fn of(timeout: Duration) -> Self {
        Self { newcomer: timeout / 2, returning: timeout * 3 / 4 }
    }
}

/// What a waiting call has to wait for.
enum Turn {
    Now,
    /// It is the first, and may go in so long.
    In(Duration),
    /// Others go before it.
    Later,
}

impl Scheduler {
    /// A scheduler for so many calls per second, each of which has `timeout` for all of its attempts.
    pub(super) fn new(per_second: NonZeroU32, timeout: Duration, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            quota: Quota::new(per_second, Arc::clone(&clock)),
            breaker: Breaker::default(),
            queue: Queue::default(),
            lost_calls: LostCalls::default(),
        };
        Self { state: Mutex::new(state), timeout, limits: WaitLimits::of(timeout), shared: None, clock }
    }

    /// Admits only what all replicas together may call.
    pub(super) fn share(&mut self, shared: Arc<SharedQuota>) {
        self.state().quota.share(Arc::clone(&shared));
        self.shared = Some(shared);
    }

    /// Waits for the turn of a first call, and returns the place for its retries.
    ///
    /// # Errors
    /// When it cannot come in time. The error says when to come back; who comes then goes before newcomers.
    pub(super) async fn acquire(&self, caller: Fingerprint, priority: Priority) -> Result<Place, StsError> {
        let now = self.clock.monotonic();
        let waiter = self.enter(caller, priority, now)?;
        let place = waiter.place;
        let came = waiter.turn(now + self.limits.returning).await;
        if came { Ok(place) } else { Err(self.refusal(caller, priority)) }
    }

    /// Waits for the turn of a retry, at most until `latest` on the monotonic clock. False if it did not come.
    pub(super) async fn acquire_retry(&self, place: Place, latest: Duration) -> bool {
        let waiter = self.join(&mut self.state(), place);
        waiter.turn(latest).await
    }

    /// Takes a turn for a second call beside one that is probably lost, from what the quota has to spare: nobody
    /// waits, the circuit is closed, and less than half of the rate is used.
    pub(super) fn try_acquire_second(&self, first_started: Duration) -> bool {
        let now = self.clock.monotonic();
        let mut state = self.state();
        state.lost_calls.is_lost(first_started, now, self.timeout)
            && state.queue.is_empty()
            && state.breaker.state(now) == BreakerState::Closed
            && state.quota.has_spare_share()
            && state.quota.try_acquire_shared(true).is_ok()
    }

    /// Returns when a caller who gets no key now may come back. For a user without an active key, it is reserved.
    pub(super) fn retry_after(&self, caller: Fingerprint, priority: Priority) -> Duration {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let outlook = self.outlook(&state, now);
        state.queue.refuse(caller, priority, outlook)
    }

    /// Reports a call that brought a key.
    pub(super) fn record_success(&self, started: Duration) {
        self.state().lost_calls.record_answer(started, self.clock.monotonic());
        self.record_answer(started);
    }

    /// Reports a call that STS answered, be it with an error.
    pub(super) fn record_answer(&self, started: Duration) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        if state.breaker.record_answer(started, now) {
            tracing::info!("the circuit to STS is closed: STS answers again");
            state.queue.wake_first();
        }
    }

    /// Reports a call that failed. `jitter` in `0.0..1.0` spreads the probes of many replicas.
    pub(super) fn record_failure(&self, jitter: f64) {
        self.state().breaker.record_failure(self.clock.monotonic(), jitter);
    }

    /// Reports a call that STS throttled.
    pub(super) fn record_throttled(&self, started: Duration) {
        self.record_answer(started);
        self.state().quota.slow_down();
    }

    /// The state of the quota.
    pub(super) fn quota(&self) -> QuotaStatus {
        let mut state = self.state();
        let waiting = state.queue.len();
        state.quota.status(waiting)
    }

    /// The state of the circuit.
    pub(super) fn breaker(&self) -> BreakerState {
        self.state().breaker.state(self.clock.monotonic())
    }

    fn enter(&self, caller: Fingerprint, priority: Priority, now: Duration) -> Result<Waiter<'_>, StsError> {
        let mut state = self.state();
        let outlook = self.outlook(&state, now);
        match state.queue.admit(caller, priority, outlook) {
            Ok(place) => Ok(self.join(&mut state, place)),
            Err(retry_after) => Err(refused(&state, now, retry_after)),
        }
    }

    fn join(&self, state: &mut State, place: Place) -> Waiter<'_> {
        Waiter { scheduler: self, place, woken: state.queue.join(place) }
    }

    fn refusal(&self, caller: Fingerprint, priority: Priority) -> StsError {
        let retry_after = self.retry_after(caller, priority);
        refused(&self.state(), self.clock.monotonic(), retry_after)
    }

    fn outlook(&self, state: &State, now: Duration) -> Outlook {
        Outlook {
            now,
            first_turn_in: state.breaker.wait(now).max(state.quota.expected_wait(now)),
            // Where calls fail, one key takes several.
            interval: state.quota.interval().div_f64(state.breaker.success_ratio(now)),
            max_wait: self.limits.newcomer,
            max_wait_of_returning: self.limits.returning,
        }
    }

    fn turn(&self, place: Place) -> Turn {
        let now = self.clock.monotonic();
        let mut state = self.state();
        if !state.queue.is_first(place) {
            return Turn::Later;
        }
        let wait = state.breaker.wait(now);
        if !wait.is_zero() {
            return Turn::In(wait);
        }
        match state.quota.try_acquire_shared(place.is_for_refresh()) {
            Ok(()) => {
                state.breaker.record_start(now);
                Turn::Now
            }
            Err(wait) => Turn::In(wait),
        }
    }

    /// Waits until the replicas' quota has an answer; for ever without other replicas.
    async fn quota_answered(&self) {
        match &self.shared {
            Some(shared) => shared.answered().await,
            None => std::future::pending().await,
        }
    }

    /// Each change leaves the state complete, so a poisoned lock does no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(state: &State, now: Duration, retry_after: Duration) -> StsError {
    match state.breaker.state(now) {
        BreakerState::Closed => StsError::QuotaExhausted { retry_after },
        BreakerState::Open | BreakerState::HalfOpen => StsError::CircuitOpen { retry_after },
    }
}

/// A call in the queue. It leaves the queue when dropped, and wakes the next one.
struct Waiter<'a> {
    scheduler: &'a Scheduler,
    place: Place,
    woken: Arc<tokio::sync::Notify>,
}

impl Waiter<'_> {
    /// Waits for its turn, at most until `latest`. False if it did not come.
    async fn turn(self, latest: Duration) -> bool {
        loop {
            let left = latest.saturating_sub(self.scheduler.clock.monotonic());
            let (wait, is_first) = match self.scheduler.turn(self.place) {
                Turn::Now => return true,
                Turn::In(wait) => (wait, true),
                Turn::Later => (Duration::MAX, false),
            };
            if left.is_zero() {
                return false;
            }
            tokio::select! {
                biased;
                () = self.woken.notified() => {}
                () = self.scheduler.quota_answered(), if is_first => {}
                () = tokio::time::sleep(wait.min(left)) => {}
            }
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut state = self.scheduler.state();
        state.queue.leave(self.place);
        state.queue.wake_first();
    }
}

#[cfg(test)]
mod tests;
