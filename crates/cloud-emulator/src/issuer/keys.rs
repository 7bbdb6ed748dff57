//! The issuer's signing keys, in generations.
//!
//! A rotation breaks no login, as with a well-run issuer: the next generation is published before it signs, so
//! that clients with a cached key set already know it, and the previous one stays for tokens in use.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{
    EncodingKey,
    jwk::{Jwk, PublicKeyUse},
};

use super::{algorithm::SigningAlgorithm, error::IssuerError};

/// A private key and its published half.
pub(super) struct SigningKey {
    pub(super) kid: String,
    pub(super) private: EncodingKey,
    pub(super) public: Jwk,
}

/// One key of each algorithm.
struct Generation {
    es256: SigningKey,
    rs256: SigningKey,
    eddsa: SigningKey,
}

/// The published generations, one of which signs.
pub(super) struct KeyRing {
    newest: u32,
    previous: Option<Generation>,
    signing: Generation,
    next: Generation,
}

impl SigningKey {
    fn generate(algorithm: SigningAlgorithm, generation: u32) -> Result<Self, IssuerError> {
        let (private, family) = match algorithm {
            SigningAlgorithm::Es256 => {
                let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let der = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())?;
                (EncodingKey::from_ec_der(der.as_ref()), "es256")
            }
            SigningAlgorithm::Rs256 => {
                let pair = KeyPair::generate(KeySize::Rsa2048)?;
                let der: Pkcs8V1Der<'_> = pair.as_der()?;
                // The token library reads PKCS #8 from PEM only.
                let text = STANDARD.encode(der.as_ref());
                let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
                (EncodingKey::from_rsa_pem(pem.as_bytes())?, "rs256")
            }
            SigningAlgorithm::EdDsa => {
                let der = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new())?;
                (EncodingKey::from_ed_der(der.as_ref()), "eddsa")
            }
        };
        let kid = format!("sandbox-{family}-{generation}");
        let mut public = Jwk::from_encoding_key(&private, algorithm.algorithm())?;
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { kid, private, public })
    }
}

impl Generation {
    fn generate(number: u32) -> Result<Self, IssuerError> {
        Ok(Self {
            es256: SigningKey::generate(SigningAlgorithm::Es256, number)?,
            rs256: SigningKey::generate(SigningAlgorithm::Rs256, number)?,
            eddsa: SigningKey::generate(SigningAlgorithm::EdDsa, number)?,
        })
    }

    fn key(&self, algorithm: SigningAlgorithm) -> &SigningKey {
        match algorithm {
            SigningAlgorithm::Es256 => &self.es256,
            SigningAlgorithm::Rs256 => &self.rs256,
            SigningAlgorithm::EdDsa => &self.eddsa,
        }
    }
}

impl KeyRing {
    /// Generates two generations: the first signs, the second is published.
    pub(super) fn generate() -> Result<Self, IssuerError> {
        Self::starting_at(1)
    }

    fn starting_at(number: u32) -> Result<Self, IssuerError> {
        let newest = number + 1;
        let (signing, next) = (Generation::generate(number)?, Generation::generate(newest)?);
        Ok(Self { newest, previous: None, signing, next })
    }

    /// Returns the key that signs now.
    pub(super) fn signing(&self, algorithm: SigningAlgorithm) -> &SigningKey {
        self.signing.key(algorithm)
    }

    /// Iterates over all published keys, those that sign now first.
    pub(super) fn published(&self) -> impl Iterator<Item = &SigningKey> {
        let generations = [Some(&self.signing), self.previous.as_ref(), Some(&self.next)];
        generations.into_iter().flatten().flat_map(|keys| SigningAlgorithm::ALL.map(|one| keys.key(one)))
    }

    /// Signs with the next generation from now on, and drops the generation before the previous one.
    pub(super) fn rotate(&mut self) -> Result<(), IssuerError> {
        let generated = Generation::generate(self.newest + 1)?;
        self.newest += 1;
        let signing = std::mem::replace(&mut self.next, generated);
        self.previous = Some(std::mem::replace(&mut self.signing, signing));
        Ok(())
    }

    /// Drops all keys and generates new ones, as after a theft. The next generation goes as well, because it was
    /// stored in the same place.
    pub(super) fn replace_all(&mut self) -> Result<(), IssuerError> {
        *self = Self::starting_at(self.newest + 1)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generations(keys: &KeyRing) -> Vec<&str> {
        keys.published().filter_map(|key| key.kid.strip_prefix("sandbox-es256-")).collect()
    }

    #[test]
    fn a_generation_is_published_before_it_signs_and_after_it_signed() {
        let mut keys = KeyRing::generate().unwrap();
        assert_eq!(generations(&keys), ["1", "2"]);
        keys.rotate().unwrap();
        assert_eq!(generations(&keys), ["2", "1", "3"]);
        keys.rotate().unwrap();
        assert_eq!(generations(&keys), ["3", "2", "4"]);
        assert_eq!(keys.published().count(), 9);
    }

    #[test]
    fn replacing_all_keys_leaves_no_old_key() {
        let mut keys = KeyRing::generate().unwrap();
        keys.rotate().unwrap();
        keys.replace_all().unwrap();
        assert_eq!(generations(&keys), ["4", "5"]);
        for algorithm in SigningAlgorithm::ALL {
            assert!(keys.signing(algorithm).kid.ends_with("-4"));
        }
    }
}
