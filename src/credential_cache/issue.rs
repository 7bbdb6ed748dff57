//! The way of one request through the cache: lookup, refresh ahead, miss, single-flight fetch from STS.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    CredentialCache, CredentialError, Inner, ServedCredential,
    cache::{Lookup, Miss},
    cached_credential::CachedCredential,
    freshness::{self, FreshnessRequirement},
    outcome::{CacheOutcome, MissReason},
    single_flight::{FetchResult, FetchTerms, Fetched, Joined, Waiter},
};
use crate::{
    audit::Event,
    request::RequestContext,
    sts::{IssueRequest, Priority, StsError, TemporaryCredential},
};
use runtime::clock::time_until;
use templates::Grant;

/// How long a request waits for a fetch if an active credential can be served instead. Healthy answers arrive within
/// it; a failed attempt ends the wait at once.
pub(super) const STALE_PATIENCE: Duration = Duration::from_millis(500);
/// `Retry-After` of a request whose time ended while its fetch goes on.
pub(super) const UNFINISHED_RETRY_AFTER: Duration = Duration::from_secs(1);

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
        let mut found = self.0.cache.find(grant, required, now);
        if matches!(found, Lookup::Miss(Miss { reason: MissReason::Cold, .. })) && self.0.restore(grant) {
            found = self.0.cache.find(grant, required, now);
        }
        match found {
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
        let fetched = if stale.is_some() && may_serve_early(reason) {
            self.fetch_briefly(grant, required, context).await
        } else {
            let priority = if stale.is_some() { Priority::KeyExpiresSoon } else { Priority::NoActiveKey };
            self.fetch(grant, priority, required, context).await
        };
        guard.disarm();
        // The user may have been revoked while the request waited.
        self.0.check_not_revoked(grant.principal())?;
        let error = match fetched {
            Ok(served) => {
                self.0.scopes.hold(grant, served.credential.ttl(self.0.clock.now()));
                return Ok(served);
            }
            Err(error) => error,
        };
        let now = self.0.clock.now();
        // Another replica's credential may have come meanwhile, which is too old for this request but active.
        let stale = stale.or_else(|| self.0.cache.peek(grant).filter(|cached| !cached.is_superseded()));
        // The older credential may have come too near its end while the request waited.
        if let Some(credential) = stale.filter(|credential| credential.is_servable_stale(now)) {
            return Ok(ServedCredential { credential, how: CacheOutcome::Stale });
        }
        if is_new_scope {
            self.0.scopes.release(grant);
        }
        if !matches!(error, CredentialError::TooManyScopes { .. }) {
            self.0.cache.record_unserved(grant, now);
        }
        Err(error)
    }

    /// Starts a refresh if it is due, and says whether it did. No request waits for it.
    fn spawn_refresh_if_due(
        &self,
        cached: &Arc<CachedCredential>,
        now: Timestamp,
        context: &RequestContext,
    ) -> bool {
        if !cached.is_refresh_due(now) || !cached.try_claim_refresh(self.0.clock.monotonic()) {
            return false;
        }
        let ttl = self.0.min_ttl(cached.grant());
        let joined = self.join_or_start(cached.grant(), Priority::Refresh, ttl, context, || {
            self.0.cache.peek(cached.grant()).filter(|other| !Arc::ptr_eq(other, cached))
        });
        matches!(joined, Joined::Waiter(waiter) if !waiter.joined)
    }

    /// Fetches a credential, with one STS call for all requests that wait. The request waits for as long as STS may
    /// take; the fetch goes on by itself, and its credential is kept.
    pub(super) async fn fetch(
        &self,
        grant: &Arc<Grant>,
        priority: Priority,
        required: FreshnessRequirement,
        context: &RequestContext,
    ) -> Result<ServedCredential, CredentialError> {
        let fetched = self.fetch_repeatedly(grant, priority, required, context);
        tokio::time::timeout(self.0.sts.timeout(), fetched).await.unwrap_or_else(|_| {
            let detail = "no answer in time".to_owned();
            Err(StsError::Unavailable { detail, retry_after: UNFINISHED_RETRY_AFTER }.into())
        })
    }

    async fn fetch_repeatedly(
        &self,
        grant: &Arc<Grant>,
        priority: Priority,
        required: FreshnessRequirement,
        context: &RequestContext,
    ) -> Result<ServedCredential, CredentialError> {
        loop {
            let waiter = match self.start_fetch(grant, priority, required, context)? {
                Joined::Waiter(waiter) => waiter,
                Joined::Cached(credential) => return Ok(coalesced(credential)),
            };
            let (joined, started_with) = (waiter.joined, waiter.terms().priority);
            match waiter.result().await {
                // A fetch of lower priority gives up sooner than this request would: it makes its own.
                Err(CredentialError::Sts(StsError::QuotaExhausted { .. }))
                    if joined && started_with > priority => {}
                // The fetch brought another replica's credential, which is enough for who started it.
                Ok(Fetched { credential, is_shared: true })
                    if joined && required.check(credential.freshness(self.0.clock.now())).is_err() => {}
                result => return result.map(|fetched| served(fetched, joined)),
            }
        }
    }

    /// Fetches a credential for a request that can be served an older one instead: it does not wait for long, nor for
    /// another attempt once one failed. The fetch goes on by itself.
    async fn fetch_briefly(
        &self,
        grant: &Arc<Grant>,
        required: FreshnessRequirement,
        context: &RequestContext,
    ) -> Result<ServedCredential, CredentialError> {
        let waiter = match self.start_fetch(grant, Priority::KeyExpiresSoon, required, context)? {
            Joined::Waiter(waiter) => waiter,
            Joined::Cached(credential) => return Ok(coalesced(credential)),
        };
        let joined = waiter.joined;
        let left = self.patience_left(&waiter);
        match tokio::time::timeout(left, waiter.result_unless_delayed()).await {
            Ok(Some(result)) => result.map(|fetched| served(fetched, joined)),
            Ok(None) | Err(_) => Err(StsError::Unavailable {
                detail: "no answer yet".to_owned(),
                retry_after: UNFINISHED_RETRY_AFTER,
            }
            .into()),
        }
    }

    fn patience_left(&self, waiter: &Waiter) -> Duration {
        let elapsed = self.0.clock.monotonic().saturating_sub(waiter.terms().started);
        STALE_PATIENCE.saturating_sub(elapsed)
    }

    /// Joins the fetch in flight or starts one, unless one has just failed for good.
    fn start_fetch(
        &self,
        grant: &Arc<Grant>,
        priority: Priority,
        required: FreshnessRequirement,
        context: &RequestContext,
    ) -> Result<Joined, StsError> {
        if let Some(error) = self.0.recent_failure(grant) {
            return Err(error);
        }
        Ok(self.join_or_start(grant, priority, required.ttl(), context, || {
            match self.0.cache.find(grant, required, self.0.clock.now()) {
                Lookup::Fresh(cached) => Some(cached),
                Lookup::Miss(_) => None,
            }
        }))
    }

    fn join_or_start(
        &self,
        grant: &Arc<Grant>,
        priority: Priority,
        ttl: Duration,
        context: &RequestContext,
        lookup: impl FnOnce() -> Option<Arc<CachedCredential>>,
    ) -> Joined {
        let terms = FetchTerms { priority, started: self.0.clock.monotonic() };
        self.0.fetches.join_or_start(grant.fingerprint(), terms, lookup, |delayed| {
            let (inner, context) = (Arc::clone(&self.0), *context);
            let request = IssueRequest { grant: Arc::clone(grant), priority, trace: context.trace, delayed };
            async move { inner.fetch_for_all(request, ttl, context).await }
        })
    }
}

/// Whether the older credential may be served before STS has failed for good: not if the request asks for more, or
/// if the credential may be invalid or is to be replaced.
fn may_serve_early(reason: MissReason) -> bool {
    match reason {
        MissReason::Expired => true,
        MissReason::MinRemaining
        | MissReason::SourceCredentialsRotated
        | MissReason::Revoked
        | MissReason::Cold
        | MissReason::Evicted
        | MissReason::PolicyChanged => false,
    }
}

fn served(fetched: Fetched, joined: bool) -> ServedCredential {
    let how = match (joined, fetched.is_shared) {
        (true, _) => CacheOutcome::Coalesced,
        (false, true) => CacheOutcome::Shared,
        (false, false) => CacheOutcome::Fetched,
    };
    ServedCredential { credential: fetched.credential, how }
}

fn coalesced(credential: Arc<CachedCredential>) -> ServedCredential {
    ServedCredential { credential, how: CacheOutcome::Coalesced }
}

impl Inner {
    fn requirement(
        &self,
        grant: &Grant,
        requested_ttl: Option<Duration>,
    ) -> Result<FreshnessRequirement, CredentialError> {
        let version = self.sts.source_credentials_version();
        FreshnessRequirement::new(self.min_ttl(grant), requested_ttl, grant.duration(), version)
            .map_err(|error| CredentialError::TtlTooLong { requested: error.requested, max: error.max })
    }

    /// The shortest TTL that a credential of this grant is served with while STS answers.
    fn min_ttl(&self, grant: &Grant) -> Duration {
        freshness::min_ttl(self.rules.min_remaining, grant.duration())
    }

    fn recent_failure(&self, grant: &Grant) -> Option<StsError> {
        let (until, error) = self.failures.get(&grant.fingerprint())?;
        (self.clock.monotonic() < until).then_some(error)
    }

    /// Fetches a credential from STS and stores it in the cache.
    pub(super) async fn fetch_and_store(
        &self,
        request: IssueRequest,
        context: RequestContext,
    ) -> FetchResult {
        // Read before the call, so that a rotation during the call counts as one after it.
        let source_credentials_version = self.sts.source_credentials_version();
        let (grant, priority) = (Arc::clone(&request.grant), request.priority);
        match self.sts.issue(request).await {
            Ok(credential) => {
                // Recorded before any request is served it, even if no request waits any more.
                let how = match priority {
                    Priority::NoActiveKey | Priority::KeyExpiresSoon => CacheOutcome::Fetched,
                    Priority::Refresh => CacheOutcome::Refreshed,
                };
                self.audit.record(Event::issue(how.name(), Some(context), &grant, &credential));
                let lifetime = time_until(credential.expires_at, self.clock.now());
                let credential = self.store(&credential, grant, source_credentials_version, lifetime);
                Ok(Fetched { credential, is_shared: false })
            }
            Err(error) => {
                if error.is_final() {
                    let until = self.clock.monotonic() + FAILURE_CACHE_TTL;
                    self.failures.insert(grant.fingerprint(), (until, error.clone()));
                }
                Err(error.into())
            }
        }
    }

    /// Caches a credential of this lifetime, of which some may be over.
    pub(super) fn store(
        &self,
        credential: &TemporaryCredential,
        grant: Arc<Grant>,
        source_credentials_version: u64,
        lifetime: Duration,
    ) -> Arc<CachedCredential> {
        let now = self.clock.now();
        let margin = freshness::refresh_margin(lifetime, self.rules.refresh_at, self.entropy.unit());
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
