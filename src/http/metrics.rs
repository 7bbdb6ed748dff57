//! How long answers take, and why requests are refused: by route and outcome, never by path or person.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::{
    credential_cache::Outcome,
    metrics::{Distribution, Histogram, StaticFamily},
};

/// From a hit on a quiet machine to what a slow body and a slow STS take together.
const SECONDS: [Duration; 16] = [
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

/// Refusals that are this service's failing and not the asker's (HTTP 5xx), by their names in `refusal.rs`.
pub(super) const FAILINGS: [&str; 4] =
    ["identity-unavailable", "internal", "misconfigured", "credentials-unavailable"];

/// What the public listener counts.
#[derive(Debug, Clone)]
pub struct Metrics {
    answers: StaticFamily<(Route, Ending), Histogram>,
    refusals: Family<Reason, Counter>,
}

/// Where a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Credentials,
    Explain,
    Sign,
    Sts,
    KeyAndCredentials,
    /// What no user waits for, or what does not exist.
    Other,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// As the ask in it did.
    Ask(Outcome),
    /// With what was asked for, which was no key.
    Answered,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl Route {
    const ALL: [Self; 6] =
        [Self::Credentials, Self::Explain, Self::Sign, Self::Sts, Self::KeyAndCredentials, Self::Other];

    fn of(path: &str) -> Self {
        let below =
            |route| path.strip_prefix(route).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match path {
            "/sign" => Self::Sign,
            "/sts" => Self::Sts,
            "/getKeyAndCredentials" => Self::KeyAndCredentials,
            _ if below("/v1/credentials") => Self::Credentials,
            _ if below("/v1/explain") => Self::Explain,
            _ => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Credentials => "/v1/credentials",
            Self::Explain => "/v1/explain",
            Self::Sign => "/sign",
            Self::Sts => "/sts",
            Self::KeyAndCredentials => "/getKeyAndCredentials",
            Self::Other => "other",
        }
    }
}

impl Ending {
    fn all() -> impl Iterator<Item = Self> {
        Outcome::ALL.into_iter().map(Self::Ask).chain([Self::Answered])
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ask(outcome) => outcome.name(),
            Self::Answered => "answered",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let all = Route::ALL.into_iter().flat_map(|route| Ending::all().map(move |ending| (route, ending)));
        let pairs = |(route, ending): (Route, Ending)| [("route", route.name()), ("outcome", ending.name())];
        let refusals = Family::default();
        // Alerts are on these: the first of each must be seen as a rise.
        for reason in FAILINGS {
            refusals.get_or_create_owned(&Reason { reason });
        }
        Self { answers: StaticFamily::new(all, pairs, || Histogram::new(&SECONDS)), refusals }
    }
}

impl Metrics {
    /// A request was answered; `outcome` is that of the ask in it, or a refusal, if there was either.
    pub(super) fn answered(&self, path: &str, outcome: Option<Outcome>, took: Duration) {
        let ending = outcome.map_or(Ending::Answered, Ending::Ask);
        if let Some(histogram) = self.answers.of((Route::of(path), ending)) {
            histogram.observe(took);
        }
    }

    /// A request was refused; `reason` is a name of the table in `refusal.rs`.
    pub(super) fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    /// How long those asks took that ended in one of these ways.
    pub fn latency(&self, wanted: impl Fn(Outcome) -> bool) -> Distribution {
        let asks = self.answers.iter().filter_map(|((_, ending), histogram)| match ending {
            Ending::Ask(outcome) if wanted(outcome) => Some(histogram.snapshot()),
            Ending::Ask(_) | Ending::Answered => None,
        });
        asks.fold(Distribution::default(), Distribution::plus)
    }

    /// Adds this room's figures to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "cosbroker_http_request_duration_seconds",
            "From a request's head to its answer, by route and by how the ask in it ended",
            self.answers.clone(),
        );
        registry.register(
            "cosbroker_refusals",
            "Requests refused, by the last part of the problem's type",
            self.refusals.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_one_of_six_whatever_stands_in_the_path() {
        for (path, route) in [
            ("/v1/credentials", "/v1/credentials"),
            ("/v1/credentials/upload", "/v1/credentials"),
            ("/v1/credentialsx", "other"),
            ("/v1/explain/files", "/v1/explain"),
            ("/sign", "/sign"),
            ("/sts", "/sts"),
            ("/sts/alice", "other"),
            ("/getKeyAndCredentials", "/getKeyAndCredentials"),
            ("/healthz", "other"),
            ("/users/alice", "other"),
        ] {
            assert_eq!(Route::of(path).name(), route, "{path}");
        }
    }
}
