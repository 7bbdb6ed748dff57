//! What a temporary key of the emulator carries: its policy and its end, sealed into the session token, so
//! that a storage emulator can enforce it without asking anybody.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac, digest::array::Array};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// What a key may do, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The key's `TmpSecretId`.
    pub secret_id: String,
    /// The CAM policy, as STS decoded it.
    pub policy: String,
    /// When it ends, in seconds.
    pub expires: i64,
}

/// Seals sessions, and derives each key's secret from its id.
pub struct SessionKey([u8; 32]);

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey")
    }
}

impl SessionKey {
    /// A key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The session as a token.
    pub fn seal(&self, session: &Session) -> String {
        let written = URL_SAFE_NO_PAD.encode(serde_json::json!(session).to_string());
        let tag = self.tag("token", &written);
        format!("{written}.{tag}")
    }

    /// The session in a token, if this key sealed it.
    pub fn open(&self, token: &str) -> Option<Session> {
        let (written, tag) = token.split_once('.')?;
        let same = subtle::ConstantTimeEq::ct_eq(self.tag("token", written).as_bytes(), tag.as_bytes());
        let bytes = URL_SAFE_NO_PAD.decode(written).ok().filter(|_| bool::from(same))?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The `TmpSecretKey` that belongs to a `TmpSecretId`.
    pub fn secret_of(&self, secret_id: &str) -> String {
        self.tag("secret", secret_id)
    }

    fn tag(&self, purpose: &str, text: &str) -> String {
        // HMAC takes a key of any length (RFC 2104 §2).
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).unwrap_or_else(|_| Hmac::new(&Array::default()));
        let tag = mac.chain_update(purpose).chain_update([0]).chain_update(text).finalize();
        URL_SAFE_NO_PAD.encode(tag.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_opens_only_with_the_key_that_sealed_it_and_unchanged() {
        let session = Session { secret_id: "AKID1".into(), policy: "{}".into(), expires: 7 };
        let key = SessionKey::new([1; 32]);
        let token = key.seal(&session);
        assert_eq!(key.open(&token), Some(session));
        assert_eq!(SessionKey::new([2; 32]).open(&token), None);
        assert_eq!(key.open(&format!("A{token}")), None);
        assert_eq!(key.open(""), None);
    }
}
