//! The session token of a temporary credential: its policy and its expiry, authenticated with a key, so that
//! the COS emulator can enforce them without a lookup.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac, digest::array::Array};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// What a temporary credential allows, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The credential's `TmpSecretId`.
    pub secret_id: String,
    /// The CAM policy as STS decoded it.
    pub policy: String,
    /// When the credential expires, in seconds since 1970.
    pub expires_at: i64,
}

/// Seals sessions into tokens, and derives the `TmpSecretKey` of each `TmpSecretId`.
pub struct SessionKey([u8; 32]);

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey")
    }
}

impl SessionKey {
    /// Creates a key from 32 secret bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the session as a token.
    pub fn seal(&self, session: &Session) -> String {
        let payload = URL_SAFE_NO_PAD.encode(serde_json::json!(session).to_string());
        let tag = URL_SAFE_NO_PAD.encode(self.tag("token", &payload));
        format!("{payload}.{tag}")
    }

    /// Returns the session in a token, if this key sealed it.
    pub fn open(&self, token: &str) -> Option<Session> {
        let (payload, tag) = token.split_once('.')?;
        let expected = URL_SAFE_NO_PAD.encode(self.tag("token", payload));
        let same = subtle::ConstantTimeEq::ct_eq(expected.as_bytes(), tag.as_bytes());
        let bytes = URL_SAFE_NO_PAD.decode(payload).ok().filter(|_| bool::from(same))?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Returns the `TmpSecretKey` that belongs to a `TmpSecretId`: letters and digits, because tools take one that
    /// begins with `-` for an option.
    pub fn secret_of(&self, secret_id: &str) -> String {
        hex::encode(self.tag("secret", secret_id))
    }

    fn tag(&self, purpose: &str, text: &str) -> [u8; 32] {
        // HMAC takes a key of any length (RFC 2104 §2).
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).unwrap_or_else(|_| Hmac::new(&Array::default()));
        let tag = mac.chain_update(purpose).chain_update([0]).chain_update(text).finalize();
        tag.into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_only_unchanged_and_with_the_key_that_sealed_it() {
        let session = Session { secret_id: "AKID1".into(), policy: "{}".into(), expires_at: 7 };
        let key = SessionKey::new([1; 32]);
        let token = key.seal(&session);
        assert_eq!(key.open(&token), Some(session));
        assert_eq!(SessionKey::new([2; 32]).open(&token), None);
        assert_eq!(key.open(&format!("A{token}")), None);
        assert_eq!(key.open(""), None);
    }
}
