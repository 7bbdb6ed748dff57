//! The sandbox's page, in a browser and as it is served.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    sdks::{CHROMIUM, node, told},
    support::{Answer, repository, sandbox::Sandbox},
};

/// What is to be seen on the page, step by step.
fn seen(sandbox: &Sandbox) -> BTreeMap<String, Value> {
    let told = told(node("demo.mjs").args([&sandbox.url("/"), CHROMIUM]));
    let step = |mut line: Value| (line["step"].as_str().unwrap().to_owned(), line["seen"].take());
    told.into_iter().map(step).collect()
}

#[test]
fn a_person_signs_in_uploads_downloads_and_is_refused_elsewhere() {
    let sdk = repository("target/sdk/node_modules/cos-js-sdk-v5/dist/cos-js-sdk-v5.min.js");
    let sandbox = Sandbox::with(&["--js-sdk", sdk.to_str().unwrap()]);
    let seen = seen(&sandbox);
    assert_eq!(seen["folder"], "users/alice/");
    assert_eq!(seen["files"], json!(["large & + ü.html", "small.txt"]));
    assert_eq!(seen["downloaded"], 12 << 20);
    assert_eq!(seen["badges"], json!(["refused", "refused", "refused"]));
    for refusal in seen["refusals"].as_array().unwrap() {
        assert!(refusal.as_str().unwrap().starts_with("COS says 403 AccessDenied, request "), "{refusal}");
    }
    for reason in seen["reasons"].as_array().unwrap() {
        assert!(reason.as_str().unwrap().starts_with("Why: "), "{reason}");
    }
    assert_eq!(seen["bob's files"], "Nothing here yet.");
    let own = [sandbox.broker, sandbox.cloud].map(|address| format!("http://{address}"));
    let mut own = own.to_vec();
    own.sort();
    assert_eq!(seen["origins"], json!(own), "the page asks nobody else");
    assert_eq!(seen["errors"], json!([]));
}

#[test]
fn without_the_sdk_the_page_gives_keys_and_says_how_to_upload() {
    let sandbox = Sandbox::with(&["--js-sdk", "nowhere/cos-js-sdk-v5.js"]);
    let seen = seen(&sandbox);
    assert_eq!(seen["folder"], "users/alice/");
    let curl = seen["curl"].as_str().unwrap();
    assert!(curl.starts_with("curl -i -H 'Authorization: Bearer ey"), "{curl}");
    assert!(curl.ends_with(&format!("'http://{}/v1/credentials/files'", sandbox.broker)), "{curl}");
    let words = seen["no SDK"].as_str().unwrap();
    assert!(words.contains("npm install cos-js-sdk-v5") && words.contains("--js-sdk FILE"), "{words}");
    assert_eq!(seen["may upload"], false);
    assert_eq!(seen["errors"], json!([]));
}

#[tokio::test]
async fn who_installs_the_sdk_meanwhile_need_only_load_the_page_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cos-js-sdk-v5.min.js");
    let sandbox = Sandbox::with(&["--js-sdk", file.to_str().unwrap()]);
    let sdk = || Answer::of(sandbox.http.get(sandbox.url("/cos-js-sdk-v5.js")));
    assert_eq!(sdk().await.status, 404);
    std::fs::write(&file, "var COS;").unwrap();
    let installed = sdk().await;
    assert_eq!((installed.status, installed.body.as_str()), (200, "var COS;"));
    let headers = ["content-type", "cache-control", "x-content-type-options"];
    let sent = headers.map(|name| installed.header(name));
    assert_eq!(sent, ["text/javascript; charset=utf-8", "no-store", "nosniff"]);
}

#[tokio::test]
async fn the_page_may_reach_the_sandbox_and_nobody_else() {
    let sandbox = Sandbox::with(&["--allow-origin", "http://app.test:3000"]);
    let page = Answer::of(sandbox.http.get(sandbox.url("/"))).await;
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(policy.contains(&format!("connect-src 'self' http://{};", sandbox.broker)), "{policy}");
    let port = sandbox.cloud.port();
    for (origin, welcome) in [
        (format!("http://127.0.0.1:{port}"), true),
        (format!("http://localhost:{port}"), true),
        ("http://app.test:3000".to_owned(), true),
        ("http://elsewhere.test".to_owned(), false),
    ] {
        let preflight = sandbox
            .http
            .request(reqwest::Method::OPTIONS, format!("http://{}/v1/credentials", sandbox.broker))
            .header("origin", &origin)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization");
        let allowed = Answer::of(preflight).await;
        let allowed = allowed.header("access-control-allow-origin");
        assert_eq!(allowed, if welcome { origin.as_str() } else { "" });
    }
}
