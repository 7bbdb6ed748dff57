//! Leaves STS alone while it fails, and asks once now and then whether it is back.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Failures in a row that open the breaker.
const OPENS_AFTER: u32 = 10;
/// How long it stays open the first time; doubled on each failed probe.
const FIRST_REST: Duration = Duration::from_secs(1);
/// How long it stays open at most.
const LONGEST_REST: Duration = Duration::from_secs(8);

/// Closed, open, or half-open with one probe under way.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

/// What operators see of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through.
    StaticFamily,
    /// STS is left alone.
    Open,
    /// The rest is over: one call may find out whether STS is back.
    HalfOpen,
}

impl BreakerState {
    pub(super) const ALL: [Self; 3] = [Self::StaticFamily, Self::Open, Self::HalfOpen];

    /// Its name in a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::StaticFamily => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

#[derive(Debug)]
enum State {
    StaticFamily { failures: u32 },
    Open { until: Duration, rest: Duration },
    Probing { rest: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::StaticFamily { failures: 0 }
    }
}

impl Breaker {
    /// Leave to call now, or how long to leave STS alone. Leave for a probe must be followed by
    /// [`succeeded`](Self::succeeded) or [`failed`](Self::failed): there is only one.
    pub(super) fn admit(&self, now: Duration) -> Result<(), Duration> {
        let mut state = self.state();
        match *state {
            State::StaticFamily { .. } => Ok(()),
            State::Open { until, .. } if now < until => Err(until.saturating_sub(now)),
            State::Open { rest, .. } => {
                *state = State::Probing { rest };
                Ok(())
            }
            State::Probing { rest } => Err(rest),
        }
    }

    /// STS answered, whatever it said.
    pub(super) fn succeeded(&self) {
        *self.state() = State::default();
    }

    /// STS did not answer, or not sensibly; `jitter` in `0.0..1.0` spreads a fleet's probes.
    pub(super) fn failed(&self, now: Duration, jitter: f64) {
        let mut state = self.state();
        let rest = match *state {
            State::StaticFamily { failures } if failures + 1 < OPENS_AFTER => {
                *state = State::StaticFamily { failures: failures + 1 };
                return;
            }
            State::StaticFamily { .. } => FIRST_REST,
            State::Probing { rest } => LONGEST_REST.min(rest * 2),
            State::Open { .. } => return,
        };
        tracing::warn!(rest = ?rest, "STS keeps failing; it is left alone for a while");
        *state = State::Open { until: now + rest.mul_f64(0.75 + jitter / 2.0), rest };
    }

    /// How much of a rest is left; nothing where a call, or a probe, may be tried.
    pub(super) fn rest(&self, now: Duration) -> Option<Duration> {
        match *self.state() {
            State::Open { until, .. } => until.checked_sub(now).filter(|rest| !rest.is_zero()),
            State::StaticFamily { .. } | State::Probing { .. } => None,
        }
    }

    /// The state at this moment.
    pub(super) fn seen(&self, now: Duration) -> BreakerState {
        match *self.state() {
            State::StaticFamily { .. } => BreakerState::StaticFamily,
            State::Open { until, .. } if now < until => BreakerState::Open,
            State::Open { .. } | State::Probing { .. } => BreakerState::HalfOpen,
        }
    }

    /// The state is one value, always whole, so a poisoned lock is good.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened() -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..OPENS_AFTER {
            assert_eq!(breaker.admit(Duration::ZERO), Ok(()));
            breaker.failed(Duration::ZERO, 0.5);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_success_forgets_them() {
        let breaker = Breaker::default();
        for _ in 0..3 {
            for _ in 1..OPENS_AFTER {
                breaker.failed(Duration::ZERO, 0.5);
            }
            breaker.succeeded();
        }
        assert_eq!(breaker.rest(Duration::ZERO), None);
        assert_eq!(opened().rest(Duration::ZERO), Some(SECOND));
        assert_eq!(opened().rest(SECOND), None, "a probe may be tried: the process is ready for one");
        assert_eq!(opened().admit(Duration::ZERO), Err(SECOND));
    }

    #[test]
    fn after_its_rest_exactly_one_probe_goes_through() {
        let breaker = opened();
        assert_eq!(breaker.seen(Duration::ZERO), BreakerState::Open);
        assert_eq!(breaker.seen(SECOND), BreakerState::HalfOpen);
        assert_eq!(breaker.admit(SECOND), Ok(()));
        assert!(breaker.admit(SECOND).is_err());
        assert_eq!(breaker.seen(SECOND), BreakerState::HalfOpen);
        breaker.succeeded();
        assert_eq!(breaker.seen(SECOND), BreakerState::StaticFamily);
        assert_eq!(breaker.admit(SECOND), Ok(()));
        assert_eq!(breaker.admit(SECOND), Ok(()));
    }

    #[test]
    fn each_failed_probe_doubles_the_rest_up_to_a_bound() {
        let breaker = opened();
        let mut now = SECOND;
        for expected in [2, 4, 8, 8] {
            assert_eq!(breaker.admit(now), Ok(()));
            breaker.failed(now, 0.5);
            assert_eq!(breaker.admit(now), Err(Duration::from_secs(expected)));
            now += Duration::from_secs(expected);
        }
    }

    #[test]
    fn a_late_failure_does_not_lengthen_a_rest_and_jitter_spreads_it() {
        let breaker = opened();
        breaker.failed(Duration::ZERO, 0.5);
        assert_eq!(breaker.rest(Duration::ZERO), Some(SECOND));
        for (jitter, expected) in [(0.0, 750), (0.5, 1000), (1.0, 1250)] {
            let breaker = Breaker::default();
            for _ in 0..OPENS_AFTER {
                breaker.failed(Duration::ZERO, jitter);
            }
            assert_eq!(breaker.rest(Duration::ZERO), Some(Duration::from_millis(expected)));
        }
    }
}
