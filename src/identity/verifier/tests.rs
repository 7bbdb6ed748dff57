mod key_sets;
mod public_keys;

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
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

impl Verifier {
    /// Verifies a token for templates that read no claims.
    async fn identify(&self, token: &str) -> Result<Arc<Identity>, AuthError> {
        self.verify(token.as_bytes(), &ClaimNames::default()).await
    }
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
        let identity = verifier.identify(&token(&claims)).await.unwrap();
        assert_eq!((identity.issuer(), identity.subject()), ("https://id.example/", "alice"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cached_token_is_verified_again_for_a_claim_that_was_not_kept() {
    let (verifier, _) = verifier(vec![hmac()]);
    let token = token(&with("team", json!("red")));
    let team = ["team".to_owned()];
    let before = verifier.identify(&token).await.unwrap();
    assert_eq!(before.claim(&team), None);
    let after = verifier.verify(token.as_bytes(), &ClaimNames::for_tests(&["team"])).await.unwrap();
    assert_eq!(after.claim(&team), Some(json!("red")));
    let again = verifier.identify(&token).await.unwrap();
    assert!(Arc::ptr_eq(&after, &again), "more claims than are needed do no harm");
}

#[tokio::test(start_paused = true)]
async fn expired_tokens_leave_memory() {
    let (verifier, _) = verifier(vec![hmac()]);
    let (short, long) = (token(&claims()), token(&with("exp", json!(NOW + 6000))));
    let short = Arc::downgrade(&verifier.identify(&short).await.unwrap());
    let long = Arc::downgrade(&verifier.identify(&long).await.unwrap());
    verifier.remove_expired();
    assert_eq!((short.strong_count(), long.strong_count()), (1, 1));
    tokio::time::advance(Duration::from_secs(630)).await;
    verifier.remove_expired();
    assert_eq!((short.strong_count(), long.strong_count()), (0, 1));
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
        assert_eq!(rejection(&verifier.identify(&token(&claims)).await), Some(expected), "{claims}");
    }
    for sub in [json!(null), json!(-7), json!(7.5), json!(true), json!(["a"]), json!("")] {
        let outcome = verifier.identify(&token(&with("sub", sub.clone()))).await;
        assert!(matches!(outcome, Err(AuthError::NoSubject(_))), "{sub}");
    }
    for claims in [without("sub")] {
        let outcome = verifier.identify(&token(&claims)).await;
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
        assert_eq!(rejection(&verifier.identify(&token).await), Some(Rejection::RefusedHeader), "{extra}");
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
        assert!(rejection(&verifier.identify(&signed(header, &payload)).await).is_some(), "{header}");
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
        assert!(rejection(&verifier.identify(&bad).await).is_some(), "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cached_token_expires() {
    let (verifier, _) = verifier(vec![hmac()]);
    let token = token(&claims());
    assert!(verifier.identify(&token).await.is_ok());
    tokio::time::advance(Duration::from_secs(629)).await;
    assert!(verifier.identify(&token).await.is_ok());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(rejection(&verifier.identify(&token).await), Some(Rejection::Expired));
}

#[tokio::test(start_paused = true)]
async fn the_key_of_one_issuer_does_not_verify_tokens_of_another() {
    let other = issuer("https://other.example/", &[Algorithm::HS256], KeySource::Secret(vec![7; 32].into()));
    let (verifier, _) = verifier(vec![hmac(), other]);
    let token = token(&with("iss", json!("https://other.example/")));
    assert_eq!(rejection(&verifier.identify(&token).await), Some(Rejection::Signature));
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
        assert_eq!(rejection(&verifier.identify(&signed(header, &payload)).await), expected, "{header}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_size_of_a_header_is_limited() {
    let (verifier, _) = verifier(vec![hmac()]);
    let payload = claims().to_string();
    let padded =
        |name: &str, length: usize| format!(r#"{{"alg":"HS256","{name}":"{}"}}"#, "x".repeat(length));
    assert!(verifier.identify(&signed(&padded("kid", 1000), &payload)).await.is_ok());
    for header in [padded("kid", 9300), padded("note", 9300)] {
        assert_eq!(
            rejection(&verifier.identify(&signed(&header, &payload)).await),
            Some(Rejection::Malformed)
        );
    }
}
