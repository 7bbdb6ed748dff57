//! The way of one request through the cache: lookup, refresh ahead, miss, single-flight fetch from STS.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    CredentialCache, CredentialError, Inner, ServedCredential,
    cache::{Lookup, Miss},
    cached_credential::CachedCredential,
    freshness::{self, FreshnessRequirement},
    outcome::CacheOutcome,
    single_flight::{FetchResult, Joined},
};
use crate::{
    audit::Event,
    request::RequestContext,
    sts::{StsError, TemporaryCredential, Urgency},
};
use templates::Grant;

/// How long an STS failure that cannot pass by itself is returned for the same grant without another call.
pub(super) const FAILURE_CACHE_TTL: Duration = Duration::from_secs(1);

impl CredentialCache {
    /// Serves a credential from the cache or from STS.
    pub(super) async fn serve(
        &self,
        grant: &Arc<Grant>,
        requested_ttl: Option<Duration>,
        context: &RequestContext,
    ) -> Result<ServedCredential, CredentialError> {
        self.0.check_not_revoked(grant.principal())?;
        let required = self.0.requirement(grant, requested_ttl)?;
        let now = self.0.clock.now();
        match self.0.cache.find(grant, required, now) {
            Lookup::Fresh(credential) => {
                let refreshed = self.spawn_refresh_if_due(&credential, now, context);
                let how = if refreshed { CacheOutcome::Refreshed } else { CacheOutcome::Hit };
                Ok(ServedCredential { credential, how })
            }
            Lookup::Miss(miss) => self.serve_miss(grant, required, miss, context).await,
        }
    }

    async fn serve_miss(
        &self,
        grant: &Arc<Grant>,
        required: FreshnessRequirement,
        Miss { reason, stale }: Miss,
        context: &RequestContext,
    ) -> Result<ServedCredential, CredentialError> {
        let admitted = self.0.scopes.admit(grant);
        let is_new_scope = admitted.map_err(|retry_after| CredentialError::TooManyScopes { retry_after })?;
        self.0.metrics.missed(reason);
        let guard = AbandonGuard { inner: &self.0, unserved: stale.is_none().then_some(&**grant) };
        let fetched = self.fetch(grant, required, context).await;
        guard.disarm();
        // The user may have been revoked while the request waited.
        self.0.check_not_revoked(grant.principal())?;
        let error = match fetched {
            Ok(served) => return Ok(served),
            Err(error) => error,
        };
        let now = self.0.clock.now();
        // The older credential may have come too near its end while the request waited.
        if let Some(credential) = stale.filter(|credential| credential.is_servable_stale(now)) {
            return Ok(ServedCredential { credential, how: CacheOutcome::Stale });
        }
        if is_new_scope {
            self.0.scopes.release(grant);
        }
        self.0.cache.record_unserved(grant, now);
        Err(error.into())
    }

    /// Starts a refresh if it is due, and says whether it did. No request waits for it.
    fn spawn_refresh_if_due(
        &self,
        cached: &Arc<CachedCredential>,
        now: Timestamp,
        context: &RequestContext,
    ) -> bool {
        if !cached.try_claim_refresh(now, self.0.clock.monotonic()) {
            return false;
        }
        let joined = self.join_or_start(cached.grant(), Urgency::Background, context, || {
            self.0.cache.peek(cached.grant()).filter(|other| !Arc::ptr_eq(other, cached))
        });
        matches!(joined, Joined::Waiter(waiter) if !waiter.joined)
    }

    /// Fetches a credential, with one STS call for all requests that wait.
    pub(super) async fn fetch(
        &self,
        grant: &Arc<Grant>,
        required: FreshnessRequirement,
        context: &RequestContext,
    ) -> Result<ServedCredential, StsError> {
        loop {
            if let Some(error) = self.0.recent_failure(grant) {
                return Err(error);
            }
            let joined = self.join_or_start(grant, Urgency::UserWaits, context, || {
                match self.0.cache.find(grant, required, self.0.clock.now()) {
                    Lookup::Fresh(cached) => Some(cached),
                    Lookup::Miss(_) => None,
                }
            });
            let waiter = match joined {
                Joined::Waiter(waiter) => waiter,
                Joined::Cached(credential) => {
                    return Ok(ServedCredential { credential, how: CacheOutcome::Coalesced });
                }
            };
            let (joined, is_background) = (waiter.joined, waiter.is_background());
            match waiter.result().await {
                Ok(credential) => {
                    let how = if joined { CacheOutcome::Coalesced } else { CacheOutcome::Fetched };
                    return Ok(ServedCredential { credential, how });
                }
                // A background refresh gives up sooner than a request would: the request makes its own call.
                Err(StsError::QuotaExhausted { .. }) if joined && is_background => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn join_or_start(
        &self,
        grant: &Arc<Grant>,
        urgency: Urgency,
        context: &RequestContext,
        lookup: impl FnOnce() -> Option<Arc<CachedCredential>>,
    ) -> Joined {
        self.0.fetches.join_or_start(grant.fingerprint(), urgency, lookup, || {
            let (inner, grant, context) = (Arc::clone(&self.0), Arc::clone(grant), *context);
            async move { inner.fetch_and_store(grant, urgency, context).await }
        })
    }
}

impl Inner {
    fn requirement(
        &self,
        grant: &Grant,
        requested_ttl: Option<Duration>,
    ) -> Result<FreshnessRequirement, CredentialError> {
        let lifetime = grant.duration();
        let min_ttl = freshness::min_ttl(self.rules.min_remaining, lifetime);
        let version = self.sts.source_credentials_version();
        FreshnessRequirement::new(min_ttl, requested_ttl, lifetime, version)
            .map_err(|error| CredentialError::TtlTooLong { requested: error.requested, max: error.max })
    }

    fn recent_failure(&self, grant: &Grant) -> Option<StsError> {
        let (until, error) = self.failures.get(&grant.fingerprint())?;
        (self.clock.monotonic() < until).then_some(error)
    }

    /// Fetches a credential from STS and stores it in the cache.
    async fn fetch_and_store(
        &self,
        grant: Arc<Grant>,
        urgency: Urgency,
        context: RequestContext,
    ) -> FetchResult {
        // Read before the call, so that a rotation during the call counts as one after it.
        let source_credentials_version = self.sts.source_credentials_version();
        match self.sts.issue(Arc::clone(&grant), urgency, context.trace).await {
            Ok(credential) => {
                // Recorded before any request is served it, even if no request waits any more.
                let how = match urgency {
                    Urgency::UserWaits => CacheOutcome::Fetched,
                    Urgency::Background => CacheOutcome::Refreshed,
                };
                self.audit.record(Event::issue(how.name(), Some(context), &grant, &credential));
                Ok(self.store(credential, grant, source_credentials_version))
            }
            Err(error) => {
                if error.is_final() {
                    let until = self.clock.monotonic() + FAILURE_CACHE_TTL;
                    self.failures.insert(grant.fingerprint(), (until, error.clone()));
                }
                Err(error)
            }
        }
    }

    fn store(
        &self,
        credential: TemporaryCredential,
        grant: Arc<Grant>,
        source_credentials_version: u64,
    ) -> Arc<CachedCredential> {
        let now = self.clock.now();
        let ttl = runtime::clock::time_until(credential.expires_at, now);
        let margin = freshness::refresh_margin(ttl, self.rules.refresh_at, self.entropy.unit());
        let cached = Arc::new(CachedCredential::new(credential, grant, source_credentials_version, margin));
        // Before any request is served it: a served credential is always in the inventory.
        self.inventory.add(&cached, now);
        self.cache.insert(Arc::clone(&cached));
        cached
    }
}

/// Records a user as unserved if their client disconnects while waiting for STS. Without this, an outage in which
/// clients time out first would not show in the stale coverage.
struct AbandonGuard<'a> {
    inner: &'a Inner,
    /// None if an older credential could still serve the user, or once disarmed.
    unserved: Option<&'a Grant>,
}

impl AbandonGuard<'_> {
    fn disarm(mut self) {
        self.unserved = None;
    }
}

impl Drop for AbandonGuard<'_> {
    fn drop(&mut self) {
        if let Some(grant) = self.unserved {
            self.inner.cache.record_unserved(grant, self.inner.clock.now());
        }
    }
}
