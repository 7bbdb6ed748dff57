//! The faults that are set, and the decision which of them affects a request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::rule::{Fault, FaultKind, Target};
use runtime::entropy::Entropy;

/// The faults that are set.
#[derive(Debug)]
pub(crate) struct FaultRegistry {
    faults: Mutex<FaultList>,
    entropy: Arc<dyn Entropy>,
}

#[derive(Debug, Default)]
pub(super) struct FaultList {
    entries: Vec<FaultEntry>,
    last_id: u32,
}

/// A fault and how often it was injected.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FaultEntry {
    id: u32,
    injected: u32,
    #[serde(flatten)]
    fault: Fault,
}

impl FaultRegistry {
    /// Creates a registry without faults.
    pub(crate) fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { faults: Mutex::default(), entropy }
    }

    /// Returns the fault of a request to `target`, and counts it.
    pub(super) fn choose(&self, target: Target, action: Option<&str>) -> Option<FaultKind> {
        let roll = self.entropy.unit();
        self.list().choose(target, action, roll)
    }

    /// Returns the list. It is consistent between two calls, so a poisoned lock can be used.
    pub(super) fn list(&self) -> MutexGuard<'_, FaultList> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an id for a faked response.
    pub(super) fn request_id(&self) -> String {
        self.entropy.hex_id()
    }
}

impl FaultList {
    pub(super) fn entries(&self) -> &[FaultEntry] {
        &self.entries
    }

    pub(super) fn add(&mut self, fault: Fault) -> FaultEntry {
        self.last_id += 1;
        let entry = FaultEntry { id: self.last_id, injected: 0, fault };
        self.entries.push(entry.clone());
        entry
    }

    /// Removes a fault, and returns whether it existed.
    pub(super) fn remove(&mut self, id: u32) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.id != id);
        self.entries.len() < before
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Returns the first fault that matches the request and is not used up, by a random `roll` in `0.0..1.0`.
    fn choose(&mut self, target: Target, action: Option<&str>, mut roll: f64) -> Option<FaultKind> {
        for entry in &mut self.entries {
            let FaultEntry { injected, fault, .. } = entry;
            if !fault.matches(target, action) || fault.times().is_some_and(|times| *injected >= times) {
                continue;
            }
            let share = fault.share();
            if roll < share {
                *injected = injected.saturating_add(1);
                return Some(fault.kind());
            }
            // The roll is at least `share` here; scaled, it is uniform in `0.0..1.0` again.
            roll = (roll - share) / (1.0 - share);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(faults: &[&str]) -> FaultList {
        let mut list = FaultList::default();
        for fault in faults {
            list.add(serde_json::from_str(fault).unwrap());
        }
        list
    }

    fn injected(list: &FaultList) -> Vec<u32> {
        list.entries.iter().map(|entry| entry.injected).collect()
    }

    #[test]
    fn a_fault_is_injected_as_many_times_as_requested() {
        let mut list = list(&[r#"{"on":"sts","fault":"throttle","times":2}"#]);
        let chosen: Vec<bool> = (0..4).map(|_| list.choose(Target::Sts, None, 0.5).is_some()).collect();
        assert_eq!((chosen, injected(&list)), (vec![true, true, false, false], vec![2]));
    }

    #[test]
    fn without_times_a_fault_is_injected_until_it_is_removed() {
        let mut list = list(&[r#"{"on":"sts","fault":"reset"}"#]);
        for _ in 0..1000 {
            assert_eq!(list.choose(Target::Sts, None, 0.999), Some(FaultKind::Reset));
        }
        assert!(list.remove(1) && !list.remove(1));
        assert_eq!(list.choose(Target::Sts, None, 0.0), None);
    }

    #[test]
    fn a_fault_affects_the_service_and_the_action_it_names() {
        let mut list = list(&[r#"{"on":"cos","fault":"truncated","action":"UploadPart"}"#]);
        for (target, action, expected) in [
            (Target::Cos, Some("UploadPart"), true),
            (Target::Cos, Some("PutObject"), false),
            (Target::Cos, None, false),
            (Target::Sts, Some("UploadPart"), false),
        ] {
            assert_eq!(list.choose(target, action, 0.0).is_some(), expected, "{target:?} {action:?}");
        }
    }

    #[test]
    fn the_first_matching_fault_is_injected_and_the_next_when_it_is_used_up() {
        let mut list = list(&[
            r#"{"on":"cos","fault":"reset"}"#,
            r#"{"on":"sts","fault":"throttle","times":1}"#,
            r#"{"on":"sts","fault":"truncated"}"#,
        ]);
        assert_eq!(list.choose(Target::Sts, None, 0.0), Some(FaultKind::Throttle));
        assert_eq!(list.choose(Target::Sts, None, 0.0), Some(FaultKind::Truncated));
        assert_eq!(injected(&list), [0, 1, 1]);
    }

    #[test]
    fn a_share_is_of_the_requests_that_no_earlier_fault_took() {
        let mut list = list(&[
            r#"{"on":"sts","fault":"throttle","share":0.25}"#,
            r#"{"on":"sts","fault":"reset","share":0.5}"#,
        ]);
        for roll in 0..1000 {
            list.choose(Target::Sts, None, f64::from(roll) / 1000.0);
        }
        assert_eq!(injected(&list), [250, 375], "a quarter; half of the rest");
    }

    #[test]
    fn ids_are_not_used_again() {
        let mut list = list(&[r#"{"on":"sts","fault":"reset"}"#]);
        list.clear();
        let added = list.add(serde_json::from_str(r#"{"on":"sts","fault":"reset"}"#).unwrap());
        assert_eq!(added.id, 2);
    }
}
