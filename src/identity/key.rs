//! A key that verifies signatures. The key, and never the token, decides which algorithms it may verify.

use jsonwebtoken::{Algorithm, DecodingKey};
use secrecy::{ExposeSecret, SecretSlice};

use super::public_key::PublicKey;
use templates::fingerprint::Fingerprint;

/// A key and the algorithms that it may verify.
#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
    material: Fingerprint,
}

/// The error for a key or a key set that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyFault(pub(super) String);

impl Key {
    /// Returns a key for an HMAC secret.
    pub(super) fn secret(secret: &SecretSlice<u8>, algorithms: &[Algorithm]) -> Self {
        let bytes = secret.expose_secret();
        Self {
            kid: None,
            algorithms: algorithms.to_vec(),
            decoding: DecodingKey::from_secret(bytes),
            material: Fingerprint::of(&[bytes]),
        }
    }

    /// Returns a public key for those of the algorithms that belong to its kind; `None` if there are none.
    pub(super) fn public(kid: Option<String>, key: PublicKey, algorithms: &[Algorithm]) -> Option<Self> {
        let PublicKey { decoding, algorithms: own, material } = key;
        let algorithms: Vec<Algorithm> =
            algorithms.iter().copied().filter(|algorithm| own.contains(algorithm)).collect();
        (!algorithms.is_empty()).then_some(Self { kid, algorithms, decoding, material })
    }

    /// Reads a public key in PEM. Its kind fixes which of the algorithms it may verify.
    pub(super) fn pem(pem: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeyFault> {
        if String::from_utf8_lossy(pem).contains("PRIVATE KEY") {
            return Err(KeyFault("holds a private key; give only the public half".to_owned()));
        }
        let key = PublicKey::pem(pem).map_err(|fault| KeyFault(format!("cannot be used: {fault}")))?;
        let own = key.algorithms;
        Self::public(None, key, algorithms).ok_or_else(|| {
            KeyFault(format!("is a key for {own:?}, and the issuer's algorithms are {algorithms:?}"))
        })
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Returns a fingerprint of the key's material, which ties a verified token to the key.
    pub(super) fn material(&self) -> Fingerprint {
        self.material
    }

    /// Returns whether the key may verify an algorithm.
    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Returns whether this key signed the message with this algorithm.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        self.is_for(algorithm)
            && jsonwebtoken::crypto::verify(signature, message, &self.decoding, algorithm).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use base64::{
        Engine,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };

    use super::*;
    use crate::identity::{jwk::Jwk, small_order::SMALL_ORDER_POINTS};

    #[test]
    fn a_pem_that_does_not_fit_the_algorithms_is_refused() {
        for pem in ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            assert!(Key::pem(pem.as_bytes(), &[Algorithm::RS256]).is_err(), "{pem}");
        }
    }

    fn ed_pem(key: &[u8]) -> String {
        // RFC 8410 §4: the header of an Ed25519 SubjectPublicKeyInfo.
        let header = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let text = STANDARD.encode([&header, key].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    fn ed_jwk(key: &[u8]) -> Option<Key> {
        let jwk = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(key)});
        Jwk(jwk.as_object().unwrap()).key(&[Algorithm::EdDSA]).ok()
    }

    #[test]
    fn an_ed25519_key_for_which_anybody_can_sign_is_refused() {
        for point in SMALL_ORDER_POINTS {
            for sign in [0, 0x80] {
                let mut key = point;
                key[31] |= sign;
                assert!(ed_jwk(&key).is_none(), "{key:x?}");
                let fault = Key::pem(ed_pem(&key).as_bytes(), &[Algorithm::EdDSA]).unwrap_err();
                assert!(fault.0.contains("small order"), "{fault}");
            }
        }
        // RFC 8037 §A.2.
        let good = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert!(ed_jwk(&good).is_some());
        assert!(Key::pem(ed_pem(&good).as_bytes(), &[Algorithm::EdDSA]).is_ok());
    }

    /// For the neutral point, S = 0 and R = the neutral point is valid for every message.
    #[test]
    fn a_key_of_small_order_would_verify_a_forged_signature() {
        let neutral = SMALL_ORDER_POINTS[1];
        let decoding = DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(neutral)).unwrap();
        let forged = URL_SAFE_NO_PAD.encode([neutral, [0; 32]].concat());
        let verified = jsonwebtoken::crypto::verify(&forged, b"any message", &decoding, Algorithm::EdDSA);
        assert!(verified.unwrap(), "if the library refuses it by now, the table is not needed any more");
    }

    #[test]
    fn a_short_rsa_key_in_pem_is_refused() {
        let der =
            [&[0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00][..], &[0xC3; 128], &[0x02, 0x03, 1, 0, 1]].concat();
        let text = STANDARD.encode(der);
        let pem = format!("-----BEGIN RSA PUBLIC KEY-----\n{text}\n-----END RSA PUBLIC KEY-----\n");
        assert!(Key::pem(pem.as_bytes(), &[Algorithm::RS256]).unwrap_err().0.contains("too short"));
    }
}
