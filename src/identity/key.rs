//! A key that verifies signatures. The key, and never the token, decides which algorithms it may verify.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use secrecy::{ExposeSecret, SecretSlice};
use serde_json::{Map, Value};

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

/// The DER of a 2048-bit `RSAPublicKey`: 257 bytes of modulus, the smallest exponent, and the headers.
const MIN_RSA_DER_BYTES: usize = 268;

/// The sizes of RSA keys in a key set; a larger key makes each verification slow.
const RSA_KEY_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

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

    /// Reads a PEM public key of the algorithms' family.
    pub(super) fn pem(pem: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeyFault> {
        if String::from_utf8_lossy(pem).contains("PRIVATE KEY") {
            return Err(KeyFault("holds a private key; give only the public half".to_owned()));
        }
        let family = algorithms.first().map(|algorithm| algorithm.family());
        let (kind, decoded) = match family {
            Some(AlgorithmFamily::Rsa) => ("an RSA", DecodingKey::from_rsa_pem(pem)),
            Some(AlgorithmFamily::Ec) => ("an EC", DecodingKey::from_ec_pem(pem)),
            Some(AlgorithmFamily::Ed) => ("an Ed25519", DecodingKey::from_ed_pem(pem)),
            Some(AlgorithmFamily::Hmac) | None => {
                return Err(KeyFault("a public key does not fit HMAC algorithms".to_owned()));
            }
        };
        let decoding = decoded.map_err(|error| {
            KeyFault(format!("is not {kind} public key in PEM ({error}), which the algorithms need"))
        })?;
        let material = decoding.try_get_as_bytes().map_err(|error| KeyFault(error.to_string()))?;
        let algorithms: Vec<Algorithm> =
            algorithms.iter().copied().filter(|algorithm| fits(material, *algorithm)).collect();
        if algorithms.is_empty() {
            return Err(KeyFault(
                "is too short (RSA needs 2048 bits) or on another curve than the algorithms".to_owned(),
            ));
        }
        let material = Fingerprint::of(&[material]);
        Ok(Self { kid: None, algorithms, decoding, material })
    }

    /// Reads a JWK; `None` if it is of another kind or use, or fits none of the allowed algorithms.
    pub(super) fn from_jwk(jwk: &Map<String, Value>, allowed: &[Algorithm]) -> Option<Self> {
        let jwk = Jwk(jwk);
        if jwk.text("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let (decoding, kinds) = jwk.decode()?;
        let named: Option<Algorithm> = match jwk.0.get("alg") {
            None => None,
            Some(alg) => Some(alg.as_str()?.parse().ok()?),
        };
        let algorithms: Vec<Algorithm> = allowed
            .iter()
            .copied()
            .filter(|algorithm| kinds.contains(algorithm) && named.is_none_or(|named| named == *algorithm))
            .collect();
        let material = Fingerprint::of(&["n", "e", "x", "y"].map(|name| jwk.text(name).unwrap_or_default()));
        let kid = jwk.text("kid").map(str::to_owned);
        (!algorithms.is_empty()).then_some(Self { kid, algorithms, decoding, material })
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Returns a fingerprint of the key's material, which ties a verified token to the key.
    pub(super) fn material(&self) -> Fingerprint {
        self.material
    }

    /// Returns whether this key signed the message with this algorithm.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        self.algorithms.contains(&algorithm)
            && jsonwebtoken::crypto::verify(signature, message, &self.decoding, algorithm).unwrap_or(false)
    }
}

/// Returns whether a key may verify an algorithm. The material is what remains of a PEM: a DER
/// `RSAPublicKey`, a curve point, or the 32 bytes of an Ed25519 key.
fn fits(material: &[u8], algorithm: Algorithm) -> bool {
    match algorithm.family() {
        AlgorithmFamily::Rsa => material.len() >= MIN_RSA_DER_BYTES,
        AlgorithmFamily::Ec => material.len() == curve_point_bytes(algorithm),
        AlgorithmFamily::Ed => material.len() == 32,
        AlgorithmFamily::Hmac => false,
    }
}

fn curve_point_bytes(algorithm: Algorithm) -> usize {
    if algorithm == Algorithm::ES256 { 65 } else { 97 }
}

/// The members of a JWK.
struct Jwk<'a>(&'a Map<String, Value>);

impl<'a> Jwk<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(Value::as_str)
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(self.text(name)?).ok()
    }

    /// Returns the key and the algorithms of its kind.
    fn decode(&self) -> Option<(DecodingKey, &'static [Algorithm])> {
        match (self.text("kty")?, self.text("crv")) {
            ("RSA", _) => Some((self.rsa_key()?, AlgorithmFamily::Rsa.algorithms())),
            ("EC", Some("P-256")) => Some((self.ec_key(32)?, &[Algorithm::ES256])),
            ("EC", Some("P-384")) => Some((self.ec_key(48)?, &[Algorithm::ES384])),
            ("OKP", Some("Ed25519")) if self.bytes("x")?.len() == 32 => {
                Some((DecodingKey::from_ed_components(self.text("x")?).ok()?, &[Algorithm::EdDSA]))
            }
            _ => None,
        }
    }

    fn rsa_key(&self) -> Option<DecodingKey> {
        let modulus = self.bytes("n")?;
        let bits = modulus.iter().skip_while(|byte| **byte == 0).count() * 8;
        if !RSA_KEY_BITS.contains(&bits) {
            return None;
        }
        DecodingKey::from_rsa_components(self.text("n")?, self.text("e")?).ok()
    }

    fn ec_key(&self, coordinate_bytes: usize) -> Option<DecodingKey> {
        if self.bytes("x")?.len() != coordinate_bytes || self.bytes("y")?.len() != coordinate_bytes {
            return None;
        }
        DecodingKey::from_ec_components(self.text("x")?, self.text("y")?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pem_that_does_not_fit_the_algorithms_is_refused() {
        for pem in ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            assert!(Key::pem(pem.as_bytes(), &[Algorithm::RS256]).is_err(), "{pem}");
        }
    }

    #[test]
    fn a_short_rsa_key_in_pem_is_refused() {
        let der =
            [&[0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00][..], &[0xC3; 128], &[0x02, 0x03, 1, 0, 1]].concat();
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN RSA PUBLIC KEY-----\n{text}\n-----END RSA PUBLIC KEY-----\n");
        assert!(Key::pem(pem.as_bytes(), &[Algorithm::RS256]).unwrap_err().0.contains("too short"));
    }
}
