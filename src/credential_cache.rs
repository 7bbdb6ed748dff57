//! Credential cache. Serves a cached credential, or fetches one from STS; concurrent requests for the same grant
//! share one STS call.
//!
//! Knows grants, the `sts` trait and time; nothing of tokens or HTTP. Start at
//! [`CredentialCache::credential_for`]; the way of a request stands in `issue`.

mod advice;
mod cache;
mod cached_credential;
mod coverage;
mod encoded;
mod freshness;
mod inventory;
mod issue;
mod limits;
mod metrics;
mod outcome;
mod recent;
mod revocation;
mod second_level;
mod shared_rate;
mod single_flight;
mod snapshot;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use self::{
    advice::Recorder,
    cache::Cache,
    inventory::Inventory,
    limits::{ScopeLimit, UserRateLimit},
    metrics::{Metrics, MetricsCollector},
    revocation::RevokedUsers,
    single_flight::SingleFlight,
    snapshot::RestoredCredentials,
};
pub use self::{
    advice::{Advice, Alternative, Figures, NoAdvice, Recorded, WhatIf},
    cached_credential::CachedCredential,
    coverage::StaleCoverage,
    encoded::ResponseShape,
    inventory::{ActiveCredential, ActiveCredentials, Coverage, CredentialPage, Cursor, KeyFilter, KeyOrder},
    outcome::{CacheOutcome, MissReason},
    revocation::{Revocation, TooManyRevoked},
    snapshot::SnapshotError,
};
use crate::{
    audit::Audit,
    config,
    replicas::Replicas,
    request::RequestContext,
    sts::{Sts, StsError},
};
use runtime::{clock::Clock, entropy::Entropy};
use templates::{
    Grant,
    fingerprint::Fingerprint,
    identity::{Identity, Principal},
};

/// STS failures remembered.
const MAX_CACHED_FAILURES: u64 = 10_000;

/// The cache of credentials.
#[derive(Debug, Clone)]
pub struct CredentialCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cache: Cache,
    restored: RestoredCredentials,
    inventory: Inventory,
    revoked: RevokedUsers,
    fetches: SingleFlight,
    /// Set once, if there are other replicas.
    replicas: OnceLock<Arc<Replicas>>,
    /// Failures that cannot pass by themselves, until when on the monotonic clock.
    failures: moka::sync::Cache<Fingerprint, (Duration, StsError)>,
    user_rate: UserRateLimit,
    scopes: ScopeLimit,
    rules: config::Cache,
    recorder: Recorder,
    metrics: Arc<Metrics>,
    sts: Arc<dyn Sts>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A served credential.
#[derive(Debug)]
pub struct ServedCredential {
    /// The credential and its grant.
    pub credential: Arc<CachedCredential>,
    /// How it was obtained.
    pub how: CacheOutcome,
}

/// State of the cache at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot {
    /// Cached credentials.
    pub entries: u64,
    /// Their approximate size.
    pub bytes: u64,
    /// Bound on `bytes`.
    pub max_bytes: u64,
    /// Credentials evicted since the start.
    pub evictions: u64,
    /// Whether the last revocation or restoration could not be written to `limits.revoked_file`.
    pub revocations_unsaved: bool,
    /// STS calls in flight.
    pub inflight_fetches: usize,
    /// How an outage of STS would be felt.
    pub stale_coverage: StaleCoverage,
}

/// Why a request gets no credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// An operator has revoked the user.
    #[error("this user is revoked")]
    Revoked,
    /// The user exceeds `limits.per_user`.
    #[error("this user exceeds limits.per_user")]
    RateLimited {
        /// Time until the next request is allowed.
        retry_after: Duration,
    },
    /// The user exceeds `limits.scopes_per_user`.
    #[error("this user exceeds limits.scopes_per_user")]
    TooManyScopes {
        /// Time until the first of the user's scoped credentials expires.
        retry_after: Duration,
    },
    /// The request asks for a longer TTL than the template's credentials can have.
    #[error("min_remaining is {} s; for this template at most {} s can be requested", requested.as_secs(), max.as_secs())]
    TtlTooLong {
        /// The requested TTL.
        requested: Duration,
        /// Upper bound for it.
        max: Duration,
    },
    /// STS issues none.
    #[error(transparent)]
    Sts(#[from] StsError),
}

impl CredentialCache {
    /// An empty cache whose STS calls run on `runtime`.
    pub fn new(
        rules: config::Cache,
        limits: &config::Limits,
        sts: Arc<dyn Sts>,
        audit: Audit,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        runtime: Handle,
    ) -> Self {
        let metrics = Arc::new(Metrics::default());
        Self(Arc::new(Inner {
            cache: Cache::new(rules.key_bytes(), Arc::clone(&clock), Arc::clone(&metrics)),
            restored: RestoredCredentials::default(),
            inventory: Inventory::new(rules.inventory_bytes(), clock.now()),
            revoked: RevokedUsers::new(limits.revoked.clone()),
            fetches: SingleFlight::new(runtime),
            replicas: OnceLock::new(),
            failures: moka::sync::Cache::new(MAX_CACHED_FAILURES),
            user_rate: UserRateLimit::new(limits.per_user, Arc::clone(&clock)),
            scopes: ScopeLimit::new(limits.scopes_per_user, Arc::clone(&clock)),
            rules,
            recorder: Recorder::new(rules.advice_bytes, Arc::clone(&clock)),
            metrics,
            sts,
            audit,
            clock,
            entropy,
        }))
    }

    /// Admits one request of a user.
    ///
    /// # Errors
    /// If the user is revoked or exceeds the rate limit.
    pub fn admit(&self, identity: &Identity) -> Result<(), CredentialError> {
        let principal = identity.principal();
        self.0.check_not_revoked(principal)?;
        let admitted = self.0.user_rate.admit(principal.fingerprint());
        admitted.map_err(|retry_after| CredentialError::RateLimited { retry_after })
    }

    /// Returns a credential for a grant, with at least `requested_ttl` left if the request asks for more than the
    /// minimum. `context` names the request in the audit log and the trace.
    ///
    /// # Errors
    /// Why there is none. While STS fails, an older credential is served as long as it is usable.
    pub async fn credential_for(
        &self,
        grant: &Arc<Grant>,
        requested_ttl: Option<Duration>,
        context: &RequestContext,
    ) -> Result<ServedCredential, CredentialError> {
        let result = self.serve(grant, requested_ttl, context).await;
        self.0.recorder.record(grant, requested_ttl, &result);
        result
    }

    /// Removes credentials that have expired, and the rate limits of users whose quota is full again. Iterates over all
    /// users: not for an async worker thread.
    pub fn remove_unused(&self) {
        self.0.cache.remove_expired();
        self.0.user_rate.remove_idle();
    }

    /// Waits until no STS call is in flight. Each call that succeeds has its audit line then.
    pub async fn wait_idle(&self) {
        self.0.fetches.wait_idle().await;
    }

    /// Whether the circuit to STS is open.
    pub fn is_circuit_open(&self) -> bool {
        self.0.sts.is_circuit_open()
    }

    /// State of the cache now. Iterates over all users: for scrapes, not for requests.
    pub fn snapshot(&self) -> Snapshot {
        let (entries, bytes) = self.0.cache.size();
        Snapshot {
            entries,
            bytes,
            max_bytes: self.0.rules.key_bytes(),
            evictions: self.0.metrics.evictions(),
            revocations_unsaved: self.0.revoked.is_unsaved(),
            inflight_fetches: self.0.fetches.count(),
            stale_coverage: self.0.cache.stale_coverage(self.0.clock.now()),
        }
    }

    /// Number of misses, by reason.
    pub fn misses(&self) -> Vec<(MissReason, u64)> {
        self.0.metrics.misses()
    }

    /// Registers the cache's metrics.
    pub fn register(&self, registry: &mut Registry) {
        self.0.metrics.register(registry);
        registry.register_collector(Box::new(MetricsCollector(self.clone())));
    }
}

impl Inner {
    fn check_not_revoked(&self, principal: &Principal) -> Result<(), CredentialError> {
        if self.revoked.contains(principal) { Err(CredentialError::Revoked) } else { Ok(()) }
    }
}

#[cfg(test)]
mod audit_tests;
#[cfg(test)]
mod metrics_tests;
#[cfg(test)]
mod refresh_tests;
#[cfg(test)]
mod revocation_tests;
#[cfg(test)]
mod scope_tests;
#[cfg(test)]
mod snapshot_tests;
#[cfg(test)]
mod tests;
