//! Faults on demand: what a developer wants to see go wrong, and with which requests.
//!
//! The table decides and knows nothing of HTTP; `strike` stands before the emulators and does what was
//! decided. The emulators themselves know of two faults only, and ask for them here: [`now`] and [`lifetime`].
//! Never struck are the control API and the token issuer.

mod answer;
mod control;
mod cut;
mod rule;
mod strike;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::{HttpMessage, HttpRequest};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use self::rule::{Fault, Kind, Target};
pub(super) use self::{control::control, cut::connected, strike::strike};
use runtime::{clock::Clock, entropy::Entropy};

/// The faults that were asked for.
#[derive(Debug)]
pub(super) struct Faults {
    table: Mutex<Table>,
    entropy: Arc<dyn Entropy>,
}

#[derive(Debug, Default)]
struct Table {
    entries: Vec<Entry>,
    last: u32,
}

/// A fault, and how often it has struck.
#[derive(Debug, Clone, Serialize)]
struct Entry {
    id: u32,
    struck: u32,
    #[serde(flatten)]
    fault: Fault,
}

impl Faults {
    /// No faults yet.
    pub(super) fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { table: Mutex::default(), entropy }
    }

    /// What goes wrong with this request.
    fn strike(&self, target: Target, action: Option<&str>) -> Option<Kind> {
        let roll = self.entropy.unit();
        self.table().strike(target, action, roll)
    }

    /// The table is whole between two calls, so a poisoned lock is good.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn add(&mut self, fault: Fault) -> Entry {
        self.last += 1;
        let entry = Entry { id: self.last, struck: 0, fault };
        self.entries.push(entry.clone());
        entry
    }

    /// Whether there was one of this name.
    fn remove(&mut self, id: u32) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.id != id);
        self.entries.len() < before
    }

    /// The first fault that means this request and is not spent, by a `roll` in `0.0..1.0`.
    fn strike(&mut self, target: Target, action: Option<&str>, mut roll: f64) -> Option<Kind> {
        for entry in &mut self.entries {
            let Entry { struck, fault, .. } = entry;
            if !fault.means(target, action) || fault.times().is_some_and(|times| *struck >= times) {
                continue;
            }
            let share = fault.share();
            if roll < share {
                *struck = struck.saturating_add(1);
                return Some(fault.kind());
            }
            // Given that this one let it pass, the rest of the roll is again even in `0.0..1.0`.
            roll = (roll - share) / (1.0 - share);
        }
        None
    }
}

/// What a struck request carries on to the emulator.
#[derive(Debug, Clone, Copy)]
enum Struck {
    Skew(SignedDuration),
    Lifetime(Duration),
}

/// The time by the emulator's own clock, as far as this request sees it.
pub(super) fn now(request: &HttpRequest, clock: &dyn Clock) -> Timestamp {
    let now = clock.now();
    match request.extensions().get::<Struck>() {
        Some(Struck::Skew(by)) => now.checked_add(*by).unwrap_or(now),
        _ => now,
    }
}

/// How many seconds a key of this request lives that was asked to live so many.
pub(super) fn lifetime(request: &HttpRequest, asked: u64) -> u64 {
    match request.extensions().get::<Struck>() {
        Some(Struck::Lifetime(lasts)) => asked.min(lasts.as_secs()),
        _ => asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(faults: &[&str]) -> Table {
        let mut table = Table::default();
        for fault in faults {
            table.add(serde_json::from_str(fault).unwrap());
        }
        table
    }

    fn struck(table: &Table) -> Vec<u32> {
        table.entries.iter().map(|entry| entry.struck).collect()
    }

    #[test]
    fn a_fault_strikes_as_often_as_was_asked_and_then_no_more() {
        let mut table = table(&[r#"{"on":"sts","fault":"throttle","times":2}"#]);
        let hits: Vec<bool> = (0..4).map(|_| table.strike(Target::Sts, None, 0.5).is_some()).collect();
        assert_eq!((hits, struck(&table)), (vec![true, true, false, false], vec![2]));
    }

    #[test]
    fn without_times_it_strikes_until_it_is_removed() {
        let mut table = table(&[r#"{"on":"sts","fault":"reset"}"#]);
        for _ in 0..1000 {
            assert_eq!(table.strike(Target::Sts, None, 0.999), Some(Kind::Reset));
        }
        assert!(table.remove(1) && !table.remove(1));
        assert_eq!(table.strike(Target::Sts, None, 0.0), None);
    }

    #[test]
    fn it_strikes_the_service_and_the_action_it_names() {
        let mut table = table(&[r#"{"on":"cos","fault":"truncated","action":"UploadPart"}"#]);
        for (target, action, strikes) in [
            (Target::Cos, Some("UploadPart"), true),
            (Target::Cos, Some("PutObject"), false),
            (Target::Cos, None, false),
            (Target::Sts, Some("UploadPart"), false),
        ] {
            assert_eq!(table.strike(target, action, 0.0).is_some(), strikes, "{target:?} {action:?}");
        }
    }

    #[test]
    fn the_first_that_means_a_request_strikes_alone_and_the_next_when_that_is_spent() {
        let mut table = table(&[
            r#"{"on":"cos","fault":"reset"}"#,
            r#"{"on":"sts","fault":"throttle","times":1}"#,
            r#"{"on":"sts","fault":"truncated"}"#,
        ]);
        assert_eq!(table.strike(Target::Sts, None, 0.0), Some(Kind::Throttle));
        assert_eq!(table.strike(Target::Sts, None, 0.0), Some(Kind::Truncated));
        assert_eq!(struck(&table), [0, 1, 1]);
    }

    #[test]
    fn shares_are_of_the_requests_that_reach_the_fault() {
        let mut table = table(&[
            r#"{"on":"sts","fault":"throttle","share":0.25}"#,
            r#"{"on":"sts","fault":"reset","share":0.5}"#,
        ]);
        for roll in 0..1000 {
            table.strike(Target::Sts, None, f64::from(roll) / 1000.0);
        }
        assert_eq!(struck(&table), [250, 375], "a quarter; half of the rest");
    }

    #[test]
    fn what_was_removed_is_not_named_again() {
        let mut table = table(&[r#"{"on":"sts","fault":"reset"}"#]);
        table.entries.clear();
        let added = table.add(serde_json::from_str(r#"{"on":"sts","fault":"reset"}"#).unwrap());
        assert_eq!(added.id, 2);
    }
}
