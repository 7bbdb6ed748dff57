//! The latest asks in a few bytes each: what was asked when, of which key, and never of whom.
//!
//! A key is known by a hash that only this process can make, so nobody can be looked up here. When the ring
//! fills before it reaches far enough back, it keeps the asks of every second key only, from then on, and so
//! forth (SHARDS: Waldspurger et al., FAST '15). All asks of a kept key are kept, so what is replayed from
//! them holds for the whole, scaled up; and the busier the house, the fewer asks take the lock.

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

use super::super::{CredentialError, Outcome, Served, key::Key};
use runtime::clock::Clock;
use templates::Grant;

/// How far back asks should reach before keys are left out: a replay wants twice the longest life it tries.
const REACH: Duration = Duration::from_hours(4);
/// The same in lives of the longest-lived key: room to try twice that life.
const REACH_IN_LIVES: u32 = 4;
/// The unit of an ask's times: 32 bits of it hold three years.
const TICK: Duration = Duration::from_millis(25);
/// The unit of an ask's size: 16 bits of it hold 4 MiB.
const BLOCK: u32 = 64;

/// One ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    /// Names the key that was asked for, in this process only.
    pub(super) key: u64,
    /// When it was answered, on the monotonic clock.
    pub(super) at: Duration,
    /// How long such a key lives.
    pub(super) life: Duration,
    /// The life that was asked for; zero where none was.
    pub(super) wanted: Duration,
    /// What the key takes in the cache.
    pub(super) bytes: u64,
    /// How it ended.
    pub(super) outcome: Outcome,
}

/// The same in 24 bytes.
#[derive(Debug, Clone, Copy)]
struct Packed {
    key: u64,
    at: u32,
    life: u32,
    wanted: u32,
    blocks: u16,
    outcome: Outcome,
}

const _: () = assert!(size_of::<Packed>() == 24, "config.example.toml says how far 4 MiB reach");

impl From<Ask> for Packed {
    fn from(ask: Ask) -> Self {
        let ticks = |duration: Duration| {
            u32::try_from(duration.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX)
        };
        let blocks = u16::try_from(ask.bytes.div_ceil(BLOCK.into())).unwrap_or(u16::MAX);
        Self {
            key: ask.key,
            at: ticks(ask.at),
            life: ticks(ask.life),
            wanted: ticks(ask.wanted),
            blocks,
            outcome: ask.outcome,
        }
    }
}

impl From<Packed> for Ask {
    fn from(packed: Packed) -> Self {
        Self {
            key: packed.key,
            at: TICK * packed.at,
            life: TICK * packed.life,
            wanted: TICK * packed.wanted,
            bytes: u64::from(packed.blocks) * u64::from(BLOCK),
            outcome: packed.outcome,
        }
    }
}

/// Notes asks; nothing where the operator wants none noted.
#[derive(Debug)]
pub(in crate::credential_cache) struct Recorder(Option<Noting>);

#[derive(Debug)]
struct Noting {
    /// The standard library's keyed hash, with a key of its own for each.
    hash: RandomState,
    /// [`Ring::keeps`], to be read without the lock.
    keeps: AtomicU64,
    ring: Mutex<Ring>,
    clock: Arc<dyn Clock>,
}

impl Recorder {
    /// With a ring of so many bytes.
    pub(in crate::credential_cache) fn new(bytes: Option<u64>, clock: Arc<dyn Clock>) -> Self {
        Self(bytes.map(|bytes| Noting {
            hash: RandomState::new(),
            keeps: AtomicU64::new(u64::MAX),
            ring: Mutex::new(Ring::new(bytes)),
            clock,
        }))
    }

    /// Notes an ask and how it was answered. Refusals that no other setting would lift are left out.
    pub(in crate::credential_cache) fn note(
        &self,
        grant: &Grant,
        wanted: Option<Duration>,
        answer: &Result<Served, CredentialError>,
    ) {
        let Some(noting) = &self.0 else { return };
        let key = noting.hash.hash_one(grant.fingerprint());
        if key > noting.keeps.load(Ordering::Relaxed) {
            return;
        }
        let (bytes, outcome) = match answer {
            Ok(served) => (served.key.weight(), served.outcome),
            // How long its token would have been is not known.
            Err(CredentialError::Sts(_) | CredentialError::TooMuchLife { .. }) => {
                (Key::weigh(grant, 0), Outcome::Refused)
            }
            Err(
                CredentialError::Revoked
                | CredentialError::TooMany { .. }
                | CredentialError::TooManyScopes { .. },
            ) => return,
        };
        let ask = Ask {
            key,
            at: noting.clock.monotonic(),
            life: grant.duration(),
            wanted: wanted.unwrap_or_default(),
            bytes: bytes.into(),
            outcome,
        };
        let mut ring = noting.ring();
        ring.push(ask.into());
        noting.keeps.store(ring.keeps(), Ordering::Relaxed);
    }

    /// What was noted, up to now.
    pub(super) fn recording(&self) -> Option<Recording> {
        let noting = self.0.as_ref()?;
        let now = noting.clock.monotonic();
        Some(noting.ring().recording(now))
    }
}

impl Noting {
    /// The ring is whole between two calls, so a poisoned lock is good.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The latest asks, of every 2^`halvings`th key.
#[derive(Debug)]
pub(super) struct Ring {
    requests: VecDeque<Packed>,
    most: usize,
    halvings: u32,
    longest_life: u32,
}

impl Ring {
    pub(super) fn new(bytes: u64) -> Self {
        let most = usize::try_from(bytes).unwrap_or(usize::MAX) / size_of::<Packed>();
        Self { requests: VecDeque::with_capacity(most), most, halvings: 0, longest_life: 0 }
    }

    /// Keys up to here are kept.
    fn keeps(&self) -> u64 {
        u64::MAX >> self.halvings
    }

    #[cfg(test)]
    pub(super) fn note(&mut self, ask: Ask) {
        self.push(ask.into());
    }

    fn push(&mut self, mut ask: Packed) {
        if let (Some(oldest), Some(newest)) = (self.requests.front(), self.requests.back()) {
            // Workers take the time before they take the lock.
            ask.at = ask.at.max(newest.at);
            if self.requests.len() >= self.most {
                self.make_room(ask.at - oldest.at);
            }
        }
        self.longest_life = self.longest_life.max(ask.life);
        if ask.key <= self.keeps() && self.requests.len() < self.most {
            self.requests.push_back(ask);
        }
    }

    fn make_room(&mut self, reaches: u32) {
        if TICK * reaches >= REACH.max(TICK * self.longest_life * REACH_IN_LIVES) {
            self.requests.pop_front();
            return;
        }
        let half = self.keeps() >> 1;
        let kept = self.requests.iter().filter(|ask| ask.key <= half).count();
        // Where a few keys make most asks, half of the keys do not stand for the whole.
        if (self.most / 4..=self.most / 4 * 3).contains(&kept) {
            self.halvings += 1;
            self.requests.retain(|ask| ask.key <= half);
        } else {
            // Many at once, for to look at all of them takes time.
            self.requests.drain(..(self.most / 8).max(1).min(self.requests.len()));
        }
    }

    pub(super) fn recording(&self, now: Duration) -> Recording {
        Recording { requests: self.requests.iter().copied().collect(), one_in: 1 << self.halvings, now }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.requests.capacity() * size_of::<Packed>()
    }
}

/// Asks, in the order they came.
#[derive(Debug)]
pub(super) struct Recording {
    requests: Vec<Packed>,
    /// They are those of every so manieth key.
    pub(super) one_in: u64,
    /// When it was made, on the monotonic clock.
    pub(super) now: Duration,
}

impl Recording {
    pub(super) fn requests(&self) -> impl Iterator<Item = Ask> + Clone + use<'_> {
        self.requests.iter().copied().map(Ask::from)
    }

    /// How far back it reaches.
    pub(super) fn span(&self) -> Duration {
        self.requests().next().map_or(Duration::ZERO, |oldest| self.now.saturating_sub(oldest.at))
    }
}
