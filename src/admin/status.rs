//! The state of the service at one moment: what the page shows and `/api/status` responds with.
//!
//! Values keep their types here and become names when they are serialised.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

pub(super) use super::fleet::Replicas;
use super::{
    AdminState,
    alarms::{Alarm, AlarmKind, Conditions},
    history::{Rates, RequestCounts, Sample},
    template_history::{Mark, TemplateUse, Versions},
};
use crate::{
    audit, canary,
    credential_cache::{self, ActiveCredentials, CacheOutcome, KeyFilter, MissReason},
    http::{OutcomeLabel, RecentRefusal},
    identity::{self, IssuerStatus},
    reload::StoreStatus,
    sts::{self, BreakerState, Calls, Sts as _},
};

/// The state of the service.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) now: Timestamp,
    pub(super) started_at: Timestamp,
    pub(super) version: &'static str,
    /// What an operator must act on.
    pub(super) alarms: Vec<Alarm>,
    /// The users who got no key in the last minute through no fault of theirs, up to 10,000.
    pub(super) failing_users: usize,
    /// The rates before each sample of the last hour, the latest last.
    pub(super) hour: Vec<Rates>,
    /// Requests since the start, by outcome.
    #[serde(serialize_with = "outcomes_by_name")]
    pub(super) requests: Vec<(OutcomeLabel, u64)>,
    /// Cache misses since the start, by reason.
    #[serde(serialize_with = "reasons_by_name")]
    pub(super) misses: Vec<(MissReason, u64)>,
    pub(super) cache: Cache,
    pub(super) stale_coverage: StaleCoverage,
    pub(super) sts: Sts,
    pub(super) issuers: Vec<Issuer>,
    pub(super) templates: StoreStatus,
    pub(super) keys: Keys,
    /// None if the audit log is off.
    pub(super) audit: Option<audit::Status>,
    /// None if no canary is configured.
    pub(super) canary: Option<canary::Snapshot>,
    /// None if nothing is shared with other replicas.
    pub(super) replicas: Option<Replicas>,
    /// The latest refusals, the latest first.
    pub(super) refusals: Vec<RecentRefusal>,
    /// The rates between the samples of the last day, for charts.
    #[serde(skip)]
    pub(super) day: Vec<Rates>,
    /// What happened in the last day, for charts.
    #[serde(skip)]
    pub(super) marks: Vec<Mark>,
    /// How each template is used.
    #[serde(skip)]
    pub(super) template_uses: Vec<TemplateUse>,
}

/// The state of the credential cache.
#[derive(Debug, Serialize)]
pub(super) struct Cache {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) max_bytes: u64,
    pub(super) evictions: u64,
    pub(super) inflight_fetches: usize,
}

/// How long the cache could serve the active users without STS.
#[derive(Debug, Serialize)]
pub(super) struct StaleCoverage {
    pub(super) active_users: usize,
    /// Active users with a cached credential.
    pub(super) covered: usize,
    /// How long nine in ten active users could be served; none without active users.
    pub(super) seconds: Option<u64>,
}

/// The state of the STS client.
#[derive(Debug, Serialize)]
pub(super) struct Sts {
    #[serde(serialize_with = "breaker_name")]
    pub(super) breaker: BreakerState,
    pub(super) quota_limit: u32,
    pub(super) quota_allowed: u32,
    pub(super) quota_used: u32,
    pub(super) waiting: usize,
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) source_credentials_origin: &'static str,
    /// None if they were never read.
    pub(super) source_credentials_age_seconds: Option<u64>,
}

/// The state of a trusted issuer.
#[derive(Debug, Serialize)]
pub(super) struct Issuer {
    pub(super) name: String,
    pub(super) ready: bool,
    /// None if its keys are in the configuration.
    pub(super) key_set: Option<KeySet>,
    /// Which checks the configuration turns off.
    pub(super) warnings: Vec<String>,
}

/// The state of an issuer's key set.
#[derive(Debug, Serialize)]
pub(super) struct KeySet {
    /// None if it was never fetched.
    pub(super) age_seconds: Option<u64>,
    pub(super) fetches: u64,
    pub(super) failures: u64,
    /// Why the last attempt to fetch it failed, if it did.
    pub(super) last_failure: Option<String>,
    /// Its keys that are not used.
    pub(super) dropped_keys: Vec<DroppedKey>,
}

/// A key of a key set that is not used.
#[derive(Debug, Serialize)]
pub(super) struct DroppedKey {
    /// None if it has none.
    pub(super) kid: Option<String>,
    pub(super) reason: String,
}

/// Active keys and revoked users.
#[derive(Debug, Serialize)]
pub(super) struct Keys {
    pub(super) active: usize,
    pub(super) expires_last_at: Option<Timestamp>,
    /// Active keys that the inventory had no space for.
    pub(super) forgotten: u64,
    pub(super) known_since: Timestamp,
    /// The number of revoked users.
    pub(super) revoked: usize,
    /// Whether the last revocation could not be written to its file, and ends with this process.
    pub(super) revocations_unsaved: bool,
}

impl AdminState {
    /// Returns the counters now.
    pub(super) fn sample(&self) -> Sample {
        let services = &self.services;
        Sample {
            at: services.clock.now(),
            monotonic: services.clock.monotonic(),
            requests: RequestCounts {
                hits: services.requests.requests(OutcomeLabel::is_hit),
                waited: services.requests.requests(OutcomeLabel::waited_for_sts),
                stale: services.requests.requests(is_stale),
                refused: services.requests.requests(|outcome| outcome == OutcomeLabel::Refused),
            },
            server_errors: services.requests.server_errors(),
            misses: services.cache.misses().iter().map(|(_, count)| count).sum(),
            calls: services.sts.calls(),
            cache_latency: services.requests.latency(OutcomeLabel::is_hit),
            sts_latency: services.requests.latency(OutcomeLabel::waited_for_sts),
        }
    }

    /// Records a sample of the counters for the charts, what has changed meanwhile, and since when alarms are active. To be
    /// called every [`SAMPLE_INTERVAL`](super::SAMPLE_INTERVAL). Does nothing that takes longer with more users.
    pub(crate) fn record_sample(&self) {
        let services = &self.services;
        let sample = self.sample();
        let (now, monotonic) = (sample.at, sample.monotonic);
        let rates = self.history.rates_until(&sample);
        self.history.record(sample);
        self.templates.record(monotonic, || services.requests.by_template());
        let templates = services.templates.status();
        let versions = Versions {
            loaded_at: templates.loaded_at,
            source_credentials: services.sts.source_credentials_version(),
        };
        self.templates.observe(monotonic, versions);
        let issuers: Vec<Issuer> = services.verifier.snapshot().iter().map(Issuer::of).collect();
        let mut alarms = Conditions {
            rates: rates.last(),
            sts: &Sts::of(&services.sts.snapshot(), services.sts.calls()),
            issuers: &issuers,
            template_problems: &templates.problems,
            // To know it, the whole cache is looked through, which only the page and the API do.
            revocations_unsaved: self.alarm_starts.has(AlarmKind::Revocations),
            audit: services.audit.status().as_ref(),
            canary: services.canary.as_ref().map(|canary| canary.snapshot()).as_ref(),
            replicas: services.replicas.as_ref().map(|replicas| Replicas::of(replicas.status())).as_ref(),
        }
        .alarms();
        self.alarm_starts.date(&mut alarms, now);
    }

    /// Returns the whole state. Iterates over all users and keys: not for the listener's thread.
    pub(super) fn status(&self) -> Status {
        let services = &self.services;
        let sample = self.sample();
        let cache = services.cache.snapshot();
        let mut status = Status {
            now: sample.at,
            started_at: self.started_at,
            version: env!("CARGO_PKG_VERSION"),
            alarms: Vec::new(),
            failing_users: services.recent.failing_users(sample.at),
            hour: self.history.rates_until(&sample),
            requests: self.requests_by_outcome(),
            misses: services.cache.misses(),
            stale_coverage: StaleCoverage::of(&cache),
            sts: Sts::of(&services.sts.snapshot(), services.sts.calls()),
            issuers: services.verifier.snapshot().iter().map(Issuer::of).collect(),
            templates: services.templates.status(),
            keys: self.keys(&cache),
            cache: Cache::of(&cache),
            audit: services.audit.status(),
            canary: services.canary.as_ref().map(|canary| canary.snapshot()),
            replicas: services.replicas.as_ref().map(|replicas| Replicas::of(replicas.status())),
            refusals: services.recent.list(),
            day: self.history.rates_of_day(&sample),
            marks: self.templates.marks(),
            template_uses: self.templates.uses(sample.monotonic, services.requests.by_template()),
        };
        status.alarms = status.conditions().alarms();
        self.alarm_starts.date(&mut status.alarms, status.now);
        status
    }

    fn requests_by_outcome(&self) -> Vec<(OutcomeLabel, u64)> {
        OutcomeLabel::ALL
            .map(|wanted| (wanted, self.services.requests.requests(|outcome| outcome == wanted)))
            .into()
    }

    fn keys(&self, cache: &credential_cache::Snapshot) -> Keys {
        let count_only = KeyFilter { limit: Some(0), ..KeyFilter::default() };
        let ActiveCredentials { active, expires_last_at, coverage, .. } =
            self.services.cache.active_credentials(&count_only);
        Keys {
            active,
            expires_last_at,
            forgotten: coverage.forgotten,
            known_since: coverage.known_since,
            revoked: self.services.cache.revoked().len(),
            revocations_unsaved: cache.revocations_unsaved,
        }
    }
}

impl Status {
    fn conditions(&self) -> Conditions<'_> {
        Conditions {
            rates: self.current_rates(),
            sts: &self.sts,
            issuers: &self.issuers,
            template_problems: &self.templates.problems,
            revocations_unsaved: self.keys.revocations_unsaved,
            audit: self.audit.as_ref(),
            canary: self.canary.as_ref(),
            replicas: self.replicas.as_ref(),
        }
    }

    /// Returns the rates of the last minute; none right after the start.
    pub(super) fn current_rates(&self) -> Option<&Rates> {
        self.hour.last()
    }
}

impl Cache {
    fn of(cache: &credential_cache::Snapshot) -> Self {
        Self {
            entries: cache.entries,
            bytes: cache.bytes,
            max_bytes: cache.max_bytes,
            evictions: cache.evictions,
            inflight_fetches: cache.inflight_fetches,
        }
    }
}

impl StaleCoverage {
    fn of(cache: &credential_cache::Snapshot) -> Self {
        Self {
            active_users: cache.stale_coverage.active_users,
            covered: cache.stale_coverage.covered,
            seconds: cache.stale_coverage.duration.map(|duration| duration.as_secs()),
        }
    }
}

impl Sts {
    fn of(sts: &sts::Snapshot, calls: Calls) -> Self {
        Self {
            breaker: sts.breaker,
            quota_limit: sts.quota.limit,
            quota_allowed: sts.quota.allowed,
            quota_used: sts.quota.used,
            waiting: sts.quota.waiting,
            calls: calls.made,
            failed: calls.failed,
            source_credentials_origin: sts.source_credentials.source,
            source_credentials_age_seconds: sts.source_credentials.age.map(|age| age.as_secs()),
        }
    }
}

impl Issuer {
    fn of(issuer: &IssuerStatus) -> Self {
        Self {
            name: issuer.name.to_string(),
            ready: issuer.is_ready(),
            key_set: issuer.key_set.as_ref().map(|set| KeySet {
                age_seconds: set.age.map(|age| age.as_secs()),
                fetches: set.fetches,
                failures: set.failures,
                last_failure: set.last_failure.as_ref().map(ToString::to_string),
                dropped_keys: set.dropped.iter().map(DroppedKey::of).collect(),
            }),
            warnings: issuer.warnings.clone(),
        }
    }
}

impl DroppedKey {
    fn of(key: &identity::DroppedKey) -> Self {
        Self { kid: key.kid.clone(), reason: key.reason.clone() }
    }
}

fn is_stale(outcome: OutcomeLabel) -> bool {
    outcome == OutcomeLabel::Served(CacheOutcome::Stale)
}

fn outcomes_by_name<S: Serializer>(counts: &[(OutcomeLabel, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().map(|(outcome, count)| (outcome.name(), count)))
}

fn reasons_by_name<S: Serializer>(counts: &[(MissReason, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().map(|(reason, count)| (reason.name(), count)))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference to the field")]
fn breaker_name<S: Serializer>(state: &BreakerState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.name())
}
