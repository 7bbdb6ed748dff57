//! The keys of an issuer at one time.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::{
    error::Rejection,
    json_document::json_object,
    jwk::{Jwk, JwkFault},
    key::{Key, KeyFault},
    token::UnverifiedToken,
};
use diagnostics::to_single_line;
use templates::fingerprint::Fingerprint;

/// The limit for the keys of a set. An issuer publishes a few; one for many tenants may publish a hundred.
const MAX_KEYS: usize = 512;

/// The limit for the keys that are tried on one token. Only a token without a `kid`, or a set without, has so many.
const MAX_TRIED_KEYS: usize = 64;

/// The limit for the dropped keys that a message names.
const MAX_NAMED_KEYS: usize = 5;

/// The keys of an issuer at one time.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<Key>,
    dropped: Arc<[DroppedKey]>,
}

/// A key of a set that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedKey {
    /// Its `kid`, if it has one.
    pub kid: Option<String>,
    /// Why it is not used.
    pub reason: String,
    /// Whether issuers usually publish such keys beside those that sign tokens.
    pub is_usual: bool,
}

/// Why a set does not verify a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotVerified {
    /// The set has the key that the token names, and it did not sign.
    Forged,
    /// The set may lack the key. A newer set may have it.
    NoKey(Rejection),
}

impl KeySet {
    /// Returns a set of one key, which verifies every token of the issuer, whatever its `kid`.
    pub(super) fn of_one(key: Key) -> Self {
        Self { keys: vec![key], dropped: Arc::default() }
    }

    /// Reads a JWK set. A key that cannot be used is dropped, as RFC 7517 §5 says, and told with its reason.
    ///
    /// # Errors
    /// When it is no set, has too many keys, or has no usable key.
    pub(super) fn parse(json: &[u8], allowed: &[Algorithm]) -> Result<Self, KeyFault> {
        let object = json_object(json, "a JWK set")?;
        let Some(list) = object.get("keys").and_then(Value::as_array) else {
            return Err(not_a_set(&object));
        };
        if list.len() > MAX_KEYS {
            return Err(KeyFault(format!("holds {} keys, more than {MAX_KEYS}", list.len())));
        }
        let (mut keys, mut dropped) = (Vec::new(), Vec::new());
        for jwk in list {
            match read(jwk, allowed) {
                Ok(key) => keys.push(key),
                Err(unused) => dropped.push(unused),
            }
        }
        if keys.is_empty() {
            return Err(no_key(&dropped));
        }
        Ok(Self { keys, dropped: dropped.into() })
    }

    /// Returns the key that signed a token.
    pub(super) fn verify(&self, token: &UnverifiedToken<'_>) -> Result<Fingerprint, NotVerified> {
        let kid = token.kid();
        if let Some(key) = signing_key(self.candidates(kid), token) {
            return Ok(key);
        }
        let mut candidates = self.candidates(kid).peekable();
        if candidates.peek().is_none() {
            return Err(NotVerified::NoKey(Rejection::UnknownKey));
        }
        // Where the token or a key has no `kid`, a rotation shows only as a wrong signature.
        if kid.is_none() || candidates.any(|key| key.kid().is_none()) {
            return Err(NotVerified::NoKey(Rejection::Signature));
        }
        Err(NotVerified::Forged)
    }

    /// Returns the key that signed a token, for an issuer with one configured key, for which `kid` has no meaning.
    pub(super) fn verify_without_kid(&self, token: &UnverifiedToken<'_>) -> Option<Fingerprint> {
        signing_key(self.keys.iter(), token)
    }

    /// Returns the keys that may have signed a token with this `kid`: several may share it. Where the token or the key
    /// has no `kid`, only the signature decides.
    fn candidates<'a>(&'a self, kid: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        self.keys.iter().filter(move |key| kid.is_none() || key.kid().is_none() || key.kid() == kid)
    }

    /// Returns the `kid`s of its keys.
    pub(super) fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(Key::kid)
    }

    /// Returns whether the set contains a key.
    pub(super) fn contains(&self, material: Fingerprint) -> bool {
        self.keys.iter().any(|key| key.material() == material)
    }

    /// Returns the keys that are not used.
    pub(super) fn dropped(&self) -> &Arc<[DroppedKey]> {
        &self.dropped
    }
}

fn signing_key<'a>(keys: impl Iterator<Item = &'a Key>, token: &UnverifiedToken<'_>) -> Option<Fingerprint> {
    let algorithm = token.algorithm()?;
    keys.filter(|key| key.is_for(algorithm))
        .take(MAX_TRIED_KEYS)
        .find(|key| key.verifies(algorithm, token.message.as_bytes(), token.signature))
        .map(Key::material)
}

fn read(jwk: &Value, allowed: &[Algorithm]) -> Result<Key, DroppedKey> {
    let jwk = jwk.as_object().map(Jwk);
    let key = jwk.as_ref().map_or(Err(JwkFault::NotAnObject), |jwk| jwk.key(allowed));
    key.map_err(|fault| DroppedKey {
        kid: jwk.and_then(|jwk| jwk.kid()).map(|kid| to_single_line(&kid)),
        reason: fault.to_string(),
        is_usual: fault.is_usual(),
    })
}

/// Returns what an object is that is no JWK set.
fn not_a_set(object: &Map<String, Value>) -> KeyFault {
    if let Some(jwks_uri) = object.get("jwks_uri").and_then(Value::as_str) {
        return KeyFault(format!(
            "is a discovery document: use its jwks_uri `{}` as jwks_url, or leave jwks_url out",
            to_single_line(jwks_uri)
        ));
    }
    if object.contains_key("kty") {
        return KeyFault(r#"is a single key, not a JWK set: write it as {"keys":[…]}"#.to_owned());
    }
    KeyFault("is not a JWK set: it has no list `keys`".to_owned())
}

fn no_key(dropped: &[DroppedKey]) -> KeyFault {
    if dropped.is_empty() {
        return KeyFault("holds no keys".to_owned());
    }
    let named: Vec<String> = dropped.iter().take(MAX_NAMED_KEYS).map(ToString::to_string).collect();
    let more = dropped.len().saturating_sub(MAX_NAMED_KEYS);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    KeyFault(format!("holds no key that fits the issuer's algorithms: {}{more}", named.join("; ")))
}

impl std::fmt::Display for DroppedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kid {
            Some(kid) => write!(f, "key `{kid}`: {}", self.reason),
            None => write!(f, "a key without `kid`: {}", self.reason),
        }
    }
}

#[cfg(test)]
mod tests;
