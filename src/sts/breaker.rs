//! The circuit breaker before STS: the circuit opens when nearly all of the latest calls failed, and then single
//! calls, a trickle, find out whether STS is back.
//!
//! Written here and not taken from a crate: the clock and the jitter come in, and an open circuit is a rate at which
//! the queue moves on, not a refusal. Why these numbers: `docs/understand/failures.md`.

use std::{collections::VecDeque, time::Duration};

/// The circuit opens when this many of the latest calls failed and none succeeded.
const WINDOW_CALLS: usize = 20;
/// Older calls say nothing about STS now, nor does a circuit that has been open for so long without a call.
const WINDOW: Duration = Duration::from_secs(10);
/// The pause before the first probe; each failed probe doubles it.
const INITIAL_PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// With a client's pause of a whole second after it, everybody is back within two seconds of an STS that is back.
const MAX_PROBE_INTERVAL: Duration = Duration::from_millis(750);
/// The success ratio is never taken to be lower, so that a wait can always be estimated.
const MIN_SUCCESS_RATIO: f64 = 0.1;

/// Slows calls to STS down to a trickle while nearly all of them fail.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// The latest calls: when each ended, and whether STS answered.
    latest: VecDeque<(Duration, bool)>,
    open: Option<Open>,
}

/// An open circuit.
#[derive(Debug, Clone, Copy)]
struct Open {
    opened_at: Duration,
    next_probe_at: Duration,
    probe_interval: Duration,
}

/// The state of the circuit, for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls are made.
    Closed,
    /// No calls are made until the next probe.
    Open,
    /// One call may find out whether STS is back.
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

impl Breaker {
    /// The time until a call may be made; zero if it may be made now.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        self.open.map_or(Duration::ZERO, |open| open.next_probe_at.saturating_sub(now))
    }

    /// The open circuit, unless what it knows is too old.
    fn open(&self, now: Duration) -> Option<Open> {
        self.open.filter(|open| now <= open.next_probe_at + WINDOW)
    }

    /// Counts a call that is made. While the circuit is open it is the probe, and the next one has to wait.
    pub(super) fn record_start(&mut self, now: Duration) {
        self.open = self.open(now);
        if let Some(open) = &mut self.open {
            open.next_probe_at = now + open.probe_interval;
        }
    }

    /// Reports a call that STS answered, be it with an error. Returns whether that closed the circuit. The answer to a
    /// call from before the circuit opened does not: it says nothing about STS since.
    pub(super) fn record_answer(&mut self, started: Duration, now: Duration) -> bool {
        let closes = self.open.is_some_and(|open| started >= open.opened_at);
        if closes {
            self.open = None;
            // What failed before says nothing about an STS that is back.
            self.latest.clear();
        }
        self.record(now, true);
        closes
    }

    /// Reports a call that failed. `jitter` in `0.0..1.0` spreads the probes of many replicas.
    pub(super) fn record_failure(&mut self, now: Duration, jitter: f64) {
        self.record(now, false);
        let (opened_at, probe_interval) = match self.open {
            Some(open) => (open.opened_at, MAX_PROBE_INTERVAL.min(open.probe_interval * 2)),
            None if self.all_failed(now) => {
                tracing::warn!("the circuit to STS is open: the latest {WINDOW_CALLS} calls failed");
                (now, INITIAL_PROBE_INTERVAL)
            }
            None => return,
        };
        let next_probe_at = now + probe_interval.mul_f64(0.75 + jitter / 2.0);
        self.open = Some(Open { opened_at, next_probe_at, probe_interval });
    }

    /// The share of calls that STS answers, from the latest ones; 1 if there were none. While the circuit is open,
    /// the share that is expected after the next probe: all.
    #[expect(clippy::cast_precision_loss, reason = "there are at most 20")]
    pub(super) fn success_ratio(&self, now: Duration) -> f64 {
        if self.open(now).is_some() {
            return 1.0;
        }
        let (mut calls, mut answered) = (0_usize, 0_usize);
        for (_, is_answered) in self.recent(now) {
            calls += 1;
            answered += usize::from(*is_answered);
        }
        ((answered + 1) as f64 / (calls + 1) as f64).max(MIN_SUCCESS_RATIO)
    }

    /// The state at this moment.
    pub(super) fn state(&self, now: Duration) -> BreakerState {
        match self.open(now) {
            None => BreakerState::Closed,
            Some(open) if now < open.next_probe_at => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }

    fn record(&mut self, now: Duration, is_answered: bool) {
        if self.latest.len() == WINDOW_CALLS {
            self.latest.pop_front();
        }
        self.latest.push_back((now, is_answered));
    }

    fn recent(&self, now: Duration) -> impl Iterator<Item = &(Duration, bool)> {
        self.latest.iter().filter(move |(ended_at, _)| now.saturating_sub(*ended_at) <= WINDOW)
    }

    fn all_failed(&self, now: Duration) -> bool {
        self.recent(now).filter(|(_, is_answered)| !is_answered).count() == WINDOW_CALLS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn open_breaker() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..WINDOW_CALLS {
            assert_eq!(breaker.wait(Duration::ZERO), Duration::ZERO);
            breaker.record_start(Duration::ZERO);
            breaker.record_failure(Duration::ZERO, 0.5);
        }
        breaker
    }

    #[test]
    fn twenty_calls_without_an_answer_open_the_circuit_and_one_answer_among_them_keeps_it_closed() {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            for _ in 1..WINDOW_CALLS {
                breaker.record_failure(Duration::ZERO, 0.5);
            }
            breaker.record_answer(Duration::ZERO, Duration::ZERO);
        }
        assert_eq!(breaker.state(Duration::ZERO), BreakerState::Closed);
        assert_eq!(open_breaker().state(Duration::ZERO), BreakerState::Open);
        assert_eq!(open_breaker().wait(Duration::ZERO), INITIAL_PROBE_INTERVAL);
    }

    #[test]
    fn failures_of_long_ago_do_not_open_the_circuit() {
        let mut breaker = Breaker::default();
        for number in 0..100 {
            breaker.record_failure(Duration::from_secs(number), 0.5);
        }
        assert_eq!(breaker.state(Duration::from_secs(100)), BreakerState::Closed);
    }

    #[test]
    fn an_open_circuit_lets_one_call_in_an_interval_through_however_long_that_call_takes() {
        let mut breaker = open_breaker();
        assert_eq!(breaker.state(MS * 250), BreakerState::HalfOpen);
        breaker.record_start(MS * 250);
        assert_eq!(breaker.wait(MS * 250), INITIAL_PROBE_INTERVAL);
        assert_eq!(breaker.wait(MS * 500), Duration::ZERO);
    }

    #[test]
    fn a_circuit_without_calls_is_closed_after_ten_seconds_so_that_many_can_call_again() {
        let mut breaker = open_breaker();
        assert_eq!(breaker.state(WINDOW), BreakerState::HalfOpen);
        let later = WINDOW + MS * 251;
        assert_eq!(breaker.state(later), BreakerState::Closed);
        breaker.record_start(later);
        assert_eq!(breaker.wait(later), Duration::ZERO);
    }

    #[test]
    fn the_answer_to_a_probe_closes_the_circuit_at_once_and_that_to_an_earlier_call_does_not() {
        let mut breaker = Breaker::default();
        for _ in 0..WINDOW_CALLS {
            breaker.record_failure(MS * 100, 0.5);
        }
        assert!(!breaker.record_answer(MS * 50, MS * 110));
        assert_eq!(breaker.state(MS * 110), BreakerState::Open);
        assert!(breaker.record_answer(MS * 350, MS * 360));
        assert_eq!(breaker.wait(MS * 360), Duration::ZERO);
        assert!(!breaker.record_answer(MS * 355, MS * 361), "it was closed already");
    }

    #[test]
    fn each_failed_probe_doubles_the_interval_up_to_a_maximum() {
        let mut breaker = open_breaker();
        let mut now = MS * 250;
        for expected in [500, 750, 750] {
            breaker.record_start(now);
            breaker.record_failure(now, 0.5);
            assert_eq!(breaker.wait(now), MS * expected);
            now += MS * expected;
        }
    }

    #[test]
    fn jitter_spreads_the_probes_of_many_replicas() {
        for (jitter, expected) in [(0.0, 562_500), (0.5, 750_000), (1.0, 937_500)] {
            let mut breaker = open_breaker();
            for _ in 0..3 {
                breaker.record_failure(Duration::ZERO, jitter);
            }
            assert_eq!(breaker.wait(Duration::ZERO), Duration::from_micros(expected));
        }
    }

    #[test]
    fn the_success_ratio_follows_the_latest_calls_and_is_never_zero() {
        let mut breaker = Breaker::default();
        assert!((breaker.success_ratio(Duration::ZERO) - 1.0).abs() < 1e-9);
        for number in 0..20 {
            if number % 2 == 0 {
                breaker.record_failure(Duration::ZERO, 0.5);
            } else {
                breaker.record_answer(Duration::ZERO, Duration::ZERO);
            }
        }
        assert!((breaker.success_ratio(Duration::ZERO) - 11.0 / 21.0).abs() < 1e-9);
        assert!((breaker.success_ratio(WINDOW * 2) - 1.0).abs() < 1e-9, "old calls say nothing");
        let mut failing = Breaker::default();
        for _ in 1..WINDOW_CALLS {
            failing.record_failure(Duration::ZERO, 0.5);
        }
        assert!((failing.success_ratio(Duration::ZERO) - MIN_SUCCESS_RATIO).abs() < 1e-9);
    }
}
