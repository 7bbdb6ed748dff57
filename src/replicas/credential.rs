//! A credential as it lies in Redis, before it is encrypted.

use std::mem;

use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use tencent_sts::TemporaryCredential;
use zeroize::{Zeroize, Zeroizing};

/// A credential that another replica fetched.
#[derive(Debug)]
pub struct SharedCredential {
    /// The credential.
    pub credential: TemporaryCredential,
    /// When it was fetched, by that replica's clock.
    pub issued_at: Timestamp,
}

/// Its text.
#[derive(Serialize, Deserialize)]
struct Text {
    secret_id: String,
    secret_key: String,
    token: String,
    expires_at: Timestamp,
    request_id: String,
    issued_at: Timestamp,
}

impl Drop for Text {
    fn drop(&mut self) {
        self.secret_key.zeroize();
        self.token.zeroize();
    }
}

impl SharedCredential {
    /// Writes a credential. Growing leaves no copies behind: there is room for all of it, whose text needs no escapes.
    pub(super) fn text(credential: &TemporaryCredential, issued_at: Timestamp) -> Zeroizing<Vec<u8>> {
        let text = Text {
            secret_id: credential.secret_id.clone(),
            secret_key: credential.secret_key.expose_secret().to_owned(),
            token: credential.token.expose_secret().to_owned(),
            expires_at: credential.expires_at,
            request_id: credential.request_id.clone(),
            issued_at,
        };
        let length = [&text.secret_id, &text.secret_key, &text.token, &text.request_id].map(String::len);
        let mut written = Zeroizing::new(Vec::with_capacity(256 + length.iter().sum::<usize>()));
        // Writing texts and times to memory does not fail.
        let _ = serde_json::to_writer(&mut *written, &text);
        written
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut text: Text = serde_json::from_slice(text).ok()?;
        let credential = TemporaryCredential {
            secret_id: mem::take(&mut text.secret_id),
            secret_key: text.secret_key.as_str().into(),
            token: text.token.as_str().into(),
            expires_at: text.expires_at,
            request_id: mem::take(&mut text.request_id),
        };
        Some(Self { credential, issued_at: text.issued_at })
    }
}
