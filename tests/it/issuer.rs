//! The sandbox's token issuer and the broker that trusts it: every signature, and keys that change.

use serde_json::Value;

use crate::support::{Answer, sandbox::Sandbox};

/// `GET /token` of Alice's.
async fn token(sandbox: &Sandbox, query: &str) -> String {
    let answer = Answer::of(sandbox.http.get(sandbox.url(&format!("/token?sub=alice&{query}")))).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.body
}

/// The status of an ask for a key.
async fn key(sandbox: &Sandbox, token: &str) -> u16 {
    let ask = sandbox.http.get(format!("http://{}/v1/credentials", sandbox.broker));
    Answer::of(ask.bearer_auth(token)).await.status
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
async fn a_token_of_each_signature_gets_a_key_and_goes_on_getting_it_after_a_rotation() {
    let sandbox = Sandbox::start();
    let mut before = Vec::new();
    for alg in ALGORITHMS {
        before.push(token(&sandbox, alg).await);
        before.push(token(&sandbox, &format!("{alg}&lifetime=5m")).await);
    }
    for token in before.iter().step_by(2) {
        assert_eq!(key(&sandbox, token).await, 200);
    }
    let said = rotate(&sandbox, "").await;
    assert_eq!(said["signing"], serde_json::json!(["sandbox-es256-2", "sandbox-rs256-2", "sandbox-eddsa-2"]));
    assert_eq!(said["kids"].as_array(), Some(&kids(&sandbox).await));
    for alg in ALGORITHMS {
        let token = token(&sandbox, alg).await;
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert!(header.kid.unwrap().ends_with("-2"));
        assert_eq!(key(&sandbox, &token).await, 200, "{alg} after the rotation");
    }
    for token in &before {
        assert_eq!(key(&sandbox, token).await, 200, "seen before or not, a token outlives a rotation");
    }
    let said = rotate(&sandbox, "?forget=true").await;
    let kids = kids(&sandbox).await;
    assert_eq!(said["kids"].as_array(), Some(&kids));
    assert!(
        !kids.iter().any(|kid| ["-1", "-2", "-3"].iter().any(|old| kid.as_str().unwrap().ends_with(old)))
    );
}

#[tokio::test]
async fn a_token_that_is_over_or_meant_for_others_is_had_for_the_asking_and_refused() {
    let sandbox = Sandbox::start();
    assert_eq!(key(&sandbox, &token(&sandbox, "lifetime=1m").await).await, 200);
    for query in [
        "lifetime=-1m",
        r#"claims={"aud":"another-app"}"#,
        r#"claims={"iss":"https://elsewhere.test/"}"#,
        r#"claims={"nbf":9999999999}"#,
        r#"claims={"exp":1}&lifetime=1h"#,
    ] {
        assert_eq!(key(&sandbox, &token(&sandbox, query).await).await, 401, "{query}");
    }
    let discovery = sandbox.url("/.well-known/openid-configuration");
    let discovery = Answer::of(sandbox.http.get(discovery)).await.json();
    assert_eq!(discovery["issuer"], sandbox.url("/"));
    let keys = Answer::of(sandbox.http.get(discovery["jwks_uri"].as_str().unwrap())).await.json();
    assert!(keys["keys"].as_array().unwrap().iter().all(|key| key["use"] == "sig" && key["alg"].is_string()));
}

/// What `identity/jwks.rs` promises: another look at the set when a token names a key that is not in it, and
/// no more than one look in half a minute.
#[tokio::test]
async fn tokens_of_forgotten_keys_are_refused_once_the_broker_has_looked_again() {
    let sandbox = Sandbox::start();
    let (seen, unseen) = (token(&sandbox, "").await, token(&sandbox, "lifetime=1h").await);
    assert_eq!(key(&sandbox, &seen).await, 200);
    rotate(&sandbox, "?forget=true").await;
    let new = token(&sandbox, "").await;
    assert_eq!(key(&sandbox, &new).await, 401, "the broker has just looked");
    assert_eq!(key(&sandbox, &seen).await, 200, "and goes by what it saw");
    assert_eq!(sandbox.put_clock("31s").await.status, 200);
    assert_eq!(key(&sandbox, &new).await, 200, "an unknown key is looked up");
    assert_eq!(key(&sandbox, &seen).await, 401, "and what is gone is no longer trusted");
    assert_eq!(key(&sandbox, &unseen).await, 401);
    rotate(&sandbox, "").await;
    rotate(&sandbox, "").await;
    assert_eq!(sandbox.put_clock("62s").await.status, 200);
    let twice = token(&sandbox, "").await;
    assert_eq!(key(&sandbox, &twice).await, 200, "a key that was made after the last look");
    assert_eq!(key(&sandbox, &new).await, 401, "two rotations ago");
}
