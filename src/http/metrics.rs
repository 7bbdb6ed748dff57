//! Metrics of requests: how they ended, how long they took, why they were refused. By template, route and outcome,
//! never by path or user.

mod credential_requests;
mod responses;

use std::{fmt, time::Duration};

use actix_web::http::StatusCode;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

pub use self::credential_requests::TemplateCounts;
use self::{credential_requests::CredentialRequests, responses::Responses};
use super::{outcome::OutcomeLabel, problem::ProblemType, route::Route};
use crate::{
    credential_cache::CacheOutcome,
    metrics::{Distribution, Histogram, MetricsWriter, StaticFamily},
};

/// From a hit on a quiet machine to what a slow body and a slow STS take together.
const LATENCY_BUCKETS: [Duration; 16] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// From the TTL below which the official SDKs treat a credential as expired, to the longest that STS issues.
const TTL_BUCKETS: [Duration; 12] = [
    Duration::from_mins(1),
    Duration::from_mins(2),
    Duration::from_mins(5),
    Duration::from_mins(10),
    Duration::from_mins(15),
    Duration::from_mins(20),
    Duration::from_mins(30),
    Duration::from_mins(45),
    Duration::from_hours(1),
    Duration::from_hours(2),
    Duration::from_hours(4),
    Duration::from_hours(12),
];

/// Metrics of the public listener.
#[derive(Debug, Clone)]
pub struct Metrics {
    credential_requests: CredentialRequests,
    ttl: Histogram,
    latency: StaticFamily<(Route, Ending), Histogram>,
    responses: Responses,
    refusals: Family<Reason, Counter>,
}

/// The `outcome` label of a request's latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Credential(OutcomeLabel),
    /// With an answer that holds no credential.
    Answered,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl Ending {
    fn all() -> impl Iterator<Item = Self> {
        OutcomeLabel::ALL.into_iter().map(Self::Credential).chain([Self::Answered])
    }

    fn name(self) -> &'static str {
        match self {
            Self::Credential(outcome) => outcome.name(),
            Self::Answered => "answered",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let endings =
            Route::ALL.into_iter().flat_map(|route| Ending::all().map(move |ending| (route, ending)));
        let refusals = Family::default();
        // Alerts use these: the first refusal must be visible as an increase.
        for problem in ProblemType::ALL.into_iter().filter(|problem| problem.is_server_error()) {
            refusals.get_or_create_owned(&Reason { reason: problem.name });
        }
        Self {
            credential_requests: CredentialRequests::default(),
            ttl: Histogram::new(&TTL_BUCKETS),
            latency: StaticFamily::new(
                endings,
                |(route, ending)| [("route", route.name()), ("outcome", ending.name())],
                || Histogram::new(&LATENCY_BUCKETS),
            ),
            responses: Responses::new(),
            refusals,
        }
    }
}

impl Metrics {
    /// Shows all outcomes of these templates from now on; those of others follow with their first request.
    pub fn show_templates<'a>(&self, names: impl Iterator<Item = &'a str>) {
        self.credential_requests.show(&names.collect::<Vec<_>>());
    }

    /// Counts a request for a credential, which `took` so long if it was answered. `template` is the name of an existing
    /// one, because labels are bounded.
    pub(super) fn credential_request(
        &self,
        template: Option<&str>,
        outcome: OutcomeLabel,
        took: Option<Duration>,
    ) {
        self.credential_requests.count(template, outcome, took);
    }

    /// Counts the TTL of a served credential.
    pub(super) fn served_ttl(&self, ttl: Duration) {
        self.ttl.observe(ttl);
    }

    /// Counts an answer; `outcome` is none for one without a credential.
    pub(super) fn answered(
        &self,
        route: Route,
        status: StatusCode,
        outcome: Option<OutcomeLabel>,
        took: Duration,
    ) {
        self.responses.count(route, status);
        let ending = outcome.map_or(Ending::Answered, Ending::Credential);
        if let Some(histogram) = self.latency.of((route, ending)) {
            histogram.observe(took);
        }
    }

    /// Counts a refusal.
    pub(super) fn refused(&self, problem: &ProblemType) {
        self.refusals.get_or_create(&Reason { reason: problem.name }).inc();
    }

    /// Number of requests for a credential with these outcomes.
    pub fn requests(&self, selected: impl Fn(OutcomeLabel) -> bool) -> u64 {
        self.credential_requests.sum(selected)
    }

    /// Number of requests refused for a reason that is not the caller's.
    pub fn server_errors(&self) -> u64 {
        let names = ProblemType::ALL.into_iter().filter(|problem| problem.is_server_error());
        names
            .filter_map(|problem| {
                self.refusals.get(&Reason { reason: problem.name }).map(|count| count.get())
            })
            .sum()
    }

    /// Requests for a credential by template, in the order of their names.
    pub fn by_template(&self) -> Vec<TemplateCounts> {
        self.credential_requests.by_template()
    }

    /// Latency of requests for a credential with these outcomes.
    pub fn latency(&self, selected: impl Fn(OutcomeLabel) -> bool) -> Distribution {
        self.latency
            .iter()
            .filter(|((_, ending), _)| matches!(ending, Ending::Credential(outcome) if selected(*outcome)))
            .map(|(_, histogram)| histogram.snapshot())
            .fold(Distribution::default(), Distribution::plus)
    }

    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "cosbroker_credential_requests",
            "Requests for a credential, by template and outcome; the sum over outcomes is all of them",
            self.credential_requests.clone(),
        );
        registry.register(
            "cosbroker_credential_ttl_seconds",
            "Time until served credentials expire",
            self.ttl.clone(),
        );
        registry.register(
            "cosbroker_http_request_duration_seconds",
            "From a request's head to its answer, by route and by outcome",
            self.latency.clone(),
        );
        registry.register(
            "cosbroker_http_responses",
            "Answers to requests, by route and HTTP status",
            self.responses.clone(),
        );
        registry.register(
            "cosbroker_refusals",
            "Requests refused, by the last part of the problem's type",
            self.refusals.clone(),
        );
        registry.register_collector(Box::new(MetricsCollector(self.clone())));
    }
}

/// Writes sums over outcomes at each scrape.
#[derive(Debug)]
struct MetricsCollector(Metrics);

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = MetricsWriter::new(encoder);
        writer.counter(
            "cosbroker_cache_hits",
            "Requests served a fresh credential from the cache",
            self.0.requests(OutcomeLabel::is_hit),
        )?;
        writer.counter(
            "cosbroker_sts_calls_saved",
            "Requests served without an STS call of their own",
            self.0.requests(
                |outcome| matches!(outcome, OutcomeLabel::Served(how) if CacheOutcome::saved_a_call(how)),
            ),
        )
    }
}

#[cfg(test)]
mod tests;
