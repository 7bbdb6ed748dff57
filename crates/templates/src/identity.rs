//! Who a policy is rendered for.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::fingerprint::Fingerprint;

/// Who asks: an issuer's word about a subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    principal: Principal,
    claims: Map<String, Value>,
    digest: Fingerprint,
    size: usize,
}

/// A subject of an issuer, whatever else their token says today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    issuer: Arc<str>,
    subject: Arc<str>,
    fingerprint: Fingerprint,
}

/// A token of a trusted issuer that says of nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token's `sub` is {0}; it must be a JSON string that is not empty")]
pub struct NoSubject(&'static str);

impl Identity {
    /// The identity that these claims of this issuer describe. That the issuer did say so is for the
    /// caller to know.
    ///
    /// # Errors
    /// When there is no subject in it.
    pub fn from_claims(issuer: Arc<str>, claims: Map<String, Value>) -> Result<Self, NoSubject> {
        let subject = match claims.get("sub") {
            Some(Value::String(text)) if !text.is_empty() => text.as_str(),
            Some(Value::String(_)) => return Err(NoSubject("empty")),
            Some(_) => return Err(NoSubject("of another type")),
            None => return Err(NoSubject("missing")),
        };
        let written = serde_json::json!(claims).to_string();
        let digest = Fingerprint::of(&[issuer.as_ref(), written.as_str()]);
        let principal = Principal::new(issuer, subject);
        Ok(Self { principal, claims, digest, size: written.len() })
    }

    /// The token's `iss`.
    pub fn issuer(&self) -> &str {
        self.principal.issuer()
    }

    /// The token's `sub`; never empty.
    pub fn subject(&self) -> &str {
        self.principal.subject()
    }

    /// A claim, by the path to it through objects.
    pub fn claim(&self, path: &[String]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.claims.get(first)?, |value, name| value.get(name))
    }

    /// Bytes its claims take as JSON.
    pub fn weight(&self) -> usize {
        self.size
    }

    /// Names the issuer and every claim: equal digests, equal identities.
    pub fn digest(&self) -> Fingerprint {
        self.digest
    }

    /// Whose word it is, whatever else their token says today.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}

impl Principal {
    /// A subject of an issuer.
    pub fn new(issuer: impl Into<Arc<str>>, subject: impl Into<Arc<str>>) -> Self {
        let (issuer, subject) = (issuer.into(), subject.into());
        let fingerprint = Fingerprint::of(&[&*issuer, &*subject]);
        Self { issuer, subject, fingerprint }
    }

    /// Whose subject it is.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The subject.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Names both.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Identity {
    /// An identity for a test.
    pub fn for_tests(issuer: &str, subject: &str, claims: &[(&str, Value)]) -> Self {
        let mut map: Map<String, Value> =
            claims.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        map.insert("sub".to_owned(), Value::from(subject));
        Self::from_claims(issuer.into(), map).expect("a subject")
    }
}
