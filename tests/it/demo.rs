//! The sandbox's demo page over HTTP.

use crate::support::{Answer, sandbox::Sandbox};

#[tokio::test]
async fn the_sdk_can_be_installed_while_the_sandbox_runs() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cos-js-sdk-v5.min.js");
    let sandbox = Sandbox::with(&["--js-sdk", file.to_str().unwrap()]);
    let sdk_url = sandbox.url("/cos-js-sdk-v5.js");
    assert_eq!(Answer::of(sandbox.http.get(&sdk_url)).await.status, 404);
    std::fs::write(&file, "var COS;").unwrap();
    let installed = Answer::of(sandbox.http.get(&sdk_url)).await;
    assert_eq!((installed.status, installed.body.as_str()), (200, "var COS;"));
    let headers = ["content-type", "cache-control", "x-content-type-options"];
    let sent = headers.map(|name| installed.header(name));
    assert_eq!(sent, ["text/javascript; charset=utf-8", "no-store", "nosniff"]);
}

#[tokio::test]
async fn the_page_may_connect_only_to_the_sandbox() {
    let sandbox = Sandbox::with(&["--allow-origin", "http://app.test:3000"]);
    let page = Answer::of(sandbox.http.get(sandbox.url("/"))).await;
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(policy.contains(&format!("connect-src 'self' http://{};", sandbox.broker)), "{policy}");
    let port = sandbox.cloud.port();
    for (origin, is_allowed) in [
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
        assert_eq!(allowed, if is_allowed { origin.as_str() } else { "" });
    }
}
