//! The errors of the STS emulator, in Tencent's codes.

/// One of Tencent's error codes with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct StsError {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl StsError {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The error for a parameter or header that is missing.
    pub(super) fn missing(name: &str) -> Self {
        Self::new("MissingParameter", format!("{name} is missing"))
    }

    /// The error for a signature that does not match the request.
    pub(super) fn signature_failure() -> Self {
        Self::new("AuthFailure.SignatureFailure", "the signature does not match")
    }
}
