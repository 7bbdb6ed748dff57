//! Public keys in PEM, and the algorithms that belong to them.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};

use super::*;

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")).into_bytes()
}

/// A private key to sign with and its public half in PEM, for each family.
fn key_pairs() -> Vec<(Algorithm, EncodingKey, Vec<u8>)> {
    use aws_lc_rs::{
        encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
        rsa::KeySize,
        signature::{Ed25519KeyPair, KeyPair},
    };
    let rsa = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_der: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let rsa_public: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
    let rsa_pem = pem("PRIVATE KEY", rsa_der.as_ref());
    let ec_der =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec_der.as_ref()).unwrap();
    let ec_public: PublicKeyX509Der<'_> = ec.public_key().as_der().unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let edwards_der = ed.to_pkcs8v1().unwrap();
    let edwards_public: PublicKeyX509Der<'_> = ed.public_key().as_der().unwrap();
    vec![
        (
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(&rsa_pem).unwrap(),
            pem("PUBLIC KEY", rsa_public.as_ref()),
        ),
        (Algorithm::ES256, EncodingKey::from_ec_der(ec_der.as_ref()), pem("PUBLIC KEY", ec_public.as_ref())),
        (
            Algorithm::EdDSA,
            EncodingKey::from_ed_der(edwards_der.as_ref()),
            pem("PUBLIC KEY", edwards_public.as_ref()),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_public_key_in_pem_verifies_only_its_own_algorithm() {
    let pairs = key_pairs();
    for (algorithm, signing, public) in &pairs {
        let keys = KeySource::PublicKey { path: "key.pem".into(), pem: public.clone() };
        let (verifier, _) = verifier(vec![issuer("https://id.example/", &[*algorithm], keys)]);
        let token = jsonwebtoken::encode(&Header::new(*algorithm), &claims(), signing).unwrap();
        assert!(verifier.identify(&token).await.is_ok(), "{algorithm:?}");
        for (other, signing, _) in pairs.iter().filter(|(other, ..)| other != algorithm) {
            let token = jsonwebtoken::encode(&Header::new(*other), &claims(), signing).unwrap();
            assert_eq!(rejection(&verifier.identify(&token).await), Some(Rejection::Algorithm), "{other:?}");
        }
        let forged = EncodingKey::from_secret(public);
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(), &forged).unwrap();
        assert_eq!(rejection(&verifier.identify(&token).await), Some(Rejection::Algorithm));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_does_not_fit_its_algorithms_is_refused_at_startup() {
    let pairs = key_pairs();
    let start = |algorithm, pem: &[u8]| {
        let keys = KeySource::PublicKey { path: "key.pem".into(), pem: pem.to_vec() };
        let rules = issuer("https://id.example/", &[algorithm], keys);
        Verifier::new(vec![rules], 1 << 20, &Network::default(), TestClock::at(NOW), &Handle::current())
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    for (algorithm, _, public) in &pairs {
        for other in [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA] {
            let outcome = start(other, public);
            assert_eq!(
                outcome.is_ok(),
                other == *algorithm,
                "{other:?} with a key for {algorithm:?}: {outcome:?}"
            );
            assert!(outcome.is_ok() || outcome.unwrap_err().contains("key.pem"));
        }
    }
}
