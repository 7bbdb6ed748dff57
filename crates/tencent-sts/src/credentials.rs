use jiff::Timestamp;
use secrecy::SecretString;

/// The source credentials: the account's `SecretId` and `SecretKey`, which sign the calls to STS.
#[derive(Debug, Clone)]
pub struct SourceCredentials {
    /// `SecretId`. It is no secret, and yet kept out of logs.
    pub secret_id: SecretString,
    /// `SecretKey`.
    pub secret_key: SecretString,
    /// `Token`, if the key is temporary itself.
    pub token: Option<SecretString>,
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
