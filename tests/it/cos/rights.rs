//! What takes effect beside a key's own policy: the bucket's policy and the account's policies.

use serde_json::json;

use super::*;

const KEY: &str = "users/alice/a";

/// Returns a bucket's policy that denies everybody these keys.
fn deny(keys: &str) -> String {
    json!({"version": "2.0", "Statement": [{
        "Principal": {"qcs": ["qcs::cam::anyone:anyone"]},
        "Effect": "deny",
        "Action": ["name/cos:*"],
        "Resource": [format!("qcs::cos:ap-guangzhou:uid/1250000000:{BUCKET}/{keys}")],
    }]})
    .to_string()
}

async fn policy_request(sandbox: &Sandbox, by: &Key, method: Method, body: &str) -> Answer {
    let request =
        CosRequest { query: &[("policy", "")], body: body.to_owned().into(), ..CosRequest::new(method, "") };
    by.send(sandbox, request).await
}

#[tokio::test]
async fn a_buckets_policy_denies_what_keys_allow_until_it_is_deleted() {
    let sandbox = Sandbox::start();
    let account = Key::of_account(&sandbox);
    let (alice, bob) =
        (Key::for_user(&sandbox, "files", "alice").await, Key::for_user(&sandbox, "files", "bob").await);
    let none = policy_request(&sandbox, &account, Method::GET, "").await;
    assert_eq!(code(&none), (404, "NoSuchBucketPolicy"));
    for by in [&alice, &bob] {
        let put = policy_request(&sandbox, by, Method::PUT, &deny("*")).await;
        assert_eq!(code(&put), DENIED, "no template lets a user change the bucket");
    }
    assert_eq!(policy_request(&sandbox, &account, Method::PUT, &deny("users/alice/*")).await.status, 204);
    assert_eq!(policy_request(&sandbox, &account, Method::GET, "").await.body, deny("users/alice/*"));
    assert_eq!(code(&alice.send(&sandbox, CosRequest::put(KEY, "x")).await), DENIED);
    assert_eq!(code(&account.send(&sandbox, CosRequest::put(KEY, "x")).await), DENIED, "it is for everybody");
    assert_eq!(bob.send(&sandbox, CosRequest::put("users/bob/a", "x")).await.status, 200);
    for wrong in ["{", "{}", &deny("*").replace(BUCKET, "other-1250000000")] {
        let put = policy_request(&sandbox, &account, Method::PUT, wrong).await;
        assert_eq!(code(&put), (400, "MalformedPolicy"), "{wrong}");
    }
    let allow = deny("*").replace("deny", "allow");
    assert_eq!(code(&policy_request(&sandbox, &account, Method::PUT, &allow).await), MISSING);
    assert_eq!(policy_request(&sandbox, &account, Method::DELETE, "").await.status, 204);
    assert_eq!(alice.send(&sandbox, CosRequest::put(KEY, "x")).await.status, 200);
}

/// `PUT` or `DELETE /account/policies/{name}`
async fn account_policy(sandbox: &Sandbox, method: Method, name: &str, body: &str) -> u16 {
    let url = sandbox.url(&format!("/account/policies/{name}"));
    Answer::of(sandbox.http.request(method, url).body(body.to_owned())).await.status
}

fn account_deny(action: &str, condition: &serde_json::Value) -> String {
    let statement = json!({"effect": "deny", "action": [action], "resource": ["*"], "condition": condition});
    json!({"version": "2.0", "statement": [statement]}).to_string()
}

#[tokio::test]
async fn a_temporary_key_allows_nothing_that_the_account_may_not_do() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    assert_eq!(alice.send(&sandbox, CosRequest::put(KEY, "x")).await.status, 200);
    let listed = Answer::of(sandbox.http.get(sandbox.url("/account/policies"))).await.json();
    assert_eq!(listed["policies"]["AdministratorAccess"]["statement"][0]["effect"], "allow");
    let deny = account_deny("name/cos:PutObject", &json!({}));
    assert_eq!(account_policy(&sandbox, Method::PUT, "no-uploads", &deny).await, 204);
    assert_eq!(code(&alice.send(&sandbox, CosRequest::put(KEY, "x")).await), DENIED);
    sandbox.says("the account's policy `no-uploads` denies it");
    assert_eq!(alice.send(&sandbox, CosRequest::new(Method::GET, KEY)).await.status, 200);
    assert_eq!(account_policy(&sandbox, Method::DELETE, "no-uploads", "").await, 204);
    assert_eq!(alice.send(&sandbox, CosRequest::put(KEY, "x")).await.status, 200);
    assert_eq!(account_policy(&sandbox, Method::DELETE, "no-uploads", "").await, 404);
    assert_eq!(account_policy(&sandbox, Method::PUT, "wrong", "{}").await, 400);
    assert_eq!(account_policy(&sandbox, Method::DELETE, "AdministratorAccess", "").await, 204);
    assert_eq!(code(&alice.send(&sandbox, CosRequest::new(Method::GET, KEY)).await), DENIED);
    let refused = sandbox.get("/v1/credentials/files", "carol").await;
    assert_eq!(refused.status, 503, "STS refuses the account: {refused:?}");
}

#[tokio::test]
async fn the_length_of_any_body_can_be_a_condition() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let begin = CosRequest { query: &[("uploads", "")], ..CosRequest::new(Method::POST, KEY) };
    let answer = alice.send(&sandbox, begin).await;
    let id = answer.body.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0.to_owned();
    let bound = json!({"numeric_greater_than": {"cos:content-length": 10}});
    let deny = account_deny("name/cos:UploadPart", &bound);
    assert_eq!(account_policy(&sandbox, Method::PUT, "small-parts", &deny).await, 204);
    for (body, expected) in [("ten bytes!", (200, "")), ("eleven bytes", DENIED)] {
        let query = [("partNumber", "1"), ("uploadId", id.as_str())];
        let part = CosRequest { query: &query, ..CosRequest::put(KEY, body) };
        assert_eq!(code(&alice.send(&sandbox, part).await), expected, "{body}");
    }
}

#[tokio::test]
async fn both_spellings_of_the_tls_version_are_known_and_no_network_of_the_vendor() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    for (condition, expected) in [
        (json!({"numeric_less_than": {"tls-version": 1.2}}), 200),
        (json!({"numeric_less_than": {"cos:tls-version": 1.2}}), 200),
        (json!({"numeric_greater_than_equal": {"tls-version": 1.2}}), 403),
        (json!({"numeric_greater_than_equal": {"cos:tls-version": 1.2}}), 403),
        (json!({"for_any_value:string_equal": {"qcs:vpc": ["vpc-1"]}}), 200),
        (json!({"string_not_equal_if_exist": {"qcs:vpc": ["vpc-1"]}}), 403),
        (json!({"null_equal": {"qcs:vpc": "true"}}), 403),
    ] {
        let deny = account_deny("name/cos:PutObject", &condition);
        assert_eq!(account_policy(&sandbox, Method::PUT, "deny", &deny).await, 204);
        let answer = alice.send(&sandbox, CosRequest::put(KEY, "x")).await;
        assert_eq!(answer.status, expected, "{condition}");
    }
}
