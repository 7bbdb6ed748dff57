//! Form uploads, as browsers send them without a script.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tencent_sign::cos::form_signature;

use super::*;

/// Returns the body of a form with these fields, the file last.
fn form_body(fields: &[(&str, String)], file: &str) -> String {
    let form = fields.iter().fold(String::new(), |mut form, (name, value)| {
        write!(form, "--cut\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").unwrap();
        form
    });
    format!(
        "{form}--cut\r\ncontent-disposition: form-data; name=\"file\"; filename=\"p.txt\"\r\n\r\n{file}\r\n--cut--\r\n"
    )
}

async fn post(sandbox: &Sandbox, fields: &[(&str, String)], file: &str) -> Answer {
    post_with(sandbox, &[], fields, file).await
}

/// Posts a form with these HTTP headers.
pub(super) async fn post_with(
    sandbox: &Sandbox,
    headers: &[(&str, &str)],
    fields: &[(&str, String)],
    file: &str,
) -> Answer {
    let body = form_body(fields, file);
    let mut request = sandbox.http.post(sandbox.url(&format!("/{BUCKET}/")));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request.header("content-type", "multipart/form-data; boundary=cut").body(body)).await
}

/// Returns the fields of a form signed with this key (docs 436/14690).
pub(super) fn form(by: &Key, key: &str, conditions: &[Value]) -> Vec<(&'static str, String)> {
    let time = by.window.to_string();
    let own = [json!({"q-sign-algorithm": "sha1"}), json!({"q-ak": by.id}), json!({"q-sign-time": time})];
    let conditions: Vec<_> = conditions.iter().chain(&own).collect();
    let policy = json!({"expiration": "2126-01-01T00:00:00.000Z", "conditions": conditions}).to_string();
    vec![
        ("key", key.to_owned()),
        ("policy", STANDARD.encode(&policy)),
        ("q-sign-algorithm", "sha1".to_owned()),
        ("q-ak", by.id.clone()),
        ("q-key-time", time.clone()),
        ("q-signature", form_signature(&by.secret, &time, policy.as_bytes())),
        ("x-cos-security-token", by.token.clone().unwrap()),
    ]
}

#[tokio::test]
async fn a_form_upload_is_limited_by_its_key_and_its_policy() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let in_home = json!(["starts-with", "$key", "users/alice/"]);
    let alices_form = |extra: &[(&'static str, &str)]| {
        let mut fields = form(&alice, "users/alice/${filename}", std::slice::from_ref(&in_home));
        fields.extend(extra.iter().map(|(name, value)| (*name, (*value).to_owned())));
        fields
    };
    assert_eq!(post(&sandbox, &alices_form(&[]), "content").await.status, 204);
    assert_eq!(alice.send(&sandbox, CosRequest::new(Method::GET, "users/alice/p.txt")).await.body, "content");
    let created = post(
        &sandbox,
        &alices_form(&[("success_action_status", "201"), ("Content-Type", "text/plain")]),
        "x",
    )
    .await;
    assert!(created.status == 201 && created.body.contains("<Key>users/alice/p.txt</Key>"), "{created:?}");
    let head = alice.send(&sandbox, CosRequest::new(Method::HEAD, "users/alice/p.txt")).await;
    assert_eq!(head.header("content-type"), "text/plain");

    let bobs = form(&alice, "users/bob/p.txt", &[]);
    let short = form(&alice, "users/alice/p.txt", &[json!(["content-length-range", 1, 3])]);
    let long = form(&alice, "users/alice/p.txt", &[json!(["content-length-range", 10, 100])]);
    let elsewhere = form(&alice, "users/alice/p.txt", &[json!(["eq", "$key", "users/alice/q.txt"])]);
    let mut unsigned = alices_form(&[]);
    unsigned.retain(|(name, _)| *name != "policy");
    let mut forged = alices_form(&[]);
    forged[1].1 = STANDARD.encode(r#"{"expiration": "2126-01-01T00:00:00.000Z", "conditions": []}"#);
    for (fields, expected) in [
        (bobs, DENIED),
        (elsewhere, DENIED),
        (unsigned, DENIED),
        (forged, (403, "SignatureDoesNotMatch")),
        (alices_form(&[("acl", "public-read")]), DENIED),
        (short, (400, "EntityTooLarge")),
        (long, (400, "EntityTooSmall")),
    ] {
        assert_eq!(code(&post(&sandbox, &fields, "four").await), expected, "{fields:?}");
    }
    assert_eq!(alice.send(&sandbox, CosRequest::new(Method::GET, "users/alice/p.txt")).await.body, "x");
}

#[tokio::test]
async fn form_fields_must_be_unique_and_valid_headers() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let key = "users/alice/p.txt";
    for (extra, expected) in [
        (vec![("key", "users/bob/p.txt")], (400, "InvalidArgument")),
        (vec![("acl", "private"), ("x-cos-acl", "private")], (400, "InvalidArgument")),
        (vec![("x-cos-meta-a b", "1")], (400, "InvalidArgument")),
        (vec![("x-cos-meta-a", "1\nb: 2")], (400, "InvalidArgument")),
        (vec![("x-cos-meta-a", "文")], (204, "")),
    ] {
        let mut fields = form(&alice, key, &[]);
        fields.extend(extra.iter().map(|(name, value)| (*name, (*value).to_owned())));
        assert_eq!(code(&post(&sandbox, &fields, "x").await), expected, "{extra:?}");
    }
    assert_eq!(alice.send(&sandbox, CosRequest::new(Method::GET, key)).await.body, "x");
    let query = [("response-content-disposition", "a\r\nb: c")];
    let answer =
        alice.send(&sandbox, CosRequest { query: &query, ..CosRequest::new(Method::GET, key) }).await;
    assert_eq!(code(&answer), (400, "InvalidArgument"));
}

#[tokio::test]
async fn a_body_that_is_no_form_is_refused_and_the_next_request_is_answered() {
    let sandbox = Sandbox::start();
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data"),
        Some("multipart/form-data; boundary="),
        Some("multipart/mixed; boundary=cut"),
    ] {
        for (query, expected) in [("", (400, "MalformedPOSTRequest")), ("?Delete", MISSING)] {
            let request = sandbox.http.post(sandbox.url(&format!("/{BUCKET}/{query}"))).body("x=1");
            let request = kind.iter().fold(request, |request, kind| request.header("content-type", *kind));
            let refused = Answer::of(request).await;
            assert_eq!(code(&refused), expected, "{kind:?} {query}: {refused:?}");
        }
    }
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let mut fields = form(&alice, "users/alice/p.txt", &[]);
    fields.push(("success_action_redirect", "http://a.test/\r\nX: 1".to_owned()));
    assert_eq!(code(&post(&sandbox, &fields, "x").await), (400, "InvalidArgument"));
    let stored = alice.send(&sandbox, CosRequest::new(Method::GET, "users/alice/p.txt")).await;
    assert_eq!(code(&stored), (404, "NoSuchKey"), "a refused upload is not stored");
    assert_eq!(post(&sandbox, &form(&alice, "users/alice/p.txt", &[]), "x").await.status, 204);
}

/// The length of a chunked body is unknown until its end, so no field may set it.
#[tokio::test]
async fn a_field_cannot_set_the_length_of_a_chunked_form() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "upload", "alice").await;
    let mut fields = form(&alice, "users/alice/p.txt", &[]);
    fields.push(("content-length", "1".to_owned()));
    let (form, host) = (form_body(&fields, "four"), sandbox.cloud);
    let mut socket = tokio::net::TcpStream::connect(host).await.unwrap();
    let request = format!(
        "POST /{BUCKET}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: multipart/form-data; boundary=cut\r\n\r\n{:x}\r\n{form}\r\n0\r\n\r\n",
        form.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("<Code>AccessDenied<"), "{answer}");
}

#[tokio::test]
async fn a_form_with_its_file_before_its_key_is_told_the_order() {
    let sandbox = Sandbox::start();
    let body = "--cut\r\ncontent-disposition: form-data; name=\"file\"; filename=\"p.txt\"\r\n\r\nx\r\n\
                --cut\r\ncontent-disposition: form-data; name=\"key\"\r\n\r\na\r\n--cut--\r\n";
    let request = sandbox.http.post(sandbox.url(&format!("/{BUCKET}/")));
    let request = request.header("content-type", "multipart/form-data; boundary=cut").body(body);
    let refused = Answer::of(request).await;
    assert_eq!(code(&refused), (400, "InvalidArgument"));
    assert!(refused.body.contains("no field `key` before `file`"), "{refused:?}");
}

/// `cos-wx-sdk-v5` signs the request and not a policy, and sends the authorization as a field (`lib/request.js`).
#[tokio::test]
async fn the_form_of_the_sdk_for_mini_programs_uploads() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let host = sandbox.cloud.to_string();
    let signed = |method: &str, path: &str| {
        let headers = [("host", host.as_str()), ("x-cos-acl", "private"), ("cache-control", "no-cache")];
        signature::authorization(&alice, method, path, &headers)
    };
    let whole = signed("POST", &format!("/{BUCKET}/"));
    for (key, signature, expected) in [
        ("users/alice/wx.txt", &whole, (200, "")),
        ("users/alice/wx.txt", &signed("POST", "/"), (200, "")),
        ("users/bob/wx.txt", &whole, DENIED),
        ("users/alice/wx.txt", &signed("PUT", &format!("/{BUCKET}/")), (403, "SignatureDoesNotMatch")),
    ] {
        let fields = [
            ("key", key.to_owned()),
            ("success_action_status", "200".to_owned()),
            ("Signature", signature.clone()),
            ("Cache-Control", "no-cache".to_owned()),
            ("x-cos-security-token", alice.token.clone().unwrap()),
            ("acl", "private".to_owned()),
            ("Content-Type", String::new()),
        ];
        assert_eq!(code(&post(&sandbox, &fields, "content").await), expected, "{key}");
    }
    let stored = alice.send(&sandbox, CosRequest::new(Method::GET, "users/alice/wx.txt")).await;
    assert_eq!((stored.body.as_str(), stored.header("cache-control")), ("content", "no-cache"));
}
