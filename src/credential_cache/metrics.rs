//! Honest counting: every ask has one outcome, every miss one reason.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::Counter},
    registry::Registry,
};

use super::CredentialCache;
use crate::metrics::{Histogram, MetricsWriter, StaticFamily};

/// How an ask ended; `requests` is the sum over these.
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

impl Outcome {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Hit, Self::Refreshed, Self::Fetched, Self::Coalesced, Self::Stale, Self::Refused];

    /// Its name in a label and in the audit log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Refreshed => "refreshed",
            Self::Fetched => "fetched",
            Self::Coalesced => "coalesced",
            Self::Stale => "stale",
            Self::Refused => "refused",
        }
    }

    /// Whether a living key was in memory.
    pub fn is_hit(self) -> bool {
        matches!(self, Self::Hit | Self::Refreshed)
    }

    /// Whether a key came of it without a call to STS on its account.
    fn saved_a_call(self) -> bool {
        matches!(self, Self::Hit | Self::Coalesced)
    }
}

/// Why a key was not in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MissReason {
    /// Never asked for, as far as is remembered.
    Cold,
    /// It has, or had, too little life left.
    Expired,
    /// It made room for others.
    Evicted,
    /// The same person and template have another policy now.
    PolicyChanged,
    /// It was made with an own key of the operator that has another in its place now.
    SourceCredentialsRotated,
    /// It had life enough, but the asker wants more.
    MinRemaining,
    /// Its holder was revoked since it was made, and is served again.
    Revoked,
}

impl MissReason {
    const ALL: [Self; 7] = [
        Self::Cold,
        Self::Expired,
        Self::Evicted,
        Self::PolicyChanged,
        Self::SourceCredentialsRotated,
        Self::MinRemaining,
        Self::Revoked,
    ];

    /// Returns the value of the `reason` label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Expired => "expired",
            Self::Evicted => "evicted",
            Self::PolicyChanged => "policy_changed",
            Self::SourceCredentialsRotated => "source_credentials_rotated",
            Self::MinRemaining => "min_remaining",
            Self::Revoked => "revoked",
        }
    }
}

/// The one level of the cache there is.
const MEMORY: [(&str, &str); 1] = [("level", "memory")];

/// From what official SDKs take for dead to the longest that STS gives.
const LIVES: [Duration; 12] = [
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

/// What this room counts.
#[derive(Debug)]
pub(super) struct Metrics {
    requests: Requests,
    misses: StaticFamily<MissReason, Counter>,
    evictions: Counter,
    lives: Histogram,
}

/// Requests of each template, by outcome.
#[derive(Debug, Clone, Default)]
struct Requests(Arc<ArcSwap<BTreeMap<String, Tally>>>);

type Tally = StaticFamily<Outcome, Counter>;

impl Default for Metrics {
    fn default() -> Self {
        let reason = |reason: MissReason| [("reason", reason.name())];
        Self {
            requests: Requests::default(),
            misses: StaticFamily::new(MissReason::ALL, reason, Counter::default),
            evictions: Counter::default(),
            lives: Histogram::new(&LIVES),
        }
    }
}

impl Metrics {
    /// Shows a template's outcomes from now on, none of which has been counted.
    pub(super) fn expect(&self, template: &str) {
        self.requests.make_room(template);
    }

    /// `template` must be the name of one, or empty: labels are bounded.
    pub(super) fn refused(&self, template: &str) {
        self.requests.count(template, Outcome::Refused);
    }

    /// A key of this much life was handed out.
    pub(super) fn served(&self, template: &str, outcome: Outcome, life: Duration) {
        self.requests.count(template, outcome);
        self.lives.observe(life);
    }

    pub(super) fn missed(&self, reason: MissReason) {
        if let Some(count) = self.misses.of(reason) {
            count.inc();
        }
    }

    pub(super) fn evicted(&self) {
        self.evictions.inc();
    }

    /// Misses, by reason.
    pub(super) fn misses(&self) -> Vec<(MissReason, u64)> {
        self.misses.iter().map(|(reason, count)| (reason, count.get())).collect()
    }

    /// Keys that made room for others.
    pub(super) fn evictions(&self) -> u64 {
        self.evictions.get()
    }

    /// Requests that ended in one of these ways.
    pub(super) fn requests(&self, wanted: impl Fn(Outcome) -> bool) -> u64 {
        let tallies = self.requests.0.load();
        let outcomes = tallies.values().flat_map(StaticFamily::iter).filter(|(outcome, _)| wanted(*outcome));
        outcomes.map(|(_, count)| count.get()).sum()
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "cosbroker_credential_requests",
            "Requests for a key, by template and outcome; the sum over outcomes is all asks",
            self.requests.clone(),
        );
        registry.register(
            "cosbroker_cache_misses",
            "Requests that found no key of enough life in memory, by reason",
            self.misses.clone(),
        );
        registry.register(
            "cosbroker_credential_ttl_seconds",
            "Life left of keys when they were handed out",
            self.lives.clone(),
        );
    }
}

impl Requests {
    fn count(&self, template: &str, outcome: Outcome) {
        let counted = |tally: &Tally| tally.of(outcome).map(Counter::inc);
        if self.0.load().get(template).and_then(counted).is_none() {
            self.make_room(template);
            self.0.load().get(template).and_then(counted);
        }
    }

    fn make_room(&self, template: &str) {
        let tally =
            || StaticFamily::new(Outcome::ALL, |outcome| [("outcome", outcome.name())], Counter::default);
        self.0.rcu(|tallies| {
            let mut tallies = BTreeMap::clone(tallies);
            tallies.entry(template.to_owned()).or_insert_with(tally);
            tallies
        });
    }
}

impl EncodeMetric for Requests {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (template, tally) in self.0.load().iter() {
            for (outcome, count) in tally.iter() {
                let labels = [("template", template.as_str()), ("outcome", outcome.name())];
                count.encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }

    fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }
}

/// What is read of a broker when it is asked for.
#[derive(Debug)]
pub(super) struct MetricsCollector(pub(super) CredentialCache);

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = &self.0.0.metrics;
        let now = self.0.snapshot();
        let mut sheet = MetricsWriter::new(encoder);
        sheet.counters(
            "cosbroker_cache_hits",
            "Requests answered by a living key in memory",
            [(MEMORY, metrics.requests(Outcome::is_hit))],
        )?;
        sheet.counters(
            "cosbroker_cache_evictions",
            "Keys dropped to keep within cache.max_bytes",
            [(MEMORY, metrics.evictions())],
        )?;
        sheet.counter(
            "cosbroker_sts_calls_saved",
            "Requests answered without a call to STS on their account",
            metrics.requests(Outcome::saved_a_call),
        )?;
        sheet.gauges("cosbroker_cache_entries", "Keys in memory", [(MEMORY, now.entries)])?;
        sheet.gauges("cosbroker_cache_bytes", "Memory that keys take, as weighed", [(MEMORY, now.bytes)])?;
        sheet.gauge(
            "cosbroker_revocations_unsaved",
            "1 while the last change of who is revoked could not be written to limits.revoked_file",
            u32::from(now.revocations_unsaved),
        )?;
        sheet.gauge("cosbroker_inflight_fetches", "Calls for a key under way", now.flights)?;
        sheet.gauge("cosbroker_active_users", "Users who hold a key or want one", now.outage.active)?;
        sheet.gauge(
            "cosbroker_stale_coverage_ratio",
            "Share of active users whom memory could serve if STS failed now",
            now.outage.covered_ratio(),
        )?;
        sheet.gauge(
            "cosbroker_stale_coverage_seconds",
            "How long from now that share would stay at nine in ten",
            now.outage.survivable.map_or(f64::NAN, |span| span.as_secs_f64()),
        )
    }
}
