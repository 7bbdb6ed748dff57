//! The identity of claims that no issuer has signed, for operators who ask what a user gets.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::verifier::{TrustedIssuer, Verifier};
use crate::config::IssuerMatch;
use diagnostics::printable;
use templates::identity::{Identity, NoSubject};

/// Claims of which no identity can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// No issuer has this name.
    #[error(
        "the claims name the issuer `{0}`, which is not configured; write one of [[issuer]], or leave `iss` out"
    )]
    UnknownIssuer(String),
    /// The claims do not have the id of a user where the issuer's tokens have it.
    #[error(transparent)]
    NoSubject(#[from] NoSubject),
}

impl Verifier {
    /// Returns the identity that a token with these claims would have. Without `iss`, it would be of the first issuer.
    ///
    /// # Errors
    /// When the issuer is not configured, or its `subject_claim` is missing.
    pub fn identity_of_claims(&self, claims: Map<String, Value>) -> Result<Identity, NoIdentity> {
        let iss = claims.get("iss").and_then(Value::as_str);
        let (issuer, named) = self
            .issuer_named(iss)
            .ok_or_else(|| NoIdentity::UnknownIssuer(printable(iss.unwrap_or_default())))?;
        let name = issuer.identity_name(named);
        let subject_claim = issuer.rules.subject_claim.clone();
        Ok(Identity::with_subject_claim(name, claims, &subject_claim)?)
    }

    /// Returns the least that a token of this user has.
    pub fn claims_of_user(&self, issuer: &str, subject: &str) -> Value {
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), issuer.into());
        let path = self.issuer_named(Some(issuer)).map(|(issuer, _)| issuer.rules.subject_claim.as_slice());
        let sub = ["sub".to_owned()];
        if let Some((first, rest)) = path.unwrap_or(&sub).split_first() {
            let value = rest.iter().rev().fold(Value::from(subject), |value, name| {
                Value::Object(Map::from_iter([(name.clone(), value)]))
            });
            claims.insert(first.clone(), value);
        }
        Value::Object(claims)
    }

    fn issuer_named<'a>(&self, iss: Option<&'a str>) -> Option<(&Arc<TrustedIssuer>, IssuerMatch<'a>)> {
        let mut issuers = self.issuers().iter();
        let resolved = issuers.find_map(|issuer| Some((issuer, issuer.rules.name.resolve(iss)?)));
        let first = self.issuers().first().map(|issuer| (issuer, IssuerMatch::Whole));
        resolved.or(first.filter(|_| iss.is_none()))
    }
}
