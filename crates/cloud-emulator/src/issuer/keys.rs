//! The issuer's signing keys, a generation at a time, and how one generation follows another.
//!
//! A rotation breaks no login, as with an issuer that is run well: the next generation is published before it
//! signs, so that those who hold a copy of the set know it already, and the last one stays for the tokens that
//! are out.

use std::str::FromStr;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{
    Algorithm, EncodingKey,
    jwk::{Jwk, PublicKeyUse},
};

use super::IssuerFault;

/// What a token can be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signature {
    /// ECDSA on P-256.
    #[default]
    Es256,
    /// RSA with 2048 bits, PKCS #1.
    Rs256,
    /// Ed25519.
    EdDsa,
}

/// No token is signed like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("alg is one of ES256, RS256, EdDSA")]
pub struct UnknownSignature;

impl Signature {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Es256, Self::Rs256, Self::EdDsa];

    /// Its name in a token's header.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::Es256 => Algorithm::ES256,
            Self::Rs256 => Algorithm::RS256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

impl FromStr for Signature {
    type Err = UnknownSignature;

    fn from_str(name: &str) -> Result<Self, UnknownSignature> {
        match name {
            "ES256" => Ok(Self::Es256),
            "RS256" => Ok(Self::Rs256),
            "EdDSA" => Ok(Self::EdDsa),
            _ => Err(UnknownSignature),
        }
    }
}

/// A private key, and its public half as the set shows it.
pub(super) struct SigningKey {
    pub(super) kid: String,
    pub(super) private: EncodingKey,
    pub(super) public: Jwk,
}

/// A key of each kind.
struct Generation {
    es256: SigningKey,
    rs256: SigningKey,
    eddsa: SigningKey,
}

/// The generations that are published.
pub(super) struct Keys {
    newest: u32,
    previous: Option<Generation>,
    signing: Generation,
    next: Generation,
}

impl SigningKey {
    fn new(signature: Signature, generation: u32) -> Result<Self, IssuerFault> {
        let failed = |_| IssuerFault::Key;
        let (private, family) = match signature {
            Signature::Es256 => {
                let der =
                    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
                (EncodingKey::from_ec_der(der.map_err(failed)?.as_ref()), "es256")
            }
            Signature::Rs256 => {
                let pair = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                // The token library reads PKCS #8 from PEM only.
                let text = STANDARD.encode(der.as_ref());
                let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
                (EncodingKey::from_rsa_pem(pem.as_bytes())?, "rs256")
            }
            Signature::EdDsa => {
                let der = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(failed)?;
                (EncodingKey::from_ed_der(der.as_ref()), "eddsa")
            }
        };
        let kid = format!("sandbox-{family}-{generation}");
        let mut public = Jwk::from_encoding_key(&private, signature.algorithm())?;
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { kid, private, public })
    }
}

impl Generation {
    fn new(number: u32) -> Result<Self, IssuerFault> {
        Ok(Self {
            es256: SigningKey::new(Signature::Es256, number)?,
            rs256: SigningKey::new(Signature::Rs256, number)?,
            eddsa: SigningKey::new(Signature::EdDsa, number)?,
        })
    }

    fn key(&self, signature: Signature) -> &SigningKey {
        match signature {
            Signature::Es256 => &self.es256,
            Signature::Rs256 => &self.rs256,
            Signature::EdDsa => &self.eddsa,
        }
    }
}

impl Keys {
    /// The first generation signs, the second is published.
    pub(super) fn new() -> Result<Self, IssuerFault> {
        Self::from(1)
    }

    fn from(number: u32) -> Result<Self, IssuerFault> {
        let newest = number + 1;
        Ok(Self { newest, previous: None, signing: Generation::new(number)?, next: Generation::new(newest)? })
    }

    /// The key that signs now.
    pub(super) fn signing(&self, signature: Signature) -> &SigningKey {
        self.signing.key(signature)
    }

    /// Every key in the set, those that sign now first.
    pub(super) fn published(&self) -> impl Iterator<Item = &SigningKey> {
        let generations = [Some(&self.signing), self.previous.as_ref(), Some(&self.next)];
        generations.into_iter().flatten().flat_map(|keys| Signature::ALL.map(|one| keys.key(one)))
    }

    /// The next generation signs from now on, the one before the last is forgotten.
    pub(super) fn rotate(&mut self) -> Result<(), IssuerFault> {
        let made = Generation::new(self.newest + 1)?;
        self.newest += 1;
        let signing = std::mem::replace(&mut self.next, made);
        self.previous = Some(std::mem::replace(&mut self.signing, signing));
        Ok(())
    }

    /// Every key so far is forgotten, as after a theft: those that were published and never signed lay in the
    /// same place.
    pub(super) fn forget(&mut self) -> Result<(), IssuerFault> {
        *self = Self::from(self.newest + 1)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generations(keys: &Keys) -> Vec<&str> {
        keys.published().filter_map(|key| key.kid.strip_prefix("sandbox-es256-")).collect()
    }

    #[test]
    fn a_generation_is_published_before_it_signs_and_after_it_signed() {
        let mut keys = Keys::new().unwrap();
        assert_eq!(generations(&keys), ["1", "2"]);
        keys.rotate().unwrap();
        assert_eq!(generations(&keys), ["2", "1", "3"]);
        keys.rotate().unwrap();
        assert_eq!(generations(&keys), ["3", "2", "4"]);
        assert_eq!(keys.published().count(), 9);
    }

    #[test]
    fn what_is_forgotten_leaves_no_key_behind() {
        let mut keys = Keys::new().unwrap();
        keys.rotate().unwrap();
        keys.forget().unwrap();
        assert_eq!(generations(&keys), ["4", "5"]);
        for signature in Signature::ALL {
            assert!(keys.signing(signature).kid.ends_with("-4"));
        }
    }
}
