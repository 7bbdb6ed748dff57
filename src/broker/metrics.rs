//! Honest counting: every ask has one outcome, every miss one reason.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// How an ask ended; `asks` is the sum over these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// From memory.
    Hit,
    /// From memory, and a refresh was started.
    Refreshed,
    /// By a call to STS of its own.
    Fetched,
    /// By a call that another ask had started.
    Coalesced,
    /// By an older key, because STS failed.
    Stale,
    /// Not at all.
    Refused,
}

/// Why a key was not in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum MissReason {
    /// Never asked for, as far as is remembered.
    Cold,
    /// It has, or had, too little life left.
    Expired,
    /// It made room for others.
    Evicted,
    /// The same person and template have another policy now.
    PolicyChanged,
    /// It had life enough, but the asker wants more.
    MinRemaining,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AskLabels {
    template: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MissLabels {
    reason: &'static str,
}

/// What this room counts.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    asks: Family<AskLabels, Counter>,
    hits: Counter,
    misses: Family<MissLabels, Counter>,
    evictions: Counter,
}

impl Metrics {
    /// `template` must be the name of one, or empty: labels are bounded.
    pub(super) fn asked(&self, template: &str, outcome: Outcome) {
        let name = match outcome {
            Outcome::Hit => "hit",
            Outcome::Refreshed => "refreshed",
            Outcome::Fetched => "fetched",
            Outcome::Coalesced => "coalesced",
            Outcome::Stale => "stale",
            Outcome::Refused => "refused",
        };
        let labels = AskLabels { template: template.to_owned(), outcome: name };
        self.asks.get_or_create(&labels).inc();
        if matches!(outcome, Outcome::Hit | Outcome::Refreshed) {
            self.hits.inc();
        }
    }

    pub(super) fn missed(&self, reason: MissReason) {
        self.misses.get_or_create(&MissLabels { reason: reason.name() }).inc();
    }

    pub(super) fn evicted(&self) {
        self.evictions.inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        for reason in MissReason::ALL {
            self.misses.get_or_create_owned(&MissLabels { reason: reason.name() });
        }
        registry.register(
            "cosbroker_asks",
            "Asks for a key, by template and outcome; the sum over outcomes is all asks",
            self.asks.clone(),
        );
        registry.register(
            "cosbroker_cache_hits",
            "Asks answered by a living key in memory",
            self.hits.clone(),
        );
        registry.register(
            "cosbroker_cache_misses",
            "Asks that found no key of enough life in memory, by reason",
            self.misses.clone(),
        );
        registry.register(
            "cosbroker_cache_evictions",
            "Keys dropped to keep within cache.max_bytes",
            self.evictions.clone(),
        );
    }
}

impl MissReason {
    const ALL: [Self; 5] =
        [Self::Cold, Self::Expired, Self::Evicted, Self::PolicyChanged, Self::MinRemaining];

    fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Expired => "expired",
            Self::Evicted => "evicted",
            Self::PolicyChanged => "policy_changed",
            Self::MinRemaining => "min_remaining",
        }
    }
}
