//! A histogram of durations.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

use super::Distribution;

/// A histogram of durations that counts without a lock.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    /// Upper bounds in ascending order.
    bounds: &'static [Duration],
    /// One count for each bound, and one for durations above all bounds.
    counts: Box<[AtomicU64]>,
    /// The sum in seconds, as the bits of an `f64`.
    sum: AtomicU64,
}

/// Bucket bounds for a call to the cloud, from one within the region to the longest time-out.
pub const CALL_DURATION_BOUNDS: [Duration; 10] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

impl Histogram {
    /// Returns an empty histogram with these upper bounds in ascending order.
    pub fn new(bounds: &'static [Duration]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { bounds, counts, sum: AtomicU64::new(0) }))
    }

    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let Buckets { bounds, counts, sum } = self.0.as_ref();
        let bucket = bounds.partition_point(|bound| *bound < duration);
        if let Some(count) = counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let seconds = duration.as_secs_f64();
        let _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            Some((f64::from_bits(bits) + seconds).to_bits())
        });
    }

    /// Returns the counts so far.
    pub fn snapshot(&self) -> Distribution {
        let Buckets { bounds, counts, .. } = self.0.as_ref();
        Distribution::new(bounds, counts.iter().map(|count| count.load(Ordering::Relaxed)).collect())
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Buckets { bounds, counts, sum } = self.0.as_ref();
        let bounds = bounds.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        let counts = counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = f64::from_bits(sum.load(Ordering::Relaxed));
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }

    /// An empty histogram is left out of a scrape: with labels it takes twenty lines.
    fn is_empty(&self) -> bool {
        self.0.counts.iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::{super::scrape, *};

    #[test]
    fn a_histogram_counts_up_to_and_with_its_bounds() {
        const BOUNDS: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];
        let mut registry = Registry::default();
        let histogram = Histogram::new(&BOUNDS);
        registry.register("took_seconds", "Help", histogram.clone());
        assert_eq!(scrape(&registry), "# EOF\n", "an empty histogram is left out");
        for millis in [10, 11, 1000, 1001] {
            histogram.observe(Duration::from_millis(millis));
        }
        let shown = scrape(&registry);
        for line in [
            "# TYPE took_seconds histogram",
            "took_seconds_sum 2.022",
            "took_seconds_count 4",
            "took_seconds_bucket{le=\"0.01\"} 1",
            "took_seconds_bucket{le=\"1.0\"} 3",
            "took_seconds_bucket{le=\"+Inf\"} 4",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
        }
    }

    #[test]
    fn no_count_is_lost_between_threads() {
        const BOUNDS: [Duration; 1] = [Duration::from_secs(1)];
        let histogram = Histogram::new(&BOUNDS);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| histogram.observe(Duration::from_secs(2))));
            }
        });
        let mut registry = Registry::default();
        registry.register("x", "Help", histogram);
        let shown = scrape(&registry);
        assert!(shown.contains("x_sum 80000.0") && shown.contains("x_count 40000"), "{shown}");
    }
}
