//! What this replica tells the others of itself, and what it knows of them.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::AdminState;
use crate::{
    http::Readiness,
    replicas::{self, Lookup, Member, Replica, ReplicaState},
};

/// What this replica shares with others.
#[derive(Debug, Serialize)]
pub(super) struct Replicas {
    /// The name of this replica.
    pub(super) id: String,
    pub(super) redis_up: bool,
    /// Why Redis is not used; none while it is.
    pub(super) problem: Option<String>,
    /// Whether the quota is that of all replicas; if not, this replica has its part of it.
    pub(super) quota_shared: bool,
    /// Calls to STS a second that this replica may make alone.
    pub(super) quota_alone: u32,
    /// How many replicas the configuration expects.
    pub(super) expected: u32,
    /// The replicas heard of in the last half minute, this one included; none while they are unknown.
    pub(super) fleet: Vec<FleetMember>,
    /// Since when the replicas are unknown; none while they are known.
    pub(super) fleet_unknown_since: Option<Timestamp>,
    /// Whether another serves a later version of the templates.
    pub(super) templates_outdated: bool,
    /// Revocations and restorations that the others do not know yet.
    pub(super) revocations_unannounced: usize,
    /// Keys looked up in Redis since the start, by outcome.
    #[serde(serialize_with = "lookups_by_name")]
    pub(super) lookups: Vec<(Lookup, u64)>,
    /// Values in Redis that were not used because they were altered, moved, written by others, or expired.
    pub(super) values_refused: u64,
}

/// A replica of the fleet.
#[derive(Debug, Serialize)]
pub(super) struct FleetMember {
    #[serde(flatten)]
    pub(super) replica: Replica,
    /// Whether it is this one.
    pub(super) this: bool,
    /// Whether it was heard of lately.
    pub(super) present: bool,
    #[serde(rename = "unheard_for_seconds", serialize_with = "whole_seconds")]
    pub(super) unheard_for: Duration,
    /// Whether another serves a later version of the templates.
    pub(super) templates_outdated: bool,
}

impl Replicas {
    pub(super) fn of(status: replicas::Status) -> Self {
        Self {
            id: status.id,
            redis_up: status.redis_up,
            problem: status.problem,
            quota_shared: status.quota_shared,
            quota_alone: status.quota_alone,
            expected: status.expected,
            fleet: status.fleet.into_iter().map(FleetMember::of).collect(),
            fleet_unknown_since: status.fleet_unknown_since,
            templates_outdated: status.templates_outdated,
            revocations_unannounced: status.revocations_unannounced,
            lookups: status.lookups,
            values_refused: status.values_refused,
        }
    }
}

impl FleetMember {
    fn of(member: Member) -> Self {
        Self {
            this: member.is_this,
            present: member.is_present(),
            unheard_for: member.unheard_for,
            templates_outdated: member.is_outdated,
            replica: member.replica,
        }
    }
}

impl AdminState {
    /// Returns what this replica tells the others of itself. Called several times a second: nothing in it takes longer with
    /// more users. `name` is the one that operators know it by.
    pub(crate) fn replica_state(&self, name: String) -> ReplicaState {
        let services = &self.services;
        let (sts, rates) = (services.sts.snapshot(), self.history.latest());
        ReplicaState {
            name,
            templates: services.templates.current().version().short().to_string(),
            ready: Readiness::of(&services.verifier, &services.cache, services.stopping.is_cancelled())
                .is_ready(),
            hit_rate: rates.as_ref().and_then(|rates| rates.hit_rate),
            active_keys: services.cache.active_count(),
            sts_calls_per_second: rates.map(|rates| rates.sts_calls_per_second),
            sts_calls_allowed: sts.quota.allowed,
            quota_shared: services.replicas.as_ref().is_some_and(|replicas| replicas.quota().is_shared()),
            breaker: sts.breaker.name().to_owned(),
            alarm: self.alarm_starts.most_severe().map(|severity| severity.name().to_owned()),
        }
    }
}

fn lookups_by_name<S: Serializer>(counts: &[(Lookup, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().map(|(outcome, count)| (outcome.name(), count)))
}

fn whole_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}
