//! A public key as it is in a JWK or a PEM file: decoded, and checked that signatures by it prove something.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ParsedPublicKey, VerificationAlgorithm,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

use super::small_order::is_of_small_order;
use templates::fingerprint::Fingerprint;

/// A public key and the algorithms of its kind.
#[derive(Debug)]
pub(super) struct PublicKey {
    pub(super) decoding: DecodingKey,
    pub(super) algorithms: &'static [Algorithm],
    /// Identifies the key, however it is written.
    pub(super) material: Fingerprint,
}

/// Why a public key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PublicKeyFault {
    #[error("it is not an RSA, EC or Ed25519 public key in PEM")]
    Pem,
    #[error("the RSA key has {0} bits; 2048 to 8192 are accepted (RFC 7518 §3.3)")]
    RsaBits(usize),
    #[error("the RSA key is too short; 2048 to 8192 bits are accepted (RFC 7518 §3.3)")]
    RsaTooShort,
    #[error("the RSA exponent is not an odd number from 3 to 4294967295")]
    RsaExponent,
    #[error("the EC key is not a point of P-256 or P-384")]
    Point,
    #[error("the Ed25519 key does not have 32 bytes")]
    Ed25519Bytes,
    #[error("it is a point of small order, for which anybody can sign; make a new key")]
    SmallOrder,
}

/// The DER of a 2048-bit `RSAPublicKey`: 257 bytes of modulus, the smallest exponent, and the headers.
const MIN_RSA_DER_BYTES: usize = 268;

/// The sizes of RSA keys; a larger key makes each verification slow.
const RSA_KEY_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

const MAX_RSA_EXPONENT_BYTES: usize = 4;

/// RFC 8032 §5.1.5.
const ED25519_KEY_BYTES: usize = 32;

/// A curve of NIST (RFC 7518 §6.2.1.1).
#[derive(Debug, Clone, Copy)]
pub(super) enum Curve {
    P256,
    P384,
}

impl Curve {
    fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::P256 => &[Algorithm::ES256],
            Self::P384 => &[Algorithm::ES384],
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED,
            Self::P384 => &ECDSA_P384_SHA384_FIXED,
        }
    }
}

impl PublicKey {
    /// Returns an RSA key. Leading zeros are ignored: some issuers write them, against RFC 7518 §6.3.1.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, PublicKeyFault> {
        let (modulus, exponent) = (without_leading_zeros(modulus), without_leading_zeros(exponent));
        let bits = modulus.len() * 8;
        if !RSA_KEY_BITS.contains(&bits) {
            return Err(PublicKeyFault::RsaBits(bits));
        }
        let is_odd = exponent.last().is_some_and(|byte| byte % 2 == 1);
        if !is_odd || exponent == [1] || exponent.len() > MAX_RSA_EXPONENT_BYTES {
            return Err(PublicKeyFault::RsaExponent);
        }
        Ok(Self {
            decoding: DecodingKey::from_rsa_raw_components(modulus, exponent),
            algorithms: AlgorithmFamily::Rsa.algorithms(),
            material: Fingerprint::of(&[modulus, exponent]),
        })
    }

    /// Returns a key on a curve of NIST. A coordinate with too many or too few leading zeros is accepted.
    pub(super) fn ec(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self, PublicKeyFault> {
        let bytes = curve.coordinate_bytes();
        let (x, y) = (coordinate(x, bytes)?, coordinate(y, bytes)?);
        Self::ec_point(curve, &[&[UNCOMPRESSED][..], &x, &y].concat())
    }

    fn ec_point(curve: Curve, point: &[u8]) -> Result<Self, PublicKeyFault> {
        if ParsedPublicKey::new(curve.verification(), point).is_err() {
            return Err(PublicKeyFault::Point);
        }
        Ok(Self {
            decoding: DecodingKey::from_ec_der(point),
            algorithms: curve.algorithms(),
            material: Fingerprint::of(&[point]),
        })
    }

    pub(super) fn ed25519(point: &[u8]) -> Result<Self, PublicKeyFault> {
        if point.len() != ED25519_KEY_BYTES {
            return Err(PublicKeyFault::Ed25519Bytes);
        }
        if is_of_small_order(point) {
            return Err(PublicKeyFault::SmallOrder);
        }
        Ok(Self {
            decoding: DecodingKey::from_ed_der(point),
            algorithms: AlgorithmFamily::Ed.algorithms(),
            material: Fingerprint::of(&[point]),
        })
    }

    /// Reads a public key in PEM. What remains of a PEM is a DER `RSAPublicKey`, a curve point, or the 32 bytes of an
    /// Ed25519 key.
    pub(super) fn pem(pem: &[u8]) -> Result<Self, PublicKeyFault> {
        let readers = [DecodingKey::from_rsa_pem, DecodingKey::from_ec_pem, DecodingKey::from_ed_pem];
        let decoding = readers.iter().find_map(|read| read(pem).ok()).ok_or(PublicKeyFault::Pem)?;
        let material = decoding.try_get_as_bytes().map_err(|_| PublicKeyFault::Pem)?;
        match decoding.family() {
            AlgorithmFamily::Rsa if material.len() < MIN_RSA_DER_BYTES => Err(PublicKeyFault::RsaTooShort),
            AlgorithmFamily::Rsa => {
                let material = Fingerprint::of(&[material]);
                Ok(Self { decoding, algorithms: AlgorithmFamily::Rsa.algorithms(), material })
            }
            AlgorithmFamily::Ec => {
                Self::ec_point(Curve::P256, material).or_else(|_| Self::ec_point(Curve::P384, material))
            }
            AlgorithmFamily::Ed => Self::ed25519(material),
            AlgorithmFamily::Hmac => Err(PublicKeyFault::Pem),
        }
    }

    /// Reads the DER of a `SubjectPublicKeyInfo`, as it is in a certificate (RFC 5280 §4.1.2.7).
    pub(super) fn subject_public_key_info(der: &[u8]) -> Result<Self, PublicKeyFault> {
        let text = STANDARD.encode(der);
        Self::pem(format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n").as_bytes())
    }
}

/// The first byte of an uncompressed point (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Returns a coordinate at its full length (RFC 7518 §6.2.1.2).
fn coordinate(number: &[u8], bytes: usize) -> Result<Vec<u8>, PublicKeyFault> {
    let number = without_leading_zeros(number);
    let zeros = bytes.checked_sub(number.len()).ok_or(PublicKeyFault::Point)?;
    Ok([vec![0; zeros], number.to_vec()].concat())
}
