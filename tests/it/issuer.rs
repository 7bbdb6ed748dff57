//! The sandbox's token issuer and the broker that trusts it: all signing algorithms, and key rotation.

use serde_json::Value;

use crate::support::{Answer, sandbox::Sandbox};

/// Returns a token for Alice.
async fn token(sandbox: &Sandbox, query: &str) -> String {
    let answer = Answer::of(sandbox.http.get(sandbox.url(&format!("/token?sub=alice&{query}")))).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.body
}

/// Returns the status of a request for a key.
async fn key_status(sandbox: &Sandbox, token: &str) -> u16 {
    let request = sandbox.http.get(format!("http://{}/v1/credentials", sandbox.broker));
    Answer::of(request.bearer_auth(token)).await.status
}

async fn rotate(sandbox: &Sandbox, query: &str) -> Value {
    Answer::of(sandbox.http.post(sandbox.url(&format!("/rotate{query}")))).await.json()
}

async fn kids(sandbox: &Sandbox) -> Vec<Value> {
    let set = Answer::of(sandbox.http.get(sandbox.url("/jwks.json"))).await.json();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
}

const ALGORITHMS: [&str; 3] = ["alg=ES256", "alg=RS256", "alg=EdDSA"];

#[tokio::test]
async fn a_token_of_each_algorithm_gets_a_key_before_and_after_a_rotation() {
    let sandbox = Sandbox::start();
    let mut before = Vec::new();
    for alg in ALGORITHMS {
        before.push(token(&sandbox, alg).await);
        before.push(token(&sandbox, &format!("{alg}&lifetime=5m")).await);
    }
    for token in before.iter().step_by(2) {
        assert_eq!(key_status(&sandbox, token).await, 200);
    }
    let rotated = rotate(&sandbox, "").await;
    assert_eq!(
        rotated["signing"],
        serde_json::json!(["sandbox-es256-2", "sandbox-rs256-2", "sandbox-eddsa-2"])
    );
    assert_eq!(rotated["kids"].as_array(), Some(&kids(&sandbox).await));
    for alg in ALGORITHMS {
        let token = token(&sandbox, alg).await;
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert!(header.kid.unwrap().ends_with("-2"));
        assert_eq!(key_status(&sandbox, &token).await, 200, "{alg} after the rotation");
    }
    for token in &before {
        assert_eq!(
            key_status(&sandbox, token).await,
            200,
            "a token stays valid after a rotation, whether it was used before or not"
        );
    }
    let rotated = rotate(&sandbox, "?forget=true").await;
    let kids = kids(&sandbox).await;
    assert_eq!(rotated["kids"].as_array(), Some(&kids));
    assert!(
        !kids.iter().any(|kid| ["-1", "-2", "-3"].iter().any(|old| kid.as_str().unwrap().ends_with(old)))
    );
}

#[tokio::test]
async fn expired_tokens_and_tokens_for_others_can_be_made_and_are_refused() {
    let sandbox = Sandbox::start();
    assert_eq!(key_status(&sandbox, &token(&sandbox, "lifetime=1m").await).await, 200);
    for query in [
        "lifetime=-1m",
        r#"claims={"aud":"another-app"}"#,
        r#"claims={"iss":"https://elsewhere.test/"}"#,
        r#"claims={"nbf":9999999999}"#,
        r#"claims={"exp":1}&lifetime=1h"#,
    ] {
        assert_eq!(key_status(&sandbox, &token(&sandbox, query).await).await, 401, "{query}");
    }
    let discovery = sandbox.url("/.well-known/openid-configuration");
    let discovery = Answer::of(sandbox.http.get(discovery)).await.json();
    assert_eq!(discovery["issuer"], sandbox.url("/"));
    let keys = Answer::of(sandbox.http.get(discovery["jwks_uri"].as_str().unwrap())).await.json();
    assert!(keys["keys"].as_array().unwrap().iter().all(|key| key["use"] == "sig" && key["alg"].is_string()));
}

/// As documented in `identity/jwks/schedule.rs`: the key set is fetched again when a token names an unknown key, twice in
/// 30 seconds at most.
#[tokio::test]
async fn tokens_of_withdrawn_keys_are_refused_after_the_key_set_was_fetched_again() {
    let sandbox = Sandbox::start();
    let (used, unused) = (token(&sandbox, "").await, token(&sandbox, "lifetime=1h").await);
    assert_eq!(key_status(&sandbox, &used).await, 200);
    assert_eq!(sandbox.put_clock("2s").await.status, 200);
    rotate(&sandbox, "?forget=true").await;
    let new = token(&sandbox, "").await;
    assert_eq!(key_status(&sandbox, &new).await, 200, "the key set is fetched for an unknown key");
    assert_eq!(key_status(&sandbox, &used).await, 401, "and a withdrawn key is no longer trusted");
    assert_eq!(key_status(&sandbox, &unused).await, 401);
    rotate(&sandbox, "?forget=true").await;
    let newer = token(&sandbox, "").await;
    assert_eq!(key_status(&sandbox, &newer).await, 503, "the key set was just fetched, for the second time");
    assert_eq!(key_status(&sandbox, &new).await, 200, "and is still used");
    assert_eq!(sandbox.put_clock("62s").await.status, 200);
    assert_eq!(key_status(&sandbox, &newer).await, 200);
    rotate(&sandbox, "").await;
    rotate(&sandbox, "").await;
    assert_eq!(sandbox.put_clock("124s").await.status, 200);
    let twice = token(&sandbox, "").await;
    assert_eq!(key_status(&sandbox, &twice).await, 200, "a key that was made after the last fetch");
    assert_eq!(key_status(&sandbox, &new).await, 401, "withdrawn two rotations ago");
}
