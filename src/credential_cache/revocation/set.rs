//! The revoked users, in memory and in `limits.revoked_file`.
//!
//! Checked at every request: one lookup, and none while no user is revoked.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use jiff::Timestamp;

use crate::config::{RevokedFile, RevokedPrincipal};
use diagnostics::to_single_line;
use templates::{fingerprint::Fingerprint, identity::Principal};

/// Bound on the revoked users: each change writes all of them to the file.
const MAX_REVOKED_USERS: usize = 10_000;

type Users = HashMap<Fingerprint, Arc<RevokedPrincipal>>;

/// The revoked users.
#[derive(Debug)]
pub(in crate::credential_cache) struct RevokedUsers {
    users: ArcSwap<Users>,
    /// Locked during a change, so that the file's last write is the latest change.
    file: Mutex<Option<RevokedFile>>,
    unsaved: AtomicBool,
}

/// A change that is in force.
#[derive(Debug)]
pub(super) struct Change {
    /// When the user was revoked.
    pub(super) revoked_at: Timestamp,
    /// Whether the user was revoked before.
    pub(super) already: bool,
    pub(super) persistence: Persistence,
}

/// Whether a change outlives the process.
#[derive(Debug)]
pub(super) enum Persistence {
    /// It does.
    InFile,
    /// It does not: no file is configured.
    InMemory,
    /// It does not: the file could not be written.
    Failed(CannotWrite),
}

impl Persistence {
    /// Why the change is not in the file, if it should be.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Failed(error) => Some(to_single_line(&error.to_string())),
            Self::InFile | Self::InMemory => None,
        }
    }
}

/// The file of revoked users cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("limits.revoked_file {} cannot be written: {error}", path.display())]
pub(super) struct CannotWrite {
    path: PathBuf,
    error: io::Error,
}

/// Too many users are revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{MAX_REVOKED_USERS} users are revoked, and no more are accepted; block users at their issuer instead"
)]
pub struct TooManyRevoked;

impl RevokedUsers {
    /// The users of a file, or none.
    pub(in crate::credential_cache) fn new(file: Option<RevokedFile>) -> Self {
        let mut users = Users::new();
        if let Some(file) = &file {
            for user in file.people() {
                let principal = Principal::new(user.issuer.as_str(), user.subject.as_str());
                users.insert(principal.fingerprint(), Arc::new(user.clone()));
            }
            tracing::info!(file = %file.path().display(), users = users.len(), "revoked users loaded");
        }
        Self { users: ArcSwap::from_pointee(users), file: Mutex::new(file), unsaved: AtomicBool::new(false) }
    }

    /// Whether a principal is revoked.
    pub(in crate::credential_cache) fn contains(&self, principal: &Principal) -> bool {
        let users = self.users.load();
        !users.is_empty() && users.contains_key(&principal.fingerprint())
    }

    /// Whether the last change could not be written to the file.
    pub(in crate::credential_cache) fn is_unsaved(&self) -> bool {
        self.unsaved.load(Ordering::Relaxed)
    }

    /// The revoked users, the latest first.
    pub(super) fn list(&self) -> Vec<RevokedPrincipal> {
        let mut users: Vec<_> =
            self.users.load().values().map(|user| RevokedPrincipal::clone(user)).collect();
        users.sort_by(|a, b| (b.since, &a.issuer, &a.subject).cmp(&(a.since, &b.issuer, &b.subject)));
        users
    }

    /// Revokes a principal for all later requests, then writes the file.
    pub(super) fn add(&self, principal: &Principal, now: Timestamp) -> Result<Change, TooManyRevoked> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut users = Users::clone(&self.users.load());
        let revoked_before = users.get(&principal.fingerprint()).map(|user| user.since);
        if revoked_before.is_none() {
            if users.len() >= MAX_REVOKED_USERS {
                return Err(TooManyRevoked);
            }
            let user = RevokedPrincipal {
                issuer: principal.issuer().to_owned(),
                subject: principal.subject().to_owned(),
                since: now,
            };
            users.insert(principal.fingerprint(), Arc::new(user));
            self.users.store(Arc::new(users));
        }
        // Even if nothing changed: an earlier write may have failed.
        let persistence = self.write(file.as_ref());
        Ok(Change {
            revoked_at: revoked_before.unwrap_or(now),
            already: revoked_before.is_some(),
            persistence,
        })
    }

    /// Restores a principal; none if it is not revoked.
    pub(super) fn remove(&self, principal: &Principal) -> Option<Change> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut users = Users::clone(&self.users.load());
        let user = users.remove(&principal.fingerprint())?;
        self.users.store(Arc::new(users));
        Some(Change { revoked_at: user.since, already: false, persistence: self.write(file.as_ref()) })
    }

    fn write(&self, file: Option<&RevokedFile>) -> Persistence {
        let Some(file) = file else { return Persistence::InMemory };
        let written = file.write(self.list());
        self.unsaved.store(written.is_err(), Ordering::Relaxed);
        match written {
            Ok(()) => Persistence::InFile,
            Err(error) => Persistence::Failed(CannotWrite { path: file.path().to_owned(), error }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_revoked_until_restored_and_the_same_subject_of_another_issuer_is_not() {
        let revoked = RevokedUsers::new(None);
        let (alice, other) = (Principal::new("i", "alice"), Principal::new("j", "alice"));
        assert!(!revoked.contains(&alice));
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = revoked.add(&alice, at(1)).unwrap();
        assert!(
            (first.revoked_at, first.already) == (at(1), false)
                && matches!(first.persistence, Persistence::InMemory)
        );
        let again = revoked.add(&alice, at(2)).unwrap();
        assert!((again.revoked_at, again.already) == (at(1), true), "since the first time");
        assert!(revoked.contains(&alice) && !revoked.contains(&other) && revoked.list().len() == 1);
        assert!(revoked.remove(&other).is_none() && revoked.remove(&alice).is_some());
        assert!(!revoked.contains(&alice) && revoked.remove(&alice).is_none());
    }

    #[test]
    fn the_number_of_revoked_users_is_bounded() {
        let revoked = RevokedUsers::new(None);
        let users = (0..MAX_REVOKED_USERS).map(|n| {
            let user =
                RevokedPrincipal { issuer: "i".into(), subject: n.to_string(), since: Timestamp::UNIX_EPOCH };
            (Principal::new("i", n.to_string()).fingerprint(), Arc::new(user))
        });
        revoked.users.store(Arc::new(users.collect()));
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(revoked.add(&Principal::new("i", "one more"), now).unwrap_err(), TooManyRevoked);
        assert!(revoked.add(&Principal::new("i", "7"), now).unwrap().already);
    }
}
