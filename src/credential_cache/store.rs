//! The keys in memory, bounded in bytes, and why one that is asked for is not there.
//!
//! moka bounds and evicts; whether a key may be handed out is decided against the wall clock at every
//! serve, for moka's own clock stands still while a machine sleeps.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use moka::{notification::RemovalCause, sync::Cache};

use super::{
    key::Key,
    metrics::{Metrics, MissReason},
    outage::Outage,
    users::Users,
};
use runtime::clock::{Clock, until};
use templates::{Grant, fingerprint::Fingerprint};

/// Past keys remembered, to tell why one is missing; a few MiB.
const REMEMBERED: u64 = 50_000;

/// The first level of the cache.
#[derive(Debug)]
pub(super) struct Store {
    keys: Cache<Fingerprint, Arc<Key>>,
    departed: Cache<Fingerprint, MissReason>,
    lines: Cache<Fingerprint, Fingerprint>,
    users: Arc<Users>,
    clock: Arc<dyn Clock>,
}

/// What a key must be to be handed out.
#[derive(Debug, Clone, Copy)]
pub(super) struct FreshnessRequirement {
    /// The least life it must have left.
    pub(super) least: Duration,
    /// More than that, if the asker says so.
    pub(super) more: Option<Duration>,
    /// The number of the operator's own key that it must be made with: with the one before, it may end at any
    /// moment.
    pub(super) source_credentials_version: u64,
}

/// What a look into the store found.
#[derive(Debug)]
pub(super) enum Found {
    /// A key with life enough.
    Fresh(Arc<Key>),
    /// None, and why; what is left of an older one may still be better than nothing.
    Missing { reason: MissReason, older: Option<Arc<Key>> },
}

/// Keys leave the store when they die, or sooner.
struct DiesWithItsKey(Arc<dyn Clock>);

impl moka::Expiry<Fingerprint, Arc<Key>> for DiesWithItsKey {
    fn expire_after_create(&self, _: &Fingerprint, key: &Arc<Key>, _: Instant) -> Option<Duration> {
        Some(until(key.credential().expires, self.0.now()))
    }

    fn expire_after_update(
        &self,
        name: &Fingerprint,
        key: &Arc<Key>,
        at: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(name, key, at)
    }
}

impl Store {
    pub(super) fn new(max_bytes: u64, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let departed = Cache::new(REMEMBERED);
        let users: Arc<Users> = Arc::default();
        let (leaving, left, at) = (departed.clone(), Arc::clone(&users), Arc::clone(&clock));
        let keys = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, key: &Arc<Key>| key.weight())
            .expire_after(DiesWithItsKey(Arc::clone(&clock)))
            .eviction_listener(move |name, key: Arc<Key>, cause| match cause {
                RemovalCause::Size => {
                    metrics.evicted();
                    left.without(key.grant().principal().fingerprint(), key.useful_until(), at.now());
                    leaving.insert(*name, MissReason::Evicted);
                }
                RemovalCause::Expired => leaving.insert(*name, MissReason::Expired),
                RemovalCause::Explicit | RemovalCause::Replaced => {}
            })
            .build();
        Self { keys, departed, lines: Cache::new(REMEMBERED), users, clock }
    }

    /// Looks for a key that may be handed out.
    pub(super) fn find(&self, grant: &Grant, wanted: FreshnessRequirement, now: Timestamp) -> Found {
        let Some(key) = self.at_hand(grant) else {
            return Found::Missing { reason: self.absence(grant), older: None };
        };
        let reason = if !key.is_fresh(now, wanted.least) {
            MissReason::Expired
        } else if key.made_with() < wanted.source_credentials_version {
            MissReason::SourceCredentialsRotated
        } else if key.is_renounced() {
            MissReason::Revoked
        } else if wanted.more.is_some_and(|more| !key.is_fresh(now, more)) {
            MissReason::MinRemaining
        } else {
            return Found::Fresh(key);
        };
        Found::Missing { reason, older: Some(key).filter(|key| key.is_useful(now)) }
    }

    /// Has a person's keys replaced as they are asked for. Looks at every key: not for a thread that serves.
    pub(super) fn renounce(&self, principal: Fingerprint) {
        let theirs = self.keys.iter().filter(|(_, key)| key.grant().principal().fingerprint() == principal);
        theirs.for_each(|(_, key)| key.renounce());
    }

    /// The key of a grant that is in memory, whatever it is worth.
    pub(super) fn at_hand(&self, grant: &Grant) -> Option<Arc<Key>> {
        self.keys.get(&grant.fingerprint())
    }

    fn absence(&self, grant: &Grant) -> MissReason {
        let name = grant.fingerprint();
        if let Some(reason) = self.departed.get(&name) {
            return reason;
        }
        match self.lines.get(&grant.lineage()) {
            Some(last) if last != name => MissReason::PolicyChanged,
            // It was here, and moka has not told yet that it expired.
            Some(_) => MissReason::Expired,
            None => MissReason::Cold,
        }
    }

    pub(super) fn insert(&self, key: Arc<Key>) {
        let name = key.grant().fingerprint();
        self.lines.insert(key.grant().lineage(), name);
        self.departed.invalidate(&name);
        self.users.served(key.grant().principal().fingerprint(), key.useful_until(), self.clock.now());
        self.keys.insert(name, key);
    }

    /// Somebody asked for a key and there was none to be had.
    pub(super) fn went_without(&self, grant: &Grant, now: Timestamp) {
        let until = now.checked_add(grant.duration()).unwrap_or(now);
        self.users.without(grant.principal().fingerprint(), until, now);
    }

    /// For how long the keys here could stand in for STS.
    pub(super) fn outage(&self, now: Timestamp) -> Outage {
        self.users.outage(now)
    }

    /// Keys, and the bytes they take.
    pub(super) fn size(&self) -> (u64, u64) {
        self.keys.run_pending_tasks();
        (self.keys.entry_count(), self.keys.weighted_size())
    }
}
