//! Metrics of what replicas share.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::counter::Counter, registry::Registry,
};

use super::Replicas;
use crate::metrics::{Histogram, MetricsWriter, StaticFamily};

/// What became of a lookup in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// It was there.
    Found,
    /// It was there after another replica had fetched it.
    FoundAfterWait,
    /// Another replica fetches it and takes long; an older one is active.
    Late,
    /// It was not there, and this replica fetches it.
    Missed,
    /// What was there is not used.
    Refused,
    /// Redis did not say, and this replica fetches it for itself.
    Alone,
}

impl Lookup {
    pub(super) const ALL: [Self; 6] =
        [Self::Found, Self::FoundAfterWait, Self::Late, Self::Missed, Self::Refused, Self::Alone];

    /// Value of the label `outcome`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::FoundAfterWait => "found_after_wait",
            Self::Late => "late",
            Self::Missed => "missed",
            Self::Refused => "refused",
            Self::Alone => "alone",
        }
    }
}

/// Why something in Redis is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was not sealed with our key for this place: altered, moved, or written by someone else.
    Forged,
    /// It is older than Redis says.
    Expired,
}

impl Refusal {
    const ALL: [Self; 2] = [Self::Forged, Self::Expired];

    fn name(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Expired => "expired",
        }
    }
}

/// How a call to Redis failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallFailure {
    Timeout,
    Connection,
    Refused,
}

impl CallFailure {
    const ALL: [Self; 3] = [Self::Timeout, Self::Connection, Self::Refused];

    fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Refused => "refused",
        }
    }
}

/// Bucket bounds for a call to Redis, from one within the machine to the longest usual time-out.
const CALL_DURATION_BOUNDS: [Duration; 8] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
];

/// Counters of what replicas share.
#[derive(Debug)]
pub(super) struct Metrics {
    lookups: StaticFamily<Lookup, Counter>,
    refusals: StaticFamily<Refusal, Counter>,
    failures: StaticFamily<CallFailure, Counter>,
    unstored: Counter,
    turns_used: Counter,
    turns_lapsed: Counter,
    seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            lookups: StaticFamily::new(Lookup::ALL, |it| [("outcome", it.name())], Counter::default),
            refusals: StaticFamily::new(Refusal::ALL, |it| [("reason", it.name())], Counter::default),
            failures: StaticFamily::new(CallFailure::ALL, |it| [("reason", it.name())], Counter::default),
            unstored: Counter::default(),
            turns_used: Counter::default(),
            turns_lapsed: Counter::default(),
            seconds: Histogram::new(&CALL_DURATION_BOUNDS),
        }
    }
}

impl Metrics {
    pub(super) fn looked_up(&self, outcome: Lookup) {
        if let Some(count) = self.lookups.of(outcome) {
            count.inc();
        }
    }

    pub(super) fn refused(&self, reason: Refusal) {
        if let Some(count) = self.refusals.of(reason) {
            count.inc();
        }
    }

    pub(super) fn failed(&self, reason: CallFailure) {
        if let Some(count) = self.failures.of(reason) {
            count.inc();
        }
    }

    pub(super) fn called(&self, duration: Duration) {
        self.seconds.observe(duration);
    }

    pub(super) fn stored(&self, is_stored: bool) {
        self.unstored.inc_by(u64::from(!is_stored));
    }

    pub(super) fn turn_used(&self) {
        self.turns_used.inc();
    }

    pub(super) fn turns_lapsed(&self, count: u64) {
        self.turns_lapsed.inc_by(count);
    }

    pub(super) fn lookups(&self) -> Vec<(Lookup, u64)> {
        self.lookups.iter().map(|(outcome, count)| (outcome, count.get())).collect()
    }

    pub(super) fn refusals(&self) -> u64 {
        self.refusals.iter().map(|(_, count)| count.get()).sum()
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "cosbroker_redis_lookups",
            "Keys looked up in Redis after a miss in memory, by outcome",
            self.lookups.clone(),
        );
        registry.register(
            "cosbroker_redis_values_refused",
            "Values in Redis that were not used, by reason",
            self.refusals.clone(),
        );
        registry.register(
            "cosbroker_redis_call_failures",
            "Calls to Redis that failed, by reason",
            self.failures.clone(),
        );
        registry.register(
            "cosbroker_redis_keys_unstored",
            "Keys that could not be shared with the other replicas",
            self.unstored.clone(),
        );
        registry.register(
            "cosbroker_shared_turns_used",
            "Calls to STS made in a turn of the shared quota",
            self.turns_used.clone(),
        );
        registry.register(
            "cosbroker_shared_turns_lapsed",
            "Turns of the shared quota that this replica took and did not use",
            self.turns_lapsed.clone(),
        );
        registry.register(
            "cosbroker_redis_call_duration_seconds",
            "Duration of one call to Redis",
            self.seconds.clone(),
        );
    }
}

/// Writes the state of what replicas share at each scrape.
#[derive(Debug)]
pub(super) struct MetricsCollector(pub(super) Arc<Replicas>);

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.0.status();
        let mut writer = MetricsWriter::new(encoder);
        writer.gauge("cosbroker_redis_up", "1 while Redis is used", u32::from(now.redis_up))?;
        writer.gauge(
            "cosbroker_shared_quota",
            "1 while the replicas share the quota; while 0, each has its part of it",
            u32::from(now.quota_shared),
        )?;
        let present = now.fleet.iter().filter(|member| member.is_present()).count();
        writer.gauge("cosbroker_replicas", "Replicas seen lately, this one included", present)?;
        writer.gauge(
            "cosbroker_replica_templates_outdated",
            "1 while another replica serves a later version of the templates",
            u32::from(now.templates_outdated),
        )?;
        writer.gauge(
            "cosbroker_revocations_unannounced",
            "Revocations and restorations that the other replicas do not know yet",
            now.revocations_unannounced,
        )
    }
}
