//! Metrics that are read at the moment of a scrape.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

/// Writes metrics that a collector reads at the moment of a scrape.
#[derive(Debug)]
pub struct MetricsWriter<'a>(DescriptorEncoder<'a>);

impl<'a> MetricsWriter<'a> {
    /// Wraps the encoder of a collector.
    pub fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// Writes a gauge.
    ///
    /// # Errors
    /// When the encoder fails.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is not for every lifetime")]
    pub fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.write_all(name, help, MetricType::Gauge, [value], |encoder, value| encoder.encode_gauge(value))
    }

    /// Writes a gauge for each set of labels; nothing if there are none.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn gauges<S: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (S, V)>,
    ) -> fmt::Result {
        self.write_all(name, help, MetricType::Gauge, values, |encoder, (labels, value)| {
            encoder.encode_family(labels)?.encode_gauge(value)
        })
    }

    /// Writes a counter; `_total` is appended to its name.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.write_all(name, help, MetricType::Counter, [value], |encoder, value| {
            encoder.encode_counter::<NoLabelSet, u64, f64>(value, None)
        })
    }

    /// Writes a counter of seconds; `_total` is appended to its name.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn counter_seconds(&mut self, name: &str, help: &str, seconds: f64) -> fmt::Result {
        self.write_all(name, help, MetricType::Counter, [seconds], |encoder, seconds| {
            encoder.encode_counter::<NoLabelSet, f64, f64>(seconds, None)
        })
    }

    /// Writes a counter for each set of labels; nothing if there are none.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn counters<S: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (S, u64)>,
    ) -> fmt::Result {
        self.write_all(name, help, MetricType::Counter, values, |encoder, (labels, value)| {
            encoder.encode_family(labels)?.encode_counter::<NoLabelSet, u64, f64>(value, None)
        })
    }

    /// Writes a metric that has labels only; `_info` is appended to its name.
    ///
    /// # Errors
    /// When the encoder fails.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is not for every lifetime")]
    pub fn info<S: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = S>,
    ) -> fmt::Result {
        self.write_all(name, help, MetricType::Info, labels, |encoder, labels| encoder.encode_info(labels))
    }

    fn write_all<V>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        values: impl IntoIterator<Item = V>,
        write: impl Fn(&mut MetricEncoder<'_>, &V) -> fmt::Result,
    ) -> fmt::Result {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        // The registry also ends its help texts with a full stop.
        let mut encoder = self.0.encode_descriptor(name, &format!("{help}."), None, kind)?;
        values.try_for_each(|value| write(&mut encoder, &value))
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{collector::Collector, registry::Registry};

    use super::{super::scrape, *};

    #[derive(Debug)]
    struct TestCollector;

    impl Collector for TestCollector {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let mut writer = MetricsWriter::new(encoder);
            writer.gauge("one", "One", 1.5)?;
            writer.gauges("none", "None", Vec::<(NoLabelSet, u64)>::new())?;
            writer.counters("up", "Up", [([("a", "b")], 7_u64)])?;
            writer.info("what", "What", [[("version", "1")]])
        }
    }

    #[test]
    fn a_writer_writes_in_the_format_of_the_registry() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(TestCollector));
        let expected = "# HELP one One.\n# TYPE one gauge\none 1.5\n\
             # HELP up Up.\n# TYPE up counter\nup_total{a=\"b\"} 7\n\
             # HELP what What.\n# TYPE what info\nwhat_info{version=\"1\"} 1\n# EOF\n";
        assert_eq!(scrape(&registry), expected);
    }
}
