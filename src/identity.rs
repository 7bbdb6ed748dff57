//! Verifies bearer tokens: a valid token becomes an [`Identity`](templates::identity::Identity).
//!
//! Knows tokens, keys and issuers, and fetches key sets from the network. Does not know what an identity may
//! do.

mod checks;
mod claims;
mod discovery;
mod document_client;
mod error;
mod explain;
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
mod verified_tokens;
mod verifier;

use serde_json::{Map, Value};

pub use self::{
    claims::NoIdentity,
    error::{AuthError, Comparison, RejectedToken, Rejection},
    explain::{Explanation, Step, StepOutcome},
    jwks::KeySetStatus,
    key::KeyFault,
    key_set::DroppedKey,
    verifier::{IssuerStatus, Verifier},
};

/// What a token says whose signature is not verified. For display to the token's holder only, never to grant
/// anything.
#[derive(Debug)]
pub struct Unverified {
    /// The header.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
}

impl Unverified {
    /// Parses a token.
    ///
    /// # Errors
    /// When the text does not parse as a token.
    pub fn parse(token: &str) -> Result<Self, Rejection> {
        token::UnverifiedToken::parse(token).map(|token| Self { header: token.header, claims: token.claims })
    }
}
