//! The sandbox's COS over HTTP, for cases that the official SDKs do not cover (those are in `sdks`).

use std::{fmt::Write as _, time::Duration};

use reqwest::Method;
use tencent_sign::cos::{Request, Window, encoded};

use crate::support::{Answer, sandbox::Sandbox};

mod form;
mod operation;
mod processing;
mod rights;
mod service;
mod signature;
mod store;
mod tagging;

const BUCKET: &str = "examplebucket-1250000000";

/// A key that signs requests to COS.
#[derive(Clone)]
struct Key {
    id: String,
    secret: String,
    token: Option<String>,
    window: Window,
}

/// A request that is not signed yet.
struct CosRequest<'a> {
    method: Method,
    key: &'a str,
    query: &'a [(&'a str, &'a str)],
    headers: &'a [(&'a str, &'a str)],
    body: reqwest::Body,
}

impl<'a> CosRequest<'a> {
    fn new(method: Method, key: &'a str) -> Self {
        Self { method, key, query: &[], headers: &[], body: reqwest::Body::default() }
    }

    fn put(key: &'a str, body: impl Into<reqwest::Body>) -> Self {
        Self { body: body.into(), ..Self::new(Method::PUT, key) }
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Key {
    /// Returns the key that the broker issues to this user under this template.
    async fn for_user(sandbox: &Sandbox, template: &str, subject: &str) -> Self {
        let answer = sandbox.get(&format!("/v1/credentials/{template}"), subject).await.json();
        let [id, secret, token] = ["tmpSecretId", "tmpSecretKey", "sessionToken"]
            .map(|name| answer["credentials"][name].as_str().unwrap().to_owned());
        let [from, until] = ["startTime", "expiredTime"].map(|name| answer[name].as_i64().unwrap());
        Self { id, secret, token: Some(token), window: Window { from, until } }
    }

    /// Returns the account's permanent key.
    fn of_account(sandbox: &Sandbox) -> Self {
        let window = Window { from: 0, until: 4_000_000_000 };
        Self { id: sandbox.secret_id.clone(), secret: sandbox.secret_key.clone(), token: None, window }
    }

    /// Signs and sends a request with the bucket in the path.
    async fn send(&self, sandbox: &Sandbox, request: CosRequest<'_>) -> Answer {
        let path = format!("/{BUCKET}/{}", request.key);
        let mut headers = pairs(request.headers);
        headers.extend(self.token.clone().map(|token| ("x-cos-security-token".to_owned(), token)));
        let mut signed = headers.clone();
        signed.push(("host".to_owned(), sandbox.cloud.to_string()));
        let parameters = pairs(request.query);
        let method = request.method.as_str();
        let to_sign = Request { method, path: &path, parameters: &parameters, headers: &signed };
        let fields = to_sign.authorize(&self.id, &self.secret, self.window);
        let authorization: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut url = format!("{}{}", sandbox.url(""), encoded(&path).replace("%2F", "/"));
        for (index, (name, value)) in request.query.iter().enumerate() {
            write!(url, "{}{name}={}", if index == 0 { '?' } else { '&' }, encoded(value)).unwrap();
        }
        let mut http_request = sandbox.http.request(request.method, url).body(request.body);
        for (name, value) in &headers {
            http_request = http_request.header(name, value);
        }
        Answer::of(http_request.header("authorization", authorization.join("&"))).await
    }

    /// Returns a URL with a signature in its query.
    fn presigned(&self, sandbox: &Sandbox, method: &str, key: &str, query: &[(&str, &str)]) -> String {
        let path = format!("/{BUCKET}/{key}");
        let mut parameters = pairs(query);
        parameters.extend(self.token.clone().map(|token| ("x-cos-security-token".to_owned(), token)));
        let headers = pairs(&[("host", &sandbox.cloud.to_string())]);
        let request = Request { method, path: &path, parameters: &parameters, headers: &headers };
        let fields = request.authorize(&self.id, &self.secret, self.window);
        let mut url = url::Url::parse(&sandbox.url(&path)).unwrap();
        url.query_pairs_mut().extend_pairs(&parameters).extend_pairs(&fields);
        url.to_string()
    }
}

fn code(answer: &Answer) -> (u16, &str) {
    let code = answer.body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    (answer.status, code.map_or("", |(code, _)| code))
}

/// A `GET` of an object in Alice's home that does not exist.
fn missing_object() -> CosRequest<'static> {
    CosRequest::new(Method::GET, "users/alice/none")
}

const DENIED: (u16, &str) = (403, "AccessDenied");
/// What the sandbox does not have.
const MISSING: (u16, &str) = (501, "NotImplemented");

#[tokio::test]
async fn a_key_reaches_only_its_own_home_whatever_the_request_looks_like() {
    let sandbox = Sandbox::start();
    let (alice, account) = (Key::for_user(&sandbox, "files", "alice").await, Key::of_account(&sandbox));
    for key in ["users/alice/a", "users/bob/a", "users/alice2/a"] {
        assert_eq!(account.send(&sandbox, CosRequest::put(key, "theirs")).await.status, 200);
    }
    assert_eq!(alice.send(&sandbox, CosRequest::new(Method::GET, "users/alice/a")).await.body, "theirs");
    for key in
        ["users/bob/a", "users/alice2/a", "users/alice", "users//alice/a", "/users/alice/a", "Users/alice/a"]
    {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
            let answer = alice.send(&sandbox, CosRequest::new(method.clone(), key)).await;
            assert_eq!(answer.status, 403, "{method} {key}: {answer:?}");
        }
        for (method, query) in [(Method::POST, ("uploads", "")), (Method::GET, ("uploadId", "1"))] {
            let request = CosRequest { query: &[query], ..CosRequest::new(method, key) };
            assert_eq!(code(&alice.send(&sandbox, request).await), DENIED, "{key} {query:?}");
        }
    }
    for prefix in
        [None, Some(""), Some("users/"), Some("users/alic"), Some("users/alice"), Some("users/bob/")]
    {
        let query: Vec<_> = prefix.map(|prefix| ("prefix", prefix)).into_iter().collect();
        let listed =
            alice.send(&sandbox, CosRequest { query: &query, ..CosRequest::new(Method::GET, "") }).await;
        assert_eq!(code(&listed), DENIED, "{prefix:?}");
    }
    let listed = alice
        .send(
            &sandbox,
            CosRequest { query: &[("prefix", "users/alice/")], ..CosRequest::new(Method::GET, "") },
        )
        .await;
    assert!(listed.status == 200 && listed.body.contains("<Key>users/alice/a</Key>"), "{listed:?}");
    assert!(!listed.body.contains("alice2"), "{listed:?}");
    let unsigned = Answer::of(sandbox.http.get(sandbox.url(&format!("/{BUCKET}/users/alice/a")))).await;
    assert_eq!(code(&unsigned), DENIED);
}

#[tokio::test]
async fn a_signature_is_valid_for_one_request_one_key_and_its_time() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let bob = Key::for_user(&sandbox, "files", "bob").await;
    assert_eq!(code(&alice.send(&sandbox, missing_object()).await), (404, "NoSuchKey"));
    let past = Window { from: 1, until: 2 };
    let future = Window { from: alice.window.until + 1000, until: alice.window.until + 2000 };
    let tampered = alice.token.as_ref().map(|token| format!("A{token}"));
    for (key, expected) in [
        (Key { secret: bob.secret.clone(), ..alice.clone() }, "SignatureDoesNotMatch"),
        (Key { id: bob.id.clone(), ..alice.clone() }, "InvalidAccessKeyId"),
        (Key { token: bob.token.clone(), ..alice.clone() }, "InvalidAccessKeyId"),
        (Key { token: tampered, ..alice.clone() }, "InvalidAccessKeyId"),
        (Key { token: None, ..alice.clone() }, "InvalidAccessKeyId"),
        (Key { window: past, ..alice.clone() }, "AccessDenied"),
        (Key { window: future, ..alice.clone() }, "RequestTimeTooSkewed"),
    ] {
        let refused = key.send(&sandbox, missing_object()).await;
        assert_eq!(code(&refused), (403, expected), "{}", refused.body);
        assert!(refused.body.contains("<ServerTime>20"), "{}", refused.body);
        assert_eq!(
            expected == "AccessDenied",
            refused.body.contains("<Message>Request has expired</Message>")
        );
    }
    let url = alice.presigned(&sandbox, "GET", "users/alice/none", &[]);
    assert_eq!(Answer::of(sandbox.http.get(&url)).await.status, 404);
    assert_eq!(code(&Answer::of(sandbox.http.delete(&url)).await), (403, "SignatureDoesNotMatch"));
    let other = url.replace("/none", "/other");
    assert_eq!(code(&Answer::of(sandbox.http.get(other)).await), (403, "SignatureDoesNotMatch"));
    // The client may sign for longer than the key is valid.
    assert_eq!(sandbox.put_clock("31m").await.status, 200);
    let long_window = Key { window: Window { from: 0, until: 4_000_000_000 }, ..alice };
    assert_eq!(code(&long_window.send(&sandbox, missing_object()).await), (403, "ExpiredToken"));
}

#[tokio::test]
async fn conditions_of_the_policy_on_headers_are_enforced() {
    fn put<'a>(headers: &'a [(&'a str, &'a str)]) -> CosRequest<'a> {
        CosRequest { headers, ..CosRequest::put("users/alice/a", "x") }
    }
    let sandbox = Sandbox::start();
    let uploads = Key::for_user(&sandbox, "upload", "alice").await;
    assert_eq!(uploads.send(&sandbox, put(&[])).await.status, 200);
    assert_eq!(uploads.send(&sandbox, put(&[("x-cos-acl", "private")])).await.status, 200);
    for header in [
        ("x-cos-acl", "public-read"),
        ("x-cos-grant-read", "id=\"1\""),
        ("x-cos-grant-full-control", "id=\"1\""),
    ] {
        assert_eq!(code(&uploads.send(&sandbox, put(&[header])).await), DENIED, "{header:?}");
    }
    let large = vec![0; (10 << 20) + 1];
    assert_eq!(code(&uploads.send(&sandbox, CosRequest::put("users/alice/a", large)).await), DENIED);
    assert_eq!(uploads.send(&sandbox, CosRequest::put("users/alice/a", vec![0; 10 << 20])).await.status, 200);
}

/// The policy is checked for what is really done.
#[tokio::test]
async fn duplicate_or_misplaced_parameters_and_headers_give_no_access() {
    let sandbox = Sandbox::start();
    let (alice, account) = (Key::for_user(&sandbox, "files", "alice").await, Key::of_account(&sandbox));
    assert_eq!(account.send(&sandbox, CosRequest::put("users/bob/a", "theirs")).await.status, 200);
    for prefixes in [["users/bob/", "users/alice/"], ["users/alice/", "users/bob/"]] {
        for uploads in [&[][..], &[("uploads", "")]] {
            let query = [uploads, &prefixes.map(|prefix| ("prefix", prefix))].concat();
            let listed =
                alice.send(&sandbox, CosRequest { query: &query, ..CosRequest::new(Method::GET, "") }).await;
            assert_eq!(code(&listed), (400, "InvalidArgument"), "{query:?}");
        }
    }
    for header in ["content-type", "x-cos-acl", "x-cos-copy-source", "x-cos-meta-a"] {
        let request = CosRequest {
            headers: &[(header, "a/b"), (header, "c/d")],
            ..CosRequest::put("users/alice/a", "x")
        };
        assert_eq!(code(&alice.send(&sandbox, request).await), (400, "InvalidArgument"), "{header}");
    }
    let uploads = Key::for_user(&sandbox, "upload", "alice").await;
    let large = vec![0; (10 << 20) + 1];
    let short = CosRequest { query: &[("content-length", "1")], ..CosRequest::put("users/alice/a", large) };
    assert_eq!(code(&uploads.send(&sandbox, short).await), MISSING);
    let image = [("content-type", "image/png")];
    let avatars = Key::for_user(&sandbox, "avatar", "alice").await;
    let html = CosRequest { query: &image, ..CosRequest::put("avatars/alice/a", "x") };
    assert_eq!(code(&avatars.send(&sandbox, html).await), MISSING);
}

/// A signing key has a validity of its own, besides that of each request (docs 436/7778).
#[tokio::test]
async fn a_signing_key_outside_of_its_validity_is_refused() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let Window { from: now, .. } = alice.window;
    let path = format!("/{BUCKET}/users/alice/a");
    let headers = pairs(&[("host", &sandbox.cloud.to_string())]);
    for (from, until, expected) in [
        (now - 60, now + 600, (404, "NoSuchKey")),
        (now - 5000, now - 4000, DENIED),
        (now + 4000, now + 5000, (403, "RequestTimeTooSkewed")),
    ] {
        let key_time = format!("{from};{until}");
        let sign_time = format!("{};{}", now - 60, now + 600);
        let text = format!("get\n{path}\n\nhost={}\n", encoded(&headers[0].1));
        let authorization = format!(
            "q-sign-algorithm=sha1&q-ak={}&q-sign-time={sign_time}&q-key-time={key_time}&q-header-list=host&q-url-param-list=&q-signature={}",
            alice.id,
            signature_over(&alice.secret, &key_time, &sign_time, &text)
        );
        let request = sandbox.http.get(sandbox.url(&path)).header("authorization", authorization);
        let answer = Answer::of(request.header("x-cos-security-token", alice.token.clone().unwrap())).await;
        assert_eq!(code(&answer), expected, "{key_time}: {answer:?}");
    }
}

/// Signs as in docs 436/7778. `tencent_sign` cannot sign with two different times.
fn signature_over(secret: &str, key_time: &str, sign_time: &str, text: &str) -> String {
    use sha1::{Digest, Sha1};
    let string_to_sign = format!("sha1\n{sign_time}\n{}\n", hex::encode(Sha1::digest(text)));
    hmac_sha1(&hmac_sha1(secret, key_time), &string_to_sign)
}

fn hmac_sha1(key: &str, text: &str) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mac = Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()).unwrap();
    hex::encode(mac.chain_update(text).finalize().into_bytes())
}

#[tokio::test]
async fn a_copy_is_made_only_if_its_preconditions_are_met() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let put = alice.send(&sandbox, CosRequest::put("users/alice/a", "content")).await;
    let etag = put.header("etag").to_owned();
    let source = format!("{BUCKET}.cos.ap-guangzhou.myqcloud.com/users/alice/a");
    for (name, value, is_copied) in [
        ("x-cos-copy-source-If-Match", etag.as_str(), true),
        ("x-cos-copy-source-If-Match", "\"another\"", false),
        ("x-cos-copy-source-If-None-Match", "\"another\"", true),
        ("x-cos-copy-source-If-None-Match", &etag, false),
        ("x-cos-copy-source-If-Modified-Since", "Tue, 01 Jan 2126 00:00:00 GMT", false),
        ("x-cos-copy-source-If-Unmodified-Since", "Tue, 01 Jan 2019 00:00:00 GMT", false),
    ] {
        let headers = [("x-cos-copy-source", source.as_str()), (name, value)];
        let copy = CosRequest { headers: &headers, ..CosRequest::new(Method::PUT, "users/alice/b") };
        let answer = alice.send(&sandbox, copy).await;
        let expected = if is_copied { (200, "") } else { (412, "PreconditionFailed") };
        assert_eq!(code(&answer), expected, "{name}: {value}");
        let deleted = alice.send(&sandbox, CosRequest::new(Method::DELETE, "users/alice/b")).await;
        assert_eq!(deleted.status, 204);
    }
}

#[tokio::test]
async fn metadata_is_limited_and_an_empty_header_is_ignored() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let (fits, too_long) = ("x".repeat(2048 - "x-cos-meta-a".len()), "x".repeat(2048));
    for (value, expected) in [(&fits, (200, "")), (&too_long, (400, "MetadataTooLarge"))] {
        let headers = [("x-cos-meta-a", value.as_str()), ("cache-control", "")];
        let put = CosRequest { headers: &headers, ..CosRequest::put("users/alice/a", "x") };
        assert_eq!(code(&alice.send(&sandbox, put).await), expected);
    }
    let head = alice.send(&sandbox, CosRequest::new(Method::HEAD, "users/alice/a")).await;
    assert_eq!((head.header("x-cos-meta-a"), head.headers.get("cache-control")), (fits.as_str(), None));
}

#[tokio::test]
async fn a_copy_needs_access_to_source_and_target() {
    let sandbox = Sandbox::start();
    let (alice, account) = (Key::for_user(&sandbox, "files", "alice").await, Key::of_account(&sandbox));
    for key in ["users/alice/a", "users/bob/a"] {
        assert_eq!(account.send(&sandbox, CosRequest::put(key, key.to_owned())).await.status, 200);
    }
    for (from, to, expected) in [
        ("users/alice/a", "users/alice/b%2B", (200, "")),
        ("users/bob/a", "users/alice/c", DENIED),
        ("users/alice/a", "users/bob/c", DENIED),
        ("users/alice/none", "users/alice/c", (404, "NoSuchKey")),
    ] {
        let source = format!("{BUCKET}.cos.ap-guangzhou.myqcloud.com/{from}");
        let headers = [("x-cos-copy-source", source.as_str())];
        let copied =
            alice.send(&sandbox, CosRequest { headers: &headers, ..CosRequest::new(Method::PUT, to) }).await;
        assert_eq!(code(&copied), expected, "{from} {to}");
    }
    assert_eq!(
        alice.send(&sandbox, CosRequest::new(Method::GET, "users/alice/b%2B")).await.body,
        "users/alice/a"
    );
}

#[tokio::test]
async fn a_web_page_of_any_origin_may_use_a_bucket() {
    let sandbox = Sandbox::start();
    let url = sandbox.url(&format!("/{BUCKET}/users/alice/a"));
    let preflight = sandbox
        .http
        .request(Method::OPTIONS, &url)
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "authorization,x-cos-security-token,content-type");
    let preflight = Answer::of(preflight).await;
    assert_eq!(preflight.status, 200);
    assert_eq!(preflight.header("access-control-allow-origin"), "*");
    assert!(preflight.header("access-control-allow-methods").contains("PUT"));
    assert!(preflight.header("access-control-allow-headers").contains("x-cos-security-token"));
    let account = Key::of_account(&sandbox);
    let headers = [("origin", "https://app.example.com")];
    let stored = account.send(&sandbox, CosRequest { headers: &headers, ..CosRequest::put("a", "x") }).await;
    assert_eq!(stored.header("access-control-allow-origin"), "*");
    let exposed: Vec<_> = stored.header("access-control-expose-headers").split(", ").collect();
    for header in ["etag", "x-cos-request-id", "date"] {
        assert!(exposed.contains(&header), "{header}");
    }
    assert!(exposed.is_sorted(), "{exposed:?}");
    let without_origin = account.send(&sandbox, CosRequest::new(Method::GET, "a")).await;
    let names: Vec<_> = without_origin.headers.keys().map(reqwest::header::HeaderName::as_str).collect();
    assert!(!names.iter().any(|name| name.starts_with("access-control-")), "{names:?}");
}

/// A host names its region behind `cos` or `cos-internal`, and the services beside COS have hosts of their own.
#[tokio::test]
async fn hosts_of_other_regions_and_services_are_refused() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let proxy = reqwest::Proxy::http(sandbox.url("")).unwrap();
    let http = reqwest::Client::builder().proxy(proxy).timeout(Duration::from_secs(10)).build().unwrap();
    for (host, expected) in [
        ("cos.ap-guangzhou.myqcloud.com", (200, "")),
        ("cos-internal.ap-guangzhou.tencentcos.cn", (200, "")),
        ("cos.ap-beijing.tencentcos.cn", DENIED),
        ("cos-internal.ap-beijing.tencentcos.cn", DENIED),
        ("ci.ap-guangzhou.myqcloud.com", MISSING),
        ("cos-website.ap-guangzhou.myqcloud.com", MISSING),
    ] {
        let host = format!("{BUCKET}.{host}");
        let signed = signature::authorization(&alice, "PUT", "/users/alice/a", &[("host", &host)]);
        let request = http
            .put(format!("http://{host}/users/alice/a"))
            .header("authorization", signed)
            .header("x-cos-security-token", alice.token.clone().unwrap())
            .body("x");
        let answer = Answer::of(request).await;
        assert_eq!(code(&answer), expected, "{host}: {answer:?}");
    }
}

/// With the bucket in the host, `/token` is a key in it and not a route of the sandbox.
#[tokio::test]
async fn with_the_cloud_as_a_proxy_a_bucket_has_its_real_host_name() {
    let sandbox = Sandbox::start();
    let proxy = reqwest::Proxy::http(sandbox.url("")).unwrap();
    let http = reqwest::Client::builder().proxy(proxy).timeout(Duration::from_secs(10)).build().unwrap();
    for host in [format!("{BUCKET}.cos.ap-guangzhou.myqcloud.com"), format!("{BUCKET}.cos.localhost")] {
        for (path, expected) in
            [("/token?sub=alice", MISSING), ("/", DENIED), ("/jwks.json", DENIED), ("/presign", DENIED)]
        {
            let answer = Answer::of(http.get(format!("http://{host}{path}"))).await;
            assert_eq!(code(&answer), expected, "{host}{path}");
            assert!(answer.body.contains(&format!("<Resource>{BUCKET}/")), "{answer:?}");
        }
    }
}

/// The Python SDK keeps the case of header names, and its callers read `ETag`.
#[tokio::test]
async fn header_names_have_the_case_of_cos() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let sandbox = Sandbox::start();
    let account = Key::of_account(&sandbox);
    assert_eq!(
        account.send(&sandbox, CosRequest::put("a", "etag: kept\r\ncontent-length: kept")).await.status,
        200
    );
    let url = account.presigned(&sandbox, "GET", "a", &[]);
    let path = url.strip_prefix(&sandbox.url("")).unwrap();
    let mut socket = tokio::net::TcpStream::connect(sandbox.cloud).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", sandbox.cloud);
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    for name in
        ["ETag: \"", "Content-Length: 32\r\n", "Last-Modified: ", "Content-Type: ", "x-cos-request-id: "]
    {
        assert!(answer.contains(&format!("\r\n{name}")), "{name}: {answer}");
    }
    assert!(answer.ends_with("etag: kept\r\ncontent-length: kept"), "{answer}");
    assert!(!answer.contains("cosbroker"), "{answer}");
}

/// Without `TCP_NODELAY`, delayed acknowledgements would hold each body back for 40 ms.
#[tokio::test]
async fn answers_on_a_kept_alive_connection_are_not_delayed() {
    let sandbox = Sandbox::start();
    let mut durations = Vec::new();
    for _ in 0..60 {
        let started = std::time::Instant::now();
        assert_eq!(Answer::of(sandbox.http.get(sandbox.url("/clock"))).await.status, 200);
        durations.push(started.elapsed());
    }
    // The first acknowledgements are never delayed. Of the later responses each would be, so one fast response is
    // enough, however busy the machine is.
    let fastest = durations[40..].iter().min().unwrap();
    assert!(*fastest < Duration::from_millis(30), "{durations:?}");
}
