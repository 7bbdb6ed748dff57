//! Key sets: rotation, floods of unknown keys, outages, and what a set may not be.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use jsonwebtoken::jwk::Jwk;

use super::*;

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
    assert!(verifier.identify(&old).await.is_ok());
    publisher.rotate("two");
    let new = publisher.token("two");
    assert_eq!(not_fetched(&verifier.identify(&new).await), Some(Duration::from_secs(1)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(verifier.identify(&new).await.is_ok());
    assert_eq!(
        rejection(&verifier.identify(&old).await),
        Some(Rejection::UnknownKey),
        "its key was withdrawn"
    );
    publisher.rotate("three");
    let newest = publisher.token("three");
    assert_eq!(
        not_fetched(&verifier.identify(&newest).await),
        Some(Duration::from_secs(29)),
        "two fetches in thirty seconds are enough; but the token is not rejected"
    );
    tokio::time::advance(Duration::from_secs(29)).await;
    assert!(verifier.identify(&newest).await.is_ok());
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
    assert!(verifier.identify(&nameless(&publisher, "one")).await.is_ok());
    publisher.rotate("two");
    let new = nameless(&publisher, "two");
    assert_eq!(not_fetched(&verifier.identify(&new).await), Some(Duration::from_secs(1)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(verifier.identify(&new).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_rejected_only_by_a_set_that_was_read_after_it_came() {
    let mut publisher = Publisher::new();
    publisher.rotate("one");
    let verifier = publisher.verifier();
    assert!(verifier.identify(&publisher.token("one")).await.is_ok());
    let mut forger = Publisher::new();
    forger.rotate("two");
    let made_up = forger.token("two");
    assert!(not_fetched(&verifier.identify(&made_up).await).is_some());
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..3 {
        assert_eq!(rejection(&verifier.identify(&made_up).await), Some(Rejection::UnknownKey));
    }
    // The issuer now uses the very `kid` that the forger guessed.
    publisher.rotate("two");
    let new = publisher.token("two");
    assert!(not_fetched(&verifier.identify(&new).await).is_some(), "it came after the set was read");
    tokio::time::advance(Duration::from_secs(29)).await;
    assert!(verifier.identify(&new).await.is_ok());
    assert_eq!(rejection(&verifier.identify(&made_up).await), Some(Rejection::Signature));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_keys_reads_the_set_three_times_a_minute_and_known_keys_stay_valid() {
    let mut publisher = Publisher::new();
    publisher.rotate("one");
    let verifier = publisher.verifier();
    assert!(verifier.identify(&publisher.token("one")).await.is_ok());
    tokio::time::advance(Duration::from_mins(2)).await;
    let mut forger = Publisher::new();
    for second in 0..60 {
        forger.rotate(&format!("forged-{second}"));
        assert!(verifier.identify(&forger.token(&format!("forged-{second}"))).await.is_err());
        assert!(verifier.identify(&publisher.token("one")).await.is_ok());
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
    assert!(verifier.identify(&publisher.token("one")).await.is_ok());
    std::fs::write(publisher.path(), "<html>gateway</html>").unwrap();
    tokio::time::advance(Duration::from_secs(31)).await;
    assert!(not_fetched(&verifier.identify(&publisher.token("two")).await).is_some());
    assert!(verifier.identify(&publisher.token("one")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_last_valid_set_is_used_for_a_day_of_outage_and_no_longer() {
    let mut publisher = Publisher::new();
    publisher.rotate("one");
    let verifier = publisher.verifier();
    let token = publisher.token("one");
    assert!(verifier.identify(&token).await.is_ok());
    std::fs::remove_file(publisher.path()).unwrap();
    tokio::time::advance(Duration::from_hours(23)).await;
    assert!(verifier.identify(&token).await.is_ok());
    tokio::time::advance(Duration::from_hours(1)).await;
    assert!(matches!(verifier.identify(&token).await, Err(AuthError::KeysUnavailable { .. })));
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
    assert_eq!(rejection(&verifier.identify(&forged).await), Some(Rejection::Algorithm));
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
    assert_eq!(unavailable(verifier.identify(&token).await), Some(Duration::from_secs(1)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(unavailable(verifier.identify(&token).await), Some(Duration::from_secs(29)));
    publisher.publish("one");
    tokio::time::advance(Duration::from_secs(28)).await;
    assert_eq!(unavailable(verifier.identify(&token).await), Some(Duration::from_secs(1)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(verifier.identify(&token).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_old_set_is_refreshed_while_it_is_used() {
    let mut publisher = Publisher::new();
    publisher.rotate("one");
    let verifier = publisher.verifier();
    let token = publisher.token("one");
    assert!(verifier.identify(&token).await.is_ok());
    publisher.rotate("two");
    tokio::time::advance(Duration::from_mins(8)).await;
    assert!(verifier.identify(&token).await.is_ok(), "no request waits for the refresh");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rejection(&verifier.identify(&token).await), Some(Rejection::UnknownKey));
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
