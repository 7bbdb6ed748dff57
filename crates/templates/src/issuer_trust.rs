//! What templates must know of those who sign tokens.

use super::variable::Subject;

/// What the proof must know of the issuers.
#[derive(Debug, Clone, Default)]
pub struct IssuerTrust {
    /// Whether more than one may sign tokens: then one's `alice` is not the other's.
    pub several: bool,
    /// Claims that no user of any issuer can choose for themselves, as paths joined by dots.
    pub trusted_claims: Vec<String>,
}

impl IssuerTrust {
    /// Whether no user can choose what a variable reads.
    pub(super) fn vouch_for(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Sub | Subject::Iss => true,
            Subject::Claim(path) => self.trusted_claims.contains(&path.join(".")),
        }
    }
}
