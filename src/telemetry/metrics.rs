//! What this room counts.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

use crate::metrics::StaticFamily;

/// Spans that were kept, and those that were not.
#[derive(Debug)]
pub(super) struct Metrics {
    exported: Counter,
    lost: StaticFamily<Loss, Counter>,
}

/// Why a span is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// As many wait already as may.
    QueueFull,
    /// The collector was not reached, or did not take it.
    NotTaken,
    /// It came after the end.
    Stopped,
}

impl Loss {
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
            lost: StaticFamily::new(Loss::ALL, |loss| [("reason", loss.name())], Counter::default),
        }
    }
}

impl Metrics {
    pub(super) fn exported(&self, spans: usize) {
        self.exported.inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
    }

    pub(super) fn lost(&self, loss: Loss, spans: usize) {
        if let Some(lost) = self.lost.of(loss) {
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
            "Spans of sampled asks that no collector has, by reason",
            self.lost.clone(),
        );
    }
}
