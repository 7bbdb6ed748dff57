//! The second level: credentials in Redis, behind those in memory, and one fetch for all replicas.
//!
//! Asked only by a fetch, so that a hit never waits for Redis, and once for all requests that wait for one credential.
//! What comes from Redis is cached like what comes from STS: a grant is never read from there, and a user who was revoked
//! meanwhile gets nothing.

use std::{sync::Arc, time::Duration};

use super::{
    CredentialCache, Inner,
    cached_credential::CachedCredential,
    issue::{STALE_PATIENCE, UNFINISHED_RETRY_AFTER},
    single_flight::{FetchResult, Fetched},
};
use crate::{
    config::RevokedPrincipal,
    replicas::{Joined, Replicas, RevocationChange, SharedCredential, Wanted},
    request::RequestContext,
    sts::{IssueRequest, Priority, StsError},
};
use runtime::clock::time_until;
use templates::Grant;

/// How much longer than a request another replica's fetch is waited for: the fetch goes on when nobody waits any more.
const PATIENCE_FACTOR: u32 = 2;
/// A replacement for a cached credential lasts longer than that at least by this.
const MIN_GAIN: Duration = Duration::from_secs(1);

impl CredentialCache {
    /// Shares credentials and revocations with other replicas. To be called once, before the first request.
    pub fn share(&self, replicas: Arc<Replicas>) {
        let change = |user: RevokedPrincipal| RevocationChange {
            issuer: user.issuer,
            subject: user.subject,
            is_revoked: true,
            changed_at: user.since,
        };
        replicas.know(self.revoked().into_iter().map(change).collect());
        // A second call would change nothing.
        let _ = self.0.replicas.set(replicas);
    }
}

impl Inner {
    /// Fetches a credential with at least this TTL: from another replica, or from STS for all replicas.
    pub(super) async fn fetch_for_all(
        &self,
        request: IssueRequest,
        ttl: Duration,
        context: RequestContext,
    ) -> FetchResult {
        let Some(replicas) = self.replicas.get() else { return self.fetch_and_store(request, context).await };
        let grant = Arc::clone(&request.grant);
        let (fingerprint, binding) = (grant.fingerprint(), self.sts.binding());
        let wanted = Wanted {
            binding: binding.as_bytes(),
            grant: fingerprint.as_bytes(),
            ttl: self.ttl_to_replace(&grant, ttl),
            not_before: replicas.restored_at(grant.principal().fingerprint()),
            is_for_refresh: request.priority == Priority::Refresh,
            patience: self.sts.timeout() * PATIENCE_FACTOR,
            patience_with_older: STALE_PATIENCE,
        };
        // Read before, so that a rotation meanwhile counts as one after it.
        let version = self.sts.source_credentials_version();
        match replicas.join(wanted).await {
            Joined::Found(found) => {
                Ok(Fetched { credential: self.store_shared(found, grant, version), is_shared: true })
            }
            Joined::Late(older) => {
                self.store_older(older, &grant, version);
                let detail = "another replica calls STS, which has not answered yet".to_owned();
                Err(StsError::Unavailable { detail, retry_after: UNFINISHED_RETRY_AFTER })
            }
            Joined::Fetch(lease, older) => {
                if let Some(older) = older {
                    self.store_older(older, &grant, version);
                }
                let fetched = lease.hold(self.fetch_and_store(request, context)).await;
                match &fetched {
                    Ok(fetched) => lease.finish(&fetched.credential.credential()).await,
                    Err(_) => lease.abandon().await,
                }
                fetched
            }
        }
    }

    /// The TTL of a credential that is better than the cached one.
    fn ttl_to_replace(&self, grant: &Grant, ttl: Duration) -> Duration {
        let now = self.clock.now();
        self.cache.peek(grant).map_or(ttl, |cached| ttl.max(cached.ttl(now) + MIN_GAIN))
    }

    /// Keeps an older credential, which serves the user while STS fails, unless the cached one lasts longer.
    fn store_older(&self, older: SharedCredential, grant: &Arc<Grant>, version: u64) {
        let cached = self.cache.peek(grant);
        if cached.is_none_or(|cached| cached.expires_at() < older.credential.expires_at) {
            self.store_shared(older, Arc::clone(grant), version);
        }
    }

    fn store_shared(
        &self,
        shared: SharedCredential,
        grant: Arc<Grant>,
        source_credentials_version: u64,
    ) -> Arc<CachedCredential> {
        let lifetime = time_until(shared.credential.expires_at, shared.issued_at);
        self.store(shared.credential, grant, source_credentials_version, lifetime)
    }
}
