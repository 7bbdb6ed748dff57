use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{EncodingKey, jwk};
use serde_json::json;

use super::*;

/// RFC 7515 §A.3.1.
const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

fn ec() -> Value {
    json!({"kty": "EC", "crv": "P-256", "kid": "a", "x": X, "y": Y})
}

fn rsa(kid: &str, first: u8, bytes: usize) -> Value {
    let mut n = vec![0xA5; bytes];
    n[0] = first;
    json!({"kty": "RSA", "kid": kid, "n": URL_SAFE_NO_PAD.encode(n), "e": "AQAB"})
}

fn with(mut jwk: Value, name: &str, value: impl Into<Value>) -> Value {
    jwk[name] = value.into();
    jwk
}

fn parse(keys: &[Value], allowed: &[Algorithm]) -> Result<KeySet, String> {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes(), allowed).map_err(|fault| fault.0)
}

/// The number of usable keys, and the reasons of the others.
fn set(keys: &[Value], allowed: &[Algorithm]) -> (usize, Vec<String>) {
    let set = parse(keys, allowed).unwrap();
    (set.keys.len(), set.dropped.iter().map(ToString::to_string).collect())
}

const ES256: [Algorithm; 1] = [Algorithm::ES256];
const RS256: [Algorithm; 1] = [Algorithm::RS256];

#[test]
fn an_odd_key_is_dropped_with_its_reason_and_the_others_serve() {
    for (odd, reason) in [
        (with(ec(), "crv", "P-521"), "key `b`: its curve `P-521` is not supported"),
        (with(ec(), "use", "enc"), "key `b`: it is for encryption (`use enc`)"),
        (with(ec(), "alg", "RSA-OAEP-256"), "key `b`: it is for encryption (`alg RSA-OAEP-256`)"),
        (with(ec(), "use", "other"), "key `b`: its `use` is `other`"),
        (with(ec(), "alg", "ES512"), "its `alg` `ES512` is not supported"),
        (with(ec(), "alg", 7), "its `alg` `not a text` is not supported"),
        (with(ec(), "alg", "RS256"), "its `alg` `RS256` does not belong to this kind of key"),
        (
            with(rsa("b", 0xC3, 256), "alg", "PS512"),
            "it is for PS512, which the issuer's `algorithms` do not list",
        ),
        (with(ec(), "x", X.trim_start_matches("f83OJ3D2")), "the EC key is not a point of P-256 or P-384"),
        (with(ec(), "x", Y), "the EC key is not a point of P-256 or P-384"),
        (with(ec(), "y", "not base64!"), "its `y` is missing, or is not base64url"),
        (json!({"kty": "oct", "kid": "b", "k": "c2VjcmV0"}), "its `kty` `oct` is no public key"),
        (json!({"kid": "b", "n": "AQAB"}), "it has no `kty`"),
        (json!({"kty": "RSA", "kid": "b", "n": "AQAB", "e": "AQAB"}), "the RSA key has 24 bits"),
        (rsa("b", 0xC3, 128), "the RSA key has 1024 bits; 2048 to 8192 are accepted"),
        (with(rsa("b", 0xC3, 256), "e", "AQ"), "the RSA exponent is not an odd number"),
        (with(rsa("b", 0xC3, 256), "e", "Ag"), "the RSA exponent is not an odd number"),
        (json!({"kty": "RSA", "kid": "b", "x5c": ["AAAA"]}), "its certificate in `x5c` cannot be read"),
        (json!({"kty": "OKP", "crv": "Ed25519", "kid": "b", "x": "AQ"}), "does not have 32 bytes"),
        (json!(7), "a key without `kid`: it is not a JSON object"),
        (Value::Null, "it is not a JSON object"),
    ] {
        let odd = if odd.is_object() { with(odd, "kid", "b") } else { odd };
        let (usable, dropped) = set(&[ec(), odd], &[Algorithm::ES256, Algorithm::RS256]);
        assert_eq!((usable, dropped.len()), (1, 1), "{reason}");
        assert!(dropped[0].contains(reason), "{}", dropped[0]);
    }
}

#[test]
fn a_key_with_a_member_twice_is_dropped_and_the_others_serve() {
    let twice = ec().to_string().replace(r#""kid":"a""#, r#""kid":"a","kid":"b""#);
    let set = KeySet::parse(format!(r#"{{"keys":[{twice},{}]}}"#, ec()).as_bytes(), &ES256).unwrap();
    assert_eq!((set.keys.len(), set.dropped.len()), (1, 1));
    assert!(set.dropped[0].reason.contains("has a member twice"));
}

#[test]
fn a_key_is_read_as_issuers_write_it() {
    let rsa_with = |name: &str, value: String| with(rsa("a", 0xC3, 256), name, value);
    let plain = rsa("a", 0xC3, 256);
    let modulus = URL_SAFE_NO_PAD.decode(plain["n"].as_str().unwrap()).unwrap();
    let zeros = [vec![0, 0], modulus.clone()].concat();
    let material = |key: &Value, allowed: &[Algorithm]| {
        parse(std::slice::from_ref(key), allowed).unwrap().keys[0].material()
    };
    for odd in [
        rsa_with("n", URL_SAFE.encode(&modulus)),
        rsa_with("n", STANDARD.encode(&modulus)),
        rsa_with("n", URL_SAFE_NO_PAD.encode(&zeros)),
        rsa_with("e", "AAEAAQ==".to_owned()),
        with(plain.clone(), "alg", Value::Null),
        with(plain.clone(), "use", Value::Null),
        with(plain.clone(), "kid", Value::Null),
        with(plain.clone(), "x5c", json!(["unread"])),
    ] {
        assert_eq!(material(&odd, &RS256), material(&plain, &RS256), "{odd}");
    }
    let x = URL_SAFE_NO_PAD.decode(X).unwrap();
    for odd in [
        with(ec(), "x", URL_SAFE.encode(&x)),
        with(ec(), "y", STANDARD.encode(URL_SAFE_NO_PAD.decode(Y).unwrap())),
        with(ec(), "x", URL_SAFE_NO_PAD.encode([vec![0], x].concat())),
    ] {
        assert_eq!(material(&odd, &ES256), material(&ec(), &ES256), "{odd}");
    }
    // Leading zeros are no bits.
    assert!(parse(&[rsa("a", 0, 256)], &RS256).is_err());
}

#[test]
fn the_name_of_rfc_9864_for_an_ed25519_key_is_known() {
    // RFC 8037 §A.2.
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    for alg in ["Ed25519", "EdDSA"] {
        assert_eq!(set(&[with(key.clone(), "alg", alg)], &[Algorithm::EdDSA]), (1, Vec::new()), "{alg}");
    }
}

#[test]
fn a_set_may_begin_with_a_byte_order_mark_and_hold_hundreds_of_keys() {
    let text = format!("\u{feff}{}", json!({"keys": [ec()]}));
    assert!(KeySet::parse(text.as_bytes(), &ES256).is_ok());
    let keys: Vec<Value> = (0..512).map(|number| with(ec(), "kid", number.to_string())).collect();
    assert_eq!(set(&keys, &ES256).0, 512);
    let keys = [keys, vec![ec()]].concat();
    assert!(parse(&keys, &ES256).unwrap_err().contains("holds 513 keys, more than 512"));
}

#[test]
fn what_is_no_set_is_told_as_what_it_is() {
    let kind = |text: &str| KeySet::parse(text.as_bytes(), &ES256).unwrap_err().0;
    for (text, message) in [
        ("", "is not a JWK set: EOF"),
        ("[]", "it is no JSON object"),
        ("{}", "it has no list `keys`"),
        (r#"{"keys":{}}"#, "it has no list `keys`"),
        (r#"{"keys":[]}"#, "holds no keys"),
        (r#"{"keys":[],"keys":[]}"#, "has a name twice"),
        ("<html>", "is an HTML or XML page"),
        ("\n <!DOCTYPE html>", "is an HTML or XML page"),
        (
            r#"{"issuer":"https://id.example/","jwks_uri":"https://id.example/keys"}"#,
            "is a discovery document: use its jwks_uri `https://id.example/keys` as jwks_url, or leave jwks_url out",
        ),
        (r#"{"kty":"EC"}"#, "is a single key, not a JWK set"),
    ] {
        assert!(kind(text).contains(message), "{text}: {}", kind(text));
    }
    let unfit = parse(&[ec(), rsa("b", 0xC3, 128)], &RS256).unwrap_err();
    assert!(unfit.contains("no key that fits the issuer's algorithms: key `a`: it is for ES256"), "{unfit}");
    assert!(unfit.contains("key `b`: the RSA key has 1024 bits"), "{unfit}");
}

#[test]
fn an_rsa_key_has_2048_to_8192_bits() {
    for (bytes, fits) in [(128, false), (255, false), (256, true), (1024, true), (1025, false)] {
        assert_eq!(parse(&[rsa("a", 0xC3, bytes)], &RS256).is_ok(), fits, "{bytes} bytes");
    }
}

#[test]
fn a_key_of_a_certificate_is_used_if_the_set_has_no_other_form_of_it() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["id.test".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let jwk = json!({"kty": "EC", "kid": "c", "x5c": [STANDARD.encode(certificate.der())]});
    let by_certificate = parse(&[jwk], &ES256).unwrap();
    let by_pem = Key::pem(pair.public_key_pem().as_bytes(), &ES256).unwrap();
    assert_eq!(by_certificate.keys[0].material(), by_pem.material());
    assert_eq!(by_certificate.keys[0].kid(), Some("c"));
}

#[test]
fn each_key_of_a_set_of_several_families_fixes_its_own_algorithms() {
    let (usable, dropped) = set(&[ec(), rsa("b", 0xC3, 256)], &[Algorithm::RS256, Algorithm::ES256]);
    assert_eq!((usable, dropped.len()), (2, 0));
    let keys = parse(&[ec(), rsa("b", 0xC3, 256)], &[Algorithm::RS256, Algorithm::ES256]).unwrap().keys;
    assert!(keys[0].is_for(Algorithm::ES256) && !keys[0].is_for(Algorithm::RS256));
    assert!(keys[1].is_for(Algorithm::RS256) && !keys[1].is_for(Algorithm::ES256));
}

/// A key pair, and a token that it signed with this `kid`.
struct Signer(EncodingKey);

impl Signer {
    fn new() -> Self {
        let der =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self(EncodingKey::from_ec_der(der.as_ref()))
    }

    fn jwk(&self, kid: Option<&str>) -> Value {
        let jwk = jwk::Jwk::from_encoding_key(&self.0, Algorithm::ES256).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!(kid);
        jwk
    }

    fn token(&self, kid: Option<&str>) -> String {
        let mut header = jsonwebtoken::Header::new(Algorithm::ES256);
        header.kid = kid.map(str::to_owned);
        jsonwebtoken::encode(&header, &json!({}), &self.0).unwrap()
    }
}

fn verify(keys: &[Value], token: &str) -> Result<Fingerprint, NotVerified> {
    parse(keys, &ES256).unwrap().verify(&UnverifiedToken::parse(token).unwrap())
}

#[test]
fn of_several_keys_under_one_kid_whichever_verifies_serves() {
    let (one, other) = (Signer::new(), Signer::new());
    let keys = [
        one.jwk(Some("k")),
        one.jwk(Some("k")),
        other.jwk(Some("k")),
        with(one.jwk(Some("k")), "alg", "ES384"),
    ];
    for signer in [&one, &other] {
        assert!(verify(&keys, &signer.token(Some("k"))).is_ok());
    }
    assert_eq!(verify(&keys, &Signer::new().token(Some("k"))), Err(NotVerified::Forged));
}

#[test]
fn a_kid_selects_its_own_key_and_those_without_a_kid() {
    let (named, nameless, stranger) = (Signer::new(), Signer::new(), Signer::new());
    let only_named = [named.jwk(Some("a"))];
    let both = [named.jwk(Some("a")), nameless.jwk(None)];
    let unknown = Err(NotVerified::NoKey(Rejection::UnknownKey));
    let unsigned = Err(NotVerified::NoKey(Rejection::Signature));
    assert!(verify(&only_named, &named.token(Some("a"))).is_ok());
    assert!(verify(&only_named, &named.token(None)).is_ok());
    assert_eq!(verify(&only_named, &named.token(Some("z"))), unknown);
    assert_eq!(verify(&only_named, &stranger.token(Some("a"))), Err(NotVerified::Forged));
    assert_eq!(verify(&only_named, &stranger.token(None)), unsigned, "a newer set may have the key");
    assert!(verify(&both, &nameless.token(Some("z"))).is_ok(), "the signature decides");
    assert!(verify(&both, &nameless.token(Some("a"))).is_ok());
    assert_eq!(verify(&both, &stranger.token(Some("a"))), unsigned);
}

#[test]
fn two_keys_have_different_materials() {
    let set = parse(&[rsa("a", 0xC3, 256), rsa("b", 0xC5, 256)], &RS256).unwrap();
    assert_ne!(set.keys[0].material(), set.keys[1].material());
}
