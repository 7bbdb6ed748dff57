//! A metric family over a closed set of labels.

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, TypedMetric},
};

/// A label's name and value.
pub type Label<'a> = (&'static str, &'a str);

/// A metric for each label of a closed set, all created at the start.
#[derive(Debug)]
pub struct StaticFamily<L, M>(Arc<[Labelled<L, M>]>);

#[derive(Debug)]
struct Labelled<L, M> {
    label: L,
    pairs: Vec<Label<'static>>,
    metric: M,
}

impl<L, M> Clone for StaticFamily<L, M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L: Copy + PartialEq, M> StaticFamily<L, M> {
    /// Returns a family with a metric for each of `labels`; `pairs` gives their names and values.
    pub fn new<const N: usize>(
        labels: impl IntoIterator<Item = L>,
        pairs: impl Fn(L) -> [Label<'static>; N],
        metric: impl Fn() -> M,
    ) -> Self {
        Self(
            labels
                .into_iter()
                .map(|label| Labelled { label, pairs: pairs(label).to_vec(), metric: metric() })
                .collect(),
        )
    }

    /// Returns the metric of a label, or `None` if the label is not in the set.
    pub fn of(&self, label: L) -> Option<&M> {
        // The sets are so small that a linear search is fastest.
        self.0.iter().find(|labelled| labelled.label == label).map(|labelled| &labelled.metric)
    }

    /// Returns every label and its metric.
    pub fn iter(&self) -> impl Iterator<Item = (L, &M)> {
        self.0.iter().map(|labelled| (labelled.label, &labelled.metric))
    }
}

impl<L: Debug, M: EncodeMetric + TypedMetric> EncodeMetric for StaticFamily<L, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for Labelled { pairs, metric, .. } in self.0.iter().filter(|labelled| !labelled.metric.is_empty()) {
            metric.encode(encoder.encode_family(&pairs.as_slice())?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|labelled| labelled.metric.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{metrics::counter::Counter, registry::Registry};

    use super::{super::scrape, *};

    #[test]
    fn every_label_of_a_closed_set_is_exported_from_the_start() {
        let mut registry = Registry::default();
        let family = StaticFamily::new(
            [1, 2],
            |n| [("n", if n == 1 { "one" } else { "two" })],
            Counter::<u64>::default,
        );
        registry.register("c", "Help", family.clone());
        family.of(2).unwrap().inc();
        assert!(family.of(3).is_none());
        let shown = scrape(&registry);
        assert!(shown.contains("c_total{n=\"one\"} 0") && shown.contains("c_total{n=\"two\"} 1"), "{shown}");
    }
}
