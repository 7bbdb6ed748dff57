//! Verifies bearer tokens: a valid token becomes an [`Identity`](templates::identity::Identity).
//!
//! Knows tokens, keys and issuers, and fetches key sets from the network. Does not know what an identity may
//! do.

mod discovery;
mod document_client;
mod error;
mod json_document;
mod jwk;
mod jwks;
mod key;
mod key_set;
mod key_set_origin;
mod metrics;
mod public_key;
mod small_order;
mod token;
mod verifier;

use serde_json::{Map, Value};

pub use self::{
    error::{AuthError, Rejection},
    jwks::KeySetStatus,
    key::KeyFault,
    key_set::DroppedKey,
    verifier::{IssuerStatus, Verifier},
};

/// Returns the claims of a token whose signature is not verified. For display to the token's holder only, never
/// to grant anything.
///
/// # Errors
/// When the text does not parse as a token.
pub fn unverified_claims(token: &str) -> Result<Map<String, Value>, Rejection> {
    token::UnverifiedToken::parse(token).map(|token| token.claims)
}
