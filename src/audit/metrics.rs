//! Metrics of the audit log.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use super::{Audit, Event};
use crate::metrics::{MetricsWriter, StaticFamily};

/// Counts written, queued, suppressed and lost lines. All counters are exported from the start, so that an alert sees
/// them rise from zero.
#[derive(Debug)]
pub(super) struct Metrics {
    lines: StaticFamily<&'static str, Counter>,
    lost: StaticFamily<LossReason, Counter>,
    suppressed: Counter,
    errors: Counter,
    failing: Gauge,
    /// Lines recorded and neither written nor lost.
    queued: Gauge,
}

/// The reason why a line is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LossReason {
    /// The queue is full.
    QueueFull,
    /// The log was closed while it could not be written.
    Unwritable,
    /// The event was recorded after the log was closed, or the disk did not take it in time.
    Stopped,
}

impl LossReason {
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
            lost: StaticFamily::new(LossReason::ALL, |reason| [("reason", reason.name())], Counter::default),
            suppressed: Counter::default(),
            errors: Counter::default(),
            failing: Gauge::default(),
            queued: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Counts a line as queued.
    pub(super) fn add_queued(&self) {
        self.queued.inc();
    }

    /// Counts a queued line as written.
    pub(super) fn add_written(&self, event: &'static str) {
        self.queued.dec();
        if let Some(lines) = self.lines.of(event) {
            lines.inc();
        }
    }

    /// Counts queued lines as lost.
    pub(super) fn add_lost(&self, reason: LossReason, lines: i64) {
        self.queued.dec_by(lines);
        if let Some(lost) = self.lost.of(reason) {
            lost.inc_by(lines.unsigned_abs());
        }
    }

    pub(super) fn add_suppressed(&self) {
        self.suppressed.inc();
    }

    pub(super) fn set_failing(&self) {
        self.errors.inc();
        self.failing.set(1);
    }

    pub(super) fn add_rotation_failure(&self) {
        self.errors.inc();
    }

    pub(super) fn set_recovered(&self) {
        self.failing.set(0);
    }

    pub(super) fn queued(&self) -> usize {
        usize::try_from(self.queued.get()).unwrap_or_default()
    }

    pub(super) fn written(&self) -> u64 {
        self.lines.iter().map(|(_, count)| count.get()).sum()
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.iter().map(|(_, count)| count.get()).sum()
    }

    /// Returns whether the last write failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.get() == 1
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("cosbroker_audit_lines", "Audit lines written, by event", self.lines.clone());
        registry.register("cosbroker_audit_lost", "Audit lines that are lost, by reason", self.lost.clone());
        registry.register(
            "cosbroker_audit_suppressed",
            "Refusals above audit.refusals, of which the log has only the number",
            self.suppressed.clone(),
        );
        registry.register(
            "cosbroker_audit_errors",
            "Attempts to write or rotate the audit log that failed",
            self.errors.clone(),
        );
        registry.register("cosbroker_audit_queue", "Audit lines waiting to be written", self.queued.clone());
    }
}

/// Exports the metrics that are computed when they are scraped.
#[derive(Debug)]
pub(super) struct MetricsCollector(pub(super) Audit);

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        MetricsWriter::new(encoder).gauge(
            "cosbroker_audit_failing",
            "1 while the audit log cannot be written and its lines are queued in memory",
            u32::from(self.0.status().is_some_and(|status| status.failing)),
        )
    }
}
