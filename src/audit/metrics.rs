//! What this room counts.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use super::{Audit, Event, Status};
use crate::metrics::{MetricsWriter, StaticFamily};

/// Lines written, and all that keeps a line from being written. Each shows from the start, so that an alarm
/// sees it rise.
#[derive(Debug)]
pub(super) struct Metrics {
    lines: StaticFamily<&'static str, Counter>,
    lost: StaticFamily<Loss, Counter>,
    suppressed: Counter,
    errors: Counter,
    failing: Gauge,
    /// Lines told of and neither written nor lost.
    waiting: Gauge,
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

impl Loss {
    const ALL: [Self; 3] = [Self::QueueFull, Self::Unwritable, Self::Stopped];

    fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Unwritable => "unwritable",
            Self::Stopped => "stopped",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            lines: StaticFamily::new(Event::NAMES, |event| [("event", event)], Counter::default),
            lost: StaticFamily::new(Loss::ALL, |loss| [("reason", loss.name())], Counter::default),
            suppressed: Counter::default(),
            errors: Counter::default(),
            failing: Gauge::default(),
            waiting: Gauge::default(),
        }
    }
}

impl Metrics {
    /// A line is to be written.
    pub(super) fn told(&self) {
        self.waiting.inc();
    }

    /// A line that was told of is written.
    pub(super) fn written(&self, event: &'static str) {
        self.waiting.dec();
        if let Some(lines) = self.lines.of(event) {
            lines.inc();
        }
    }

    /// Lines that were told of never will be written.
    pub(super) fn dropped(&self, loss: Loss, lines: i64) {
        self.waiting.dec_by(lines);
        if let Some(lost) = self.lost.of(loss) {
            lost.inc_by(lines.unsigned_abs());
        }
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

    /// How many lines wait.
    pub(super) fn waiting(&self) -> i64 {
        self.waiting.get()
    }

    pub(super) fn status(&self) -> Status {
        Status {
            written: self.lines.iter().map(|(_, count)| count.get()).sum(),
            lost: self.lost.iter().map(|(_, count)| count.get()).sum(),
            failing: self.failing.get() == 1,
        }
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
            "cosbroker_audit_queue",
            "Audit lines that wait to be written",
            self.waiting.clone(),
        );
    }
}

/// What is read of the log when it is asked for.
#[derive(Debug)]
pub(super) struct MetricsCollector(pub(super) Audit);

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        MetricsWriter::new(encoder).gauge(
            "cosbroker_audit_failing",
            "1 while the audit log cannot be written, and its lines wait in memory",
            u32::from(self.0.is_failing()),
        )
    }
}
