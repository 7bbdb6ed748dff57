//! Verification keys: what an issuer's key may verify is fixed by the key, never by a token.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use secrecy::{ExposeSecret, SecretSlice};
use serde_json::{Map, Value};

use templates::fingerprint::Fingerprint;

/// One key, and the algorithms it may be used with.
#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
    material: Fingerprint,
}

/// An issuer's keys at one time.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

/// Why a key or a key set cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyFault(pub(super) String);

/// The DER of a 2048-bit `RSAPublicKey`: 257 bytes of modulus, the smallest exponent, and the headers.
const SHORTEST_RSA_DER: usize = 268;
/// The most keys a set may hold.
const MOST_KEYS: usize = 64;

impl Key {
    /// An HMAC secret.
    pub(super) fn secret(secret: &SecretSlice<u8>, algorithms: &[Algorithm]) -> Self {
        let bytes = secret.expose_secret();
        Self {
            kid: None,
            algorithms: algorithms.to_vec(),
            decoding: DecodingKey::from_secret(bytes),
            material: Fingerprint::of(&[bytes]),
        }
    }

    /// A PEM public key of the family the issuer's algorithms are of.
    pub(super) fn pem(pem: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeyFault> {
        if String::from_utf8_lossy(pem).contains("PRIVATE KEY") {
            return Err(KeyFault("holds a private key; give the public half only".to_owned()));
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
            KeyFault(format!("is not {kind} public key in PEM ({error}), which the algorithms call for"))
        })?;
        let material = decoding.try_get_as_bytes().map_err(|error| KeyFault(error.to_string()))?;
        // What is left of each kind once the PEM is off: a DER RSAPublicKey, a curve point, 32 bytes.
        let fits = |algorithm: &Algorithm| match algorithm.family() {
            AlgorithmFamily::Rsa => material.len() >= SHORTEST_RSA_DER,
            AlgorithmFamily::Ec => material.len() == point_length(*algorithm),
            AlgorithmFamily::Ed => material.len() == 32,
            AlgorithmFamily::Hmac => false,
        };
        let algorithms: Vec<Algorithm> = algorithms.iter().copied().filter(fits).collect();
        if algorithms.is_empty() {
            return Err(KeyFault(
                "is too short (RSA needs 2048 bits) or on another curve than the algorithms".to_owned(),
            ));
        }
        let material = Fingerprint::of(&[material]);
        Ok(Self { kid: None, algorithms, decoding, material })
    }

    /// One JWK; `None` where it is of a kind or use that is not for us.
    fn jwk(jwk: &Map<String, Value>, allowed: &[Algorithm]) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        if text("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let (decoding, kinds): (DecodingKey, &[Algorithm]) = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let n = bytes("n")?;
                let bits = n.iter().skip_while(|byte| **byte == 0).count() * 8;
                if !(2048..=8192).contains(&bits) {
                    return None;
                }
                let key = DecodingKey::from_rsa_components(text("n")?, text("e")?).ok()?;
                (key, AlgorithmFamily::Rsa.algorithms())
            }
            ("EC", Some(curve @ ("P-256" | "P-384"))) => {
                let (length, kind): (_, &[Algorithm]) =
                    if curve == "P-256" { (32, &[Algorithm::ES256]) } else { (48, &[Algorithm::ES384]) };
                if bytes("x")?.len() != length || bytes("y")?.len() != length {
                    return None;
                }
                (DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?, kind)
            }
            ("OKP", Some("Ed25519")) if bytes("x")?.len() == 32 => {
                (DecodingKey::from_ed_components(text("x")?).ok()?, &[Algorithm::EdDSA])
            }
            _ => return None,
        };
        let named: Option<Algorithm> = match jwk.get("alg") {
            None => None,
            Some(alg) => Some(alg.as_str()?.parse().ok()?),
        };
        let algorithms: Vec<Algorithm> = allowed
            .iter()
            .copied()
            .filter(|algorithm| kinds.contains(algorithm) && named.is_none_or(|named| named == *algorithm))
            .collect();
        let material = Fingerprint::of(&["n", "e", "x", "y"].map(|name| text(name).unwrap_or_default()));
        let kid = text("kid").map(str::to_owned);
        (!algorithms.is_empty()).then_some(Self { kid, algorithms, decoding, material })
    }

    /// Names the key's material, so that a verified token can be tied to it.
    pub(super) fn material(&self) -> Fingerprint {
        self.material
    }

    /// Whether this key signed the message under this algorithm.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        self.algorithms.contains(&algorithm)
            && jsonwebtoken::crypto::verify(signature, message, &self.decoding, algorithm).unwrap_or(false)
    }
}

fn point_length(algorithm: Algorithm) -> usize {
    if algorithm == Algorithm::ES256 { 65 } else { 97 }
}

impl KeySet {
    /// A set of one key that every token of the issuer is verified with, whatever its `kid`.
    pub(super) fn of_one(key: Key) -> Self {
        Self(vec![key])
    }

    /// Reads a JWK set (RFC 7517 §5), leaving out keys that are not for us (RFC 7517 §5: ignore what is
    /// not understood).
    ///
    /// # Errors
    /// When it is no set, too large, holds a `kid` twice, or no key in it is usable.
    pub(super) fn parse(json: &[u8], allowed: &[Algorithm]) -> Result<Self, KeyFault> {
        let value =
            strict_json::strict(json).map_err(|error| KeyFault(format!("is not a JWK set: {error}")))?;
        let list = value
            .get("keys")
            .and_then(Value::as_array)
            .ok_or_else(|| KeyFault("is not a JWK set: it has no list `keys`".to_owned()))?;
        if list.len() > MOST_KEYS {
            return Err(KeyFault(format!("holds {} keys, more than {MOST_KEYS}", list.len())));
        }
        let keys: Vec<Key> =
            list.iter().filter_map(Value::as_object).filter_map(|jwk| Key::jwk(jwk, allowed)).collect();
        for (index, key) in keys.iter().enumerate() {
            if key.kid.is_some() && keys.iter().take(index).any(|other| other.kid == key.kid) {
                return Err(KeyFault("holds one `kid` twice".to_owned()));
            }
        }
        if keys.is_empty() {
            return Err(KeyFault("holds no key that fits the issuer's algorithms".to_owned()));
        }
        Ok(Self(keys))
    }

    /// The keys a token with this `kid` may have been signed with; where one side names none, the signature
    /// alone decides.
    pub(super) fn candidates<'a>(&'a self, kid: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(move |key| kid.is_none() || key.kid.is_none() || key.kid.as_deref() == kid)
    }

    /// Whether some key has no `kid`.
    pub(super) fn has_nameless(&self) -> bool {
        self.0.iter().any(|key| key.kid.is_none())
    }

    /// All keys, for an issuer with one configured key, whose tokens' `kid` means nothing to us.
    pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    /// Whether the set still holds a key.
    pub(super) fn holds(&self, material: Fingerprint) -> bool {
        self.0.iter().any(|key| key.material == material)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EC: &str = r#"{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

    fn set(keys: &str, allowed: &[Algorithm]) -> Result<usize, String> {
        KeySet::parse(format!(r#"{{"keys":[{keys}]}}"#).as_bytes(), allowed)
            .map(|set| set.0.len())
            .map_err(|fault| fault.0)
    }

    #[test]
    fn keys_that_are_not_for_us_are_left_out() {
        let es256 = [Algorithm::ES256];
        assert_eq!(set(EC, &es256), Ok(1));
        for other in [
            EC.replace("P-256", "P-521"),
            EC.replace(r#""kid""#, r#""use":"enc","kid""#),
            EC.replace(r#""kid""#, r#""alg":"ES384","kid""#),
            EC.replace("f83OJ3D2", ""),
            r#"{"kty":"oct","kid":"o","k":"c2VjcmV0"}"#.to_owned(),
            r#"{"kty":"RSA","kid":"r","n":"AQAB","e":"AQAB"}"#.to_owned(),
            "7".to_owned(),
        ] {
            assert_eq!(set(&format!("{EC},{}", other.replace(r#""a""#, r#""b""#)), &es256), Ok(1), "{other}");
        }
        assert!(set(EC, &[Algorithm::RS256]).unwrap_err().contains("no key that fits"));
    }

    #[test]
    fn a_set_that_says_two_things_is_refused() {
        let es256 = [Algorithm::ES256];
        assert!(set(&format!("{EC},{EC}"), &es256).unwrap_err().contains("twice"));
        assert!(set(&EC.replace(r#""kid":"a""#, r#""kid":"a","kid":"b""#), &es256).is_err());
        assert!(set(&vec!["1"; 65].join(","), &es256).unwrap_err().contains("more than 64"));
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, "<html>"] {
            assert!(KeySet::parse(text.as_bytes(), &es256).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pem_that_does_not_fit_the_algorithms_is_refused_when_it_is_read() {
        for pem in ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            assert!(Key::pem(pem.as_bytes(), &[Algorithm::RS256]).is_err(), "{pem}");
        }
    }

    fn rsa(kid: &str, first: u8, bytes: usize) -> String {
        let mut n = vec![0xA5; bytes];
        n[0] = first;
        format!(r#"{{"kty":"RSA","kid":"{kid}","n":"{}","e":"AQAB"}}"#, URL_SAFE_NO_PAD.encode(n))
    }

    #[test]
    fn an_rsa_key_has_2048_to_8192_bits() {
        let rs256 = [Algorithm::RS256];
        for (bytes, fits) in [(128, false), (255, false), (256, true), (1024, true), (1025, false)] {
            assert_eq!(set(&rsa("a", 0xC3, bytes), &rs256).is_ok(), fits, "{bytes} bytes");
        }
        // Leading zeros are no bits.
        assert!(set(&rsa("a", 0, 256), &rs256).is_err());
        let der =
            [&[0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00][..], &[0xC3; 128], &[0x02, 0x03, 1, 0, 1]].concat();
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN RSA PUBLIC KEY-----\n{text}\n-----END RSA PUBLIC KEY-----\n");
        assert!(Key::pem(pem.as_bytes(), &rs256).unwrap_err().0.contains("too short"));
    }

    #[test]
    fn a_kid_finds_its_own_key_and_those_without_a_name() {
        let nameless = EC.replace(r#""kid":"a","#, "");
        let parse = |keys: &str| {
            KeySet::parse(format!(r#"{{"keys":[{keys}]}}"#).as_bytes(), &[Algorithm::ES256]).unwrap()
        };
        assert_eq!(parse(EC).candidates(Some("z")).count(), 0);
        assert_eq!(parse(&nameless).candidates(Some("z")).count(), 1, "the signature decides");
        let both = parse(&format!("{EC},{nameless}"));
        assert_eq!(both.candidates(Some("a")).count(), 2);
        assert_eq!(both.candidates(Some("z")).count(), 1);
        assert_eq!(both.candidates(None).count(), 2);
    }

    #[test]
    fn two_keys_have_two_materials() {
        let keys = format!(r#"{{"keys":[{},{}]}}"#, rsa("a", 0xC3, 256), rsa("b", 0xC5, 256));
        let set = KeySet::parse(keys.as_bytes(), &[Algorithm::RS256]).unwrap();
        let materials: Vec<_> = set.all().map(Key::material).collect();
        assert_ne!(materials[0], materials[1]);
    }
}
