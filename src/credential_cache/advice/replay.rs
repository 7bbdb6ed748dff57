//! Replay of recorded requests under other settings, by the cache's own freshness rules.
//!
//! Simpler than the cache in three ways: STS always answers, and at once; the refresh margin has no jitter; and
//! the least recently used credential is evicted, where moka's `TinyLFU` also considers how often it was used.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    time::Duration,
};

use super::{
    super::{
        CacheOutcome,
        freshness::{self, Freshness, FreshnessRequirement},
    },
    recorder::RecordedRequest,
};
use crate::config;

/// Source credentials are never rotated in a replay.
const SOURCE_CREDENTIALS_VERSION: u64 = 0;
const MINUTE_SECONDS: u64 = 60;

/// Settings of a replay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// Lifetime of credentials; none for what their templates say.
    pub(super) lifetime: Option<Duration>,
    pub(super) min_remaining: Option<Duration>,
    pub(super) refresh_at: f64,
    pub(super) key_bytes: u64,
}

impl From<config::Cache> for Settings {
    fn from(cache: config::Cache) -> Self {
        Self {
            lifetime: None,
            min_remaining: cache.min_remaining,
            refresh_at: cache.refresh_at,
            key_bytes: cache.key_bytes(),
        }
    }
}

/// Counts of requests, for the credentials that are recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) requests: u64,
    /// Served without an STS call of their own.
    pub(super) hits: u64,
    /// STS calls.
    pub(super) calls: u64,
    pub(super) refused: u64,
    /// STS calls in the busiest minute by the clock.
    pub(super) busiest_minute: u64,
    /// Peak size of the cache.
    pub(super) peak_bytes: u64,
    /// The present minute, and the STS calls in it.
    minute: (u64, u64),
}

impl Tally {
    /// Counts a request; `outcome` is none if it was refused.
    pub(super) fn count(&mut self, at: Duration, outcome: Option<CacheOutcome>) {
        let calls = u64::from(matches!(outcome, Some(CacheOutcome::Fetched | CacheOutcome::Refreshed)));
        let is_hit = outcome.is_some_and(|outcome| outcome.is_hit() || outcome == CacheOutcome::Coalesced);
        self.requests += 1;
        self.hits += u64::from(is_hit);
        self.refused += u64::from(outcome.is_none());
        self.calls += calls;
        let minute = at.as_secs() / MINUTE_SECONDS;
        let before = if self.minute.0 == minute { self.minute.1 } else { 0 };
        self.minute = (minute, before + calls);
        self.busiest_minute = self.busiest_minute.max(self.minute.1);
    }
}

/// Replays the requests for one credential in `one_in` through a cache that is empty at first. Counts from
/// `measured_from` on, on the clock of the requests.
pub(super) fn replay(
    requests: impl Iterator<Item = RecordedRequest>,
    one_in: u64,
    measured_from: Duration,
    settings: &Settings,
) -> Tally {
    let mut cache = SimulatedCache { max_bytes: settings.key_bytes / one_in, ..SimulatedCache::default() };
    let mut tally = Tally::default();
    for request in requests {
        let outcome = cache.serve(&request, settings);
        if request.at >= measured_from {
            tally.count(request.at, outcome);
            tally.peak_bytes = tally.peak_bytes.max(cache.bytes);
        }
    }
    tally
}

/// A simulated cache with LRU eviction.
#[derive(Default)]
struct SimulatedCache {
    max_bytes: u64,
    bytes: u64,
    entries: HashMap<u64, Entry>,
    /// When entries expire; a replaced entry leaves its earlier expiry here.
    expiries: BinaryHeap<Reverse<(Duration, u64)>>,
    /// Keys in the order of use; only the last use of each counts.
    uses: VecDeque<(u64, u64)>,
    use_count: u64,
}

struct Entry {
    expires_at: Duration,
    refresh_from: Duration,
    bytes: u64,
    last_use: u64,
}

impl SimulatedCache {
    /// Serves a request; none if it is refused.
    fn serve(&mut self, request: &RecordedRequest, settings: &Settings) -> Option<CacheOutcome> {
        let lifetime = settings.lifetime.unwrap_or(request.lifetime);
        let min_ttl = freshness::min_ttl(settings.min_remaining, lifetime);
        let requested_ttl = Some(request.requested_ttl);
        let required =
            FreshnessRequirement::new(min_ttl, requested_ttl, lifetime, SOURCE_CREDENTIALS_VERSION).ok()?;
        self.remove_expired(request.at);
        let outcome = self.lookup(request, required);
        if outcome != CacheOutcome::Hit {
            self.insert(request, lifetime, settings.refresh_at);
        }
        self.touch(request.key);
        self.evict();
        Some(outcome)
    }

    fn lookup(&self, request: &RecordedRequest, required: FreshnessRequirement) -> CacheOutcome {
        let Some(entry) = self.entries.get(&request.key) else { return CacheOutcome::Fetched };
        let found = Freshness {
            ttl: entry.expires_at.saturating_sub(request.at),
            source_credentials_version: SOURCE_CREDENTIALS_VERSION,
            is_superseded: false,
        };
        match required.check(found) {
            Err(_) => CacheOutcome::Fetched,
            Ok(()) if request.at >= entry.refresh_from => CacheOutcome::Refreshed,
            Ok(()) => CacheOutcome::Hit,
        }
    }

    fn insert(&mut self, request: &RecordedRequest, lifetime: Duration, refresh_at: f64) {
        let RecordedRequest { key, bytes, .. } = *request;
        let expires_at = request.at + lifetime;
        let margin = freshness::refresh_margin(lifetime, refresh_at, freshness::NO_JITTER);
        let refresh_from = expires_at.saturating_sub(margin);
        self.remove(key);
        self.bytes += bytes;
        self.expiries.push(Reverse((expires_at, key)));
        self.entries.insert(key, Entry { expires_at, refresh_from, bytes, last_use: 0 });
    }

    fn touch(&mut self, key: u64) {
        self.use_count += 1;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.last_use = self.use_count;
            self.uses.push_back((self.use_count, key));
        }
    }

    fn remove_expired(&mut self, now: Duration) {
        while let Some(Reverse((expires_at, key))) = self.expiries.peek().copied()
            && expires_at <= now
        {
            self.expiries.pop();
            if self.entries.get(&key).is_some_and(|entry| entry.expires_at == expires_at) {
                self.remove(key);
            }
        }
    }

    fn evict(&mut self) {
        while self.bytes > self.max_bytes {
            let Some((last_use, key)) = self.uses.pop_front() else { return };
            if self.entries.get(&key).is_some_and(|entry| entry.last_use == last_use) {
                self.remove(key);
            }
        }
    }

    fn remove(&mut self, key: u64) {
        if let Some(entry) = self.entries.remove(&key) {
            self.bytes -= entry.bytes;
        }
    }
}
