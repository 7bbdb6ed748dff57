//! The counts of a histogram at one moment.

use std::time::Duration;

/// The counts of a histogram's buckets at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Upper bounds in ascending order.
    bounds: &'static [Duration],
    /// One count for each bound, and one for durations above all bounds.
    counts: Vec<u64>,
}

impl Distribution {
    pub(super) fn new(bounds: &'static [Duration], counts: Vec<u64>) -> Self {
        Self { bounds, counts }
    }

    /// Returns the total of all buckets.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of two distributions. Both have the same bounds, or one is empty.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        if self.counts.is_empty() {
            return other;
        }
        let others = other.counts.iter().chain(std::iter::repeat(&0));
        let counts = self.counts.iter().zip(others).map(|(own, other)| own + other).collect();
        Self { bounds: self.bounds, counts }
    }

    /// Returns what was counted since an earlier moment of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.counts.iter().chain(std::iter::repeat(&0));
        let counts = self.counts.iter().zip(before).map(|(now, before)| now.saturating_sub(*before));
        Self { bounds: self.bounds, counts: counts.collect() }
    }

    /// Returns the `q`-quantile, estimated as Prometheus' `histogram_quantile` does: durations are spread evenly
    /// within a bucket, and none is above the last bound. `None` if nothing was counted.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let rank = q * float(total);
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            if float(below + count) >= rank && *count > 0 {
                let Some(upper) = self.bounds.get(bucket) else { break };
                let lower = bucket.checked_sub(1).and_then(|before| self.bounds.get(before));
                let lower = lower.copied().unwrap_or_default();
                let share = ((rank - float(below)) / float(*count)).clamp(0.0, 1.0);
                return Some(lower + upper.saturating_sub(lower).mul_f64(share));
            }
            below += count;
        }
        self.bounds.last().copied()
    }
}

#[expect(clippy::cast_precision_loss, reason = "no more than 2^53 requests are counted")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [Duration; 3] =
        [Duration::from_millis(1), Duration::from_millis(2), Duration::from_millis(4)];

    fn of(counts: [u64; 4]) -> Distribution {
        Distribution::new(&BOUNDS, counts.to_vec())
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let micros = |counts, q| of(counts).quantile(q).map(|duration| duration.as_micros());
        assert_eq!(micros([0, 0, 0, 0], 0.5), None);
        assert_eq!(micros([10, 0, 0, 0], 0.5), Some(500), "half of the first bucket");
        assert_eq!(micros([5, 5, 0, 0], 0.75), Some(1500));
        assert_eq!(micros([5, 0, 5, 0], 0.5), Some(1000), "the bound itself");
        assert_eq!(micros([5, 0, 5, 0], 0.99), Some(3960));
        assert_eq!(micros([0, 0, 0, 7], 0.5), Some(4000), "above all bounds, the last of them");
    }

    #[test]
    fn distributions_are_subtracted_and_added() {
        assert_eq!(of([5, 4, 3, 2]).since(&of([1, 4, 0, 2])), of([4, 0, 3, 0]));
        assert_eq!(of([5, 4, 3, 2]).since(&Distribution::default()), of([5, 4, 3, 2]));
        assert_eq!(of([1, 0, 0, 1]).plus(of([0, 2, 0, 1])), of([1, 2, 0, 2]));
        assert_eq!(Distribution::default().plus(of([1, 2, 3, 4])), of([1, 2, 3, 4]));
    }
}
