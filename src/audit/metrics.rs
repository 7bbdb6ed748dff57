//! What this room counts.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Lines written, and all that keeps a line from being written.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    lines: Family<Told, Counter>,
    lost: Family<Lost, Counter>,
    suppressed: Counter,
    errors: Counter,
    failing: Gauge,
}

/// Why a line is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// As many wait already as may.
    QueueFull,
    /// The process ended, and the line still could not be written.
    Unwritable,
    /// It came after the log's end.
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Told {
    event: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lost {
    reason: &'static str,
}

impl Loss {
    const ALL: [Self; 3] = [Self::QueueFull, Self::Unwritable, Self::Stopped];

    fn labels(self) -> Lost {
        let reason = match self {
            Self::QueueFull => "queue_full",
            Self::Unwritable => "unwritable",
            Self::Stopped => "stopped",
        };
        Lost { reason }
    }
}

impl Metrics {
    /// Of a log that is kept: a loss is a figure from the start, so that an alarm sees it rise.
    pub(super) fn new() -> Self {
        let metrics = Self::default();
        for event in ["issue", "refusal", "reload", "revoke"] {
            metrics.lines.get_or_create_owned(&Told { event });
        }
        for loss in Loss::ALL {
            metrics.lost.get_or_create_owned(&loss.labels());
        }
        metrics
    }

    pub(super) fn written(&self, event: &'static str) {
        self.lines.get_or_create(&Told { event }).inc();
    }

    pub(super) fn lost(&self, loss: Loss, lines: u64) {
        self.lost.get_or_create(&loss.labels()).inc_by(lines);
    }

    pub(super) fn suppressed(&self) {
        self.suppressed.inc();
    }

    pub(super) fn failed(&self) {
        self.errors.inc();
        self.failing.set(1);
    }

    pub(super) fn unrotated(&self) {
        self.errors.inc();
    }

    pub(super) fn recovered(&self) {
        self.failing.set(0);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("cosbroker_audit_lines", "Audit lines written, by event", self.lines.clone());
        registry.register(
            "cosbroker_audit_lost",
            "Audit lines that were not written and never will be, by reason",
            self.lost.clone(),
        );
        registry.register(
            "cosbroker_audit_suppressed",
            "Refusals beyond audit.refusals, told in the log by their number only",
            self.suppressed.clone(),
        );
        registry.register(
            "cosbroker_audit_errors",
            "Attempts to write or rotate the audit log that failed",
            self.errors.clone(),
        );
        registry.register(
            "cosbroker_audit_failing",
            "1 while the audit log cannot be written, and its lines wait in memory",
            self.failing.clone(),
        );
    }
}
