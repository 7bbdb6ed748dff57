use std::fmt;

use jiff::Timestamp;
use secrecy::SecretString;

/// The account's own key, with which STS is called.
#[derive(Clone)]
pub struct SourceCredentials {
    /// `SecretId`.
    pub secret_id: String,
    /// `SecretKey`.
    pub secret_key: SecretString,
    /// `Token`, if the key is temporary itself.
    pub token: Option<SecretString>,
}

/// Shows no part of the key: the id is kept out of logs as well.
impl fmt::Debug for SourceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_temporary = self.token.is_some();
        f.debug_struct("SourceCredentials").field("is_temporary", &is_temporary).finish_non_exhaustive()
    }
}

/// A temporary key that STS issued.
#[derive(Debug)]
pub struct TemporaryCredential {
    /// `TmpSecretId`: names the key and grants nothing.
    pub secret_id: String,
    /// `TmpSecretKey`.
    pub secret_key: SecretString,
    /// `Token`.
    pub token: SecretString,
    /// When the key expires, by the clock of STS.
    pub expires_at: Timestamp,
    /// The id that STS gave this call.
    pub request_id: String,
}
