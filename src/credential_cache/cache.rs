//! The cached credentials, bounded in bytes, and the reason of each miss.
//!
//! moka bounds and evicts. It knows no expiry: its own clock stops while a machine sleeps, and a timer takes memory for
//! each credential. Whether one may be served is decided against the wall clock at every lookup, and those that have
//! expired are removed from time to time.

use std::sync::Arc;

use foldhash::fast::RandomState;
use jiff::Timestamp;
use moka::notification::RemovalCause;

use super::{
    cached_credential::CachedCredential,
    coverage::{StaleCoverage, Users},
    freshness::FreshnessRequirement,
    metrics::Metrics,
    outcome::MissReason,
    recent::Recent,
};
use runtime::clock::Clock;
use templates::{Grant, fingerprint::Fingerprint};

/// Past credentials remembered, to tell the reason of a miss; 7 MiB.
const MAX_REMEMBERED: usize = 50_000;

/// The cached credentials, by the fingerprint of their grant.
#[derive(Debug)]
pub(super) struct Cache {
    credentials: moka::sync::Cache<Fingerprint, Arc<CachedCredential>, RandomState>,
    /// Why a credential left the cache.
    removed: Arc<Recent<MissReason>>,
    /// Latest grant of each user, template and scope, to notice a changed policy.
    latest_by_lineage: Recent<Fingerprint>,
    users: Arc<Users>,
    clock: Arc<dyn Clock>,
}

/// Result of a lookup.
#[derive(Debug)]
pub(super) enum Lookup {
    /// A credential that meets the requirement.
    Fresh(Arc<CachedCredential>),
    /// None.
    Miss(Miss),
}

/// A failed lookup.
#[derive(Debug)]
pub(super) struct Miss {
    pub(super) reason: MissReason,
    /// An older credential that may be served if STS fails.
    pub(super) stale: Option<Arc<CachedCredential>>,
}

impl Cache {
    pub(super) fn new(max_bytes: u64, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let removed = Arc::new(Recent::new(MAX_REMEMBERED));
        let users: Arc<Users> = Arc::default();
        let removals = Removals {
            removed: Arc::clone(&removed),
            users: Arc::clone(&users),
            clock: Arc::clone(&clock),
            metrics,
        };
        let credentials = moka::sync::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, cached: &Arc<CachedCredential>| cached.weight())
            .eviction_listener(move |fingerprint, cached, cause| removals.note(*fingerprint, &cached, cause))
            .build_with_hasher(RandomState::default());
        let latest_by_lineage = Recent::new(MAX_REMEMBERED);
        Self { credentials, removed, latest_by_lineage, users, clock }
    }

    /// Looks up a credential that meets a requirement.
    pub(super) fn find(&self, grant: &Grant, required: FreshnessRequirement, now: Timestamp) -> Lookup {
        let Some(cached) = self.peek(grant) else {
            return Lookup::Miss(Miss { reason: self.absence(grant), stale: None });
        };
        match required.check(cached.freshness(now)) {
            Ok(()) => Lookup::Fresh(cached),
            Err(reason) => {
                let stale = Some(cached).filter(|cached| cached.is_servable_stale(now));
                Lookup::Miss(Miss { reason, stale })
            }
        }
    }

    /// Returns the cached credential of a grant, fresh or not.
    pub(super) fn peek(&self, grant: &Grant) -> Option<Arc<CachedCredential>> {
        self.credentials.get(&grant.fingerprint())
    }

    /// The credentials that a request could be served, issued with this version of the source credentials. Iterates
    /// over the whole cache: not for an async worker thread.
    pub(super) fn usable_credentials(&self, now: Timestamp, version: u64) -> Vec<Arc<CachedCredential>> {
        let cached = self.credentials.iter().map(|(_, cached)| cached);
        cached.filter(|cached| cached.freshness(now).is_usable(version)).collect()
    }

    /// Marks all credentials of a principal as superseded. Iterates over the whole cache: not for an async
    /// worker thread.
    pub(super) fn mark_superseded(&self, principal: Fingerprint) {
        for (_, cached) in &self.credentials {
            if cached.grant().principal().fingerprint() == principal {
                cached.mark_superseded();
            }
        }
    }

    /// Removes the credentials that have expired. Iterates over the whole cache: not for an async worker thread.
    pub(super) fn remove_expired(&self) {
        let now = self.clock.now();
        for (fingerprint, cached) in &self.credentials {
            // One that is replaced at this very moment leaves as well, and is fetched again.
            if cached.expires_at() <= now {
                self.credentials.invalidate(&*fingerprint);
            }
        }
        self.credentials.run_pending_tasks();
    }

    fn absence(&self, grant: &Grant) -> MissReason {
        let fingerprint = grant.fingerprint();
        if let Some(reason) = self.removed.get(fingerprint) {
            return reason;
        }
        match self.latest_by_lineage.get(grant.lineage()) {
            Some(latest) if latest != fingerprint => MissReason::PolicyChanged,
            // It was cached, and its removal is no longer remembered.
            Some(_) => MissReason::Expired,
            None => MissReason::Cold,
        }
    }

    pub(super) fn insert(&self, cached: Arc<CachedCredential>) {
        let grant = cached.grant();
        let fingerprint = grant.fingerprint();
        self.latest_by_lineage.insert(grant.lineage(), fingerprint);
        self.removed.remove(fingerprint);
        self.users.record_covered(grant.principal().fingerprint(), cached.servable_until(), self.clock.now());
        self.credentials.insert(fingerprint, cached);
    }

    /// Records that a user requested a credential and got none.
    pub(super) fn record_unserved(&self, grant: &Grant, now: Timestamp) {
        let until = now.checked_add(grant.duration()).unwrap_or(now);
        self.users.record_uncovered(grant.principal().fingerprint(), until, now);
    }

    /// How long the cache could serve the active users without STS.
    pub(super) fn stale_coverage(&self, now: Timestamp) -> StaleCoverage {
        self.users.stale_coverage(now)
    }

    /// Number of credentials, and their size in bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        self.credentials.run_pending_tasks();
        (self.credentials.entry_count(), self.credentials.weighted_size())
    }
}

/// Records why credentials leave the cache.
struct Removals {
    removed: Arc<Recent<MissReason>>,
    users: Arc<Users>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Removals {
    fn note(&self, fingerprint: Fingerprint, cached: &CachedCredential, cause: RemovalCause) {
        match cause {
            RemovalCause::Size => {
                self.metrics.evicted();
                let principal = cached.grant().principal().fingerprint();
                self.users.record_uncovered(principal, cached.servable_until(), self.clock.now());
                self.removed.insert(fingerprint, MissReason::Evicted);
            }
            // Only those that have expired are removed.
            RemovalCause::Expired | RemovalCause::Explicit => {
                self.removed.insert(fingerprint, MissReason::Expired);
            }
            RemovalCause::Replaced => {}
        }
    }
}
