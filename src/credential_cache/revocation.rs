//! Revocation: an operator stops a user from getting credentials, or restores them.
//!
//! [`RevokedUsers`] holds who is revoked and writes `limits.revoked_file`. Changes go through
//! [`CredentialCache::revoke`] and [`CredentialCache::restore`], which also tell the log and the audit log.

mod set;

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(super) use self::set::RevokedUsers;
pub use self::set::TooManyRevoked;
use self::set::{Change, Persistence};
use super::{
    CredentialCache,
    inventory::{ActiveCredentials, Coverage, KeyFilter},
};
use crate::{audit::Event, config::RevokedPrincipal, replicas::RevocationChange};
use diagnostics::to_single_line;
use templates::identity::Principal;

/// Result of a revocation or a restoration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Revocation {
    /// The token's `iss`.
    pub issuer: String,
    /// The token's `sub`.
    pub subject: String,
    /// When the user was revoked.
    pub revoked_at: Timestamp,
    /// Whether the user was revoked before, so that nothing changed.
    pub already: bool,
    /// Whether the change outlives the process.
    pub lasting: bool,
    /// Why it does not, if there is a file and it could not be written.
    pub problem: Option<String>,
    /// Number of the user's active credentials, which cannot be called back.
    pub active: usize,
    /// When the last of them expires.
    pub expires_last_at: Option<Timestamp>,
    /// What `active` does not include.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// What an operator did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RevocationAction {
    Revoked,
    AlreadyRevoked,
    Restored,
}

impl RevocationAction {
    /// The audit event's `outcome`.
    fn name(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::AlreadyRevoked => "already_revoked",
            Self::Restored => "restored",
        }
    }

    fn log_message(self) -> &'static str {
        match self {
            Self::Revoked | Self::AlreadyRevoked => "user revoked: gets no credentials",
            Self::Restored => "user restored: no longer revoked",
        }
    }
}

impl CredentialCache {
    /// The revoked users, the latest first.
    pub fn revoked(&self) -> Vec<RevokedPrincipal> {
        self.0.revoked.list()
    }

    /// Revokes a user: no request of theirs gets a credential any more. `client` is the operator's address, for
    /// the audit log. Writes a file: not for an async worker thread.
    ///
    /// # Errors
    /// If too many users are revoked.
    pub fn revoke(
        &self,
        issuer: &str,
        subject: &str,
        client: Option<IpAddr>,
    ) -> Result<Revocation, TooManyRevoked> {
        let principal = Principal::new(issuer, subject);
        let change = self.0.revoked.add(&principal, self.0.clock.now())?;
        // A restored user gets other credentials: the present ones may be why the user was revoked.
        self.0.cache.mark_superseded(principal.fingerprint());
        let action =
            if change.already { RevocationAction::AlreadyRevoked } else { RevocationAction::Revoked };
        if !change.already {
            self.tell_replicas(&principal, true, change.revoked_at);
        }
        // A credential enters the inventory before its request checks for a revocation, so that a request
        // that is still served is counted here.
        Ok(self.record(action, &principal, client, &change))
    }

    /// Restores a user; none if the user is not revoked. Writes a file: not for an async worker thread.
    pub fn restore(&self, issuer: &str, subject: &str, client: Option<IpAddr>) -> Option<Revocation> {
        let principal = Principal::new(issuer, subject);
        let change = self.0.revoked.remove(&principal)?;
        self.tell_replicas(&principal, false, self.0.clock.now());
        Some(self.record(RevocationAction::Restored, &principal, client, &change))
    }

    /// Applies what an operator did at another replica. Writes a file: not for an async worker thread.
    pub fn apply(&self, change: &RevocationChange) {
        let principal = Principal::new(change.issuer.as_str(), change.subject.as_str());
        // A restored user gets other credentials, also where the revocation was never seen.
        self.0.cache.mark_superseded(principal.fingerprint());
        let (action, applied) = if change.is_revoked {
            match self.0.revoked.add(&principal, change.changed_at) {
                Ok(applied) => (RevocationAction::Revoked, Some(applied).filter(|applied| !applied.already)),
                Err(error) => {
                    let subject = to_single_line(principal.subject());
                    tracing::error!(subject, %error, "a user revoked at another replica is still served here");
                    return;
                }
            }
        } else {
            (RevocationAction::Restored, self.0.revoked.remove(&principal))
        };
        if let Some(applied) = applied {
            self.record(action, &principal, None, &applied);
        }
    }

    fn tell_replicas(&self, principal: &Principal, is_revoked: bool, changed_at: Timestamp) {
        if let Some(replicas) = self.0.replicas.get() {
            replicas.announce(RevocationChange {
                issuer: principal.issuer().to_owned(),
                subject: principal.subject().to_owned(),
                is_revoked,
                changed_at,
            });
        }
    }

    /// Writes a change to the log and the audit log, and describes it to the operator.
    fn record(
        &self,
        action: RevocationAction,
        principal: &Principal,
        client: Option<IpAddr>,
        change: &Change,
    ) -> Revocation {
        let ActiveCredentials { active, expires_last_at, coverage, .. } =
            self.active_credentials(&count_only(principal));
        let problem = change.persistence.problem();
        self.0.audit.record(Event::revoke(action.name(), principal.clone(), client, expires_last_at));
        tracing::warn!(
            issuer = to_single_line(principal.issuer()),
            subject = to_single_line(principal.subject()),
            already = change.already,
            active,
            expires_last_at = expires_last_at.map(tracing::field::display),
            "{}",
            action.log_message()
        );
        if let Some(problem) = &problem {
            let subject = to_single_line(principal.subject());
            tracing::error!(subject, problem, "a revocation or restoration is lost when this process ends");
        }
        Revocation {
            issuer: principal.issuer().to_owned(),
            subject: principal.subject().to_owned(),
            revoked_at: change.revoked_at,
            already: change.already,
            lasting: matches!(change.persistence, Persistence::InFile),
            problem,
            active,
            expires_last_at,
            coverage,
        }
    }
}

/// Selects a principal's credentials, to count them.
fn count_only(principal: &Principal) -> KeyFilter {
    KeyFilter {
        issuer: Some(principal.issuer().to_owned()),
        subject: Some(principal.subject().to_owned()),
        limit: Some(0),
        ..KeyFilter::default()
    }
}
