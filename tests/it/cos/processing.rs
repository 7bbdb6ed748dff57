//! What a request sets going beside its own operation: rules of data processing and callbacks.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;

const PICTURE: &str = "users/alice/a.png";

fn rule(file: &str) -> String {
    format!(r#"{{"is_pic_info":1,"rules":[{{"fileid":"{file}","rule":"imageMogr2/rotate/90"}}]}}"#)
}

/// Uploads a picture with these rules.
async fn upload(sandbox: &Sandbox, by: &Key, rules: &str) -> Answer {
    let headers = [("pic-operations", rules)];
    by.send(sandbox, CosRequest { headers: &headers, ..CosRequest::put(PICTURE, "picture") }).await
}

async fn content(sandbox: &Sandbox, key: &str) -> (u16, String) {
    let answer = Key::of_account(sandbox).send(sandbox, CosRequest::new(Method::GET, key)).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn a_rule_writes_a_file_where_the_key_may_write_and_nowhere_else() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    for (file, key) in [
        ("small.png", "users/alice/small.png"),
        ("small/b.png", "users/alice/small/b.png"),
        ("/users/alice/c.png", "users/alice/c.png"),
        // A path is not resolved: this is a name in Alice's own folder.
        ("../bob/d.png", "users/alice/../bob/d.png"),
    ] {
        let answer = upload(&sandbox, &alice, &rule(file)).await;
        assert_eq!(answer.status, 200, "{file}: {answer:?}");
        assert!(answer.body.contains("<UploadResult>"), "{answer:?}");
        assert!(answer.body.contains(&format!("<Key>{key}</Key>")), "{answer:?}");
        assert!(answer.header("etag").starts_with('"'), "{answer:?}");
        let listed = Key::of_account(&sandbox)
            .send(&sandbox, CosRequest { query: &[("prefix", key)], ..CosRequest::new(Method::GET, "") })
            .await;
        assert!(listed.body.contains(&format!("<Key>{key}</Key>")), "{key}: {listed:?}");
    }
    let account = Key::of_account(&sandbox);
    let removed = account.send(&sandbox, CosRequest::new(Method::DELETE, PICTURE)).await;
    assert_eq!(removed.status, 204);
    let elsewhere = r#"{"rules":[{"bucket":"other-1250000000","fileid":"/users/alice/e.png","rule":"r"}]}"#;
    for rules in [&rule("/users/bob/a.png"), &rule("/a.png"), &rule("//users/bob/a.png"), elsewhere] {
        assert_eq!(code(&upload(&sandbox, &alice, rules).await), DENIED, "{rules}");
        assert_eq!(content(&sandbox, PICTURE).await.0, 404, "nothing is written at all: {rules}");
    }
    assert_eq!(content(&sandbox, "users/bob/a.png").await.0, 404);
}

#[tokio::test]
async fn rules_that_cannot_be_read_are_refused() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let six = format!(r#"{{"rules":[{}]}}"#, [r#"{"fileid":"a","rule":"r"}"#; 6].join(","));
    for rules in ["1", "{", r#"{"rules":[{"rule":"r"}]}"#, r#"{"rules":[],"more":1}"#, &rule("folder/"), &six]
    {
        let answer = upload(&sandbox, &alice, rules).await;
        assert_eq!(code(&answer), (400, "InvalidArgument"), "{rules}: {answer:?}");
    }
    assert_eq!(upload(&sandbox, &alice, r#"{"is_pic_info":1}"#).await.status, 200);
}

/// The upload of one part that `Key` has begun: its id, and the list that completes it.
async fn begun(sandbox: &Sandbox, by: &Key) -> (String, String) {
    let begin = CosRequest { query: &[("uploads", "")], ..CosRequest::new(Method::POST, PICTURE) };
    let answer = by.send(sandbox, begin).await;
    let id = answer.body.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0.to_owned();
    let query = [("partNumber", "1"), ("uploadId", id.as_str())];
    let part = by.send(sandbox, CosRequest { query: &query, ..CosRequest::put(PICTURE, "picture") }).await;
    let etag = part.header("etag");
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    (id, list)
}

#[tokio::test]
async fn rules_are_checked_wherever_they_may_stand() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let (id, list) = begun(&sandbox, &alice).await;
    for (file, expected) in [("/users/bob/b.png", DENIED), ("b.png", (200, ""))] {
        let rules = rule(file);
        let headers = [("pic-operations", rules.as_str())];
        let complete = CosRequest {
            query: &[("uploadId", &id)],
            headers: &headers,
            body: list.clone().into(),
            ..CosRequest::new(Method::POST, PICTURE)
        };
        assert_eq!(code(&alice.send(&sandbox, complete).await), expected, "completed: {file}");
        let stored = CosRequest {
            query: &[("image_process", "")],
            headers: &headers,
            ..CosRequest::new(Method::POST, PICTURE)
        };
        let expected = if expected == DENIED { DENIED } else { (200, "") };
        assert_eq!(code(&alice.send(&sandbox, stored).await), expected, "stored: {file}");
    }
    assert_eq!(content(&sandbox, "users/alice/b.png").await, (200, "picture".to_owned()));
    assert_eq!(content(&sandbox, "users/bob/b.png").await.0, 404);
    let without = CosRequest { query: &[("image_process", "")], ..CosRequest::new(Method::POST, PICTURE) };
    assert_eq!(code(&alice.send(&sandbox, without).await), (400, "InvalidArgument"));
    // A picture is processed at its download by `GET /key?imageMogr2/…` only, which writes nothing.
    let headers = [("pic-operations", r#"{"rules":[]}"#)];
    let download = CosRequest { headers: &headers, ..CosRequest::new(Method::GET, PICTURE) };
    assert_eq!(code(&alice.send(&sandbox, download).await), MISSING);
}

#[tokio::test]
async fn rules_of_a_form_are_checked_in_its_fields_and_in_its_headers() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let in_home = serde_json::json!(["starts-with", "$key", "users/alice/"]);
    let fields = form::form(&alice, PICTURE, &[in_home]);
    for (file, expected) in [("/users/bob/f.png", DENIED), ("f.png", (204, ""))] {
        let rules = rule(file);
        let with_field = [fields.as_slice(), &[("Pic-Operations", rules.clone())]].concat();
        let in_field = form::post_with(&sandbox, &[], &with_field, "picture").await;
        assert_eq!(code(&in_field), expected, "{file}: {in_field:?}");
        let headers = [("pic-operations", rules.as_str())];
        let in_header = form::post_with(&sandbox, &headers, &fields, "picture").await;
        assert_eq!(code(&in_header), expected, "{file}: {in_header:?}");
        let twice = form::post_with(&sandbox, &headers, &with_field, "picture").await;
        assert_eq!(code(&twice), (400, "InvalidArgument"), "{file}: {twice:?}");
    }
    assert_eq!(content(&sandbox, "users/alice/f.png").await, (200, "picture".to_owned()));
    assert_eq!(content(&sandbox, "users/bob/f.png").await.0, 404);
}

#[tokio::test]
async fn a_callback_is_refused_by_name_as_the_sandbox_calls_no_server() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let callback = STANDARD.encode(r#"{"callbackUrl":"http://example.com/","callbackBody":"x"}"#);
    let headers = [("x-cos-callback", callback.as_str())];
    let put = CosRequest { headers: &headers, ..CosRequest::put(PICTURE, "x") };
    let answer = alice.send(&sandbox, put).await;
    assert_eq!(code(&answer), MISSING);
    assert!(answer.body.contains("x-cos-callback"), "{answer:?}");
    assert_eq!(content(&sandbox, PICTURE).await.0, 404);
}
