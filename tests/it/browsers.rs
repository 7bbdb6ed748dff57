//! What browsers and other HTTP clients may expect of every route: HEAD, CORS, bodies and scopes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Answers, Broker, CannedSts, Setup, token};

const APP: &str = "https://app.example.com";
const EXPOSED: &str = "cache-status, retry-after, www-authenticate, x-request-id";

fn broker() -> Broker {
    Setup::new(CannedSts::start(Answers::Key(1800)).address).start()
}

#[tokio::test]
async fn head_is_answered_wherever_get_is_without_a_body() {
    let broker = broker();
    let public = [
        "/v1/credentials",
        "/v1/credentials/files?format=sts3",
        "/v1/explain?action=PutObject&key=users/alice/a",
        "/sign",
        "/sts",
        "/getKeyAndCredentials?filename=a.jpg",
        "/healthz",
        "/readyz",
        "/openapi.json",
    ]
    .map(|path| broker.url(path));
    let operators =
        ["/", "/keys", "/advise", "/metrics", "/api/status", "/api/keys", "/api/templates", "/api/revoked"]
            .map(|path| format!("http://{}{path}", broker.operators));
    for url in public.iter().chain(&operators) {
        let ask = |method: Method| Answer::of(broker.http.request(method, url).bearer_auth(token("alice")));
        let (get, head) = (ask(Method::GET).await, ask(Method::HEAD).await);
        assert_eq!((get.status, head.status), (200, 200), "{url}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{url}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{url}");
    }
    assert_eq!(
        Answer::of(broker.http.head(broker.url("/v1/credentials"))).await.status,
        401,
        "HEAD needs the token too"
    );
}

#[tokio::test]
async fn headers_of_cors_come_only_with_an_origin_and_always_in_one_order() {
    let broker = broker();
    let plain = broker.get("/v1/credentials", &token("alice")).await;
    assert!(plain.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{plain:?}");
    for _ in 0..4 {
        let request = broker.http.get(broker.url("/v1/credentials")).header("origin", APP);
        let ours = Answer::of(request.bearer_auth(token("alice"))).await;
        assert_eq!(ours.header("access-control-allow-origin"), APP);
        assert_eq!(ours.header("access-control-expose-headers"), EXPOSED);
        assert_eq!(ours.header("vary"), "origin");
        let allowed = preflight(&broker, APP, "GET", "authorization").await;
        assert_eq!(allowed.header("access-control-allow-methods"), "GET, HEAD, POST");
        let headers = "authorization, content-type, traceparent, tracestate";
        assert_eq!(allowed.header("access-control-allow-headers"), headers);
    }
    let refused = Answer::of(broker.http.get(broker.url("/v1/credentials")).header("origin", APP)).await;
    assert_eq!(
        (refused.status, refused.header("access-control-allow-origin")),
        (401, APP),
        "a page reads why"
    );
    let stranger =
        broker.http.get(broker.url("/v1/credentials")).header("origin", "https://evil.example.com");
    let stranger = Answer::of(stranger.bearer_auth(token("alice"))).await;
    assert_eq!(stranger.header("access-control-allow-origin"), "");
}

async fn preflight(broker: &Broker, origin: &str, method: &str, headers: &str) -> Answer {
    let request = broker.http.request(Method::OPTIONS, broker.url("/v1/credentials"));
    let request = request.header("origin", origin).header("access-control-request-method", method);
    Answer::of(request.header("access-control-request-headers", headers)).await
}

#[tokio::test]
async fn a_refused_preflight_is_told_logged_and_counted() {
    let broker = broker();
    for (origin, method, headers, why) in [
        (APP, "GET", "authorization,x-requested-with", "the header `x-requested-with`"),
        (APP, "DELETE", "", "DELETE"),
        ("https://evil.example.com", "GET", "", "`https://evil.example.com`"),
    ] {
        let refused = preflight(&broker, origin, method, headers).await;
        assert_eq!(refused.status, 403, "{refused:?}");
        assert_eq!(refused.json()["type"], "urn:cosbroker:problem:preflight-refused");
        assert!(refused.json()["detail"].as_str().unwrap().contains(why), "{refused:?}");
        broker.says(why);
    }
    let counted = broker.figure(&["cosbroker_refusals_total", "preflight-refused"]).await;
    assert_eq!(counted, 3, "{}", broker.metrics().await);
}

#[tokio::test]
async fn where_no_page_may_call_a_preflight_is_told_what_to_configure() {
    let broker = Setup::new(CannedSts::start(Answers::Key(1800)).address)
        .with("cors_origins = [\"https://app.example.com\"]", "")
        .start();
    let refused = preflight(&broker, APP, "GET", "authorization").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.body.contains("server.cors_origins lists those that may"), "{refused:?}");
    broker.says("server.cors_origins");
    assert_eq!(broker.figure(&["cosbroker_refusals_total", "preflight-refused"]).await, 1);
    let options = broker.http.request(Method::OPTIONS, broker.url("/v1/credentials"));
    assert_eq!(Answer::of(options).await.status, 405, "no preflight without an origin");
}

#[tokio::test]
async fn another_header_is_allowed_where_the_configuration_names_it() {
    let broker = Setup::new(CannedSts::start(Answers::Key(1800)).address)
        .with_section("server", "cors_headers = [\"X-Requested-With\"]")
        .start();
    let allowed = preflight(&broker, APP, "GET", "authorization,x-requested-with").await;
    assert_eq!(allowed.status, 200, "{allowed:?}");
    assert!(allowed.header("access-control-allow-headers").contains("x-requested-with"), "{allowed:?}");
    assert_eq!(preflight(&broker, APP, "GET", "x-other").await.status, 403);
}

fn item(prefix: &str) -> Value {
    json!({"action": "name/cos:PutObject", "bucket": "examplebucket-1250000000", "region": "ap-guangzhou", "prefix": prefix})
}

#[tokio::test]
async fn a_body_of_another_form_is_refused_with_what_is_right() {
    let broker = broker();
    let item = item("users/alice/a/*");
    let members =
        json!(["name/cos:PutObject", "examplebucket-1250000000", "ap-guangzhou", "users/alice/a/*"]);
    for (path, body, why) in [
        (
            "/v1/credentials",
            json!([item]),
            "it is not an object; send {\"scope\":[…]}; POST /sts takes the bare list",
        ),
        ("/v1/credentials", json!([[item]]), "it is not an object"),
        ("/v1/credentials", json!({"scope": [members]}), "scope item 0 is not an object; send {\"action\":…"),
        ("/v1/credentials", json!({"scope": [item], "scopes": []}), "unknown field `scopes`"),
        ("/sts", json!([item, members]), "scope item 1 is not an object"),
        ("/sts", json!({"scope": [item]}), "it is not a list"),
    ] {
        let refused = broker.post(path, &token("alice"), body.to_string()).await;
        assert_eq!(refused.status, 400, "{body}: {refused:?}");
        let told = refused.json();
        let told = told["detail"].as_str().or(told["message"].as_str()).unwrap();
        assert!(told.contains(why), "{body}: {told}");
    }
}

#[tokio::test]
async fn a_scope_names_what_an_unscoped_key_can_write_or_is_told_which_character_it_cannot_name() {
    let broker = broker();
    let ask = async |prefix: &str| {
        broker.post("/v1/credentials", &token("alice"), json!({"scope": [item(prefix)]}).to_string()).await
    };
    assert_eq!(ask("users/alice//a.jpg").await.status, 200);
    for (prefix, why) in [
        ("users/alice/a\\b", "it holds `\\\\`, which policies cannot spell"),
        ("users/alice/a\tb", "it holds `\\t`"),
        ("/users/alice/a", "begins with `/`; leave the slash out"),
        ("users/alice/../bob/*", "a segment `.` or `..`"),
    ] {
        let refused = ask(prefix).await;
        assert!(
            refused.status == 403 && refused.json()["detail"].as_str().unwrap().contains(why),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn explain_tells_the_true_reason_for_an_action_that_no_template_may_grant() {
    let broker = broker();
    let answer = broker.get("/v1/explain?action=HeadBucket&key=x", &token("alice")).await.json();
    assert_eq!(answer["allowed"], false);
    let reason = answer["reason"].as_str().unwrap();
    assert!(
        reason.contains("COS has it, and no template may grant it: its resource is the bucket"),
        "{reason}"
    );
}
