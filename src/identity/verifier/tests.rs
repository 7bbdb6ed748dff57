use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};

use super::*;
use crate::config::{Audience, HeaderKeys, IssuerName};
use runtime::clock::TestClock;

const NOW: i64 = 1_900_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn issuer(name: &str, algorithms: &[Algorithm], keys: KeySource) -> Issuer {
    Issuer {
        place: "config.toml:2:1".to_owned(),
        name: IssuerName::exact(name),
        audience: Audience::OneOf {
            claim: "aud".to_owned(),
            values: vec!["app".to_owned(), "app2".to_owned()],
        },
        subject_claim: vec!["sub".to_owned()],
        header_keys: HeaderKeys::Reject,
        algorithms: algorithms.to_vec(),
        keys,
        trusted_claims: Vec::new(),
        leeway: Duration::from_secs(30),
        required_typ: None,
    }
}

fn hmac() -> Issuer {
    issuer("https://id.example/", &[Algorithm::HS256], KeySource::Secret(SECRET.to_vec().into()))
}

fn verifier(issuers: Vec<Issuer>) -> (Verifier, Arc<TestClock>) {
    let clock = TestClock::at(NOW);
    let network = Network::default();
    let verifier = Verifier::new(issuers, 1 << 20, &network, Arc::clone(&clock) as _, &Handle::current());
    (verifier.unwrap(), clock)
}

fn claims() -> Value {
    json!({"iss": "https://id.example/", "aud": "app", "sub": "alice", "exp": NOW + 600, "iat": NOW})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// Signs exactly these texts with HS256.
fn signed(header: &str, payload: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn token(claims: &Value) -> String {
    signed(r#"{"alg":"HS256","typ":"JWT"}"#, &claims.to_string())
}

fn rejection(outcome: &Result<Arc<Identity>, AuthError>) -> Option<Rejection> {
    match outcome {
        Err(AuthError::Rejected(rejected)) => Some(rejected.reason),
        _ => None,
    }
}

/// How long the key of a token cannot be looked up, if that is why it is refused.
fn not_fetched(outcome: &Result<Arc<Identity>, AuthError>) -> Option<Duration> {
    match outcome {
        Err(AuthError::KeyNotFetched { retry_after }) => Some(*retry_after),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_identifies_its_subject() {
    let (verifier, _) = verifier(vec![hmac()]);
    for claims in [
        claims(),
        with("aud", json!(["other", "app2"])),
        with("exp", json!(1_900_000_600.5)),
        with("nbf", json!(NOW + 30)),
        with("exp", json!(NOW - 29)),
        with("exp", json!(253_402_300_799_i64)),
    ] {
        let identity = verifier.verify(&token(&claims)).await.unwrap();
        assert_eq!((identity.issuer(), identity.subject()), ("https://id.example/", "alice"));
    }
}

#[tokio::test(start_paused = true)]
async fn every_claim_is_required_typed_and_checked() {
    let (verifier, _) = verifier(vec![hmac()]);
    for (claims, expected) in [
        (without("exp"), Rejection::Expiry),
        (with("exp", json!(null)), Rejection::Expiry),
        (with("exp", json!("1900000600")), Rejection::ExpiryText),
        (with("exp", json!((NOW + 600) * 1000)), Rejection::ExpiryMilliseconds),
        (with("exp", json!([NOW + 600])), Rejection::Expiry),
        (with("exp", json!(1e300)), Rejection::Expiry),
        (with("exp", json!(u64::MAX)), Rejection::Expiry),
        (with("exp", json!(i64::MAX)), Rejection::Expiry),
        (with("exp", json!(NOW - 30)), Rejection::Expired),
        (with("exp", json!(0)), Rejection::Expired),
        (with("exp", json!(-1)), Rejection::Expired),
        (with("nbf", json!(NOW + 31)), Rejection::NotYetValid),
        (with("nbf", json!("soon")), Rejection::Malformed),
        (without("iss"), Rejection::Issuer),
        (with("iss", json!(7)), Rejection::Issuer),
        (with("iss", json!(["https://id.example/"])), Rejection::Issuer),
        (with("iss", json!("https://id.example")), Rejection::Issuer),
        (with("iss", json!("https://evil.example/")), Rejection::Issuer),
        (without("aud"), Rejection::Audience),
        (with("aud", json!(null)), Rejection::Audience),
        (with("aud", json!(5)), Rejection::Audience),
        (with("aud", json!([])), Rejection::Audience),
        (with("aud", json!(["app", 5])), Rejection::Audience),
        (with("aud", json!("APP")), Rejection::Audience),
        (with("aud", json!("application")), Rejection::Audience),
    ] {
        assert_eq!(rejection(&verifier.verify(&token(&claims)).await), Some(expected), "{claims}");
    }
    for sub in [json!(null), json!(-7), json!(7.5), json!(true), json!(["a"]), json!("")] {
        let outcome = verifier.verify(&token(&with("sub", sub.clone()))).await;
        assert!(matches!(outcome, Err(AuthError::NoSubject(_))), "{sub}");
    }
    for claims in [without("sub")] {
        let outcome = verifier.verify(&token(&claims)).await;
        assert!(matches!(outcome, Err(AuthError::NoSubject(_))), "{claims}");
    }
}

#[tokio::test(start_paused = true)]
async fn headers_that_bring_keys_or_must_be_understood_are_rejected() {
    let (verifier, _) = verifier(vec![hmac()]);
    let payload = claims().to_string();
    for extra in [
        r#""crit":["exp"]"#,
        r#""jku":"https://evil.example/""#,
        r#""jwk":{}"#,
        r#""x5u":"https://evil.example/""#,
        r#""x5c":[]"#,
        r#""zip":"DEF""#,
        r#""b64":false"#,
        r#""enc":"A256GCM""#,
    ] {
        let token = signed(&format!(r#"{{"alg":"HS256",{extra}}}"#), &payload);
        assert_eq!(rejection(&verifier.verify(&token).await), Some(Rejection::RefusedHeader), "{extra}");
    }
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","kid":7}"#,
        r#"{"typ":"JWT"}"#,
        r#"["HS256"]"#,
        "",
    ] {
        assert!(rejection(&verifier.verify(&signed(header, &payload)).await).is_some(), "{header}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_that_is_no_token_is_rejected() {
    let (verifier, _) = verifier(vec![hmac()]);
    let good = token(&claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let other = token(&with("sub", json!("bob")));
    let (other_message, _) = other.rsplit_once('.').unwrap();
    let doubled = claims().to_string().replace(r#""sub":"alice""#, r#""sub":"bob","sub":"alice""#);
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{message}."),
        message.to_owned(),
        format!("{good}.x"),
        format!("{good}="),
        format!("{good} "),
        format!(" {good}"),
        format!("{message}.{}", signature.to_lowercase()),
        format!("{other_message}.{signature}"),
        signed(r#"{"alg":"HS256"}"#, &doubled),
        signed(r#"{"alg":"HS256"}"#, "[]"),
        signed(r#"{"alg":"HS256"}"#, "not json"),
        "a".repeat(100_000),
    ] {
        assert!(rejection(&verifier.verify(&bad).await).is_some(), "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cached_token_expires() {
    let (verifier, _) = verifier(vec![hmac()]);
    let token = token(&claims());
    assert!(verifier.verify(&token).await.is_ok());
    tokio::time::advance(Duration::from_secs(629)).await;
    assert!(verifier.verify(&token).await.is_ok());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(rejection(&verifier.verify(&token).await), Some(Rejection::Expired));
}

#[tokio::test(start_paused = true)]
async fn the_key_of_one_issuer_does_not_verify_tokens_of_another() {
    let other = issuer("https://other.example/", &[Algorithm::HS256], KeySource::Secret(vec![7; 32].into()));
    let (verifier, _) = verifier(vec![hmac(), other]);
    let token = token(&with("iss", json!("https://other.example/")));
    assert_eq!(rejection(&verifier.verify(&token).await), Some(Rejection::Signature));
}

#[tokio::test(start_paused = true)]
async fn a_typ_is_required_if_configured() {
    let mut rules = hmac();
    rules.required_typ = Some("at+jwt".to_owned());
    let (verifier, _) = verifier(vec![rules]);
    let payload = claims().to_string();
    for (header, expected) in [
        (r#"{"alg":"HS256","typ":"at+jwt"}"#, None),
        (r#"{"alg":"HS256","typ":"application/AT+JWT"}"#, None),
        (r#"{"alg":"HS256","typ":"JWT"}"#, Some(Rejection::Type)),
        (r#"{"alg":"HS256"}"#, Some(Rejection::Type)),
    ] {
        assert_eq!(rejection(&verifier.verify(&signed(header, &payload)).await), expected, "{header}");
    }
}

/// An issuer that signs with ES256 and publishes its keys in a file.
struct Publisher {
    dir: tempfile::TempDir,
    keys: Vec<(String, EncodingKey)>,
}

impl Publisher {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), keys: Vec::new() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("jwks.json")
    }

    fn rotate(&mut self, kid: &str) {
        let der =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        self.keys.push((kid.to_owned(), EncodingKey::from_ec_der(der.as_ref())));
        self.publish(kid);
    }

    /// Publishes only this key.
    fn publish(&self, kid: &str) {
        let (_, key) = self.keys.iter().find(|(name, _)| name == kid).unwrap();
        let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        std::fs::write(self.path(), json!({"keys": [jwk]}).to_string()).unwrap();
    }

    fn token(&self, kid: &str) -> String {
        let (_, key) = self.keys.iter().find(|(name, _)| name == kid).unwrap();
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(kid.to_owned());
        jsonwebtoken::encode(&header, &with("exp", json!(NOW + 1_000_000)), key).unwrap()
    }

    fn verifier(&self) -> Verifier {
        let rules = issuer("https://id.example/", &[Algorithm::ES256], KeySource::JwksFile(self.path()));
        verifier(vec![rules]).0
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_followed_and_tokens_of_a_withdrawn_key_are_rejected() {
    let mut publisher = Publisher::new();
    publisher.rotate("one");
    let verifier = publisher.verifier();
    let old = publisher.token("one");
    assert!(verifier.verify(&old).await.is_ok());
    publisher.rotate("two");
    let new = publisher.token("two");
    assert_eq!(not_fetched(&verifier.verify(&new).await), Some(Duration::from_secs(1)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(verifier.verify(&new).await.is_ok());
    assert_eq!(rejection(&verifier.verify(&old).await), Some(Rejection::UnknownKey), "its key was withdrawn");
    publisher.rotate("three");
    let newest = publisher.token("three");
    assert_eq!(
        not_fetched(&verifier.verify(&newest).await),
        Some(Duration::from_secs(29)),
        "two fetches in thirty seconds are enough; but the token is not rejected"
    );
    tokio::time::advance(Duration::from_secs(29)).await;
    assert!(verifier.verify(&newest).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_followed_even_if_tokens_have_no_kid() {
    let mut publisher = Publisher::new();
    publisher.rotate("one");
    let verifier = publisher.verifier();
    let nameless = |publisher: &Publisher, kid: &str| {
        let (_, key) = publisher.keys.iter().find(|(name, _)| name == kid).unwrap();
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &with("exp", json!(NOW + 1_000_000)), key)
            .unwrap()
    };
    assert!(verifier.verify(&nameless(&publisher, "one")).await.is_ok());
    publisher.rotate("two");
    let new = nameless(&publisher, "two");
    assert_eq!(not_fetched(&verifier.verify(&new).await), Some(Duration::from_secs(1)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(verifier.verify(&new).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_rejected_only_by_a_set_that_was_read_after_it_came() {
    let mut publisher = Publisher::new();
    publisher.rotate("one");
    let verifier = publisher.verifier();
    assert!(verifier.verify(&publisher.token("one")).await.is_ok());
    let mut forger = Publisher::new();
    forger.rotate("two");
    let made_up = forger.token("two");
    assert!(not_fetched(&verifier.verify(&made_up).await).is_some());
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..3 {
        assert_eq!(rejection(&verifier.verify(&made_up).await), Some(Rejection::UnknownKey));
    }
    // The issuer now uses the very `kid` that the forger guessed.
    publisher.rotate("two");
    let new = publisher.token("two");
    assert!(not_fetched(&verifier.verify(&new).await).is_some(), "it came after the set was read");
    tokio::time::advance(Duration::from_secs(29)).await;
    assert!(verifier.verify(&new).await.is_ok());
    assert_eq!(rejection(&verifier.verify(&made_up).await), Some(Rejection::Signature));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_keys_reads_the_set_three_times_a_minute_and_known_keys_stay_valid() {
    let mut publisher = Publisher::new();
    publisher.rotate("one");
    let verifier = publisher.verifier();
    assert!(verifier.verify(&publisher.token("one")).await.is_ok());
    tokio::time::advance(Duration::from_mins(2)).await;
    let mut forger = Publisher::new();
    for second in 0..60 {
        forger.rotate(&format!("forged-{second}"));
        assert!(verifier.verify(&forger.token(&format!("forged-{second}"))).await.is_err());
        assert!(verifier.verify(&publisher.token("one")).await.is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(verifier.snapshot()[0].key_set.as_ref().unwrap().fetches, 1 + 3);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_set_does_not_replace_a_valid_one() {
    let mut publisher = Publisher::new();
    publisher.rotate("one");
    publisher.rotate("two");
    publisher.publish("one");
    let verifier = publisher.verifier();
    assert!(verifier.verify(&publisher.token("one")).await.is_ok());
    std::fs::write(publisher.path(), "<html>gateway</html>").unwrap();
    tokio::time::advance(Duration::from_secs(31)).await;
    assert!(not_fetched(&verifier.verify(&publisher.token("two")).await).is_some());
    assert!(verifier.verify(&publisher.token("one")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_last_valid_set_is_used_for_a_day_of_outage_and_no_longer() {
    let mut publisher = Publisher::new();
    publisher.rotate("one");
    let verifier = publisher.verifier();
    let token = publisher.token("one");
    assert!(verifier.verify(&token).await.is_ok());
    std::fs::remove_file(publisher.path()).unwrap();
    tokio::time::advance(Duration::from_hours(23)).await;
    assert!(verifier.verify(&token).await.is_ok());
    tokio::time::advance(Duration::from_hours(1)).await;
    assert!(matches!(verifier.verify(&token).await, Err(AuthError::KeysUnavailable { .. })));
    assert!(!verifier.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_public_key_is_never_an_hmac_secret() {
    let mut publisher = Publisher::new();
    publisher.rotate("one");
    let verifier = publisher.verifier();
    let key_set = std::fs::read(publisher.path()).unwrap();
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("one".to_owned());
    let forged = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(&key_set)).unwrap();
    assert_eq!(rejection(&verifier.verify(&forged).await), Some(Rejection::Algorithm));
}

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
        assert!(verifier.verify(&token).await.is_ok(), "{algorithm:?}");
        for (other, signing, _) in pairs.iter().filter(|(other, ..)| other != algorithm) {
            let token = jsonwebtoken::encode(&Header::new(*other), &claims(), signing).unwrap();
            assert_eq!(rejection(&verifier.verify(&token).await), Some(Rejection::Algorithm), "{other:?}");
        }
        let forged = EncodingKey::from_secret(public);
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(), &forged).unwrap();
        assert_eq!(rejection(&verifier.verify(&token).await), Some(Rejection::Algorithm));
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

#[tokio::test(start_paused = true)]
async fn the_size_of_a_header_is_limited() {
    let (verifier, _) = verifier(vec![hmac()]);
    let payload = claims().to_string();
    let padded =
        |name: &str, length: usize| format!(r#"{{"alg":"HS256","{name}":"{}"}}"#, "x".repeat(length));
    assert!(verifier.verify(&signed(&padded("kid", 1000), &payload)).await.is_ok());
    for header in [padded("kid", 9300), padded("note", 9300)] {
        assert_eq!(rejection(&verifier.verify(&signed(&header, &payload)).await), Some(Rejection::Malformed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_source_is_read_no_more_often_than_a_good_one() {
    let mut publisher = Publisher::new();
    publisher.rotate("one");
    let verifier = publisher.verifier();
    let token = publisher.token("one");
    std::fs::write(publisher.path(), "<html>gateway</html>").unwrap();
    let unavailable = |outcome: Result<Arc<Identity>, AuthError>| match outcome {
        Err(AuthError::KeysUnavailable { retry_after }) => Some(retry_after),
        _ => None,
    };
    assert_eq!(unavailable(verifier.verify(&token).await), Some(Duration::from_secs(1)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(unavailable(verifier.verify(&token).await), Some(Duration::from_secs(29)));
    publisher.publish("one");
    tokio::time::advance(Duration::from_secs(28)).await;
    assert_eq!(unavailable(verifier.verify(&token).await), Some(Duration::from_secs(1)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(verifier.verify(&token).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_old_set_is_refreshed_while_it_is_used() {
    let mut publisher = Publisher::new();
    publisher.rotate("one");
    let verifier = publisher.verifier();
    let token = publisher.token("one");
    assert!(verifier.verify(&token).await.is_ok());
    publisher.rotate("two");
    tokio::time::advance(Duration::from_mins(8)).await;
    assert!(verifier.verify(&token).await.is_ok(), "no request waits for the refresh");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rejection(&verifier.verify(&token).await), Some(Rejection::UnknownKey));
}

#[tokio::test(start_paused = true)]
async fn a_readiness_check_fetches_missing_key_sets() {
    let mut publisher = Publisher::new();
    publisher.rotate("one");
    let verifier = publisher.verifier();
    assert!(!verifier.is_ready());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(verifier.is_ready());
}
