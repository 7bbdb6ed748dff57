//! What each operation knows, and that nothing else passes as a plain request.

use super::*;

const KEY: &str = "users/alice/a.png";

#[tokio::test]
async fn what_an_operation_does_not_know_is_refused_by_name_and_changes_nothing() {
    let sandbox = Sandbox::start();
    let account = Key::of_account(&sandbox);
    assert_eq!(account.send(&sandbox, CosRequest::put(KEY, "original")).await.status, 200);
    for (method, key, query) in [
        (Method::GET, KEY, ("imageMogr2/thumbnail/!50p", "")),
        (Method::GET, KEY, ("ci-process", "imageView")),
        (Method::GET, KEY, ("acl", "")),
        (Method::HEAD, KEY, ("versionId", "1")),
        (Method::PUT, KEY, ("encryption", "")),
        (Method::PUT, KEY, ("x-cos-acl", "public-read")),
        (Method::POST, KEY, ("restore", "")),
        (Method::HEAD, KEY, ("tagging", "")),
        (Method::DELETE, KEY, ("versionId", "1")),
        (Method::GET, "", ("versions", "")),
        (Method::GET, "", ("list-type", "2")),
        (Method::HEAD, "", ("acl", "")),
        (Method::PUT, "", ("lifecycle", "")),
    ] {
        let request = CosRequest { query: &[query], ..CosRequest::new(method.clone(), key) };
        let answer = account.send(&sandbox, request).await;
        assert_eq!(answer.status, 501, "{method} {query:?}: {answer:?}");
        assert!(method == Method::HEAD || answer.body.contains(&format!("?{}", query.0)), "{answer:?}");
    }
    for header in ["x-cos-callback", "x-cos-server-side-encryption", "x-cos-unheard-of"] {
        let put = CosRequest { headers: &[(header, "1")], ..CosRequest::put(KEY, "changed") };
        let answer = account.send(&sandbox, put).await;
        assert_eq!(code(&answer), MISSING, "{header}");
        assert!(answer.body.contains(header), "{answer:?}");
    }
    let part = CosRequest { query: &[("partNumber", "1")], ..CosRequest::put(KEY, "changed") };
    assert_eq!(code(&account.send(&sandbox, part).await), (400, "InvalidArgument"));
    let stored = account.send(&sandbox, CosRequest::new(Method::GET, KEY)).await;
    assert_eq!((stored.status, stored.body.as_str()), (200, "original"));
}

/// A request: its method, whether it is about an object, and its parameters.
type Plain = (Method, bool, &'static [(&'static str, &'static str)]);

/// A request of each operation.
const OPERATIONS: [Plain; 24] = [
    (Method::GET, false, &[]),
    (Method::HEAD, false, &[]),
    (Method::PUT, false, &[]),
    (Method::POST, false, &[]),
    (Method::GET, false, &[("uploads", "")]),
    (Method::POST, false, &[("delete", "")]),
    (Method::PUT, false, &[("policy", "")]),
    (Method::GET, false, &[("policy", "")]),
    (Method::DELETE, false, &[("policy", "")]),
    (Method::PUT, true, &[]),
    (Method::GET, true, &[]),
    (Method::HEAD, true, &[]),
    (Method::DELETE, true, &[]),
    (Method::OPTIONS, true, &[]),
    (Method::POST, true, &[("uploads", "")]),
    (Method::PUT, true, &[("partNumber", "1"), ("uploadId", "x")]),
    (Method::GET, true, &[("uploadId", "x")]),
    (Method::POST, true, &[("uploadId", "x")]),
    (Method::DELETE, true, &[("uploadId", "x")]),
    (Method::POST, true, &[("append", ""), ("position", "0")]),
    (Method::POST, true, &[("image_process", "")]),
    (Method::PUT, true, &[("tagging", "")]),
    (Method::GET, true, &[("tagging", "")]),
    (Method::DELETE, true, &[("tagging", "")]),
];

#[tokio::test]
async fn one_unknown_parameter_or_header_at_any_operation_is_never_a_plain_200() {
    let sandbox = Sandbox::start();
    let account = Key::of_account(&sandbox);
    assert_eq!(account.send(&sandbox, CosRequest::put(KEY, "original")).await.status, 200);
    let source = copy_source(KEY);
    for (method, has_key, own) in OPERATIONS {
        let copies = method == Method::PUT && has_key && own.iter().all(|(name, _)| *name != "tagging");
        for copy in if copies { &[false, true][..] } else { &[false] } {
            let key = if has_key { KEY } else { "" };
            let copy: &[_] = if *copy { &[("x-cos-copy-source", source.as_str())] } else { &[] };
            let with_parameter = [own, &[("unheard-of", "1")]].concat();
            let with_header = [copy, &[("x-cos-unheard-of", "1")]].concat();
            for (query, headers, named) in
                [(&with_parameter[..], copy, "unheard-of"), (own, &with_header[..], "x-cos-unheard-of")]
            {
                let request = CosRequest { query, headers, ..CosRequest::new(method.clone(), key) };
                let answer = account.send(&sandbox, request).await;
                assert_eq!(answer.status, 501, "{method} {query:?} {headers:?}: {answer:?}");
                assert!(method == Method::HEAD || answer.body.contains(named), "{answer:?}");
            }
        }
    }
    assert_eq!(account.send(&sandbox, CosRequest::new(Method::GET, KEY)).await.body, "original");
}

/// `GET ///////` is the bucket, says the vendor's own test (cos-nodejs-sdk-v5, `test/test.js`).
#[tokio::test]
async fn a_path_of_slashes_is_the_bucket() {
    let sandbox = Sandbox::start();
    let (alice, account) = (Key::for_user(&sandbox, "files", "alice").await, Key::of_account(&sandbox));
    assert_eq!(account.send(&sandbox, CosRequest::put(KEY, "x")).await.status, 200);
    let list = |query| CosRequest { query, ..CosRequest::new(Method::GET, "//////") };
    let listed = account.send(&sandbox, list(&[])).await;
    assert!(listed.body.contains(&format!("<Key>{KEY}</Key>")), "{listed:?}");
    assert_eq!(code(&alice.send(&sandbox, list(&[])).await), DENIED);
    assert_eq!(alice.send(&sandbox, list(&[("prefix", "users/alice/")])).await.status, 200);
}

#[tokio::test]
async fn a_preflight_without_its_headers_is_told_so() {
    let sandbox = Sandbox::start();
    let account = Key::of_account(&sandbox);
    let answer = account.send(&sandbox, CosRequest::new(Method::OPTIONS, KEY)).await;
    assert_eq!(code(&answer), (400, "InvalidArgument"), "{answer:?}");
    assert!(answer.body.contains("Access-Control-Request-Method"), "{answer:?}");
    let preflight = sandbox
        .http
        .request(Method::OPTIONS, sandbox.url(&format!("/{BUCKET}/{KEY}")))
        .header("origin", "http://app.test")
        .header("access-control-request-method", "PUT");
    let answer = Answer::of(preflight).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "*"));
}

#[tokio::test]
async fn an_empty_parameter_is_an_absent_one() {
    let sandbox = Sandbox::start();
    let account = Key::of_account(&sandbox);
    assert_eq!(account.send(&sandbox, CosRequest::put(KEY, "original")).await.status, 200);
    for (method, key, query) in [
        (Method::GET, KEY, "versionId"),
        (Method::HEAD, KEY, "versionId"),
        (Method::GET, KEY, "response-content-type"),
        (Method::GET, "", "prefix"),
        (Method::GET, "", "encoding-type"),
        (Method::GET, "", "max-keys"),
    ] {
        let request = CosRequest { query: &[(query, "")], ..CosRequest::new(method, key) };
        assert_eq!(account.send(&sandbox, request).await.status, 200, "{query}");
    }
}

/// Begins an upload and sends its only part; returns its id and the list of its parts.
async fn uploaded_part(sandbox: &Sandbox, by: &Key, body: &'static str) -> (String, String) {
    let begin = CosRequest { query: &[("uploads", "")], ..CosRequest::new(Method::POST, KEY) };
    let answer = by.send(sandbox, begin).await;
    let id = answer.body.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0.to_owned();
    let part = CosRequest { query: &[("partNumber", "1"), ("uploadId", &id)], ..CosRequest::put(KEY, body) };
    let etag = by.send(sandbox, part).await.header("etag").to_owned();
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    (id, list)
}

#[tokio::test]
async fn completing_an_upload_does_not_overwrite_what_it_was_told_to_keep() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let (id, list) = uploaded_part(&sandbox, &alice, "changed").await;
    assert_eq!(alice.send(&sandbox, CosRequest::put(KEY, "original")).await.status, 200);
    for (headers, expected) in
        [(&[("x-cos-forbid-overwrite", "true")][..], (409, "FileAlreadyExists")), (&[], (200, ""))]
    {
        let request = CosRequest {
            query: &[("uploadId", &id)],
            headers,
            body: list.clone().into(),
            ..CosRequest::new(Method::POST, KEY)
        };
        assert_eq!(code(&alice.send(&sandbox, request).await), expected);
    }
    assert_eq!(alice.send(&sandbox, CosRequest::new(Method::GET, KEY)).await.body, "changed");
}

fn copy_source(key: &str) -> String {
    format!("{BUCKET}.cos.ap-guangzhou.myqcloud.com/{key}")
}

#[tokio::test]
async fn a_part_is_copied_from_an_object_that_the_key_may_read() {
    let sandbox = Sandbox::start();
    let account = Key::of_account(&sandbox);
    assert_eq!(account.send(&sandbox, CosRequest::put(KEY, "0123456789")).await.status, 200);
    let (id, _) = uploaded_part(&sandbox, &account, "replaced").await;
    let part = [("partNumber", "1"), ("uploadId", id.as_str())];
    let source = copy_source(KEY);
    for (range, expected) in [
        ("bytes=5-20", (416, "InvalidRange")),
        ("bytes=5-", (400, "InvalidArgument")),
        ("bytes=2-4", (200, "")),
    ] {
        let headers = [("x-cos-copy-source", source.as_str()), ("x-cos-copy-source-range", range)];
        let copy = CosRequest { query: &part, headers: &headers, ..CosRequest::new(Method::PUT, KEY) };
        let answer = account.send(&sandbox, copy).await;
        assert_eq!(code(&answer), expected, "{range}");
        if answer.status != 200 {
            continue;
        }
        let etag = answer.body.split_once("<ETag>").unwrap().1.split_once("</ETag>").unwrap().0;
        let body = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
        );
        let complete =
            CosRequest { query: &part[1..], body: body.into(), ..CosRequest::new(Method::POST, KEY) };
        assert_eq!(account.send(&sandbox, complete).await.status, 200);
    }
    assert_eq!(account.send(&sandbox, CosRequest::new(Method::GET, KEY)).await.body, "234");

    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let source = copy_source("users/bob/a");
    let headers = [("x-cos-copy-source", source.as_str())];
    let copy = CosRequest { query: &part, headers: &headers, ..CosRequest::new(Method::PUT, KEY) };
    assert_eq!(code(&alice.send(&sandbox, copy).await), DENIED);
}

/// Returns the request that deletes these objects.
fn delete_several(list: &str, md5: Option<&str>) -> (Vec<(String, String)>, String) {
    let body = format!("<Delete>{list}</Delete>");
    let digest = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, md5_of(&body));
    (vec![("content-md5".to_owned(), md5.map_or(digest, str::to_owned))], body)
}

fn md5_of(text: &str) -> [u8; 16] {
    use md5::{Digest, Md5};
    Md5::digest(text).into()
}

async fn send_delete(sandbox: &Sandbox, by: &Key, list: &str, md5: Option<&str>) -> Answer {
    let (headers, body) = delete_several(list, md5);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let request = CosRequest {
        query: &[("delete", "")],
        headers: &headers,
        body: body.into(),
        ..CosRequest::new(Method::POST, "")
    };
    by.send(sandbox, request).await
}

#[tokio::test]
async fn several_objects_are_deleted_each_only_if_the_key_may_delete_it() {
    let sandbox = Sandbox::start();
    let (alice, account) = (Key::for_user(&sandbox, "files", "alice").await, Key::of_account(&sandbox));
    for key in [KEY, "users/alice/b", "users/bob/a"] {
        assert_eq!(account.send(&sandbox, CosRequest::put(key, "x")).await.status, 200);
    }
    let keys = format!("<Object><Key>{KEY}</Key></Object><Object><Key>users/bob/a</Key></Object>");
    let wrong = send_delete(&sandbox, &alice, &keys, Some("1B2M2Y8AsgTpgAmY7PhCfg==")).await;
    assert_eq!(code(&wrong), (400, "BadDigest"));
    let version = format!("<Object><Key>{KEY}</Key><VersionId>1</VersionId></Object>");
    assert_eq!(code(&send_delete(&sandbox, &alice, &version, None).await), MISSING);
    assert_eq!(code(&send_delete(&sandbox, &alice, "", None).await), (400, "MalformedXML"));

    let answer = send_delete(&sandbox, &alice, &keys, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for part in [
        format!("<Deleted><Key>{KEY}</Key></Deleted>"),
        "<Error><Key>users/bob/a</Key><Code>AccessDenied</Code>".to_owned(),
    ] {
        assert!(answer.body.contains(&part), "{part}: {answer:?}");
    }
    assert_eq!(account.send(&sandbox, CosRequest::new(Method::GET, "users/bob/a")).await.status, 200);
    assert_eq!(account.send(&sandbox, CosRequest::new(Method::GET, KEY)).await.status, 404);

    let quietly = "<Quiet>true</Quiet><Object><Key>users/alice/b</Key></Object>";
    let answer = send_delete(&sandbox, &alice, quietly, None).await;
    assert!(answer.status == 200 && !answer.body.contains("<Key>"), "{answer:?}");
    assert_eq!(account.send(&sandbox, CosRequest::new(Method::GET, "users/alice/b")).await.status, 404);
}

#[tokio::test]
async fn a_bucket_exists_already_for_the_account_and_cannot_be_created_by_a_user() {
    let sandbox = Sandbox::start();
    let (alice, account) = (Key::for_user(&sandbox, "files", "alice").await, Key::of_account(&sandbox));
    let create = || CosRequest::new(Method::PUT, "");
    assert_eq!(code(&account.send(&sandbox, create()).await), (409, "BucketAlreadyOwnedByYou"));
    assert_eq!(code(&alice.send(&sandbox, create()).await), DENIED);
    assert_eq!(account.send(&sandbox, CosRequest::new(Method::HEAD, "")).await.status, 200);
    assert_eq!(alice.send(&sandbox, CosRequest::new(Method::HEAD, "")).await.status, 403);
}

#[tokio::test]
async fn an_object_grows_at_its_end_only() {
    async fn append(sandbox: &Sandbox, by: &Key, position: &str, body: &'static str) -> Answer {
        let query = [("append", ""), ("position", position)];
        let request = CosRequest { query: &query, body: body.into(), ..CosRequest::new(Method::POST, KEY) };
        by.send(sandbox, request).await
    }
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("objects").display().to_string();
    let sandbox = Sandbox::with(&["--data", &data]);
    let account = Key::of_account(&sandbox);
    let first = append(&sandbox, &account, "0", "01234").await;
    assert_eq!((first.status, first.header("x-cos-next-append-position")), (200, "5"), "{first:?}");
    let second = append(&sandbox, &account, "5", "56789").await;
    assert_eq!((second.status, second.header("x-cos-next-append-position")), (200, "10"));
    assert_eq!(code(&append(&sandbox, &account, "5", "x").await), (409, "AppendPositionErr"));
    assert_eq!(code(&append(&sandbox, &account, "", "x").await), (400, "InvalidArgument"));
    let stored = account.send(&sandbox, CosRequest::new(Method::GET, KEY)).await;
    assert_eq!((stored.body.as_str(), stored.header("x-cos-object-type")), ("0123456789", "appendable"));

    assert_eq!(account.send(&sandbox, CosRequest::put(KEY, "normal")).await.status, 200);
    assert_eq!(code(&append(&sandbox, &account, "6", "x").await), (409, "ObjectNotAppendable"));
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    assert_eq!(code(&append(&sandbox, &alice, "0", "x").await), DENIED, "no template grants it");
}
