//! A cached credential: the STS credential, its grant, its refresh state and its encoded bodies.

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
use secrecy::ExposeSecret;

use super::{
    encoded::{EncodedBodies, ResponseShape},
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
    credential: TemporaryCredential,
    grant: Arc<Grant>,
    source_credentials_version: u64,
    is_superseded: AtomicBool,
    refresh_from: Timestamp,
    /// Monotonic time in milliseconds before which no refresh is tried.
    next_refresh_ms: AtomicU64,
    encoded: EncodedBodies,
}

impl fmt::Debug for CachedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedCredential")
            .field("grant", &self.grant.id())
            .field("expires", &self.credential.expires_at)
            .finish_non_exhaustive()
    }
}

impl CachedCredential {
    /// A credential issued with this version of the source credentials; it is due for refresh `refresh_margin`
    /// before it expires.
    pub(super) fn new(
        credential: TemporaryCredential,
        grant: Arc<Grant>,
        source_credentials_version: u64,
        refresh_margin: Duration,
    ) -> Self {
        let refresh_from = credential.expires_at.checked_sub(refresh_margin).unwrap_or(credential.expires_at);
        Self {
            credential,
            grant,
            source_credentials_version,
            is_superseded: AtomicBool::new(false),
            refresh_from,
            next_refresh_ms: AtomicU64::new(0),
            encoded: EncodedBodies::default(),
        }
    }

    /// The credential as STS issued it.
    pub fn credential(&self) -> &TemporaryCredential {
        &self.credential
    }

    /// The grant that it was issued for.
    pub fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    /// Time until it expires.
    pub fn ttl(&self, now: Timestamp) -> Duration {
        time_until(self.credential.expires_at, now)
    }

    /// State that decides whether it is fresh enough for a request.
    pub(super) fn freshness(&self, now: Timestamp) -> Freshness {
        Freshness {
            ttl: self.ttl(now),
            source_credentials_version: self.source_credentials_version,
            is_superseded: self.is_superseded.load(Ordering::Relaxed),
        }
    }

    /// Has the next request fetch another credential in its place.
    pub(super) fn mark_superseded(&self) {
        self.is_superseded.store(true, Ordering::Relaxed);
    }

    /// Whether it may be served while STS fails.
    pub(super) fn is_servable_stale(&self, now: Timestamp) -> bool {
        freshness::is_servable_stale(self.ttl(now))
    }

    /// When it is no longer served, not even stale.
    pub(super) fn servable_until(&self) -> Timestamp {
        freshness::servable_until(self.credential.expires_at)
    }

    /// When a client should fetch its next credential: the answer's `refreshAt`. Once the refresh is due, a few
    /// seconds from now, because a replacement is under way.
    pub fn refresh_at(&self, now: Timestamp) -> Timestamp {
        if now < self.refresh_from {
            return self.refresh_from;
        }
        let soon = now.checked_add(REFRESH_UNDER_WAY_DELAY).unwrap_or(now);
        soon.min(self.credential.expires_at)
    }

    /// Claims the refresh if it is due. True for one caller in [`REFRESH_RETRY_INTERVAL`]; `monotonic` is the
    /// time on the monotonic clock.
    pub(super) fn try_claim_refresh(&self, now: Timestamp, monotonic: Duration) -> bool {
        if now < self.refresh_from {
            return false;
        }
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

    /// Approximate size in bytes: its parts, two bodies, the grant and the bookkeeping.
    pub(super) fn weight(&self) -> u32 {
        weight_of(&self.grant, self.credential.token.expose_secret().len())
    }
}

/// Approximate size in bytes of a cached credential of this grant, with a token of this length.
pub(super) fn weight_of(grant: &Grant, token_bytes: usize) -> u32 {
    let bytes = 2048 + 3 * token_bytes + grant.policy().weight();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
