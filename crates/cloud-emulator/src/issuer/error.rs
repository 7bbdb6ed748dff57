//! Why a token or a signing key cannot be made.

/// Why no token or signing key can be made.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The system provides no random bytes for a key.
    #[error("no signing key can be generated")]
    KeyGeneration,
    /// The token library failed.
    #[error("the token cannot be signed: {0}")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

impl From<aws_lc_rs::error::Unspecified> for IssuerError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::KeyGeneration
    }
}
