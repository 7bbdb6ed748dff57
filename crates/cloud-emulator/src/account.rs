//! The Tencent account that the emulator serves.

/// An account with one pair of permanent keys, which may do anything.
#[derive(Debug, Clone)]
pub struct Account {
    /// The `SecretId`.
    pub secret_id: String,
    /// The `SecretKey`.
    pub secret_key: String,
}
