//! What is counted of reloads, and what is read of the templates when it is asked for.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::counter::Counter, registry::Registry,
};

use crate::metrics::{MetricsWriter, StaticFamily};
use crate::reload::{Reload, TemplateStore};

/// Attempts to load the folder anew.
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
        let outcome = match reload {
            Reload::Loaded(_) => "loaded",
            Reload::Unchanged => "unchanged",
            Reload::Refused(_) => "refused",
        };
        if let Some(count) = self.0.of(outcome) {
            count.inc();
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "cosbroker_template_reloads",
            "Attempts to load the templates' folder anew, by what became of them",
            self.0.clone(),
        );
    }
}

#[derive(Debug)]
pub(super) struct MetricsCollector(pub(super) Arc<TemplateStore>);

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let templates = self.0.current().status();
        let mut sheet = MetricsWriter::new(encoder);
        sheet.gauge(
            "cosbroker_templates_stale",
            "1 while the folder holds something that cannot serve, and the last good set goes on",
            u32::from(self.0.is_stale()),
        )?;
        let named = |template| ("template", template);
        sheet.info(
            "cosbroker_template",
            "The templates that serve, and the SHA-256 of their files",
            templates.iter().map(|one| [named(one.name.as_str()), ("version", one.version.as_str())]),
        )?;
        sheet.gauges(
            "cosbroker_template_loaded_timestamp_seconds",
            "When this version of the template was first loaded",
            templates.iter().map(|one| ([named(one.name.as_str())], one.loaded_at.as_second())),
        )
    }
}
