//! Figures for those who watch: what every room counts with.
//!
//! What is counted on the way of an ask costs a few atomic additions: no lock, no memory, no look-up of a
//! label's text. What can be read at any time is not counted at all, but written on a [`MetricsWriter`] when the
//! operators' listener asks.

mod distribution;

use std::{
    fmt::{self, Debug},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{
        DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet,
    },
    metrics::{MetricType, TypedMetric},
};

pub use self::distribution::Distribution;

/// A label's name and its value.
pub type Pair<'a> = (&'static str, &'a str);

/// How long something took, or has left: counted in buckets, without a lock.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    /// Upper bounds, rising.
    bounds: &'static [Duration],
    /// One more than bounds: the last is for what is above them all.
    counts: Box<[AtomicU64]>,
    /// An `f64`, in seconds.
    sum: AtomicU64,
}

/// Bounds for a call to the cloud: from one within its region to the longest that anybody waits.
pub const CALL: [Duration; 10] = [
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
    /// An empty one with these upper bounds, rising.
    pub fn new(bounds: &'static [Duration]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { bounds, counts, sum: AtomicU64::new(0) }))
    }

    /// Counts one.
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

    /// What was counted so far.
    pub fn counted(&self) -> Distribution {
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

    /// Until it has counted something it shows nothing: a labelled one takes twenty lines of an answer.
    fn is_empty(&self) -> bool {
        self.0.counts.iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }
}

/// A figure for each label of a closed set, all made at the start.
#[derive(Debug)]
pub struct StaticFamily<L, M>(Arc<[Labelled<L, M>]>);

#[derive(Debug)]
struct Labelled<L, M> {
    label: L,
    pairs: Vec<Pair<'static>>,
    figure: M,
}

impl<L, M> Clone for StaticFamily<L, M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L: Copy + PartialEq, M> StaticFamily<L, M> {
    /// A figure for each of `labels`, which `pairs` writes out.
    pub fn new<const N: usize>(
        labels: impl IntoIterator<Item = L>,
        pairs: impl Fn(L) -> [Pair<'static>; N],
        figure: impl Fn() -> M,
    ) -> Self {
        let labelled = |label| Labelled { label, pairs: pairs(label).to_vec(), figure: figure() };
        Self(labels.into_iter().map(labelled).collect())
    }

    /// The figure of a label; none only for one that is not in the set.
    pub fn of(&self, label: L) -> Option<&M> {
        // The sets are so small that looking at each is the quickest way.
        self.0.iter().find(|labelled| labelled.label == label).map(|labelled| &labelled.figure)
    }

    /// Every label and its figure.
    pub fn iter(&self) -> impl Iterator<Item = (L, &M)> {
        self.0.iter().map(|labelled| (labelled.label, &labelled.figure))
    }
}

impl<L: Debug, M: EncodeMetric + TypedMetric> EncodeMetric for StaticFamily<L, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for Labelled { pairs, figure, .. } in self.0.iter().filter(|labelled| !labelled.figure.is_empty()) {
            figure.encode(encoder.encode_family(&pairs.as_slice())?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|labelled| labelled.figure.is_empty())
    }
}

/// Where a room writes down what it reads at the moment of asking.
#[derive(Debug)]
pub struct MetricsWriter<'a>(DescriptorEncoder<'a>);

impl<'a> MetricsWriter<'a> {
    /// A sheet of an answer.
    pub fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// One number that goes up and down.
    ///
    /// # Errors
    /// When the answer takes no more.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is not for every lifetime")]
    pub fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.each(name, help, MetricType::Gauge, [value], |encoder, value| encoder.encode_gauge(value))
    }

    /// The same, one for each set of labels; nothing where there is none.
    ///
    /// # Errors
    /// When the answer takes no more.
    pub fn gauges<S: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (S, V)>,
    ) -> fmt::Result {
        self.each(name, help, MetricType::Gauge, values, |encoder, (labels, value)| {
            encoder.encode_family(labels)?.encode_gauge(value)
        })
    }

    /// One number that only goes up; `_total` is put behind the name.
    ///
    /// # Errors
    /// When the answer takes no more.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.each(name, help, MetricType::Counter, [value], |encoder, value| {
            encoder.encode_counter::<NoLabelSet, u64, f64>(value, None)
        })
    }

    /// The same, one for each set of labels; nothing where there is none.
    ///
    /// # Errors
    /// When the answer takes no more.
    pub fn counters<S: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (S, u64)>,
    ) -> fmt::Result {
        self.each(name, help, MetricType::Counter, values, |encoder, (labels, value)| {
            encoder.encode_family(labels)?.encode_counter::<NoLabelSet, u64, f64>(value, None)
        })
    }

    /// What can be said in labels only; `_info` is put behind the name.
    ///
    /// # Errors
    /// When the answer takes no more.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is not for every lifetime")]
    pub fn info<S: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = S>,
    ) -> fmt::Result {
        self.each(name, help, MetricType::Info, labels, |encoder, labels| encoder.encode_info(labels))
    }

    fn each<V>(
        &mut self,
        name: &str,
        help: &str,
        of: MetricType,
        values: impl IntoIterator<Item = V>,
        write: impl Fn(&mut MetricEncoder<'_>, &V) -> fmt::Result,
    ) -> fmt::Result {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        // The registry ends what it is told of with a full stop.
        let mut encoder = self.0.encode_descriptor(name, &format!("{help}."), None, of)?;
        values.try_for_each(|value| write(&mut encoder, &value))
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{
        collector::Collector, encoding::text::encode, metrics::counter::Counter, registry::Registry,
    };

    use super::*;

    fn written(registry: &Registry) -> String {
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn a_histogram_counts_up_to_and_with_its_bounds() {
        const BOUNDS: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];
        let mut registry = Registry::default();
        let histogram = Histogram::new(&BOUNDS);
        registry.register("took_seconds", "Help", histogram.clone());
        assert_eq!(written(&registry), "# EOF\n", "nothing to show yet");
        for millis in [10, 11, 1000, 1001] {
            histogram.observe(Duration::from_millis(millis));
        }
        let shown = written(&registry);
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
        let shown = written(&registry);
        assert!(shown.contains("x_sum 80000.0") && shown.contains("x_count 40000"), "{shown}");
    }

    #[test]
    fn every_label_of_a_closed_set_shows_from_the_start() {
        let mut registry = Registry::default();
        let closed = StaticFamily::new(
            [1, 2],
            |n| [("n", if n == 1 { "one" } else { "two" })],
            Counter::<u64>::default,
        );
        registry.register("c", "Help", closed.clone());
        closed.of(2).unwrap().inc();
        assert!(closed.of(3).is_none());
        let shown = written(&registry);
        assert!(shown.contains("c_total{n=\"one\"} 0") && shown.contains("c_total{n=\"two\"} 1"), "{shown}");
    }

    #[derive(Debug)]
    struct MetricsCollector;

    impl Collector for MetricsCollector {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let mut sheet = MetricsWriter::new(encoder);
            sheet.gauge("one", "One", 1.5)?;
            sheet.gauges("none", "None", Vec::<(NoLabelSet, u64)>::new())?;
            sheet.counters("up", "Up", [([("a", "b")], 7_u64)])?;
            sheet.info("what", "What", [[("version", "1")]])
        }
    }

    #[test]
    fn a_sheet_is_written_as_the_registry_writes() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(MetricsCollector));
        let expected = "# HELP one One.\n# TYPE one gauge\none 1.5\n\
             # HELP up Up.\n# TYPE up counter\nup_total{a=\"b\"} 7\n\
             # HELP what What.\n# TYPE what info\nwhat_info{version=\"1\"} 1\n# EOF\n";
        assert_eq!(written(&registry), expected);
    }
}
