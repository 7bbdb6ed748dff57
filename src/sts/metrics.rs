//! What this room counts.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use super::error::Class;

/// Calls to STS, by what came of them.
#[derive(Debug)]
pub(super) struct Metrics {
    calls: Family<Outcome, Counter>,
    seconds: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0];
        let metrics = Self { calls: Family::default(), seconds: Histogram::new(buckets) };
        for outcome in ["ok", "throttled", "transient", "operator_keys", "refused"] {
            metrics.calls.get_or_create_owned(&Outcome { outcome });
        }
        metrics
    }

    pub(super) fn called(&self, failure: Option<Class>, seconds: f64) {
        let outcome = match failure {
            None => "ok",
            Some(Class::Throttled) => "throttled",
            Some(Class::Transient) => "transient",
            Some(Class::OperatorKeys) => "operator_keys",
            Some(Class::Refused) => "refused",
        };
        self.calls.get_or_create(&Outcome { outcome }).inc();
        self.seconds.observe(seconds);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("cosbroker_sts_calls", "Calls made to STS, retries included", self.calls.clone());
        registry.register(
            "cosbroker_sts_call_duration_seconds",
            "How long one call to STS took",
            self.seconds.clone(),
        );
    }
}
