//! A key that verifies signatures. The key, and never the token, decides which algorithms it may verify.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use secrecy::{ExposeSecret, SecretSlice};
use serde_json::{Map, Value};

use crate::config::parse_algorithm;
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
        if family == Some(AlgorithmFamily::Ed) && is_of_small_order(material) {
            return Err(KeyFault(
                "is a point of small order, for which anybody can sign; make a new key".to_owned(),
            ));
        }
        if algorithms.is_empty() {
            return Err(KeyFault(
                "is too short (RSA needs 2048 bits) or on another curve than the algorithms".to_owned(),
            ));
        }
        let material = Fingerprint::of(&[material]);
        Ok(Self { kid: None, algorithms, decoding, material })
    }

    /// Reads a JWK; `None` if it is of another kind or use, anybody could sign for it, or it fits none of the allowed
    /// algorithms.
    pub(super) fn from_jwk(jwk: &Map<String, Value>, allowed: &[Algorithm]) -> Option<Self> {
        let jwk = Jwk(jwk);
        if jwk.text("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let (decoding, kinds) = jwk.decode()?;
        let named: Option<Algorithm> = match jwk.0.get("alg") {
            None => None,
            Some(alg) => Some(parse_algorithm(alg.as_str()?)?),
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
        AlgorithmFamily::Ed => material.len() == ED25519_KEY_BYTES,
        AlgorithmFamily::Hmac => false,
    }
}

fn curve_point_bytes(algorithm: Algorithm) -> usize {
    if algorithm == Algorithm::ES256 { 65 } else { 97 }
}

/// RFC 8032 §5.1.5.
const ED25519_KEY_BYTES: usize = 32;

/// The `y` of every point of edwards25519 whose order divides 8, without the sign bit of `x`, as libsodium lists them
/// (`ge25519_has_small_order` in `ed25519_ref10.c`). The last two are 0 and 1 again, not reduced modulo the prime.
/// For such a key a signature with `S` = 0 is valid for many messages: the verification of RFC 8032 §5.1.7 and
/// aws-lc do not exclude it.
const SMALL_ORDER_POINTS: [[u8; ED25519_KEY_BYTES]; 7] = [
    with_ends(0x00, 0x00, 0x00),
    with_ends(0x01, 0x00, 0x00),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    with_ends(0xec, 0xff, 0x7f),
    with_ends(0xed, 0xff, 0x7f),
    with_ends(0xee, 0xff, 0x7f),
];

/// Returns the first byte, the last byte, and the same byte between them.
const fn with_ends(first: u8, between: u8, last: u8) -> [u8; ED25519_KEY_BYTES] {
    let mut point = [between; ED25519_KEY_BYTES];
    point[0] = first;
    point[ED25519_KEY_BYTES - 1] = last;
    point
}

/// Returns whether an Ed25519 key is a point of small order.
fn is_of_small_order(key: &[u8]) -> bool {
    let Some((last, rest)) = key.split_last() else { return false };
    SMALL_ORDER_POINTS
        .iter()
        .any(|point| point.split_last().is_some_and(|(end, start)| start == rest && *end == last & 0x7f))
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
            ("OKP", Some("Ed25519")) => Some((self.ed_key()?, &[Algorithm::EdDSA])),
            _ => None,
        }
    }

    fn ed_key(&self) -> Option<DecodingKey> {
        let point = self.bytes("x")?;
        if point.len() != ED25519_KEY_BYTES || is_of_small_order(&point) {
            return None;
        }
        DecodingKey::from_ed_components(self.text("x")?).ok()
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

    fn ed_pem(key: &[u8]) -> String {
        // RFC 8410 §4: the header of an Ed25519 SubjectPublicKeyInfo.
        let header = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let text = base64::engine::general_purpose::STANDARD.encode([&header, key].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    fn ed_jwk(key: &[u8]) -> Option<Key> {
        let jwk = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(key)});
        Key::from_jwk(jwk.as_object().unwrap(), &[Algorithm::EdDSA])
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
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN RSA PUBLIC KEY-----\n{text}\n-----END RSA PUBLIC KEY-----\n");
        assert!(Key::pem(pem.as_bytes(), &[Algorithm::RS256]).unwrap_err().0.contains("too short"));
    }
}
