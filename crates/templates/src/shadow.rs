//! A version of a template that does not serve yet: live asks render it beside the one that does, and what
//! would change for whom is counted.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{
    grant::{Grant, NoGrant, confined_policy},
    proof::Proved,
    revision::Revision,
    verify::ConfinedPolicy,
};
use crate::{fingerprint::Fingerprint, identity::Identity};
use cam::compare::compare;

/// A `<name>.next.toml`.
#[derive(Debug)]
pub(super) struct Shadow {
    /// SHA-256 of the file, in hexadecimal.
    pub(super) version: String,
    /// The template, if it is one that could serve.
    pub(super) next: Result<Arc<Proved>, Vec<String>>,
    /// What it changes for everybody.
    pub(super) revision: Revision,
    /// What it changes for those who asked.
    pub(super) tally: Arc<Tally>,
}

/// What was seen of those who asked; each person counts once.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    people: HashMap<Fingerprint, Seen>,
    failures: BTreeMap<String, usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    widened: bool,
    narrowed: bool,
    failed: bool,
    before: usize,
    after: usize,
}

/// People remembered for one shadow, some 64 bytes each.
const MOST_PEOPLE: usize = 100_000;
/// Kinds of failure told apart; words are bounded because templates and claims are.
const MOST_KINDS: usize = 20;

/// What a shadow would change, as far as live asks have shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShadowReport {
    /// SHA-256 of the file, in hexadecimal.
    pub version: String,
    /// Why it could not serve, if it could not.
    pub problems: Vec<String>,
    /// What it changes for everybody.
    pub revision: Revision,
    /// People who asked since both versions were there.
    pub users: usize,
    /// Of those: nothing changes.
    pub unchanged: usize,
    /// Of those: they could do something new.
    pub widened: usize,
    /// Of those: they could no longer do something.
    pub narrowed: usize,
    /// Of those: they get a key now and would get none.
    pub failed: usize,
    /// Why, and how many.
    pub failures: BTreeMap<String, usize>,
    /// The policy's size in bytes.
    pub policy_bytes: Sizes,
}

/// Sizes of the same people's policies.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Sizes {
    /// The largest now.
    pub now_largest: usize,
    /// The largest to come.
    pub next_largest: usize,
    /// The mean now.
    pub now_mean: usize,
    /// The mean to come.
    pub next_mean: usize,
}

impl fmt::Display for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.next {
            Ok(_) => write!(f, "shadow: {}", self.revision),
            Err(problems) => write!(f, "shadow that could not serve: {}", problems.join("; ")),
        }
    }
}

impl Shadow {
    /// Counts what would change for a person, given what they get now.
    pub(super) fn observe(&self, identity: &Identity, now: Result<&Grant, &NoGrant>) {
        let Ok(next) = &self.next else { return };
        let principal = identity.principal().fingerprint();
        if self.tally.knows(principal) {
            return;
        }
        let next = confined_policy(next, identity);
        let size = |policy: &ConfinedPolicy| policy.decoded().map(|policy| policy.to_json().len());
        let mut seen = Seen {
            before: now.map_or(0, |grant| size(grant.policy()).unwrap_or_default()),
            after: next.as_ref().map_or(0, |policy| size(policy).unwrap_or_default()),
            ..Seen::default()
        };
        match (now, &next) {
            (Ok(now), Ok(next)) => {
                if let (Ok(old), Ok(new)) = (now.policy().decoded(), next.decoded()) {
                    let change = compare(&old, &new);
                    seen.widened = change.widens();
                    seen.narrowed = !change.losses.is_empty();
                }
            }
            (Ok(_), Err(_)) => seen.failed = true,
            (Err(_), Ok(_)) => seen.widened = true,
            (Err(_), Err(_)) => {}
        }
        let reason = next.err().filter(|_| seen.failed).map(|error| error.to_string());
        self.tally.add(principal, seen, reason);
    }

    /// What is known so far.
    pub(super) fn report(&self) -> ShadowReport {
        let counted = self.tally.lock();
        let people = &counted.people;
        let count = |which: fn(&Seen) -> bool| people.values().filter(|seen| which(seen)).count();
        let both = || people.values().filter(|seen| seen.before > 0 && seen.after > 0);
        let mean = |of: fn(&Seen) -> usize| both().map(of).sum::<usize>() / both().count().max(1);
        ShadowReport {
            version: self.version.clone(),
            problems: self.next.as_ref().err().cloned().unwrap_or_default(),
            revision: self.revision.clone(),
            users: people.len(),
            unchanged: count(|seen| !seen.widened && !seen.narrowed && !seen.failed),
            widened: count(|seen| seen.widened),
            narrowed: count(|seen| seen.narrowed),
            failed: count(|seen| seen.failed),
            failures: counted.failures.clone(),
            policy_bytes: Sizes {
                now_largest: both().map(|seen| seen.before).max().unwrap_or_default(),
                next_largest: both().map(|seen| seen.after).max().unwrap_or_default(),
                now_mean: mean(|seen| seen.before),
                next_mean: mean(|seen| seen.after),
            },
        }
    }
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this person was counted, or there is no room to count more.
    fn knows(&self, principal: Fingerprint) -> bool {
        let counted = self.lock();
        counted.people.len() >= MOST_PEOPLE || counted.people.contains_key(&principal)
    }

    fn add(&self, principal: Fingerprint, seen: Seen, failure: Option<String>) {
        let mut counted = self.lock();
        let is_new = counted.people.insert(principal, seen).is_none();
        if let Some(failure) = failure.filter(|_| is_new)
            && (counted.failures.len() < MOST_KINDS || counted.failures.contains_key(&failure))
        {
            *counted.failures.entry(failure).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(n: usize) -> Fingerprint {
        Fingerprint::of(&[n.to_string()])
    }

    #[test]
    fn no_more_people_are_remembered_than_there_is_room_for() {
        let tally = Tally::default();
        for n in 0..MOST_PEOPLE {
            assert!(!tally.knows(principal(n)), "{n}");
            tally.add(principal(n), Seen::default(), None);
        }
        assert!(tally.knows(principal(MOST_PEOPLE)), "there is no room for one more");
    }

    #[test]
    fn so_many_kinds_of_failure_are_told_apart_and_those_are_counted_on() {
        let tally = Tally::default();
        for n in 0..MOST_KINDS * 2 {
            tally.add(principal(n), Seen::default(), Some(format!("kind {n}")));
        }
        tally.add(principal(MOST_KINDS * 2), Seen::default(), Some("kind 0".to_owned()));
        let failures = tally.lock().failures.clone();
        assert_eq!((failures.len(), failures["kind 0"]), (MOST_KINDS, 2));
    }
}
