//! How the service stands at one moment, as plain values: what the page shows and `/api/status` answers.
//!
//! Reads what the other rooms count and hold; how it looks is for `page`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    AdminState,
    history::{Flow, Requests, Sample},
};
use crate::{
    audit, canary,
    credential_cache::{KeyFilter, Outcome},
    http::Refused,
    reload::StoreStatus,
    sts::BreakerState,
};

/// Everything at a glance.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) now: Timestamp,
    pub(super) started_at: Timestamp,
    pub(super) version: &'static str,
    /// What needs a person.
    pub(super) alarms: Vec<Alarm>,
    /// What went on before each moment of the last hour, the latest last.
    pub(super) hour: Vec<Flow>,
    /// Since the start, by outcome.
    pub(super) requests: BTreeMap<&'static str, u64>,
    /// Since the start, by reason.
    pub(super) misses: BTreeMap<&'static str, u64>,
    pub(super) cache: Cache,
    pub(super) outage: Outage,
    pub(super) sts: Sts,
    pub(super) issuers: Vec<Issuer>,
    pub(super) templates: StoreStatus,
    pub(super) keys: Keys,
    /// None where none is kept.
    pub(super) audit: Option<audit::Status>,
    /// None where isolation is not tried out.
    pub(super) canary: Option<canary::Snapshot>,
    /// The latest first.
    pub(super) refusals: Vec<Refused>,
}

/// Something that is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Alarm {
    pub(super) what: String,
    pub(super) help: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Cache {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) max_bytes: u64,
    pub(super) evictions: u64,
    /// Calls for a key under way.
    pub(super) flights: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Outage {
    pub(super) active_users: usize,
    /// Those of them whom memory can serve.
    pub(super) covered: usize,
    /// How long nine in ten of them could be; none where nobody is active.
    pub(super) survivable_seconds: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Sts {
    /// `closed`, `open` or `half_open`.
    pub(super) breaker: &'static str,
    pub(super) quota_limit: u32,
    pub(super) quota_allowed: u32,
    pub(super) quota_used: u32,
    pub(super) waiting: usize,
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) source_credentials_origin: &'static str,
    pub(super) source_credentials_age_seconds: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Issuer {
    /// Its `iss`.
    pub(super) name: String,
    pub(super) ready: bool,
    /// None where its keys are fixed.
    pub(super) key_set: Option<KeySet>,
}

#[derive(Debug, Serialize)]
pub(super) struct KeySet {
    pub(super) age_seconds: Option<u64>,
    pub(super) fetches: u64,
    pub(super) failures: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Keys {
    pub(super) active: usize,
    pub(super) expires_last_at: Option<Timestamp>,
    /// Living ones that there was no room to remember.
    pub(super) forgotten: u64,
    pub(super) known_since: Timestamp,
    /// People who are served no more.
    pub(super) revoked: usize,
    /// Whether the last change of that ends with this process, though there is a file to keep it.
    pub(super) revocations_unsaved: bool,
}

impl AdminState {
    /// Counters as they stand.
    pub(super) fn sample(&self) -> Sample {
        let requests = |wanted: fn(Outcome) -> bool| self.services.cache.requests(wanted);
        let waited = |outcome| matches!(outcome, Outcome::Fetched | Outcome::Coalesced);
        Sample {
            at: self.services.clock.now(),
            monotonic: self.services.clock.monotonic(),
            requests: Requests {
                hits: requests(Outcome::is_hit),
                waited: requests(waited),
                stale: requests(|outcome| outcome == Outcome::Stale),
                refused: requests(|outcome| outcome == Outcome::Refused),
            },
            misses: self.services.cache.misses().iter().map(|(_, count)| count).sum(),
            calls: self.services.sts.calls(),
            from_memory: self.services.requests.latency(Outcome::is_hit),
            from_sts: self.services.requests.latency(waited),
        }
    }

    /// Everything. Looks at every user and key: not for a thread that serves.
    pub(super) fn status(&self) -> Status {
        let services = &self.services;
        let sample = self.sample();
        let cache = services.cache.snapshot();
        let sts = services.sts.snapshot();
        let calls = services.sts.calls();
        let none = KeyFilter { limit: Some(0), ..KeyFilter::default() };
        let keys = services.cache.active_credentials(&none);
        let issuers = services.verifier.snapshot().into_iter().map(|issuer| Issuer {
            name: issuer.name.to_string(),
            ready: issuer.is_ready(),
            key_set: issuer.key_set.map(|set| KeySet {
                age_seconds: set.age.map(|age| age.as_secs()),
                fetches: set.fetches,
                failures: set.failures,
            }),
        });
        let outcomes =
            Outcome::ALL.map(|wanted| (wanted.name(), services.cache.requests(|outcome| outcome == wanted)));
        let mut status = Status {
            now: sample.at,
            started_at: self.started_at,
            version: env!("CARGO_PKG_VERSION"),
            alarms: Vec::new(),
            hour: self.history.until(&sample),
            requests: outcomes.into(),
            misses: services.cache.misses().into_iter().collect(),
            cache: Cache {
                entries: cache.entries,
                bytes: cache.bytes,
                max_bytes: cache.max_bytes,
                evictions: cache.evictions,
                flights: cache.flights,
            },
            outage: Outage {
                active_users: cache.outage.active,
                covered: cache.outage.covered,
                survivable_seconds: cache.outage.survivable.map(|span| span.as_secs()),
            },
            sts: Sts {
                breaker: sts.breaker.name(),
                quota_limit: sts.quota.limit,
                quota_allowed: sts.quota.allowed,
                quota_used: sts.quota.used,
                waiting: sts.quota.waiting,
                calls: calls.made,
                failed: calls.failed,
                source_credentials_origin: sts.source_credentials.source,
                source_credentials_age_seconds: sts.source_credentials.age.map(|age| age.as_secs()),
            },
            issuers: issuers.collect(),
            templates: services.templates.status(),
            keys: Keys {
                active: keys.active,
                expires_last_at: keys.expires_last_at,
                forgotten: keys.coverage.forgotten,
                known_since: keys.coverage.known_since,
                revoked: services.cache.revoked().len(),
                revocations_unsaved: cache.revocations_unsaved,
            },
            audit: services.audit.status(),
            canary: services.canary.as_ref().map(|canary| canary.snapshot()),
            refusals: services.recent.list(),
        };
        status.alarms = status.needs_a_person();
        status
    }
}

/// Of the quota, what may be used before somebody should know.
const MUCH_OF_THE_QUOTA: f64 = 0.8;

impl Status {
    /// What went on in the last minute; none before anything could.
    pub(super) fn lately(&self) -> Option<&Flow> {
        self.hour.last()
    }

    fn needs_a_person(&self) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        let mut alarm = |what: String, help: &str| alarms.push(Alarm { what, help: help.to_owned() });
        if let Some(breach) = self.canary.as_ref().and_then(|canary| canary.breach.as_ref()) {
            alarm(
                format!("ISOLATION IS BROKEN: one made-up user reached the objects of another: {breach}"),
                "look at the bucket's policy and ACL and run cosbroker verify-isolation; if the bucket is not open to everybody, stop this broker",
            );
        }
        let last_run = self.canary.as_ref().and_then(|canary| canary.last.as_ref());
        if let Some(run) = last_run.filter(|run| run.outcome == canary::Outcome::OwnRefused) {
            let why = run.why.as_deref().unwrap_or("see the log");
            alarm(
                format!("COS refuses what a template grants, so users cannot write: {why}"),
                "look at the rights of the operator's key, at the bucket's policy, and that the template names the bucket and its region",
            );
        }
        if self.sts.breaker != BreakerState::Closed.name() {
            alarm(
                "STS is left alone after ten failures in a row: users without a living key get none"
                    .to_owned(),
                "look at the refusals below and the service's log for what STS said; it is tried again by itself",
            );
        }
        if let Some(flow) = self.lately().filter(|flow| flow.sts_failures_per_second > 0.0) {
            let failed = flow.sts_failures_per_second / flow.sts_calls_per_second;
            alarm(
                format!("{:.0} % of the calls to STS failed in the last minute", failed * 100.0),
                "cosbroker_sts_calls_total says with which code: keys and templates are mended by you, the rest is retried",
            );
        }
        if self.sts.quota_allowed < self.sts.quota_limit {
            let Sts { quota_allowed, quota_limit, .. } = self.sts;
            alarm(
                format!("STS throttles: {quota_allowed} calls a second are made at most, of {quota_limit}"),
                "others use the account's quota; lower sts.calls_per_second or ask Tencent for more",
            );
        }
        let allowed = f64::from(self.sts.quota_allowed);
        if self.lately().is_some_and(|flow| flow.sts_calls_per_second > MUCH_OF_THE_QUOTA * allowed) {
            alarm(
                format!("the quota of {} calls to STS a second is nearly used", self.sts.quota_allowed),
                "raise sts.calls_per_second if the account has more, or let keys live longer",
            );
        }
        if let Some(problem) = self.templates.problems.first() {
            alarm(
                format!("the templates' folder cannot serve, the last good set goes on: {problem}"),
                "mend the file",
            );
        }
        for issuer in self.issuers.iter().filter(|issuer| !issuer.ready) {
            alarm(
                format!("tokens of {} cannot be checked: its key set cannot be had", issuer.name),
                "see that its jwks_url answers from here; the log says what came",
            );
        }
        if self.keys.revocations_unsaved {
            alarm(
                "the last change of who is revoked ends with this process: limits.revoked_file cannot be written"
                    .to_owned(),
                "give its folder room or rights, then revoke again: that writes everybody down",
            );
        }
        if self.audit.is_some_and(|audit| audit.failing) {
            alarm(
                "the audit log cannot be written".to_owned(),
                "give its disk room; what waits is written then",
            );
        }
        if let Some(audit) = self.audit.filter(|audit| audit.lost > 0) {
            alarm(
                format!("{} audit lines are lost since the start", audit.lost),
                "give the disk room, or a faster one; the log itself says where they are missing",
            );
        }
        alarms
    }
}
