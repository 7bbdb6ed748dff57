//! Asks replayed under other settings, by the cache's own rules.
//!
//! Simpler than the cache in three ways: STS always answers, and at once; a refresh begins at its share, not a
//! tenth to either side; and when keys must make room, the one not asked for the longest goes, where moka's
//! `TinyLFU` also looks at how often they were asked for.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    time::Duration,
};

use super::{
    super::{Outcome, key::most_wanted},
    ring::Ask,
};
use crate::config;

/// What a replay goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// How long keys live; as their templates say without.
    pub(super) lifetime: Option<Duration>,
    /// The cache's settings.
    pub(super) cache: config::Cache,
}

/// What came of asks, of the keys that were kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) requests: u64,
    /// Answered without a call of their own.
    pub(super) hits: u64,
    /// Keys that STS was asked for.
    pub(super) calls: u64,
    pub(super) refused: u64,
    /// The most calls in one minute by the clock.
    pub(super) busiest: u64,
    /// The most that living keys took.
    pub(super) peak_bytes: u64,
    minute: (u64, u64),
}

impl Tally {
    pub(super) fn count(&mut self, at: Duration, outcome: Outcome) {
        let calls = u64::from(matches!(outcome, Outcome::Fetched | Outcome::Refreshed));
        let is_hit = matches!(outcome, Outcome::Hit | Outcome::Refreshed | Outcome::Coalesced);
        self.requests += 1;
        self.hits += u64::from(is_hit);
        self.refused += u64::from(outcome == Outcome::Refused);
        self.calls += calls;
        let minute = at.as_secs() / 60;
        let before = if self.minute.0 == minute { self.minute.1 } else { 0 };
        self.minute = (minute, before + calls);
        self.busiest = self.busiest.max(self.minute.1);
    }
}

/// Replays asks of one key in `one_in` through a cache that is empty at first; counts from `measured_from` on,
/// on the clock of the asks.
pub(super) fn replay(
    requests: impl Iterator<Item = Ask>,
    one_in: u64,
    measured_from: Duration,
    settings: &Settings,
) -> Tally {
    let mut cache = Memory { room: settings.cache.max_bytes / one_in, ..Memory::default() };
    let mut tally = Tally::default();
    for ask in requests {
        let outcome = cache.answer(&ask, settings);
        if ask.at >= measured_from {
            tally.count(ask.at, outcome);
            tally.peak_bytes = tally.peak_bytes.max(cache.bytes);
        }
    }
    tally
}

/// The keys in memory, the least lately asked for known.
#[derive(Default)]
struct Memory {
    room: u64,
    bytes: u64,
    held: HashMap<u64, Held>,
    /// When keys end; of a key that was replaced, the end of the older one too.
    ends: BinaryHeap<Reverse<(Duration, u64)>>,
    /// Keys as they were asked for; only the last place of each counts.
    used: VecDeque<(u64, u64)>,
    uses: u64,
}

struct Held {
    ends: Duration,
    refresh_from: Duration,
    bytes: u64,
    last_use: u64,
}

impl Memory {
    fn answer(&mut self, ask: &Ask, settings: &Settings) -> Outcome {
        let life = settings.lifetime.unwrap_or(ask.life);
        let least = settings.cache.min_remaining(life);
        if ask.wanted > least && ask.wanted > most_wanted(life) {
            return Outcome::Refused;
        }
        self.bury(ask.at);
        let outcome = match self.held.get(&ask.key) {
            Some(held) if held.ends.saturating_sub(ask.at) < least.max(ask.wanted) => Outcome::Fetched,
            Some(held) if ask.at >= held.refresh_from => Outcome::Refreshed,
            Some(_) => Outcome::Hit,
            None => Outcome::Fetched,
        };
        if outcome != Outcome::Hit {
            let ends = ask.at + life;
            let refresh_from = ends.saturating_sub(life.mul_f64(settings.cache.refresh_at));
            self.remove(ask.key);
            self.bytes += ask.bytes;
            self.ends.push(Reverse((ends, ask.key)));
            self.held.insert(ask.key, Held { ends, refresh_from, bytes: ask.bytes, last_use: 0 });
        }
        self.touch(ask.key);
        self.make_room();
        outcome
    }

    fn touch(&mut self, key: u64) {
        self.uses += 1;
        if let Some(held) = self.held.get_mut(&key) {
            held.last_use = self.uses;
            self.used.push_back((self.uses, key));
        }
    }

    /// Keys leave when they end.
    fn bury(&mut self, now: Duration) {
        while let Some(Reverse((end, key))) =
            self.ends.peek().copied().filter(|Reverse((end, _))| *end <= now)
        {
            self.ends.pop();
            if self.held.get(&key).is_some_and(|held| held.ends == end) {
                self.remove(key);
            }
        }
    }

    fn make_room(&mut self) {
        while self.bytes > self.room {
            let Some((last_use, key)) = self.used.pop_front() else { return };
            if self.held.get(&key).is_some_and(|held| held.last_use == last_use) {
                self.remove(key);
            }
        }
    }

    fn remove(&mut self, key: u64) {
        if let Some(held) = self.held.remove(&key) {
            self.bytes -= held.bytes;
        }
    }
}
