//! What operators see of people's keys, and their word on who gets none.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    CredentialCache,
    inventory::{ActiveCredentials, Coverage, KeyFilter},
    revoked::{Changed, Kept, TooManyRevoked},
};
use crate::{audit::Event, config::RevokedPrincipal};
use diagnostics::to_single_line;
use templates::identity::Principal;

/// What became of a revocation, or of taking one back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Revocation {
    /// The token's `iss`.
    pub issuer: String,
    /// The token's `sub`.
    pub subject: String,
    /// From when on they were or are revoked.
    pub revoked_at: Timestamp,
    /// Whether they were revoked before, so that nothing changed.
    pub already: bool,
    /// Whether this outlives the process.
    pub lasting: bool,
    /// Why it does not, though there is a file to keep it.
    pub problem: Option<String>,
    /// Their keys that are out and cannot be called back.
    pub active: usize,
    /// Until when the last of those lives.
    pub expires_last_at: Option<Timestamp>,
    /// What cannot be told.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// What an operator said.
#[derive(Debug, Clone, Copy)]
enum Word {
    Revoked,
    Restored,
}

impl Word {
    /// Its name in the audit log, and what the log says.
    fn names(self, already: bool) -> (&'static str, &'static str) {
        match self {
            Self::Revoked if already => ("already_revoked", "revoked: gets no key"),
            Self::Revoked => ("revoked", "revoked: gets no key"),
            Self::Restored => ("restored", "no longer revoked"),
        }
    }
}

impl CredentialCache {
    /// The living keys that somebody asks for.
    pub fn active_credentials(&self, filter: &KeyFilter) -> ActiveCredentials {
        self.0.inventory.list(filter, self.0.clock.now())
    }

    /// Who is revoked, the latest first.
    pub fn revoked(&self) -> Vec<RevokedPrincipal> {
        self.0.revoked.list()
    }

    /// Serves a person no more, from this moment on. `client` is where the word came from, for the audit log.
    /// Writes a file: not for a thread that serves.
    ///
    /// # Errors
    /// When too many are revoked already.
    pub fn revoke(
        &self,
        issuer: &str,
        subject: &str,
        client: Option<IpAddr>,
    ) -> Result<Revocation, TooManyRevoked> {
        let principal = Principal::new(issuer, subject);
        let changed = self.0.revoked.add(&principal, self.0.clock.now())?;
        // Should they be served again, then with other keys: these may be why they were revoked.
        self.0.store.renounce(principal.fingerprint());
        // Whoever is still handed a key has it noted before they were looked up, so this counts it.
        Ok(self.told(Word::Revoked, &principal, client, &changed))
    }

    /// Serves a person again; none if they were not revoked. Writes a file: not for a thread that serves.
    pub fn restore(&self, issuer: &str, subject: &str, client: Option<IpAddr>) -> Option<Revocation> {
        let principal = Principal::new(issuer, subject);
        let changed = self.0.revoked.remove(&principal)?;
        Some(self.told(Word::Restored, &principal, client, &changed))
    }

    /// The one place that tells of a change: to operators, in the log and in the audit log.
    fn told(
        &self,
        word: Word,
        principal: &Principal,
        client: Option<IpAddr>,
        changed: &Changed,
    ) -> Revocation {
        let filter = KeyFilter {
            issuer: Some(principal.issuer().to_owned()),
            subject: Some(principal.subject().to_owned()),
            limit: Some(0),
            ..KeyFilter::default()
        };
        let ActiveCredentials { active, expires_last_at, coverage, .. } = self.active_credentials(&filter);
        let problem = match &changed.kept {
            Kept::Failed(problem) => Some(to_single_line(problem)),
            Kept::InFile | Kept::InMemory => None,
        };
        let (outcome, what) = word.names(changed.already);
        self.0.audit.record(Event::revoke(outcome, principal.clone(), client, expires_last_at));
        let (issuer, subject) = (to_single_line(principal.issuer()), to_single_line(principal.subject()));
        let until = expires_last_at.map(tracing::field::display);
        tracing::warn!(issuer, subject, already = changed.already, active, until, "{what}");
        if let Some(problem) = &problem {
            tracing::error!(subject, problem, "a change of who is revoked ends with this process");
        }
        Revocation {
            issuer: principal.issuer().to_owned(),
            subject: principal.subject().to_owned(),
            revoked_at: changed.since,
            already: changed.already,
            lasting: changed.kept == Kept::InFile,
            problem,
            active,
            expires_last_at,
            coverage,
        }
    }
}
