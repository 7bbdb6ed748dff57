//! A count of the calls of the last second, for operators. It decides nothing.

use std::time::Duration;

const BUCKETS: usize = 10;
const BUCKET_MILLIS: u128 = 100;

/// The calls of the last second, counted in tenths of a second.
#[derive(Debug, Default)]
pub(super) struct RecentCalls([Bucket; BUCKETS]);

#[derive(Debug, Default, Clone, Copy)]
struct Bucket {
    /// Tenths of a second on the monotonic clock.
    tenth: u128,
    calls: u32,
}

impl RecentCalls {
    pub(super) fn record(&mut self, now: Duration) {
        let tenth = tenth_of(now);
        // Each tenth takes the bucket of the one a second before.
        let bucket = usize::try_from(tenth % BUCKETS as u128).ok().and_then(|index| self.0.get_mut(index));
        if let Some(bucket) = bucket {
            if bucket.tenth != tenth {
                *bucket = Bucket { tenth, calls: 0 };
            }
            bucket.calls = bucket.calls.saturating_add(1);
        }
    }

    /// The calls of this tenth and the nine before it.
    pub(super) fn count(&self, now: Duration) -> u32 {
        let tenth = tenth_of(now);
        self.0
            .iter()
            .filter(|bucket| tenth.saturating_sub(bucket.tenth) < BUCKETS as u128)
            .map(|bucket| bucket.calls)
            .sum()
    }
}

fn tenth_of(now: Duration) -> u128 {
    now.as_millis() / BUCKET_MILLIS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_count_for_one_second() {
        let mut recent = RecentCalls::default();
        for millis in [0, 10, 150, 990] {
            recent.record(Duration::from_millis(millis));
        }
        for (millis, count) in [(990, 4), (999, 4), (1000, 2), (1050, 2), (1100, 1), (1899, 1), (1900, 0)] {
            assert_eq!(recent.count(Duration::from_millis(millis)), count, "{millis}");
        }
        recent.record(Duration::from_mins(1));
        assert_eq!(recent.count(Duration::from_mins(1)), 1);
    }
}
