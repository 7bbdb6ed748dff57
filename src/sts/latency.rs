//! An estimate of how long STS takes to answer, which tells a slow call from a lost one.

use std::time::Duration;

/// Answers are never expected sooner than this, so that one fast answer makes no other look lost.
const MIN_EXPECTED: Duration = Duration::from_millis(100);

/// The smoothed duration of calls that brought a temporary key, and its mean deviation (RFC 6298 §2).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LatencyEstimate(Option<Smoothed>);

#[derive(Debug, Clone, Copy)]
struct Smoothed {
    mean: Duration,
    deviation: Duration,
}

impl LatencyEstimate {
    /// Takes in the duration of a successful call.
    pub(super) fn record(&mut self, took: Duration) {
        self.0 = Some(match self.0 {
            None => Smoothed { mean: took, deviation: took / 2 },
            Some(Smoothed { mean, deviation }) => {
                Smoothed { mean: (mean * 7 + took) / 8, deviation: (deviation * 3 + mean.abs_diff(took)) / 4 }
            }
        });
    }

    /// The time in which nearly every answer arrives. `None` before the first answer.
    pub(super) fn expected_within(self) -> Option<Duration> {
        self.0.map(|Smoothed { mean, deviation }| (mean + deviation * 4).max(MIN_EXPECTED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_answers_are_expected_soon_and_slower_ones_are_waited_for() {
        let mut estimate = LatencyEstimate::default();
        assert_eq!(estimate.expected_within(), None);
        for _ in 0..50 {
            estimate.record(Duration::from_millis(200));
        }
        let steady = estimate.expected_within().unwrap();
        assert!(steady >= Duration::from_millis(200) && steady < Duration::from_millis(220), "{steady:?}");
        estimate.record(Duration::from_millis(900));
        assert!(estimate.expected_within().unwrap() > Duration::from_millis(900));
    }

    #[test]
    fn no_answer_is_expected_within_less_than_a_tenth_of_a_second() {
        let mut estimate = LatencyEstimate::default();
        estimate.record(Duration::from_millis(1));
        assert_eq!(estimate.expected_within(), Some(MIN_EXPECTED));
    }
}
