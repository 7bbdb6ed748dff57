//! The listeners of `cosbroker sandbox`.

use reqwest::Method;

use crate::support::{Answer, sandbox::Sandbox};

#[tokio::test]
async fn a_wrong_method_is_answered_with_the_allowed_ones() {
    let sandbox = Sandbox::start();
    for (method, path, allow, expected) in [
        (Method::GET, "/presign?name=a", "POST", "send POST"),
        (Method::POST, "/token?sub=alice", "GET", "send GET"),
        (Method::GET, "/rotate", "POST", "send POST"),
        (Method::POST, "/clock", "GET, PUT", "send GET or PUT"),
        (Method::PUT, "/faults", "GET, POST, DELETE", "send GET or POST or DELETE"),
        (Method::GET, "/faults/1", "DELETE", "send DELETE"),
    ] {
        let answer = Answer::of(sandbox.http.request(method, sandbox.url(path))).await;
        assert_eq!((answer.status, answer.header("allow")), (405, allow), "{path}");
        assert!(answer.body.contains(expected), "{answer:?}");
    }
    for (method, path, allow) in [
        (Method::PUT, "/", "GET, HEAD"),
        (Method::POST, "/metrics", "GET, HEAD"),
        (Method::PUT, "/revoke", "GET, HEAD, POST"),
        (Method::GET, "/api/reload", "POST"),
        (Method::POST, "/api/keys", "GET, HEAD"),
    ] {
        let request = sandbox.http.request(method, format!("http://{}{path}", sandbox.operators));
        let answer = Answer::of(request).await;
        assert_eq!((answer.status, answer.header("allow")), (405, allow), "{path}");
        assert!(answer.body.contains("; send "), "{answer:?}");
    }
    let key = sandbox.get("/v1/credentials", "alice").await.body;
    for (method, status) in [("GET", 200), ("FOO", 400), ("put", 400)] {
        let request = sandbox.http.post(sandbox.url(&format!("/presign?name=a&method={method}")));
        let answer = Answer::of(request.body(key.clone())).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(
            status == 200 || answer.body.contains("give one of PUT, GET, HEAD, POST, DELETE"),
            "{answer:?}"
        );
    }
}
