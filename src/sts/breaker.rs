//! The circuit breaker before STS: repeated failures open the circuit, and single probes find out whether STS is
//! back.
//!
//! Written here and not taken from a crate: the clock and the jitter come in, and exactly one probe goes out.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Failures in a row that open the circuit.
const FAILURES_TO_OPEN: u32 = 10;
/// The first cooldown; each failed probe doubles it.
const INITIAL_COOLDOWN: Duration = Duration::from_secs(1);
const MAX_COOLDOWN: Duration = Duration::from_secs(8);

/// Stops calls to STS while they keep failing.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

/// The state of the circuit, for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls are made.
    Closed,
    /// No calls are made.
    Open,
    /// The cooldown is over: one call may find out whether STS is back.
    HalfOpen,
}

impl BreakerState {
    pub(super) const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The value of the metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration, cooldown: Duration },
    Probing { cooldown: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// `Ok` if a call may be made now, else the remaining cooldown. Each call that was admitted must be reported by
    /// [`record_success`](Self::record_success) or [`record_failure`](Self::record_failure): it may be the only probe.
    pub(super) fn admit(&self, now: Duration) -> Result<(), Duration> {
        let mut state = self.state();
        match *state {
            State::Closed { .. } => Ok(()),
            State::Open { until, .. } if now < until => Err(until.saturating_sub(now)),
            State::Open { cooldown, .. } => {
                *state = State::Probing { cooldown };
                Ok(())
            }
            State::Probing { cooldown } => Err(cooldown),
        }
    }

    /// Reports a call that STS answered, be it with an error.
    pub(super) fn record_success(&self) {
        *self.state() = State::default();
    }

    /// Reports a call without a usable answer. `jitter` in `0.0..1.0` spreads the probes of many replicas.
    pub(super) fn record_failure(&self, now: Duration, jitter: f64) {
        let mut state = self.state();
        let cooldown = match *state {
            State::Closed { failures } if failures + 1 < FAILURES_TO_OPEN => {
                *state = State::Closed { failures: failures + 1 };
                return;
            }
            State::Closed { .. } => INITIAL_COOLDOWN,
            State::Probing { cooldown } => MAX_COOLDOWN.min(cooldown * 2),
            State::Open { .. } => return,
        };
        tracing::warn!(?cooldown, "the circuit to STS is open after repeated failures");
        *state = State::Open { until: now + cooldown.mul_f64(0.75 + jitter / 2.0), cooldown };
    }

    /// The remaining cooldown. `None` if a call or a probe may be tried.
    pub(super) fn cooldown_remaining(&self, now: Duration) -> Option<Duration> {
        match *self.state() {
            State::Open { until, .. } => until.checked_sub(now).filter(|remaining| !remaining.is_zero()),
            State::Closed { .. } | State::Probing { .. } => None,
        }
    }

    /// The state at this moment.
    pub(super) fn status(&self, now: Duration) -> BreakerState {
        match *self.state() {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until, .. } if now < until => BreakerState::Open,
            State::Open { .. } | State::Probing { .. } => BreakerState::HalfOpen,
        }
    }

    /// The state is one value, always complete, so a poisoned lock does no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn open_breaker() -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..FAILURES_TO_OPEN {
            assert_eq!(breaker.admit(Duration::ZERO), Ok(()));
            breaker.record_failure(Duration::ZERO, 0.5);
        }
        breaker
    }

    #[test]
    fn ten_failures_in_a_row_open_the_circuit_and_one_success_resets_the_count() {
        let breaker = Breaker::default();
        for _ in 0..3 {
            for _ in 1..FAILURES_TO_OPEN {
                breaker.record_failure(Duration::ZERO, 0.5);
            }
            breaker.record_success();
        }
        assert_eq!(breaker.cooldown_remaining(Duration::ZERO), None);
        assert_eq!(open_breaker().cooldown_remaining(Duration::ZERO), Some(SECOND));
        assert_eq!(
            open_breaker().cooldown_remaining(SECOND),
            None,
            "a probe may be tried, so the process is ready"
        );
        assert_eq!(open_breaker().admit(Duration::ZERO), Err(SECOND));
    }

    #[test]
    fn after_the_cooldown_exactly_one_probe_is_admitted() {
        let breaker = open_breaker();
        assert_eq!(breaker.status(Duration::ZERO), BreakerState::Open);
        assert_eq!(breaker.status(SECOND), BreakerState::HalfOpen);
        assert_eq!(breaker.admit(SECOND), Ok(()));
        assert!(breaker.admit(SECOND).is_err());
        assert_eq!(breaker.status(SECOND), BreakerState::HalfOpen);
        breaker.record_success();
        assert_eq!(breaker.status(SECOND), BreakerState::Closed);
        assert_eq!(breaker.admit(SECOND), Ok(()));
        assert_eq!(breaker.admit(SECOND), Ok(()));
    }

    #[test]
    fn each_failed_probe_doubles_the_cooldown_up_to_a_maximum() {
        let breaker = open_breaker();
        let mut now = SECOND;
        for expected in [2, 4, 8, 8] {
            assert_eq!(breaker.admit(now), Ok(()));
            breaker.record_failure(now, 0.5);
            assert_eq!(breaker.admit(now), Err(Duration::from_secs(expected)));
            now += Duration::from_secs(expected);
        }
    }

    #[test]
    fn a_late_failure_does_not_prolong_a_cooldown_and_jitter_spreads_it() {
        let breaker = open_breaker();
        breaker.record_failure(Duration::ZERO, 0.5);
        assert_eq!(breaker.cooldown_remaining(Duration::ZERO), Some(SECOND));
        for (jitter, expected) in [(0.0, 750), (0.5, 1000), (1.0, 1250)] {
            let breaker = Breaker::default();
            for _ in 0..FAILURES_TO_OPEN {
                breaker.record_failure(Duration::ZERO, jitter);
            }
            assert_eq!(breaker.cooldown_remaining(Duration::ZERO), Some(Duration::from_millis(expected)));
        }
    }
}
