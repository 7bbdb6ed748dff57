//! Every public route: shapes, headers, refusals.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Answer, Answers, BUCKET, Broker, CannedSts, Setup, emulator, token, token_of};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn with_emulator() -> Broker {
    Setup::new(emulator().0).start()
}

#[tokio::test]
async fn the_first_request_is_fetched_and_the_second_is_a_hit() {
    let (address, sts) = emulator();
    let broker = Setup::new(address).start();
    let (first, second) = (
        broker.get("/v1/credentials", &token("alice")).await,
        broker.get("/v1/credentials", &token("alice")).await,
    );
    assert_eq!((first.status, second.status), (200, 200), "{first:?}");
    assert!(first.header("cache-status").starts_with("cosbroker; fwd=miss"), "{first:?}");
    let status = second.header("cache-status");
    let ttl: u64 = status.strip_prefix("cosbroker; hit; ttl=").unwrap().parse().unwrap();
    assert!((1700..=1800).contains(&ttl), "{status}");
    assert_eq!(first.json()["credentials"], second.json()["credentials"]);
    assert_eq!(sts.calls(), 1);
}

#[tokio::test]
async fn v1_has_the_sts_sdk_json_and_more() {
    let broker = with_emulator();
    let answer = broker.get("/v1/credentials/upload", &token("alice")).await;
    let body = answer.json();
    assert_eq!(
        keys(&body),
        [
            "bucket",
            "credentials",
            "expiration",
            "expiredTime",
            "grantId",
            "prefix",
            "refreshAt",
            "region",
            "requestId",
            "serverTime",
            "startTime"
        ]
    );
    assert_eq!(keys(&body["credentials"]), ["sessionToken", "tmpSecretId", "tmpSecretKey"]);
    assert_eq!(body["bucket"], "examplebucket-1250000000");
    assert_eq!(body["region"], "ap-guangzhou");
    assert_eq!(body["prefix"], "users/alice/");
    let time = |name: &str| body[name].as_i64().unwrap();
    assert_eq!(time("expiredTime") - time("startTime"), 1800);
    assert!(time("startTime") <= time("serverTime") && time("serverTime") < time("refreshAt"));
    let left = time("expiredTime") - time("refreshAt");
    assert!((18 * 27..=18 * 33 + 1).contains(&left), "30 % of its life left, a tenth to either side: {left}");
    let expiration = body["expiration"].as_str().unwrap();
    assert!(expiration.ends_with('Z') && expiration.len() == 20, "{expiration}");
    for (name, value) in [("cache-control", "no-store"), ("x-content-type-options", "nosniff")] {
        assert_eq!(answer.header(name), value);
    }
    assert_eq!(answer.header("x-request-id").len(), 32);
}

#[tokio::test]
async fn every_answer_has_the_headers_of_all_answers_once() {
    let broker = with_emulator();
    let (get, post, put, options) =
        (reqwest::Method::GET, reqwest::Method::POST, reqwest::Method::PUT, reqwest::Method::OPTIONS);
    for (method, path, status) in [
        (&get, "/v1/credentials", 200),
        (&post, "/v1/credentials", 400),
        (&get, "/v1/credentials/no-such-template", 404),
        (&get, "/v1/explain?action=PutObject&key=users/alice/photo.jpg", 200),
        (&get, "/v1/explain", 400),
        (&get, "/sign", 200),
        (&get, "/sts", 200),
        (&post, "/sts", 400),
        (&get, "/getKeyAndCredentials?filename=photo.jpg", 200),
        (&get, "/getKeyAndCredentials", 400),
        (&get, "/healthz", 200),
        (&get, "/readyz", 200),
        (&get, "/openapi.json", 200),
        (&put, "/sts", 405),
        (&put, "/healthz", 405),
        (&options, "/v1/credentials", 405),
        (&get, "/no/such/path", 404),
    ] {
        let request = broker.http.request(method.clone(), broker.url(path)).bearer_auth(token("alice"));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
        for (name, is_as_expected) in [
            ("cache-control", (|value| value == "no-store") as fn(&str) -> bool),
            ("x-content-type-options", |value| value == "nosniff"),
            ("x-request-id", |value| value.len() == 32),
        ] {
            let values: Vec<_> = answer.headers().get_all(name).iter().collect();
            let [value] = values[..] else { panic!("{method} {path}: {name}: {values:?}") };
            assert!(is_as_expected(value.to_str().unwrap()), "{method} {path}: {name}: {value:?}");
        }
    }
}

#[tokio::test]
async fn the_sts3_format_is_the_answer_of_sts() {
    let broker = with_emulator();
    let body = broker.get("/v1/credentials?format=sts3", &token("alice")).await.json();
    let response = &body["Response"];
    assert_eq!(keys(response), ["Credentials", "Expiration", "ExpiredTime", "RequestId"]);
    assert_eq!(keys(&response["Credentials"]), ["TmpSecretId", "TmpSecretKey", "Token"]);
    assert!(body["serverTime"].is_i64() && body["refreshAt"].is_i64() && body["grantId"].is_string());
}

#[tokio::test]
async fn the_drop_in_routes_answer_in_their_clients_formats() {
    let broker = with_emulator();
    let sign = broker.get("/sign", &token("alice")).await.json();
    assert_eq!(keys(&sign), ["code", "codeDesc", "data", "message"]);
    assert_eq!(
        (&sign["code"], &sign["message"], &sign["codeDesc"]),
        (&json!(0), &json!(""), &json!("Success"))
    );
    assert_eq!(keys(&sign["data"]), ["credentials", "expiredTime"]);
    assert_eq!(keys(&sign["data"]["credentials"]), ["sessionToken", "tmpSecretId", "tmpSecretKey"]);
    assert!(sign["data"]["expiredTime"].is_i64());
    let sts = broker.get("/sts", &token("alice")).await.json();
    assert_eq!(keys(&sts), ["credentials", "expiration", "expiredTime", "requestId", "startTime"]);
    assert_eq!(sign["data"]["credentials"], sts["credentials"], "one credential on every route");
    let demo = broker.get("/getKeyAndCredentials?filename=photo.jpg", &token("alice")).await.json();
    assert_eq!(
        keys(&demo),
        ["bucket", "credentials", "expiration", "expiredTime", "key", "region", "requestId", "startTime"]
    );
    let key = demo["key"].as_str().unwrap();
    assert!(
        key.starts_with("users/alice/") && key.split('.').next_back() == Some("jpg") && key.len() > 40,
        "{key}"
    );
    let again = broker.get("/getKeyAndCredentials?filename=photo.jpg", &token("alice")).await.json();
    assert_ne!(again["key"], demo["key"]);
}

#[tokio::test]
async fn the_android_scope_demo_gets_a_narrower_credential_or_the_vendors_error() {
    let (address, sts) = emulator();
    let broker = Setup::new(address).start();
    let scope = |prefix: &str| {
        json!([{"action": "name/cos:PutObject", "bucket": "examplebucket-1250000000",
                "region": "ap-guangzhou", "prefix": prefix}])
    };
    let narrow = broker.post("/sts", &token("alice"), scope("users/alice/photos/*").to_string()).await;
    assert_eq!(narrow.status, 200, "{narrow:?}");
    let session = sts.open(narrow.json()["credentials"]["sessionToken"].as_str().unwrap()).unwrap();
    let policy: Value = serde_json::from_str(&session.policy).unwrap();
    assert_eq!(policy["statement"][0]["resource"], json!([format!("{BUCKET}users/alice/photos/*")]));
    assert_eq!(policy["statement"][0]["action"], json!(["name/cos:PutObject"]));
    let calls = sts.calls();
    for prefix in ["users/alice*", "users/bob/*", "*", "/users/alice/x", "users/alice/../bob/x"] {
        let refused = broker.post("/sts", &token("alice"), scope(prefix).to_string()).await;
        assert_eq!(refused.status, 403, "{prefix}");
        let body = refused.json();
        assert_eq!((&body["code"], &body["codeDesc"]), (&json!(10000), &json!("ScopeNotAllowed")));
        let v1 = json!({"scope": scope(prefix)}).to_string();
        let refused = broker.post("/v1/credentials/upload", &token("alice"), v1).await;
        assert_eq!(refused.status, 403);
        assert_eq!(refused.json()["type"], "urn:cosbroker:problem:scope-not-allowed");
        assert!(refused.json()["detail"].as_str().unwrap().contains("scope item 0"), "{refused:?}");
    }
    assert_eq!(sts.calls(), calls, "no call for a refused scope");
}

#[tokio::test]
async fn every_refusal_names_its_cause_in_the_form_of_its_route() {
    let broker = with_emulator();
    let alice = token("alice");
    for (path, status, kind) in [
        ("/v1/credentials/nope", 404, "no-such-template"),
        ("/v1/credentials/..%2fupload", 404, "no-such-template"),
        ("/v1/credentials?format=xml", 400, "bad-request"),
        ("/v1/credentials?min_remaining=soon", 400, "bad-request"),
        ("/v1/credentials?min_remaining=40m", 400, "min-remaining-too-long"),
        ("/v1/explain?action=x", 400, "bad-request"),
        ("/v2", 404, "no-such-route"),
        ("/", 404, "no-such-route"),
    ] {
        let answer = broker.get(path, &alice).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        let body = answer.json();
        assert_eq!(body["type"], format!("urn:cosbroker:problem:{kind}"), "{path}");
        assert_eq!(body["status"], status);
        assert_eq!(body["requestId"], answer.header("x-request-id"));
        assert!(!body["detail"].as_str().unwrap().is_empty());
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    for (query, said) in [
        ("size=5MB", "size `5MB` cannot be read; give bytes, a whole number"),
        ("ip=localhost", "ip `localhost` cannot be read; give a numeric address"),
    ] {
        let answer = broker.get(&format!("/v1/explain?action=PutObject&key=a&{query}"), &alice).await;
        assert_eq!(answer.status, 400);
        assert!(answer.json()["detail"].as_str().unwrap().contains(said), "{answer:?}");
    }
    let list = broker.post("/v1/credentials", &alice, "[]").await;
    assert!(
        list.status == 400 && list.json()["detail"].as_str().unwrap().contains(r#"{"scope":[…]}"#),
        "{list:?}"
    );
    let no_name = broker.get("/getKeyAndCredentials", &alice).await;
    assert_eq!((no_name.status, no_name.json()["code"].clone()), (400, json!(10002)));
    for (path, body) in [("/sts", "not json"), ("/sts", "{}"), ("/sts", ""), ("/sts", "[{}]"), ("/sts", "[")]
    {
        let answer = broker.post(path, &alice, body).await;
        assert_eq!((answer.status, answer.json()["code"].clone()), (400, json!(10002)), "{body}");
        assert!(answer.json()["message"].as_str().unwrap().contains("body"), "{answer:?}");
    }
    let large = broker.post("/v1/credentials", &alice, "x".repeat(20_000)).await;
    assert_eq!((large.status, large.json()["status"].clone()), (413, json!(413)));
    let method = Answer::of(broker.http.delete(broker.url("/sts")).bearer_auth(&alice)).await;
    assert_eq!((method.status, method.header("allow")), (405, "GET, HEAD, POST"));
}

#[tokio::test]
async fn an_unauthenticated_request_gets_the_same_401_whatever_the_cause() {
    let (address, sts) = emulator();
    let broker = Setup::new(address).start();
    let good = token("alice");
    let (message, _) = good.rsplit_once('.').unwrap();
    let expired = token_of(&json!({"sub": "alice", "exp": 1}));
    let stranger = token_of(&json!({"sub": "alice", "iss": "https://evil.test/"}));
    let other = token_of(&json!({"sub": "alice", "aud": "other"}));
    let mut bodies = BTreeSet::new();
    for bad in ["x", "a.b.c", &format!("{message}.AAAA"), &expired, &stranger, &other] {
        let answer = broker.get("/v1/credentials", bad).await;
        assert_eq!(answer.status, 401, "{bad}");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"cosbroker\", error=\"invalid_token\"");
        bodies.insert(answer.json()["detail"].to_string());
        let envelope = broker.get("/sign", bad).await;
        assert_eq!((envelope.status, envelope.json()["code"].clone()), (401, json!(10001)));
    }
    let missing = Answer::of(broker.http.get(broker.url("/v1/credentials"))).await;
    assert_eq!((missing.status, missing.header("www-authenticate")), (401, "Bearer realm=\"cosbroker\""));
    bodies.insert(missing.json()["detail"].to_string());
    let basic =
        broker.http.get(broker.url("/v1/credentials")).header("authorization", format!("Basic {good}"));
    assert_eq!(Answer::of(basic).await.status, 401);
    let twice = broker.http.get(broker.url("/v1/credentials")).bearer_auth(&good).bearer_auth(&good);
    assert_eq!(Answer::of(twice).await.status, 401);
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    let scoped = Answer::of(broker.http.post(broker.url("/sts")).body("not json")).await;
    assert_eq!(scoped.status, 401, "the body of an unauthenticated request is not read");
    let oversize = broker.get("/v1/credentials", &"a".repeat(20_000)).await;
    assert_eq!(oversize.status, 431, "{oversize:?}");
    assert_eq!(sts.calls(), 0);
}

#[tokio::test]
async fn explain_says_what_the_callers_credential_allows_and_why() {
    let (address, sts) = emulator();
    let broker = Setup::new(address).start();
    for (query, allowed, said) in [
        ("action=name/cos:PutObject&key=users/alice/a.jpg&size=5", true, "a statement allows it"),
        (
            "action=name/cos:PutObject&key=users/alice/a.jpg&size=99999999",
            false,
            "`cos:content-length` is `99999999`",
        ),
        ("action=name/cos:PutObject&key=users/alice/a.jpg", false, "ask again with `size`"),
        ("action=name/cos:PutObject&key=users/bob/a.jpg&size=5", false, "own folder is `users/alice/`"),
        ("action=name/cos:GetObject&key=users/alice/a.jpg", false, "does not grant `name/cos:GetObject`"),
        ("action=PutObject&key=users/alice/a.jpg&size=5", true, "a statement allows it"),
        ("action=PutObjct&key=users/alice/a.jpg", false, "did you mean `name/cos:PutObject`?"),
        ("action=@upload&key=users/alice/a.jpg", false, "ask about one action"),
    ] {
        let answer = broker.get(&format!("/v1/explain/upload?{query}"), &token("alice")).await.json();
        assert_eq!(answer["allowed"], allowed, "{query}");
        assert!(answer["reason"].as_str().unwrap().contains(said), "{answer}");
    }
    assert_eq!(sts.calls(), 0, "an explanation needs no STS call");
}

#[tokio::test]
async fn a_rate_limited_user_learns_when_to_retry() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = Setup::new(sts.address).with("per_user = \"off\"", "per_user = \"3/hour\"").start();
    for _ in 0..3 {
        assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    }
    let refused = broker.get("/v1/credentials", &token("alice")).await;
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1100..=1200).contains(&wait), "{wait}");
    assert_eq!(broker.get("/v1/credentials", &token("bob")).await.status, 200);
}

#[tokio::test]
async fn cors_allows_the_configured_origin_and_no_other() {
    let broker = with_emulator();
    let preflight = |origin: &'static str| {
        let request = broker.http.request(reqwest::Method::OPTIONS, broker.url("/v1/credentials"));
        Answer::of(
            request
                .header("origin", origin)
                .header("access-control-request-method", "GET")
                .header("access-control-request-headers", "authorization"),
        )
    };
    let ours = preflight("https://app.example.com").await;
    assert_eq!(ours.header("access-control-allow-origin"), "https://app.example.com");
    assert_eq!(ours.header("access-control-allow-credentials"), "");
    assert_eq!(preflight("https://evil.example.com").await.header("access-control-allow-origin"), "");
}

/// The members that a schema describes, through `allOf`, `oneOf` and references, at the outermost level.
fn described_members(document: &Value, schema: &Value) -> BTreeSet<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return described_members(document, document.pointer(&reference[1..]).unwrap());
    }
    let parts = ["allOf", "oneOf"].iter().filter_map(|of| schema[of].as_array()).flatten();
    let own = schema["properties"].as_object().into_iter().flat_map(|properties| properties.keys().cloned());
    parts.flat_map(|part| described_members(document, part)).chain(own).collect()
}

#[tokio::test]
async fn every_member_of_an_answer_is_described() {
    let broker = with_emulator();
    let document = Answer::of(broker.http.get(broker.url("/openapi.json"))).await.json();
    for (path, query) in [
        ("/v1/credentials", ""),
        ("/v1/credentials", "?format=sts3"),
        ("/v1/explain", "?action=PutObject&key=users/alice/a.jpg"),
        ("/sign", ""),
        ("/sts", ""),
        ("/getKeyAndCredentials", "?filename=a.jpg"),
    ] {
        let answer = broker.get(&format!("{path}{query}"), &token("alice")).await.json();
        let schema =
            &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let described = described_members(&document, schema);
        for member in answer.as_object().unwrap().keys() {
            assert!(described.contains(member), "{path}{query}: {member} is not described: {described:?}");
        }
    }
}

#[tokio::test]
async fn every_member_of_an_answer_to_an_operator_is_described() {
    let broker = with_emulator();
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    let refused = broker.get("/v1/credentials", "no-token").await.header("x-request-id").to_owned();
    let document = broker.operators_get("/openapi.json").await.json();
    let user = json!({"subject": "bob"});
    let refusal = format!("/api/refusals/{refused}");
    for (path, described_at, answer) in [
        ("/api/status", "/api/status", broker.operators_get("/api/status").await),
        (refusal.as_str(), "/api/refusals/{request_id}", broker.operators_get(&refusal).await),
        ("/api/keys", "/api/keys", broker.operators_get("/api/keys").await),
        ("/api/revoke", "/api/revoke", broker.operators_post("/api/revoke", &user).await),
        ("/api/revoked", "/api/revoked", broker.operators_get("/api/revoked").await),
        ("/api/restore", "/api/restore", broker.operators_post("/api/restore", &user).await),
        ("/api/reload", "/api/reload", broker.operators_post("/api/reload", &json!(null)).await),
    ] {
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let operations = document["paths"][described_at].as_object().unwrap();
        let operation = operations.values().next().unwrap();
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let described = described_members(&document, schema);
        let answered: BTreeSet<String> = answer.json().as_object().unwrap().keys().cloned().collect();
        assert_eq!(described, answered, "{path}");
    }
}

#[tokio::test]
async fn health_readiness_and_the_api_description_need_no_token() {
    let broker = with_emulator();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(Answer::of(broker.http.get(broker.url(path))).await.status, 200);
        assert_eq!(Answer::of(broker.http.head(broker.url(path))).await.status, 200);
    }
    let described = Answer::of(broker.http.get(broker.url("/openapi.json"))).await.json();
    for path in [
        "/v1/credentials",
        "/v1/credentials/{template}",
        "/v1/explain",
        "/v1/explain/{template}",
        "/sign",
        "/sts",
        "/getKeyAndCredentials",
        "/healthz",
        "/readyz",
        "/openapi.json",
    ] {
        assert!(described["paths"][path].is_object(), "{path} is not described");
    }
}

#[tokio::test]
async fn the_admin_listener_requires_its_token_if_one_is_configured() {
    let dir_token = "operators-canary-token";
    let sts = CannedSts::start(Answers::Key(1800));
    let setup = Setup::new(sts.address).with_section("admin", "token_env = \"SECRET_KEY\"");
    let broker = setup.start();
    let url = format!("http://{}/metrics", broker.operators);
    assert_eq!(Answer::of(broker.http.get(&url)).await.status, 401);
    assert_eq!(Answer::of(broker.http.get(&url).bearer_auth(dir_token)).await.status, 401);
    let admitted = Answer::of(broker.http.get(&url).bearer_auth(crate::support::SECRET_KEY)).await;
    assert_eq!(admitted.status, 200);
    assert!(admitted.body.ends_with("# EOF\n"), "OpenMetrics ends with EOF");
}

#[tokio::test]
async fn the_scheme_is_case_insensitive_and_large_tokens_get_431() {
    let broker = with_emulator();
    let lower = broker
        .http
        .get(broker.url("/v1/credentials"))
        .header("authorization", format!("bEaReR {}", token("alice")));
    assert_eq!(Answer::of(lower).await.status, 200);
    assert_eq!(broker.get("/v1/credentials", &"a".repeat(8_192)).await.status, 401);
    assert_eq!(broker.get("/v1/credentials", &"a".repeat(8_193)).await.status, 431);
}

#[tokio::test]
async fn min_remaining_counts_on_both_methods_and_refusals_are_counted() {
    let (address, sts) = emulator();
    let broker = Setup::new(address).start();
    let alice = token("alice");
    let body = json!({"scope": [{"action": "name/cos:PutObject", "bucket": "examplebucket-1250000000",
        "region": "ap-guangzhou", "prefix": "users/alice/photos/*"}]})
    .to_string();
    assert_eq!(broker.post("/v1/credentials?min_remaining=40m", &alice, body).await.status, 400);
    assert_eq!(broker.get("/v1/credentials?min_remaining=40m", &alice).await.status, 400);
    assert_eq!(sts.calls(), 0);
    assert_eq!(broker.get("/v1/credentials/never-heard-of", &alice).await.status, 404);
    assert_eq!(broker.figure(&["cosbroker_credential_requests_total", "outcome=\"refused\""]).await, 3);
    assert!(!broker.metrics().await.contains("never-heard-of"), "labels are bounded");
}

#[tokio::test]
async fn an_explanation_counts_towards_the_rate_limit() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = Setup::new(sts.address).with("per_user = \"off\"", "per_user = \"2/hour\"").start();
    let path = "/v1/explain?action=name/cos:PutObject&key=users/alice/a";
    let statuses = [
        broker.get(path, &token("alice")).await.status,
        broker.get(path, &token("alice")).await.status,
        broker.get(path, &token("alice")).await.status,
    ];
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn a_request_that_joined_a_call_says_so_in_cache_status() {
    let (address, sts) = emulator();
    let broker = Setup::new(address).start();
    let alice = token("alice");
    let requests = (0..50).map(|_| broker.get("/v1/credentials", &alice));
    let answers = futures::future::join_all(requests).await;
    let said = |part: &str| {
        answers.iter().filter(|answer| answer.header("cache-status").contains(part)).count() as u64
    };
    assert_eq!((said("fwd=miss; stored"), sts.calls()), (1, 1));
    assert_eq!(
        said("collapsed"),
        broker.figure(&["cosbroker_credential_requests_total", "outcome=\"coalesced\""]).await
    );
}
