//! Metrics of reloads and of the active templates.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::counter::Counter, registry::Registry,
};

use super::{Reload, TemplateStore};
use crate::metrics::{MetricsWriter, StaticFamily};

/// Counts attempts to reload the folder, by outcome.
#[derive(Debug)]
pub(super) struct Metrics(StaticFamily<&'static str, Counter>);

impl Default for Metrics {
    fn default() -> Self {
        let outcomes = ["loaded", "unchanged", "refused"];
        Self(StaticFamily::new(outcomes, |outcome| [("outcome", outcome)], Counter::default))
    }
}

impl Metrics {
    pub(super) fn reloaded(&self, reload: &Reload) {
        if let Some(count) = self.0.of(reload.name()) {
            count.inc();
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "cosbroker_template_reloads",
            "Attempts to reload the templates' folder, by outcome",
            self.0.clone(),
        );
    }
}

/// Reads the state of the templates when Prometheus scrapes.
#[derive(Debug)]
pub(super) struct MetricsCollector(pub(super) Arc<TemplateStore>);

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let templates = self.0.current().status();
        let mut writer = MetricsWriter::new(encoder);
        writer.gauge(
            "cosbroker_templates_stale",
            "1 while the folder cannot be loaded and the last good set stays active",
            u32::from(self.0.is_stale()),
        )?;
        writer.info(
            "cosbroker_template",
            "The active templates and the SHA-256 of their files",
            templates.iter().map(|one| [("template", one.name.as_str()), ("version", one.version.as_str())]),
        )?;
        writer.gauges(
            "cosbroker_template_loaded_timestamp_seconds",
            "When this version of the template was first loaded",
            templates.iter().map(|one| ([("template", one.name.as_str())], one.loaded_at.as_second())),
        )
    }
}
