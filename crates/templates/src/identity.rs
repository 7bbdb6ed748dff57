//! The identity that a policy is rendered for.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    allocation::{block, shared_block},
    claim_names::ClaimNames,
    fingerprint::Fingerprint,
    latest_grants::LatestGrants,
};

/// A principal and claims of its token.
#[derive(Debug)]
pub struct Identity {
    principal: Principal,
    has_integer_subject: bool,
    /// As JSON, which takes a fifth of the memory: they are read once for each template that the user requests.
    claims: Box<str>,
    /// Those that are kept; all if absent.
    kept: Option<ClaimNames>,
    grants: LatestGrants,
}

/// An issuer and a subject. Other claims of the token do not matter. Clones share one allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal(Arc<Named>);

#[derive(Debug, PartialEq, Eq)]
struct Named {
    issuer: Arc<str>,
    subject: Box<str>,
    fingerprint: Fingerprint,
}

/// A token without a usable id of its user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the token's `{claim}` is {why}; it must be a JSON string that is not empty, or an integer of zero or more"
)]
pub struct NoSubject {
    claim: String,
    why: &'static str,
}

impl NoSubject {
    fn new(path: &[String], why: &'static str) -> Self {
        Self { claim: path.join("."), why }
    }
}

impl Identity {
    /// Makes an identity from an issuer and claims that the caller has verified. The subject is the claim `sub`.
    ///
    /// # Errors
    /// When `sub` is missing, empty, or neither a text nor an integer.
    pub fn from_claims(issuer: Arc<str>, claims: Map<String, Value>) -> Result<Self, NoSubject> {
        Self::with_subject_claim(issuer, claims, &["sub".to_owned()])
    }

    /// Makes an identity whose subject is another claim, given as the path through nested objects. An integer is
    /// the same subject as its decimal text.
    ///
    /// # Errors
    /// When the claim is missing, empty, or neither a text nor an integer of zero or more.
    pub fn with_subject_claim(
        issuer: Arc<str>,
        claims: Map<String, Value>,
        path: &[String],
    ) -> Result<Self, NoSubject> {
        let (principal, has_integer_subject) = Self::identify(issuer, &claims, path)?;
        let claims = Value::Object(claims).to_string().into();
        Ok(Self { principal, has_integer_subject, claims, kept: None, grants: LatestGrants::default() })
    }

    /// Makes an identity that keeps these claims only. The subject is the claim with this path, kept or not.
    ///
    /// # Errors
    /// When that claim is missing, empty, or neither a text nor an integer of zero or more.
    pub fn keeping(
        kept: ClaimNames,
        issuer: Arc<str>,
        claims: Map<String, Value>,
        path: &[String],
    ) -> Result<Self, NoSubject> {
        let (principal, has_integer_subject) = Self::identify(issuer, &claims, path)?;
        let claims = kept.select(claims);
        Ok(Self { principal, has_integer_subject, claims, kept: Some(kept), grants: LatestGrants::default() })
    }

    /// Returns the principal, and whether its subject is an integer.
    fn identify(
        issuer: Arc<str>,
        claims: &Map<String, Value>,
        path: &[String],
    ) -> Result<(Principal, bool), NoSubject> {
        let (subject, has_integer_subject) = match claim(claims, path) {
            Some(Value::String(text)) if !text.is_empty() => (text.clone(), false),
            Some(Value::Number(number)) if number.is_u64() => (number.to_string(), true),
            Some(Value::String(_)) => return Err(NoSubject::new(path, "empty")),
            Some(_) => return Err(NoSubject::new(path, "of another type")),
            None => return Err(NoSubject::new(path, "missing")),
        };
        Ok((Principal::new(issuer, subject), has_integer_subject))
    }

    /// Returns the issuer, by the name that identifies it.
    pub fn issuer(&self) -> &str {
        self.principal.issuer()
    }

    /// Returns the user's id, which is never empty.
    pub fn subject(&self) -> &str {
        self.principal.subject()
    }

    /// Whether the token has the user's id as an integer.
    pub fn has_integer_subject(&self) -> bool {
        self.has_integer_subject
    }

    /// Returns whether it keeps these claims, as far as the token has them.
    pub fn keeps(&self, claims: &ClaimNames) -> bool {
        self.kept.as_ref().is_none_or(|kept| claims.are_among(kept))
    }

    /// Finds a claim by its path through nested objects.
    pub fn claim(&self, path: &[String]) -> Option<Value> {
        let claims = serde_json::from_str(&self.claims).ok()?;
        claim(&claims, path).cloned()
    }

    /// Estimates the memory that it takes with one grant, in bytes.
    pub fn weight(&self) -> usize {
        shared_block(size_of::<Self>()) + self.principal.weight() + block(self.claims.len()) + GRANT_BYTES
    }

    pub(super) fn latest_grants(&self) -> &LatestGrants {
        &self.grants
    }

    /// Returns the issuer and the subject.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}

/// Memory of a grant, which is made after the identity is weighed: that of `policies/upload.toml`.
const GRANT_BYTES: usize = 192;

fn claim<'a>(claims: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(claims.get(first)?, |value, name| value.get(name))
}

impl Principal {
    /// Makes a principal from an issuer and a subject.
    pub fn new(issuer: impl Into<Arc<str>>, subject: impl Into<Box<str>>) -> Self {
        let (issuer, subject) = (issuer.into(), subject.into());
        let fingerprint = Fingerprint::of(&[&*issuer, &*subject]);
        Self(Arc::new(Named { issuer, subject, fingerprint }))
    }

    /// Returns the issuer, by the name that identifies it.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Returns the user's id, as in the token.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Returns a hash of issuer and subject.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// Estimates the memory that it takes, in bytes, without the issuer, which others share.
    fn weight(&self) -> usize {
        shared_block(size_of::<Named>()) + block(self.subject().len())
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Identity {
    /// Makes an identity for a test.
    ///
    /// # Panics
    /// When the subject is empty.
    #[expect(clippy::expect_used, reason = "only tests call it")]
    pub fn for_tests(issuer: &str, subject: &str, claims: &[(&str, Value)]) -> Self {
        let mut map: Map<String, Value> =
            claims.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        map.insert("sub".to_owned(), Value::from(subject));
        Self::from_claims(issuer.into(), map).expect("a subject")
    }
}
