//! The keys in memory, bounded in bytes, and why one that is asked for is not there.
//!
//! moka bounds and evicts; whether a key may be handed out is decided against the wall clock at every
//! serve, for moka's own clock stands still while a machine sleeps.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use moka::{notification::RemovalCause, sync::Cache};

use super::{
    key::Key,
    metrics::{Metrics, MissReason},
    outage::Outage,
};
use crate::{
    clock::{Clock, until},
    fingerprint::Fingerprint,
    policy::Grant,
};

/// Past keys remembered, to tell why one is missing, and people without one; a few MiB.
const REMEMBERED: u64 = 50_000;

/// The first level of the cache.
#[derive(Debug)]
pub(super) struct Store {
    keys: Cache<Fingerprint, Arc<Key>>,
    departed: Cache<Fingerprint, MissReason>,
    lines: Cache<Fingerprint, Fingerprint>,
    /// People who want a key that is not to be had from memory, and until when they count.
    wanting: Cache<Fingerprint, Timestamp>,
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
        let wanting = Cache::new(REMEMBERED);
        let (leaving, left_without) = (departed.clone(), wanting.clone());
        let keys = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, key: &Arc<Key>| key.weight())
            .expire_after(DiesWithItsKey(clock))
            .eviction_listener(move |name, key: Arc<Key>, cause| match cause {
                RemovalCause::Size => {
                    metrics.evicted();
                    left_without.insert(key.grant().person(), key.credential().expires);
                    leaving.insert(*name, MissReason::Evicted);
                }
                RemovalCause::Expired => leaving.insert(*name, MissReason::Expired),
                RemovalCause::Explicit | RemovalCause::Replaced => {}
            })
            .build();
        Self { keys, departed, lines: Cache::new(REMEMBERED), wanting }
    }

    /// Looks for a key of `least` life, or more if the asker wants more.
    pub(super) fn find(
        &self,
        grant: &Grant,
        least: Duration,
        wanted: Option<Duration>,
        now: Timestamp,
    ) -> Found {
        match self.keys.get(&grant.fingerprint()) {
            Some(key) if key.is_fresh(now, wanted.unwrap_or(least)) => Found::Fresh(key),
            Some(key) => {
                let reason =
                    if key.is_fresh(now, least) { MissReason::MinRemaining } else { MissReason::Expired };
                Found::Missing { reason, older: Some(key).filter(|key| key.is_useful(now)) }
            }
            None => Found::Missing { reason: self.absence(grant), older: None },
        }
    }

    fn absence(&self, grant: &Grant) -> MissReason {
        let name = grant.fingerprint();
        if let Some(reason) = self.departed.get(&name) {
            return reason;
        }
        match self.lines.get(&grant.line()) {
            Some(last) if last != name => MissReason::PolicyChanged,
            _ => MissReason::Cold,
        }
    }

    pub(super) fn insert(&self, key: Arc<Key>) {
        let name = key.grant().fingerprint();
        self.lines.insert(key.grant().line(), name);
        self.departed.invalidate(&name);
        self.wanting.invalidate(&key.grant().person());
        self.keys.insert(name, key);
    }

    /// This person asked for a key and there was none to be had.
    pub(super) fn went_without(&self, grant: &Grant, now: Timestamp) {
        let until = now.checked_add(grant.duration()).unwrap_or(now);
        self.wanting.insert(grant.person(), until);
    }

    /// For how long the keys here could stand in for STS. Looks at every one of them: for who watches, not
    /// for who asks.
    pub(super) fn outage(&self, now: Timestamp) -> Outage {
        let mut spans: HashMap<Fingerprint, Duration> = HashMap::new();
        for (_, key) in self.keys.iter().filter(|(_, key)| key.is_useful(now)) {
            let span = spans.entry(key.grant().person()).or_default();
            *span = key.useful_for(now).max(*span);
        }
        // Who was sent away counts as without, whatever other keys they hold, until they get one.
        for (person, _) in self.wanting.iter().filter(|(_, until)| *until > now) {
            spans.insert(*person, Duration::ZERO);
        }
        Outage::of(spans.into_values().collect())
    }

    /// Keys, and the bytes they take.
    pub(super) fn size(&self) -> (u64, u64) {
        self.keys.run_pending_tasks();
        (self.keys.entry_count(), self.keys.weighted_size())
    }
}
