//! The keys of an issuer at one time.

use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::key::{Key, KeyFault};
use diagnostics::to_single_line;
use templates::fingerprint::Fingerprint;

/// The limit for the keys of a set. An issuer publishes a few.
const MAX_KEYS: usize = 64;

/// The keys of an issuer at one time.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

impl KeySet {
    /// Returns a set of one key, which verifies every token of the issuer, whatever its `kid`.
    pub(super) fn of_one(key: Key) -> Self {
        Self(vec![key])
    }

    /// Reads a JWK set. Ignores keys of another kind or use, as RFC 7517 §5 says.
    ///
    /// # Errors
    /// When it is no set, has too many keys, has a `kid` twice, or has no usable key.
    pub(super) fn parse(json: &[u8], allowed: &[Algorithm]) -> Result<Self, KeyFault> {
        let value =
            strict_json::from_slice(json).map_err(|error| KeyFault(format!("is not a JWK set: {error}")))?;
        let list = value
            .get("keys")
            .and_then(Value::as_array)
            .ok_or_else(|| KeyFault("is not a JWK set: it has no list `keys`".to_owned()))?;
        if list.len() > MAX_KEYS {
            return Err(KeyFault(format!("holds {} keys, more than {MAX_KEYS}", list.len())));
        }
        let keys: Vec<Key> =
            list.iter().filter_map(Value::as_object).filter_map(|jwk| Key::from_jwk(jwk, allowed)).collect();
        for (index, key) in keys.iter().enumerate() {
            if key.kid().is_some() && keys.iter().take(index).any(|other| other.kid() == key.kid()) {
                return Err(KeyFault("holds one `kid` twice".to_owned()));
            }
        }
        if keys.is_empty() {
            return Err(KeyFault("holds no key that fits the issuer's algorithms".to_owned()));
        }
        Ok(Self(keys))
    }

    /// Returns the keys that may have signed a token with this `kid`. Where the token or the key has no `kid`,
    /// only the signature decides.
    pub(super) fn candidates<'a>(&'a self, kid: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(move |key| kid.is_none() || key.kid().is_none() || key.kid() == kid)
    }

    /// Returns the ids of the keys, for messages.
    pub(super) fn kids(&self) -> Vec<String> {
        self.0.iter().map(|key| key.kid().map_or("none".to_owned(), to_single_line)).collect()
    }

    /// Returns whether a key has no `kid`.
    pub(super) fn has_key_without_kid(&self) -> bool {
        self.0.iter().any(|key| key.kid().is_none())
    }

    /// Returns all keys, for an issuer with one configured key, for which `kid` has no meaning.
    pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    /// Returns whether the set contains a key.
    pub(super) fn contains(&self, material: Fingerprint) -> bool {
        self.0.iter().any(|key| key.material() == material)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;

    const EC: &str = r#"{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

    fn set(keys: &str, allowed: &[Algorithm]) -> Result<usize, String> {
        KeySet::parse(format!(r#"{{"keys":[{keys}]}}"#).as_bytes(), allowed)
            .map(|set| set.0.len())
            .map_err(|fault| fault.0)
    }

    #[test]
    fn keys_of_another_kind_or_use_are_ignored() {
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
    fn an_ambiguous_or_malformed_set_is_refused() {
        let es256 = [Algorithm::ES256];
        assert!(set(&format!("{EC},{EC}"), &es256).unwrap_err().contains("twice"));
        assert!(set(&EC.replace(r#""kid":"a""#, r#""kid":"a","kid":"b""#), &es256).is_err());
        assert!(set(&vec!["1"; 65].join(","), &es256).unwrap_err().contains("more than 64"));
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, "<html>"] {
            assert!(KeySet::parse(text.as_bytes(), &es256).is_err(), "{text}");
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
    }

    #[test]
    fn a_kid_selects_its_own_key_and_those_without_a_kid() {
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
    fn two_keys_have_different_materials() {
        let keys = format!(r#"{{"keys":[{},{}]}}"#, rsa("a", 0xC3, 256), rsa("b", 0xC5, 256));
        let set = KeySet::parse(keys.as_bytes(), &[Algorithm::RS256]).unwrap();
        let materials: Vec<_> = set.all().map(Key::material).collect();
        assert_ne!(materials[0], materials[1]);
    }
}
