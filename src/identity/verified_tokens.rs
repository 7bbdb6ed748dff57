//! The cache of verified tokens, by their hash: bounded in bytes, and without the tokens themselves.
//!
//! Knows when a token expires; not whether the key that verified it is still trusted.

use std::sync::Arc;

use foldhash::fast::RandomState;
use jiff::Timestamp;
use quick_cache::{
    OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use templates::{fingerprint::Fingerprint, identity::Identity};

/// The size of an entry beside its identity: itself, and its place in the cache's table.
const ENTRY_BYTES: usize = 128;
/// Typical size of an entry, from which the cache sets the number of its shards.
const TYPICAL_ENTRY_BYTES: u64 = 512;
/// Parts of the cache with a lock each: the search for expired tokens holds one up to some milliseconds.
const SHARDS: usize = 64;
/// Part of the cache for tokens that were used more than once. The other part is for new ones, which are as likely to be
/// used again.
const USED_AGAIN_PART: f64 = 0.5;

/// A verified token, with the key that verified it.
#[derive(Debug, Clone)]
pub(super) struct Verified {
    /// Position of the issuer in the configuration.
    pub(super) issuer: usize,
    pub(super) identity: Arc<Identity>,
    pub(super) until: Timestamp,
    pub(super) key: Fingerprint,
}

/// The verified tokens.
#[derive(Debug)]
pub(super) struct VerifiedTokens(Cache<Fingerprint, Verified, ByMemory, RandomState>);

/// Weighs an entry by the memory that it takes.
#[derive(Debug, Clone)]
struct ByMemory;

impl Weighter<Fingerprint, Verified> for ByMemory {
    fn weight(&self, _: &Fingerprint, verified: &Verified) -> u64 {
        (ENTRY_BYTES + verified.identity.weight()) as u64
    }
}

impl VerifiedTokens {
    /// An empty cache of at most so many bytes.
    pub(super) fn new(max_bytes: u64) -> Self {
        let typical_entries = usize::try_from(max_bytes / TYPICAL_ENTRY_BYTES).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .weight_capacity(max_bytes)
            .estimated_items_capacity(typical_entries)
            .shards(SHARDS)
            .hot_allocation(USED_AGAIN_PART)
            // The hashes of evicted tokens would take memory that is not counted.
            .ghost_allocation(0.0)
            .build();
        let (hash, lifecycle) = (RandomState::default(), DefaultLifecycle::default());
        Self(match options {
            Ok(options) => Cache::with_options(options, ByMemory, hash, lifecycle),
            // Only where a capacity is missing above.
            Err(_) => Cache::with(typical_entries, max_bytes, ByMemory, hash, lifecycle),
        })
    }

    pub(super) fn get(&self, token: Fingerprint) -> Option<Verified> {
        self.0.get(&token)
    }

    pub(super) fn insert(&self, token: Fingerprint, verified: Verified) {
        self.0.insert(token, verified);
    }

    pub(super) fn remove(&self, token: Fingerprint) {
        self.0.remove(&token);
    }

    /// Removes the tokens that have expired. Iterates over all: not for an async worker thread.
    pub(super) fn remove_expired(&self, now: Timestamp) {
        self.0.retain(|_, verified| now < verified.until);
    }
}
