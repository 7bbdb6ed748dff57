//! Tells a call that is probably lost from one that is slow, so that a second call is made beside a lost one only.
//!
//! Plain data and arithmetic over times on the monotonic clock.

use std::time::Duration;

/// Answers are never expected sooner than this, so that one fast answer makes no other look lost.
const MIN_EXPECTED: Duration = Duration::from_millis(100);
/// How long STS is taken to lose calls after one was lost.
const LOSS_MEMORY: Duration = Duration::from_secs(10);

/// How long answers take, and whether STS loses calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LostCalls {
    answers: Option<Smoothed>,
    /// The latest start of a call that was answered.
    latest_answered_start: Duration,
    last_lost_at: Option<Duration>,
}

/// The smoothed duration of calls, and its mean deviation (RFC 6298 §2).
#[derive(Debug, Clone, Copy)]
struct Smoothed {
    mean: Duration,
    deviation: Duration,
}

impl Smoothed {
    /// The time in which nearly every answer arrives (RFC 6298 §2.3).
    fn expected_within(self) -> Duration {
        (self.mean + self.deviation * 4).max(MIN_EXPECTED)
    }
}

impl LostCalls {
    /// Takes in a call that brought a key.
    pub(super) fn record_answer(&mut self, started: Duration, now: Duration) {
        let took = now.saturating_sub(started);
        self.latest_answered_start = self.latest_answered_start.max(started);
        self.answers = Some(match self.answers {
            None => Smoothed { mean: took, deviation: took / 2 },
            Some(Smoothed { mean, deviation }) => {
                Smoothed { mean: (mean * 7 + took) / 8, deviation: (deviation * 3 + mean.abs_diff(took)) / 4 }
            }
        });
    }

    /// Whether a call without an answer is probably lost. The first one is known to be when half of its time is over
    /// and one that was made a quarter of it later is answered: calls made together may all be slow. For a while after
    /// it, every call that takes longer than usual is.
    pub(super) fn is_lost(&mut self, started: Duration, now: Duration, timeout: Duration) -> bool {
        let Some(expected) = self.answers.map(Smoothed::expected_within) else { return false };
        let elapsed = now.saturating_sub(started);
        if elapsed >= expected.max(timeout / 2) && self.latest_answered_start >= started + timeout / 4 {
            self.last_lost_at = Some(now);
            return true;
        }
        let is_losing = self.last_lost_at.is_some_and(|at| now.saturating_sub(at) <= LOSS_MEMORY);
        let is_lost = is_losing && elapsed >= expected;
        if is_lost && self.latest_answered_start > started {
            self.last_lost_at = Some(now);
        }
        is_lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const TIMEOUT: Duration = Duration::from_secs(2);

    /// After many answers, each after so many milliseconds.
    fn answering_after(millis: u32) -> LostCalls {
        let mut calls = LostCalls::default();
        for number in 0..50 {
            calls.record_answer(MS * number, MS * (number + millis));
        }
        calls
    }

    #[test]
    fn a_slow_sts_loses_no_calls() {
        let mut calls = answering_after(5);
        for elapsed in [150, 1000, 1999] {
            assert!(!calls.is_lost(MS * 5000, MS * (5000 + elapsed), TIMEOUT), "no later call was answered");
        }
        assert!(!LostCalls::default().is_lost(MS, TIMEOUT, TIMEOUT), "nothing is known before an answer");
        let mut slow = answering_after(1800);
        slow.record_answer(MS * 5001, MS * 6000);
        assert!(!slow.is_lost(MS * 5000, MS * 6500, TIMEOUT), "answers usually take longer");
    }

    #[test]
    fn a_call_is_lost_when_later_ones_are_answered_and_then_others_are_given_up_sooner() {
        let mut calls = answering_after(5);
        calls.record_answer(MS * 5500, MS * 5505);
        assert!(!calls.is_lost(MS * 5000, MS * 5900, TIMEOUT));
        assert!(calls.is_lost(MS * 5000, MS * 6000, TIMEOUT));
        assert!(!calls.is_lost(MS * 6000, MS * 6090, TIMEOUT));
        assert!(calls.is_lost(MS * 6000, MS * 6100, TIMEOUT));
        assert!(!calls.is_lost(MS * 16_200, MS * 16_400, TIMEOUT), "STS is given another chance");
    }
}
