//! What this room counts, and what is read of it when it is asked for.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::counter::Counter, registry::Registry,
};
use serde::Serialize;

use super::Canary;
use crate::metrics::{self, Histogram, MetricsWriter, StaticFamily};

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Each wrote in their own folder, and was refused in the other's.
    Passed,
    /// One reached the other's objects.
    Breached,
    /// One's own write was refused.
    OwnRefused,
    /// There were no keys to try.
    NoKey,
    /// COS was not reached, or failed.
    Unreachable,
}

impl Outcome {
    const ALL: [Self; 5] = [Self::Passed, Self::Breached, Self::OwnRefused, Self::NoKey, Self::Unreachable];

    /// As metrics and messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Breached => "breached",
            Self::OwnRefused => "own_denied",
            Self::NoKey => "no_key",
            Self::Unreachable => "unreachable",
        }
    }

    /// What it says on isolation, if anything.
    pub(super) fn isolated(self) -> Option<bool> {
        match self {
            Self::Passed => Some(true),
            Self::Breached => Some(false),
            Self::OwnRefused | Self::NoKey | Self::Unreachable => None,
        }
    }
}

/// What a request of a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    OwnWrite,
    OtherWrite,
    OtherRead,
    OtherDelete,
}

impl Step {
    const ALL: [Self; 4] = [Self::OwnWrite, Self::OtherWrite, Self::OtherRead, Self::OtherDelete];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OwnWrite => "own_write",
            Self::OtherWrite => "other_write",
            Self::OtherRead => "other_read",
            Self::OtherDelete => "other_delete",
        }
    }
}

/// What this room counts.
#[derive(Debug)]
pub(super) struct Metrics {
    runs: StaticFamily<Outcome, Counter>,
    seconds: StaticFamily<Step, Histogram>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let outcome = |outcome: Outcome| [("outcome", outcome.name())];
        Self {
            runs: StaticFamily::new(Outcome::ALL, outcome, Counter::default),
            seconds: StaticFamily::new(
                Step::ALL,
                |step| [("step", step.name())],
                || Histogram::new(&metrics::CALL),
            ),
        }
    }

    pub(super) fn ran(&self, outcome: Outcome) {
        if let Some(runs) = self.runs.of(outcome) {
            runs.inc();
        }
    }

    pub(super) fn answered(&self, step: Step, took: Duration) {
        if let Some(seconds) = self.seconds.of(step) {
            seconds.observe(took);
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "cosbroker_canary_runs",
            "Runs of the isolation canary, by what came of them",
            self.runs.clone(),
        );
        registry.register(
            "cosbroker_canary_request_duration_seconds",
            "How long COS took to answer the canary, by what was tried",
            self.seconds.clone(),
        );
    }
}

/// What is read of the canary when it is asked for.
#[derive(Debug)]
pub(super) struct MetricsCollector(pub(super) Arc<Canary>);

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.0.snapshot();
        let mut sheet = MetricsWriter::new(encoder);
        sheet.gauge(
            "cosbroker_canary_interval_seconds",
            "How often the isolation canary runs, as canary.interval says",
            now.every_seconds,
        )?;
        if let Some(last) = now.last {
            sheet.gauge(
                "cosbroker_canary_last_run_timestamp_seconds",
                "When the isolation canary last ran",
                last.at.as_second(),
            )?;
        }
        now.isolated.map_or(Ok(()), |isolated| {
            sheet.gauge(
                "cosbroker_canary_isolated",
                "1 while the last run that could tell found the made-up users apart",
                u32::from(isolated),
            )
        })
    }
}
