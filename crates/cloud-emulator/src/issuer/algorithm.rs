//! The algorithms that tokens are signed with.

use std::str::FromStr;

use jsonwebtoken::Algorithm;

/// An algorithm that a token can be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SigningAlgorithm {
    /// ECDSA on the curve P-256.
    #[default]
    Es256,
    /// RSA with 2048 bits, PKCS #1.
    Rs256,
    /// `EdDSA` on the curve Ed25519.
    EdDsa,
}

/// The error for a name that is no [`SigningAlgorithm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("alg is one of ES256, RS256, EdDSA")]
pub struct UnknownAlgorithm;

impl SigningAlgorithm {
    /// All algorithms, in the order of the published keys.
    pub const ALL: [Self; 3] = [Self::Es256, Self::Rs256, Self::EdDsa];

    /// Returns the value of `alg` in a token's header.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::Es256 => Algorithm::ES256,
            Self::Rs256 => Algorithm::RS256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

impl FromStr for SigningAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        match name {
            "ES256" => Ok(Self::Es256),
            "RS256" => Ok(Self::Rs256),
            "EdDSA" => Ok(Self::EdDsa),
            _ => Err(UnknownAlgorithm),
        }
    }
}
