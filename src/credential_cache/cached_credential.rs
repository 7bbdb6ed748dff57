//! A cached credential: the STS credential, its grant, its refresh state and its encoded body.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;

use super::{
    encoded::{EncodedBody, ResponseShape},
    freshness::{self, Freshness},
};
use crate::sts::TemporaryCredential;
use runtime::clock::time_until;
use templates::Grant;

/// Pause between two attempts to refresh one credential.
const REFRESH_RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// Delay that `refreshAt` names while a refresh is already under way.
const REFRESH_UNDER_WAY_DELAY: Duration = Duration::from_secs(5);

/// A temporary credential and its grant.
pub struct CachedCredential {
    expires_at: Timestamp,
    /// With the texts of the credential.
    encoded: EncodedBody,
    grant: Arc<Grant>,
    source_credentials_version: u64,
    is_superseded: AtomicBool,
    /// When it is due for refresh, in milliseconds since 1970.
    refresh_from_ms: i64,
    /// Monotonic time in milliseconds before which no refresh is tried.
    next_refresh_ms: AtomicU64,
}

impl fmt::Debug for CachedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedCredential")
            .field("grant", &self.grant.id())
            .field("expires", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl CachedCredential {
    /// A credential issued with this version of the source credentials; it is due for refresh `refresh_margin`
    /// before it expires.
    pub(super) fn new(
        credential: &TemporaryCredential,
        grant: Arc<Grant>,
        source_credentials_version: u64,
        refresh_margin: Duration,
    ) -> Self {
        let refresh_from = credential.expires_at.checked_sub(refresh_margin).unwrap_or(credential.expires_at);
        Self {
            expires_at: credential.expires_at,
            encoded: EncodedBody::new(credential),
            grant,
            source_credentials_version,
            is_superseded: AtomicBool::new(false),
            refresh_from_ms: refresh_from.as_millisecond(),
            next_refresh_ms: AtomicU64::new(0),
        }
    }

    /// A copy of the credential as STS issued it.
    pub fn credential(&self) -> TemporaryCredential {
        self.encoded.credential(self.expires_at)
    }

    /// A copy of `TmpSecretId`, which names the credential and grants nothing.
    pub fn key_id(&self) -> Box<str> {
        self.encoded.secret_id()
    }

    /// When it expires, by the clock of STS.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The grant that it was issued for.
    pub fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    /// Time until it expires.
    pub fn ttl(&self, now: Timestamp) -> Duration {
        time_until(self.expires_at, now)
    }

    /// State that decides whether it is fresh enough for a request.
    pub(super) fn freshness(&self, now: Timestamp) -> Freshness {
        Freshness {
            ttl: self.ttl(now),
            source_credentials_version: self.source_credentials_version,
            is_superseded: self.is_superseded(),
        }
    }

    /// Has the next request fetch another credential in its place.
    pub(super) fn mark_superseded(&self) {
        self.is_superseded.store(true, Ordering::Relaxed);
    }

    /// Whether another credential is to replace it.
    pub(super) fn is_superseded(&self) -> bool {
        self.is_superseded.load(Ordering::Relaxed)
    }

    /// Whether it may be served while STS fails.
    pub(super) fn is_servable_stale(&self, now: Timestamp) -> bool {
        freshness::is_servable_stale(self.ttl(now))
    }

    /// When it is no longer served, not even stale.
    pub(super) fn servable_until(&self) -> Timestamp {
        freshness::servable_until(self.expires_at)
    }

    /// When a client should fetch its next credential: the answer's `refreshAt`. Once the refresh is due, a few
    /// seconds from now, because a replacement is under way.
    pub fn refresh_at(&self, now: Timestamp) -> Timestamp {
        if !self.is_refresh_due(now) {
            return Timestamp::from_millisecond(self.refresh_from_ms).unwrap_or(self.expires_at);
        }
        let soon = now.checked_add(REFRESH_UNDER_WAY_DELAY).unwrap_or(now);
        soon.min(self.expires_at)
    }

    /// Whether another credential should be fetched before this one expires.
    pub(super) fn is_refresh_due(&self, now: Timestamp) -> bool {
        now.as_millisecond() >= self.refresh_from_ms
    }

    /// Claims a refresh that is due. True for one caller in [`REFRESH_RETRY_INTERVAL`]; `monotonic` is the time on the
    /// monotonic clock.
    pub(super) fn try_claim_refresh(&self, monotonic: Duration) -> bool {
        let next = self.next_refresh_ms.load(Ordering::Relaxed);
        let claimed = as_millis(monotonic + REFRESH_RETRY_INTERVAL);
        as_millis(monotonic) >= next
            && self
                .next_refresh_ms
                .compare_exchange(next, claimed, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Returns the body of a response shape, encoded by `encode` the first time.
    pub fn encoded(&self, shape: ResponseShape, encode: impl FnOnce(&Self) -> Vec<u8>) -> Bytes {
        self.encoded.get_or_encode(shape, || encode(self))
    }

    /// Approximate size in bytes: its body, which its texts are a part of, and its places in the cache. The grant counts in
    /// the inventory.
    pub(super) fn weight(&self) -> u32 {
        weight_of(self.encoded.text_bytes())
    }
}

/// Size of a cached credential beside its body: itself, its places in the cache's map and queues, and by how much more than
/// that the process grows. Measured under the load of `tests/soak/memory.rs`, where it grows more than under others.
const ENTRY_BYTES: usize = 1800;
/// Size of a body beside the credential's texts: the names of the fields, and times.
const BODY_BYTES: usize = 192;

/// Approximate size in bytes of a cached credential whose texts have this length.
pub(super) fn weight_of(text_bytes: usize) -> u32 {
    u32::try_from(ENTRY_BYTES + BODY_BYTES + text_bytes).unwrap_or(u32::MAX)
}

fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
