//! Requests for a credential, by template and outcome.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::Counter},
};

use super::LATENCY_BUCKETS;
use crate::{
    http::outcome::OutcomeLabel,
    metrics::{Distribution, Histogram, StaticFamily},
};

/// The requests for credentials of one template so far.
#[derive(Debug, Clone)]
pub struct TemplateCounts {
    /// The template's name.
    pub name: String,
    /// Served from the cache.
    pub hits: u64,
    /// Served at all.
    pub served: u64,
    /// Refused.
    pub refused: u64,
    /// Response times of those served.
    pub latency: Distribution,
}

/// What is measured of one template. The times are for operators' pages only: with this label, a scrape would be long.
#[derive(Debug, Clone)]
struct TemplateMetrics {
    outcomes: ByOutcome,
    latency: Histogram,
}

impl Default for TemplateMetrics {
    fn default() -> Self {
        Self { outcomes: by_outcome(), latency: Histogram::new(&LATENCY_BUCKETS) }
    }
}

impl TemplateMetrics {
    /// Counts one request, and says whether its outcome has a counter.
    fn count(&self, outcome: OutcomeLabel, took: Option<Duration>) -> Option<u64> {
        if let Some(took) = took.filter(|_| outcome != OutcomeLabel::Refused) {
            self.latency.observe(took);
        }
        increment(&self.outcomes, outcome)
    }

    fn sum(&self, selected: impl Fn(OutcomeLabel) -> bool) -> u64 {
        let selected = self.outcomes.iter().filter(|(outcome, _)| selected(*outcome));
        selected.map(|(_, count)| count.get()).sum()
    }

    fn counts(&self, name: &str) -> TemplateCounts {
        TemplateCounts {
            name: name.to_owned(),
            hits: self.sum(OutcomeLabel::is_hit),
            served: self.sum(|outcome| outcome != OutcomeLabel::Refused),
            refused: self.sum(|outcome| outcome == OutcomeLabel::Refused),
            latency: self.latency.snapshot(),
        }
    }
}

type ByOutcome = StaticFamily<OutcomeLabel, Counter>;

/// Requests for a credential, by template and outcome.
#[derive(Debug, Clone)]
pub(super) struct CredentialRequests {
    by_template: Arc<ArcSwap<BTreeMap<String, TemplateMetrics>>>,
    /// Of requests that name no existing template; shown as `template=""` once there is one.
    without_template: ByOutcome,
}

impl Default for CredentialRequests {
    fn default() -> Self {
        Self { by_template: Arc::default(), without_template: by_outcome() }
    }
}

fn by_outcome() -> ByOutcome {
    StaticFamily::new(OutcomeLabel::ALL, |outcome| [("outcome", outcome.name())], Counter::default)
}

/// Counts one, and says whether the outcome has a counter.
fn increment(counters: &ByOutcome, outcome: OutcomeLabel) -> Option<u64> {
    counters.of(outcome).map(Counter::inc)
}

impl CredentialRequests {
    pub(super) fn count(&self, template: Option<&str>, outcome: OutcomeLabel, took: Option<Duration>) {
        let Some(template) = template else {
            increment(&self.without_template, outcome);
            return;
        };
        let counted = self.by_template.load().get(template).and_then(|metrics| metrics.count(outcome, took));
        if counted.is_none() {
            self.show(&[template]);
            self.by_template.load().get(template).and_then(|metrics| metrics.count(outcome, took));
        }
    }

    pub(super) fn show(&self, templates: &[&str]) {
        self.by_template.rcu(|by_template| {
            let mut by_template = BTreeMap::clone(by_template);
            for template in templates {
                by_template.entry((*template).to_owned()).or_default();
            }
            by_template
        });
    }

    /// In the order of the templates' names.
    pub(super) fn by_template(&self) -> Vec<TemplateCounts> {
        self.by_template.load().iter().map(|(name, template)| template.counts(name)).collect()
    }

    pub(super) fn sum(&self, selected: impl Fn(OutcomeLabel) -> bool) -> u64 {
        let by_template = self.by_template.load();
        by_template
            .values()
            .map(|template| &template.outcomes)
            .chain([&self.without_template])
            .flat_map(StaticFamily::iter)
            .filter(|(outcome, _)| selected(*outcome))
            .map(|(_, count)| count.get())
            .sum()
    }
}

impl EncodeMetric for CredentialRequests {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let by_template = self.by_template.load();
        let is_unused = self.without_template.iter().all(|(_, count)| count.get() == 0);
        let without_template = (!is_unused).then_some(("", &self.without_template));
        let templates = by_template.iter().map(|(name, template)| (name.as_str(), &template.outcomes));
        for (template, counters) in without_template.into_iter().chain(templates) {
            for (outcome, count) in counters.iter() {
                let labels = [("template", template), ("outcome", outcome.name())];
                count.encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }

    fn is_empty(&self) -> bool {
        false
    }
}
