//! A key as the cache holds it: when it may be handed out, when it is worth replacing, and its bodies,
//! encoded once.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::sts::TemporaryCredential;
use runtime::clock::until;
use templates::Grant;

/// While STS fails, a key with this much life is still handed out; official SDKs take one for dead 60 s
/// before it dies.
const LAST_USEFUL: Duration = Duration::from_mins(1);
/// Between two attempts to replace one key.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);
/// Ways in which a key is written out.
pub(super) const SHAPES: usize = 5;

/// The most life that may be asked for of keys that live so long: by one who asked for more, a key would have to be
/// made at almost every ask.
pub(super) fn most_wanted(life: Duration) -> Duration {
    life.saturating_sub(LAST_USEFUL.min(life / 10))
}

/// A temporary key and what it is for.
pub struct Key {
    credential: TemporaryCredential,
    grant: Arc<Grant>,
    made_with: u64,
    renounced: AtomicBool,
    refresh_from: Timestamp,
    next_refresh: AtomicU64,
    encoded: [OnceLock<Bytes>; SHAPES],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("grant", &self.grant.id())
            .field("expires", &self.credential.expires)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// Made with the operator's own key of this number. `refresh_share` of its life before it dies, it is worth
    /// replacing.
    pub(super) fn new(
        credential: TemporaryCredential,
        grant: Arc<Grant>,
        made_with: u64,
        now: Timestamp,
        refresh_share: f64,
    ) -> Self {
        let ahead = until(credential.expires, now).mul_f64(refresh_share);
        let refresh_from = credential.expires.checked_sub(ahead).unwrap_or(credential.expires);
        let (renounced, next_refresh) = (AtomicBool::new(false), AtomicU64::new(0));
        Self {
            credential,
            grant,
            made_with,
            renounced,
            refresh_from,
            next_refresh,
            encoded: Default::default(),
        }
    }

    /// The key itself.
    pub fn credential(&self) -> &TemporaryCredential {
        &self.credential
    }

    /// What it is for.
    pub fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    /// The number of the operator's own key that it was made with.
    pub(super) fn made_with(&self) -> u64 {
        self.made_with
    }

    /// Has another made in its place at the next ask.
    pub(super) fn renounce(&self) {
        self.renounced.store(true, Ordering::Relaxed);
    }

    /// Whether another is to be made in its place.
    pub(super) fn is_renounced(&self) -> bool {
        self.renounced.load(Ordering::Relaxed)
    }

    /// What it has left to live.
    pub fn remaining(&self, now: Timestamp) -> Duration {
        until(self.credential.expires, now)
    }

    /// Whether it may be handed out to somebody who wants this much life.
    pub(super) fn is_fresh(&self, now: Timestamp, wanted: Duration) -> bool {
        self.remaining(now) >= wanted
    }

    /// Whether it is better than nothing.
    pub(super) fn is_useful(&self, now: Timestamp) -> bool {
        self.remaining(now) >= LAST_USEFUL
    }

    /// Until when it will be better than nothing.
    pub(super) fn useful_until(&self) -> Timestamp {
        self.credential.expires.checked_sub(LAST_USEFUL).unwrap_or(self.credential.expires)
    }

    /// From when on it is worth asking for another: the answer's `refreshAt`. Once that has passed a
    /// replacement is under way, so a moment later is soon enough.
    pub fn refresh_at(&self, now: Timestamp) -> Timestamp {
        let soon = now.checked_add(Duration::from_secs(5)).unwrap_or(now);
        if now < self.refresh_from { self.refresh_from } else { soon.min(self.credential.expires) }
    }

    /// Whether to replace it now; true once in [`REFRESH_PAUSE`], `at` on the monotonic clock.
    pub(super) fn take_refresh(&self, now: Timestamp, at: Duration) -> bool {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let next = self.next_refresh.load(Ordering::Relaxed);
        now >= self.refresh_from
            && millis(at) >= next
            && self
                .next_refresh
                .compare_exchange(next, millis(at + REFRESH_PAUSE), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// The key written out in one shape; written the first time, shared from then on, wiped in the end.
    pub fn encoded(&self, shape: usize, write: impl FnOnce(&Self) -> Vec<u8>) -> Bytes {
        let wiped = |bytes: Vec<u8>| Bytes::from_owner(Zeroizing::new(bytes));
        match self.encoded.get(shape) {
            Some(slot) => slot.get_or_init(|| wiped(write(self))).clone(),
            None => wiped(write(self)),
        }
    }

    /// Roughly the bytes it takes: its parts, two bodies, the grant, the bookkeeping.
    pub(super) fn weight(&self) -> u32 {
        Self::weigh(&self.grant, self.credential.token.expose_secret().len())
    }

    /// The same of a grant's key whose token has so many bytes.
    pub(super) fn weigh(grant: &Grant, token: usize) -> u32 {
        let bytes = 2048 + 3 * token + grant.policy().weight();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}
