//! Recorder: the latest requests in 24 bytes each, without who sent them.
//!
//! A credential is known by a keyed hash that only this process can compute, so no user can be looked up here.
//! When the ring is full before it reaches far enough back, it keeps the requests of half of the credentials from
//! then on, and so forth (SHARDS: Waldspurger et al., FAST '15). All requests of a kept credential are kept, so
//! that a replay of them holds for the whole, scaled up. The higher the load, the smaller the share of requests
//! that takes the lock.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    mem::size_of,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::super::{CacheOutcome, CredentialError, ServedCredential, cached_credential::weight_of};
use runtime::clock::Clock;
use templates::Grant;

/// How far back the requests should reach before credentials are left out. A replay needs twice the longest
/// lifetime it tries.
const MIN_SPAN: Duration = Duration::from_hours(4);
/// The same as a multiple of the longest lifetime: enough to try twice that lifetime.
const MIN_SPAN_IN_LIFETIMES: u32 = 4;
/// Unit of a packed time: 32 bits hold three years.
const TIME_UNIT: Duration = Duration::from_millis(25);
/// Unit of a packed size: 16 bits hold 4 MiB.
const SIZE_UNIT_BYTES: u32 = 64;

/// A recorded request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordedRequest {
    /// Identifies the credential, in this process only.
    pub(super) key: u64,
    /// When the request was answered, on the monotonic clock.
    pub(super) at: Duration,
    /// Lifetime of the template's credentials.
    pub(super) lifetime: Duration,
    /// The TTL that the request asked for; zero if none.
    pub(super) requested_ttl: Duration,
    /// Size of the credential in the cache.
    pub(super) bytes: u64,
    /// How it ended; none if it was refused.
    pub(super) outcome: Option<CacheOutcome>,
}

/// A recorded request in 24 bytes.
#[derive(Debug, Clone, Copy)]
struct PackedRequest {
    key: u64,
    at: u32,
    lifetime: u32,
    requested_ttl: u32,
    size: u16,
    outcome: Option<CacheOutcome>,
}

const _: () =
    assert!(size_of::<PackedRequest>() == 24, "config.example.toml says how many requests 4 MiB hold");

impl From<RecordedRequest> for PackedRequest {
    fn from(request: RecordedRequest) -> Self {
        let size = request.bytes.div_ceil(SIZE_UNIT_BYTES.into());
        Self {
            key: request.key,
            at: packed_time(request.at),
            lifetime: packed_time(request.lifetime),
            requested_ttl: packed_time(request.requested_ttl),
            size: u16::try_from(size).unwrap_or(u16::MAX),
            outcome: request.outcome,
        }
    }
}

impl From<PackedRequest> for RecordedRequest {
    fn from(packed: PackedRequest) -> Self {
        Self {
            key: packed.key,
            at: TIME_UNIT * packed.at,
            lifetime: TIME_UNIT * packed.lifetime,
            requested_ttl: TIME_UNIT * packed.requested_ttl,
            bytes: u64::from(packed.size) * u64::from(SIZE_UNIT_BYTES),
            outcome: packed.outcome,
        }
    }
}

fn packed_time(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(TIME_UNIT.as_millis())).unwrap_or(u32::MAX)
}

/// Records requests, if `cache.advice_bytes` allows it.
#[derive(Debug)]
pub(in crate::credential_cache) struct Recorder(Option<ActiveRecorder>);

#[derive(Debug)]
struct ActiveRecorder {
    /// The standard library's keyed hash, with a random key for each process.
    hash: RandomState,
    /// [`Ring::max_key`], readable without the lock.
    max_key: AtomicU64,
    ring: Mutex<Ring>,
    clock: Arc<dyn Clock>,
}

impl Recorder {
    /// A recorder with a ring of this size.
    pub(in crate::credential_cache) fn new(bytes: Option<u64>, clock: Arc<dyn Clock>) -> Self {
        Self(bytes.map(|bytes| ActiveRecorder {
            hash: RandomState::new(),
            max_key: AtomicU64::new(u64::MAX),
            ring: Mutex::new(Ring::new(bytes)),
            clock,
        }))
    }

    /// Records a request and its result. Refusals that no other cache setting would avoid are left out.
    pub(in crate::credential_cache) fn record(
        &self,
        grant: &Grant,
        requested_ttl: Option<Duration>,
        result: &Result<ServedCredential, CredentialError>,
    ) {
        let Some(recorder) = &self.0 else { return };
        let key = recorder.hash.hash_one(grant.fingerprint());
        if key > recorder.max_key.load(Ordering::Relaxed) {
            return;
        }
        let (bytes, outcome) = match result {
            Ok(served) => (served.credential.weight(), Some(served.how)),
            // The length of its texts is not known.
            Err(CredentialError::Sts(_) | CredentialError::TtlTooLong { .. }) => (weight_of(0), None),
            Err(
                CredentialError::Revoked
                | CredentialError::RateLimited { .. }
                | CredentialError::TooManyScopes { .. },
            ) => return,
        };
        let request = RecordedRequest {
            key,
            at: recorder.clock.monotonic(),
            lifetime: grant.duration(),
            requested_ttl: requested_ttl.unwrap_or_default(),
            bytes: bytes.into(),
            outcome,
        };
        let mut ring = recorder.ring();
        ring.push(request.into());
        recorder.max_key.store(ring.max_key(), Ordering::Relaxed);
    }

    /// Copies what was recorded up to now; none if recording is off.
    pub(super) fn recording(&self) -> Option<Recording> {
        let recorder = self.0.as_ref()?;
        let now = recorder.clock.monotonic();
        Some(recorder.ring().recording(now))
    }
}

impl ActiveRecorder {
    /// A poisoned lock is usable: the ring is consistent after each call.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The latest requests, for one credential in 2^`halvings`.
#[derive(Debug)]
pub(super) struct Ring {
    requests: VecDeque<PackedRequest>,
    capacity: usize,
    halvings: u32,
    longest_lifetime: u32,
}

impl Ring {
    pub(super) fn new(bytes: u64) -> Self {
        let capacity = usize::try_from(bytes).unwrap_or(usize::MAX) / size_of::<PackedRequest>();
        Self { requests: VecDeque::with_capacity(capacity), capacity, halvings: 0, longest_lifetime: 0 }
    }

    /// Requests of keys up to this one are kept.
    fn max_key(&self) -> u64 {
        u64::MAX >> self.halvings
    }

    #[cfg(test)]
    pub(super) fn record(&mut self, request: RecordedRequest) {
        self.push(request.into());
    }

    fn push(&mut self, mut request: PackedRequest) {
        if let (Some(oldest), Some(newest)) = (self.requests.front(), self.requests.back()) {
            // Threads read the time before they take the lock.
            request.at = request.at.max(newest.at);
            if self.requests.len() >= self.capacity {
                self.make_room(request.at - oldest.at);
            }
        }
        self.longest_lifetime = self.longest_lifetime.max(request.lifetime);
        if request.key <= self.max_key() && self.requests.len() < self.capacity {
            self.requests.push_back(request);
        }
    }

    /// Makes room in a full ring whose requests reach back for `span`.
    fn make_room(&mut self, span: u32) {
        let min_span = MIN_SPAN.max(TIME_UNIT * self.longest_lifetime * MIN_SPAN_IN_LIFETIMES);
        if TIME_UNIT * span >= min_span {
            self.requests.pop_front();
            return;
        }
        let half = self.max_key() >> 1;
        let kept = self.requests.iter().filter(|request| request.key <= half).count();
        // Where a few credentials get most requests, half of the credentials do not represent the whole.
        if (self.capacity / 4..=self.capacity / 4 * 3).contains(&kept) {
            self.halvings += 1;
            self.requests.retain(|request| request.key <= half);
        } else {
            // Many at once, because counting them takes time.
            self.requests.drain(..(self.capacity / 8).max(1).min(self.requests.len()));
        }
    }

    pub(super) fn recording(&self, now: Duration) -> Recording {
        Recording { requests: self.requests.iter().copied().collect(), one_in: 1 << self.halvings, now }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.requests.capacity() * size_of::<PackedRequest>()
    }
}

/// Recorded requests, in the order of their time.
#[derive(Debug)]
pub(super) struct Recording {
    requests: Vec<PackedRequest>,
    /// Sampling factor: requests for one in this many credentials are recorded, and counts are multiplied by it.
    pub(super) one_in: u64,
    /// When it was copied, on the monotonic clock.
    pub(super) now: Duration,
}

impl Recording {
    pub(super) fn requests(&self) -> impl Iterator<Item = RecordedRequest> + Clone + use<'_> {
        self.requests.iter().copied().map(RecordedRequest::from)
    }

    /// How far back it reaches.
    pub(super) fn span(&self) -> Duration {
        self.requests().next().map_or(Duration::ZERO, |oldest| self.now.saturating_sub(oldest.at))
    }
}
