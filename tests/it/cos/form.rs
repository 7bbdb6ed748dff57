//! Uploads by a form, as browsers send it without a script.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tencent_sign::cos::form_signature;

use super::*;

/// A form's fields in their order, the file last.
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
    let body = form_body(fields, file);
    let request = sandbox.http.post(sandbox.url(&format!("/{BUCKET}/")));
    Answer::of(request.header("content-type", "multipart/form-data; boundary=cut").body(body)).await
}

/// The fields of a form of this key's (docs 436/14690).
fn form(by: &Key, key: &str, conditions: &[Value]) -> Vec<(&'static str, String)> {
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
async fn a_browsers_form_uploads_as_far_as_its_key_and_its_policy_go() {
    let sandbox = Sandbox::start();
    let alice = Key::of(&sandbox, "files", "alice").await;
    let in_home = json!(["starts-with", "$key", "users/alice/"]);
    let mine = |extra: &[(&'static str, &str)]| {
        let mut fields = form(&alice, "users/alice/${filename}", std::slice::from_ref(&in_home));
        fields.extend(extra.iter().map(|(name, value)| (*name, (*value).to_owned())));
        fields
    };
    assert_eq!(post(&sandbox, &mine(&[]), "content").await.status, 204);
    assert_eq!(alice.send(&sandbox, Ask::new(Method::GET, "users/alice/p.txt")).await.body, "content");
    let created =
        post(&sandbox, &mine(&[("success_action_status", "201"), ("Content-Type", "text/plain")]), "x").await;
    assert!(created.status == 201 && created.body.contains("<Key>users/alice/p.txt</Key>"), "{created:?}");
    let told = alice.send(&sandbox, Ask::new(Method::HEAD, "users/alice/p.txt")).await;
    assert_eq!(told.header("content-type"), "text/plain");

    let bobs = form(&alice, "users/bob/p.txt", &[]);
    let short = form(&alice, "users/alice/p.txt", &[json!(["content-length-range", 1, 3])]);
    let elsewhere = form(&alice, "users/alice/p.txt", &[json!(["eq", "$key", "users/alice/q.txt"])]);
    let mut unsigned = mine(&[]);
    unsigned.retain(|(name, _)| *name != "policy");
    let mut forged = mine(&[]);
    forged[1].1 = STANDARD.encode(r#"{"expiration": "2126-01-01T00:00:00.000Z", "conditions": []}"#);
    for (fields, expected) in [
        (bobs, DENIED),
        (elsewhere, DENIED),
        (unsigned, DENIED),
        (forged, (403, "SignatureDoesNotMatch")),
        (mine(&[("acl", "public-read")]), DENIED),
        (short, (400, "EntityTooLarge")),
    ] {
        assert_eq!(code(&post(&sandbox, &fields, "four").await), expected, "{fields:?}");
    }
    assert_eq!(alice.send(&sandbox, Ask::new(Method::GET, "users/alice/p.txt")).await.body, "x");
}

#[tokio::test]
async fn a_form_says_once_and_well_what_the_object_is_told_with() {
    let sandbox = Sandbox::start();
    let alice = Key::of(&sandbox, "files", "alice").await;
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
    assert_eq!(alice.send(&sandbox, Ask::new(Method::GET, key)).await.body, "x");
    let query = [("response-content-disposition", "a\r\nb: c")];
    let asked = alice.send(&sandbox, Ask { query: &query, ..Ask::new(Method::GET, key) }).await;
    assert_eq!(code(&asked), (400, "InvalidArgument"));
}

#[tokio::test]
async fn what_is_no_form_is_told_so_and_the_next_request_is_answered() {
    let sandbox = Sandbox::start();
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data"),
        Some("multipart/form-data; boundary="),
        Some("multipart/mixed; boundary=cut"),
    ] {
        for query in ["", "?Delete"] {
            let request = sandbox.http.post(sandbox.url(&format!("/{BUCKET}/{query}"))).body("x=1");
            let request = kind.iter().fold(request, |request, kind| request.header("content-type", *kind));
            let refused = Answer::of(request).await;
            assert_eq!(code(&refused), (400, "MalformedPOSTRequest"), "{kind:?} {query}: {refused:?}");
        }
    }
    let alice = Key::of(&sandbox, "files", "alice").await;
    let mut fields = form(&alice, "users/alice/p.txt", &[]);
    fields.push(("success_action_redirect", "http://a.test/\r\nX: 1".to_owned()));
    assert_eq!(code(&post(&sandbox, &fields, "x").await), (400, "InvalidArgument"));
    let kept = alice.send(&sandbox, Ask::new(Method::GET, "users/alice/p.txt")).await;
    assert_eq!(code(&kept), (404, "NoSuchKey"), "what is refused is not kept");
    assert_eq!(post(&sandbox, &form(&alice, "users/alice/p.txt", &[]), "x").await.status, 204);
}

/// How long a file is that comes in chunks, nobody knows before it is there; so no field can say.
#[tokio::test]
async fn a_form_in_chunks_has_no_length_whatever_its_fields_say() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let sandbox = Sandbox::start();
    let alice = Key::of(&sandbox, "upload", "alice").await;
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
