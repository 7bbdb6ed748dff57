//! Metrics of the span export.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

use crate::metrics::StaticFamily;

/// Counts exported and lost spans.
#[derive(Debug)]
pub(super) struct Metrics {
    exported: Counter,
    lost: StaticFamily<LossReason, Counter>,
}

/// The reason why a span is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LossReason {
    /// The queue is full.
    QueueFull,
    /// The collector could not be reached, or did not take the span.
    NotTaken,
    /// The span ended after the export was stopped.
    Stopped,
}

impl LossReason {
    const ALL: [Self; 3] = [Self::QueueFull, Self::NotTaken, Self::Stopped];

    fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::NotTaken => "not_taken",
            Self::Stopped => "stopped",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            exported: Counter::default(),
            lost: StaticFamily::new(LossReason::ALL, |reason| [("reason", reason.name())], Counter::default),
        }
    }
}

impl Metrics {
    pub(super) fn add_exported(&self, spans: usize) {
        self.exported.inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
    }

    pub(super) fn add_lost(&self, reason: LossReason, spans: usize) {
        if let Some(lost) = self.lost.of(reason) {
            lost.inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "cosbroker_tracing_exported",
            "Spans that the OTLP collector took",
            self.exported.clone(),
        );
        registry.register(
            "cosbroker_tracing_lost",
            "Spans of sampled requests that no collector took, by reason",
            self.lost.clone(),
        );
    }
}
