//! Who is given no key, by an operator's word.
//!
//! Asked at every ask, so a look costs one lookup, and none while nobody is revoked.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use jiff::Timestamp;

use crate::config::{RevokedFile, RevokedPrincipal};
use templates::{fingerprint::Fingerprint, identity::Principal};

/// People at most: each change writes them all down. For more there is the issuer.
const MOST: usize = 10_000;

type People = HashMap<Fingerprint, Arc<RevokedPrincipal>>;

/// The revoked people.
#[derive(Debug)]
pub(super) struct Revoked {
    people: ArcSwap<People>,
    /// Held while the list changes, so that the file's last word is the one that holds.
    file: Mutex<Option<RevokedFile>>,
    unsaved: AtomicBool,
}

/// What became of a change, besides that it holds.
#[derive(Debug)]
pub(super) struct Changed {
    /// From when on the person was or is revoked.
    pub(super) since: Timestamp,
    /// Whether there was nothing to change.
    pub(super) already: bool,
    pub(super) kept: Kept,
}

/// Whether a change outlives the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept {
    /// It does.
    InFile,
    /// There is no file.
    InMemory,
    /// There is one, and it could not be written.
    Failed(String),
}

/// Too many people are revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MOST} people are revoked, and more are not taken; block people at their issuer instead")]
pub struct TooManyRevoked;

impl Revoked {
    pub(super) fn new(file: Option<RevokedFile>) -> Self {
        let people = file.as_ref().map(RevokedFile::people).unwrap_or_default();
        let people: People = people
            .iter()
            .map(|one| {
                let principal = Principal::new(one.issuer.as_str(), one.subject.as_str());
                (principal.fingerprint(), Arc::new(one.clone()))
            })
            .collect();
        if let Some(file) = &file {
            tracing::info!(file = %file.path().display(), people = people.len(), "revoked people");
        }
        Self {
            people: ArcSwap::from_pointee(people),
            file: Mutex::new(file),
            unsaved: AtomicBool::new(false),
        }
    }

    /// Whether this person is revoked.
    pub(super) fn holds(&self, principal: &Principal) -> bool {
        let people = self.people.load();
        !people.is_empty() && people.contains_key(&principal.fingerprint())
    }

    /// Whether the file does not hold what it should.
    pub(super) fn is_unsaved(&self) -> bool {
        self.unsaved.load(Ordering::Relaxed)
    }

    /// Everybody, the latest first.
    pub(super) fn list(&self) -> Vec<RevokedPrincipal> {
        let mut people: Vec<_> =
            self.people.load().values().map(|one| RevokedPrincipal::clone(one)).collect();
        people.sort_by(|a, b| (b.since, &a.issuer, &a.subject).cmp(&(a.since, &b.issuer, &b.subject)));
        people
    }

    /// Revokes a person, at once for all who ask; then writes it down.
    pub(super) fn add(&self, principal: &Principal, now: Timestamp) -> Result<Changed, TooManyRevoked> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut people = People::clone(&self.people.load());
        let held = people.get(&principal.fingerprint()).map(|one| one.since);
        if held.is_none() {
            if people.len() >= MOST {
                return Err(TooManyRevoked);
            }
            let one = RevokedPrincipal {
                issuer: principal.issuer().to_owned(),
                subject: principal.subject().to_owned(),
                since: now,
            };
            people.insert(principal.fingerprint(), Arc::new(one));
            self.people.store(Arc::new(people));
        }
        // Even if nothing changed: an earlier attempt to write it down may have failed.
        let kept = self.keep(file.as_ref());
        Ok(Changed { since: held.unwrap_or(now), already: held.is_some(), kept })
    }

    /// Takes a revocation back; none if there is none.
    pub(super) fn remove(&self, principal: &Principal) -> Option<Changed> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut people = People::clone(&self.people.load());
        let one = people.remove(&principal.fingerprint())?;
        self.people.store(Arc::new(people));
        Some(Changed { since: one.since, already: false, kept: self.keep(file.as_ref()) })
    }

    fn keep(&self, file: Option<&RevokedFile>) -> Kept {
        let Some(file) = file else { return Kept::InMemory };
        let written = file.write(self.list());
        self.unsaved.store(written.is_err(), Ordering::Relaxed);
        match written {
            Ok(()) => Kept::InFile,
            Err(error) => {
                let path = file.path().display();
                Kept::Failed(format!("limits.revoked_file {path} cannot be written: {error}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_revoked_is_so_until_taken_back_and_no_namesake_is() {
        let revoked = Revoked::new(None);
        let (alice, other) = (Principal::new("i", "alice"), Principal::new("j", "alice"));
        assert!(!revoked.holds(&alice));
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = revoked.add(&alice, at(1)).unwrap();
        assert!((first.since, first.already) == (at(1), false) && first.kept == Kept::InMemory);
        let again = revoked.add(&alice, at(2)).unwrap();
        assert!((again.since, again.already) == (at(1), true), "since the first time");
        assert!(revoked.holds(&alice) && !revoked.holds(&other) && revoked.list().len() == 1);
        assert!(revoked.remove(&other).is_none() && revoked.remove(&alice).is_some());
        assert!(!revoked.holds(&alice) && revoked.remove(&alice).is_none());
    }

    #[test]
    fn there_is_an_end_of_people() {
        let revoked = Revoked::new(None);
        let people = (0..MOST).map(|n| {
            let one =
                RevokedPrincipal { issuer: "i".into(), subject: n.to_string(), since: Timestamp::UNIX_EPOCH };
            (Principal::new("i", n.to_string()).fingerprint(), Arc::new(one))
        });
        revoked.people.store(Arc::new(people.collect()));
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(revoked.add(&Principal::new("i", "one more"), now).unwrap_err(), TooManyRevoked);
        assert!(revoked.add(&Principal::new("i", "7"), now).unwrap().already);
    }
}
