//! The second level: credentials in Redis, behind those in memory, and one fetch for all replicas.
//!
//! Asked only by a fetch, so that a hit never waits for Redis, and once for all requests that wait for one credential.
//! What comes from Redis is cached like what comes from STS: a grant is never read from there, and a user who was revoked
//! meanwhile gets nothing.

use std::{sync::Arc, time::Duration};

use super::{
    CredentialCache, CredentialError, Inner,
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

/// How long requests of users are counted before other replicas are told.
pub(super) const COUNT_INTERVAL: Duration = Duration::from_millis(100);
/// How much longer than a request another replica's fetch is waited for: the fetch goes on when nobody waits any more.
const PATIENCE_FACTOR: u32 = 2;
/// A replacement for a cached credential lasts longer than that at least by this.
const MIN_GAIN: Duration = Duration::from_secs(1);

impl CredentialCache {
    /// Shares credentials, revocations and the limits of users with other replicas. To be called once, before the first request.
    pub fn share(&self, replicas: Arc<Replicas>) {
        let change = |user: RevokedPrincipal| RevocationChange {
            issuer: user.issuer,
            subject: user.subject,
            is_revoked: true,
            changed_at: user.since,
        };
        self.0.user_rate.share(replicas.expected());
        replicas.know(self.revoked().into_iter().map(change).collect());
        // A second call would change nothing.
        let _ = self.0.replicas.set(replicas);
    }

    /// Tells other replicas of users who send many requests, and learns of theirs, until dropped.
    pub async fn share_request_counts(&self) {
        let (Some(replicas), Some(limit)) = (self.0.replicas.get(), self.0.user_rate.shared()) else {
            return;
        };
        loop {
            limit.has_untold().await;
            tokio::time::sleep(COUNT_INTERVAL).await;
            while let Some(counts) = limit.take_untold(self.0.clock.monotonic()) {
                let asked_at = self.0.clock.monotonic();
                if let Some(used) = replicas.count_requests(&counts).await {
                    limit.learn(&used, asked_at);
                }
            }
        }
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
            scope: self.scopes.bound(&grant, request.priority != Priority::NoActiveKey),
        };
        // Read before, so that a rotation meanwhile counts as one after it.
        let version = self.sts.source_credentials_version();
        match replicas.join(wanted).await {
            Joined::Found(found) => {
                Ok(Fetched { credential: self.store_shared(&found, grant, version), is_shared: true })
            }
            Joined::Late(older) => {
                self.store_older(&older, &grant, version);
                let detail = "another replica calls STS, which has not answered yet".to_owned();
                Err(StsError::Unavailable { detail, retry_after: UNFINISHED_RETRY_AFTER }.into())
            }
            Joined::TooManyScopes(retry_after) => Err(CredentialError::TooManyScopes { retry_after }),
            Joined::Fetch(lease, older) => {
                if let Some(older) = older {
                    self.store_older(&older, &grant, version);
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
    fn store_older(&self, older: &SharedCredential, grant: &Arc<Grant>, version: u64) {
        let cached = self.cache.peek(grant);
        if cached.is_none_or(|cached| cached.expires_at() < older.credential.expires_at) {
            self.store_shared(older, Arc::clone(grant), version);
        }
    }

    fn store_shared(
        &self,
        shared: &SharedCredential,
        grant: Arc<Grant>,
        source_credentials_version: u64,
    ) -> Arc<CachedCredential> {
        let lifetime = time_until(shared.credential.expires_at, shared.issued_at);
        self.store(&shared.credential, grant, source_credentials_version, lifetime)
    }
}
