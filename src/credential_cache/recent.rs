//! Recent entries by fingerprint, bounded in number. When the map is full, the older half is forgotten.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use templates::fingerprint::Fingerprint;

/// A map of recent entries.
#[derive(Debug)]
pub(super) struct Recent<V> {
    /// Bound on each half.
    max_half: usize,
    halves: Mutex<Halves<V>>,
}

#[derive(Debug)]
struct Halves<V> {
    newer: HashMap<Fingerprint, V>,
    older: HashMap<Fingerprint, V>,
}

impl<V: Copy> Recent<V> {
    /// An empty map of at most so many entries.
    pub(super) fn new(max_entries: usize) -> Self {
        let halves = Halves { newer: HashMap::new(), older: HashMap::new() };
        Self { max_half: max_entries / 2, halves: Mutex::new(halves) }
    }

    pub(super) fn get(&self, fingerprint: Fingerprint) -> Option<V> {
        let halves = self.halves();
        halves.newer.get(&fingerprint).or_else(|| halves.older.get(&fingerprint)).copied()
    }

    pub(super) fn insert(&self, fingerprint: Fingerprint, value: V) {
        let mut halves = self.halves();
        halves.older.remove(&fingerprint);
        if halves.newer.len() >= self.max_half {
            halves.forget_older();
        }
        halves.newer.insert(fingerprint, value);
    }

    pub(super) fn remove(&self, fingerprint: Fingerprint) {
        let mut halves = self.halves();
        halves.newer.remove(&fingerprint);
        halves.older.remove(&fingerprint);
    }

    /// A poisoned lock is usable: the map is consistent after each call.
    fn halves(&self) -> MutexGuard<'_, Halves<V>> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Halves<V> {
    fn forget_older(&mut self) {
        mem::swap(&mut self.newer, &mut self.older);
        // Keeps its memory for the next entries.
        self.newer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(n: usize) -> Fingerprint {
        Fingerprint::of(&[n.to_string()])
    }

    #[test]
    fn the_latest_entries_are_known_and_no_more_than_the_bound() {
        let recent = Recent::new(100);
        for n in 0..1000 {
            recent.insert(of(n), n);
        }
        let known: Vec<usize> = (0..1000).filter_map(|n| recent.get(of(n))).collect();
        assert!((50..=100).contains(&known.len()), "{}", known.len());
        assert!(known.ends_with(&(950..1000).collect::<Vec<_>>()), "{known:?}");
    }

    #[test]
    fn an_entry_is_replaced_and_removed_wherever_it_lies() {
        let recent = Recent::new(4);
        for n in 0..4 {
            recent.insert(of(n), 'a');
        }
        recent.insert(of(0), 'b');
        assert_eq!(recent.get(of(0)), Some('b'));
        for n in 0..4 {
            recent.remove(of(n));
            assert_eq!(recent.get(of(n)), None);
        }
    }
}
