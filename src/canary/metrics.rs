//! Metrics of the canary.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::counter::Counter, registry::Registry,
};

use super::{Canary, RunOutcome, routine_probes::Step};
use crate::metrics::{CALL_DURATION_BOUNDS, Histogram, MetricsWriter, StaticFamily};

#[derive(Debug)]
pub(super) struct Metrics {
    runs: StaticFamily<RunOutcome, Counter>,
    request_durations: StaticFamily<Step, Histogram>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        Self {
            runs: StaticFamily::new(
                RunOutcome::ALL,
                |outcome| [("outcome", outcome.name())],
                Counter::default,
            ),
            request_durations: StaticFamily::new(
                Step::ALL,
                |step| [("step", step.name())],
                || Histogram::new(&CALL_DURATION_BOUNDS),
            ),
        }
    }

    pub(super) fn count_run(&self, outcome: RunOutcome) {
        if let Some(runs) = self.runs.of(outcome) {
            runs.inc();
        }
    }

    pub(super) fn observe_request(&self, step: Step, took: Duration) {
        if let Some(durations) = self.request_durations.of(step) {
            durations.observe(took);
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "cosbroker_canary_runs",
            "Runs of the isolation canary, by outcome",
            self.runs.clone(),
        );
        registry.register(
            "cosbroker_canary_request_duration_seconds",
            "How long COS took to answer the canary, by request",
            self.request_durations.clone(),
        );
    }
}

/// Reads the canary's state at each scrape.
#[derive(Debug)]
pub(super) struct MetricsCollector(pub(super) Arc<Canary>);

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.0.snapshot();
        let mut writer = MetricsWriter::new(encoder);
        writer.gauge(
            "cosbroker_canary_interval_seconds",
            "How often the isolation canary runs, as canary.interval says",
            now.every_seconds,
        )?;
        if let Some(last) = now.last {
            writer.gauge(
                "cosbroker_canary_last_run_timestamp_seconds",
                "When the isolation canary last ran",
                last.at.as_second(),
            )?;
        }
        if let Some(isolated) = now.isolated {
            writer.gauge(
                "cosbroker_canary_isolated",
                "1 while the last conclusive run found the synthetic users isolated",
                u32::from(isolated),
            )?;
        }
        Ok(())
    }
}
