//! Stored objects and the answers about them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::support::repository;

const KEY: &str = "users/alice/a";

async fn sandbox_with(body: &'static str) -> (Sandbox, Key) {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let headers =
        [("content-type", "text/plain"), ("cache-control", "max-age=60"), ("x-cos-meta-who", "alice")];
    assert_eq!(
        alice.send(&sandbox, CosRequest { headers: &headers, ..CosRequest::put(KEY, body) }).await.status,
        200
    );
    (sandbox, alice)
}

#[tokio::test]
async fn an_object_is_returned_with_its_stored_headers() {
    let (sandbox, alice) = sandbox_with("0123456789").await;
    for method in [Method::GET, Method::HEAD] {
        let answer = alice.send(&sandbox, CosRequest::new(method.clone(), KEY)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, if method == Method::GET { "0123456789" } else { "" });
        for (name, value) in [
            ("content-length", "10"),
            ("content-type", "text/plain"),
            ("cache-control", "max-age=60"),
            ("x-cos-meta-who", "alice"),
            ("etag", "\"781e5e245d69b566979b86e28d23f2c7\""),
            ("accept-ranges", "bytes"),
        ] {
            assert_eq!(answer.header(name), value, "{method} {name}");
        }
    }
    let query = [("response-content-type", "text/x-other"), ("response-content-disposition", "attachment")];
    let answer =
        alice.send(&sandbox, CosRequest { query: &query, ..CosRequest::new(Method::GET, KEY) }).await;
    assert_eq!(answer.header("content-type"), "text/x-other");
    assert_eq!(answer.header("content-disposition"), "attachment");
}

#[tokio::test]
async fn a_requested_range_is_returned() {
    let (sandbox, alice) = sandbox_with("0123456789").await;
    for (range, status, body, content_range) in [
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=0-99", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=1-2,4-5", 200, "0123456789", ""),
        ("lines=1-2", 200, "0123456789", ""),
    ] {
        let answer = alice
            .send(&sandbox, CosRequest { headers: &[("range", range)], ..CosRequest::new(Method::GET, KEY) })
            .await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{range}");
        assert_eq!(answer.header("content-range"), content_range, "{range}");
    }
    let beyond = CosRequest { headers: &[("range", "bytes=10-")], ..CosRequest::new(Method::GET, KEY) };
    let refused = alice.send(&sandbox, beyond).await;
    assert_eq!(code(&refused), (416, "InvalidRange"));
    assert_eq!(refused.header("content-range"), "bytes */10");
}

#[tokio::test]
async fn a_range_of_another_version_is_the_whole_object() {
    let (sandbox, alice) = sandbox_with("0123456789").await;
    let head = alice.send(&sandbox, CosRequest::new(Method::HEAD, KEY)).await;
    let (etag, modified) = (head.header("etag"), head.header("last-modified"));
    for (validator, status) in [
        (etag, 206),
        (modified, 206),
        ("\"other\"", 200),
        (&format!("W/{etag}"), 200),
        ("Thu, 01 Jan 2015 00:00:00 GMT", 200),
    ] {
        let headers = [("range", "bytes=2-4"), ("if-range", validator)];
        let request = CosRequest { headers: &headers, ..CosRequest::new(Method::GET, KEY) };
        let answer = alice.send(&sandbox, request).await;
        let body = if status == 206 { "234" } else { "0123456789" };
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{validator}");
    }
}

#[tokio::test]
async fn an_object_without_a_content_type_has_that_of_its_extension() {
    let sandbox = Sandbox::start();
    let account = Key::of_account(&sandbox);
    for (key, content_type) in
        [("1.zip", "application/zip"), ("a/b.JPG", "image/jpeg"), ("none", "application/octet-stream")]
    {
        assert_eq!(account.send(&sandbox, CosRequest::put(key, "x")).await.status, 200);
        for method in [Method::GET, Method::HEAD] {
            let answer = account.send(&sandbox, CosRequest::new(method, key)).await;
            assert_eq!(answer.header("content-type"), content_type, "{key}");
        }
    }
}

#[tokio::test]
async fn preconditions_are_checked() {
    let (sandbox, alice) = sandbox_with("0123456789").await;
    let etag = "\"781e5e245d69b566979b86e28d23f2c7\"";
    let answer = alice.send(&sandbox, CosRequest::new(Method::HEAD, KEY)).await;
    let modified = answer.header("last-modified");
    for (name, value, expected) in [
        ("if-none-match", etag, 304),
        ("if-none-match", &format!("\"other\", W/{etag}"), 304),
        ("if-match", &format!("W/{etag}"), 412),
        ("if-none-match", "\"other\"", 200),
        ("if-match", etag, 200),
        ("if-match", "\"other\"", 412),
        ("if-modified-since", modified, 304),
        ("if-modified-since", "Thu, 01 Jan 2015 00:00:00 GMT", 200),
        ("if-unmodified-since", modified, 200),
        ("if-unmodified-since", "Thu, 01 Jan 2015 00:00:00 GMT", 412),
    ] {
        let answer = alice
            .send(&sandbox, CosRequest { headers: &[(name, value)], ..CosRequest::new(Method::GET, KEY) })
            .await;
        assert_eq!(answer.status, expected, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_refused_upload_does_not_change_the_object() {
    let (sandbox, alice) = sandbox_with("before").await;
    let md5 = [("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")];
    let wrong = alice.send(&sandbox, CosRequest { headers: &md5, ..CosRequest::put(KEY, "after") }).await;
    assert_eq!(code(&wrong), (400, "BadDigest"));
    assert_eq!(
        alice
            .send(&sandbox, CosRequest { headers: &md5, ..CosRequest::put("users/alice/empty", "") })
            .await
            .status,
        200
    );
    let forbid = [("x-cos-forbid-overwrite", "true")];
    let existing =
        alice.send(&sandbox, CosRequest { headers: &forbid, ..CosRequest::put(KEY, "after") }).await;
    assert_eq!(code(&existing), (409, "FileAlreadyExists"));
    let long = format!("users/alice/{}", "x".repeat(840));
    assert_eq!(code(&alice.send(&sandbox, CosRequest::put(&long, "")).await), (400, "KeyTooLong"));
    assert_eq!(alice.send(&sandbox, CosRequest::new(Method::GET, KEY)).await.body, "before");
}

/// Uploads a gigabyte without holding it in memory, and returns the status and the whole answer.
async fn put_gigabyte(sandbox: &Sandbox, by: &Key, key: &str) -> (u16, String) {
    let url = by.presigned(sandbox, "PUT", key, &[]);
    let path = url.strip_prefix(&sandbox.url("")).unwrap();
    let mut socket = tokio::net::TcpStream::connect(sandbox.cloud).await.unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        sandbox.cloud,
        1 << 30
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..1024 {
        socket.write_all(&piece).await.unwrap();
    }
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[tokio::test]
async fn a_gigabyte_is_stored_in_the_folder_and_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("objects").display().to_string();
    let sandbox = Sandbox::with(&["--data", &data]);
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let before = sandbox.peak_memory();
    assert_eq!(put_gigabyte(&sandbox, &alice, KEY).await.0, 200);
    let url = alice.presigned(&sandbox, "GET", KEY, &[]);
    let mut answer = sandbox.http.get(url).send().await.unwrap();
    let mut read = 0;
    while let Some(chunk) = answer.chunk().await.unwrap() {
        assert!(chunk.iter().all(|byte| *byte == b'x'));
        read += chunk.len();
    }
    assert_eq!(read, 1 << 30);
    let grown = sandbox.peak_memory() - before;
    assert!(grown < 64 << 20, "memory use grew by {} MiB", grown >> 20);
    assert!(sandbox.interrupt().success());

    let sandbox = Sandbox::with(&["--data", &data]);
    let account = Key::of_account(&sandbox);
    let head = account.send(&sandbox, CosRequest::new(Method::HEAD, KEY)).await;
    assert_eq!((head.status, head.header("content-length")), (200, "1073741824"));
    assert_eq!(account.send(&sandbox, CosRequest::new(Method::DELETE, KEY)).await.status, 204);
    assert_eq!(code(&account.send(&sandbox, CosRequest::new(Method::GET, KEY)).await), (404, "NoSuchKey"));
}

#[tokio::test]
async fn a_full_memory_is_reported_with_the_option_for_more() {
    let sandbox = Sandbox::start();
    let account = Key::of_account(&sandbox);
    let (status, refused) = put_gigabyte(&sandbox, &account, "a").await;
    assert_eq!(status, 507);
    assert!(
        refused.contains("<Code>InsufficientStorage</Code>") && refused.contains("--data DIR"),
        "{refused}"
    );
    assert_eq!(
        account.send(&sandbox, CosRequest::put("a", "small")).await.status,
        200,
        "a refused upload uses no memory"
    );
}

/// The sandbox deletes unused files at its start, so the folder must be its own.
#[test]
fn a_folder_with_other_files_is_refused_and_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("blobs")).unwrap();
    std::fs::write(dir.path().join("blobs/document"), "other data").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_cosbroker"))
        .args(["sandbox", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--cloud-listen", "127.0.0.1:0", "--data", &dir.path().display().to_string()])
        // It stops even if it accepts the folder.
        .args(["--templates", "not-there"])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && stderr.contains("it holds other files; give a folder"), "{stderr}");
    assert!(dir.path().join("blobs/document").exists());
}

/// The statement is the one that docs/operate/templates-conditions.md shows.
#[tokio::test]
async fn a_template_can_keep_users_from_overwriting() {
    const KEY: &str = "users/alice/a";
    const KEEP: &[(&str, &str)] = &[("x-cos-forbid-overwrite", "true")];
    let page = std::fs::read_to_string(repository("docs/operate/templates-conditions.md")).unwrap();
    let (_, section) = page.split_once("## Not to overwrite").unwrap();
    let statement = section.split_once("```toml").unwrap().1.split_once("```").unwrap().0;
    let files = std::fs::read_to_string(repository("policies/files.toml")).unwrap();
    let templates = tempfile::tempdir().unwrap();
    std::fs::write(templates.path().join("upload.toml"), files + statement).unwrap();
    let sandbox = Sandbox::with(&["--templates", templates.path().to_str().unwrap()]);
    let alice = Key::for_user(&sandbox, "upload", "alice").await;

    assert_eq!(code(&alice.send(&sandbox, CosRequest::put(KEY, "x")).await), DENIED);
    let put = |body: &'static str| CosRequest { headers: KEEP, ..CosRequest::put(KEY, body) };
    assert_eq!(alice.send(&sandbox, put("first")).await.status, 200);
    assert_eq!(code(&alice.send(&sandbox, put("second")).await), (409, "FileAlreadyExists"));

    let begin = |headers| CosRequest {
        query: &[("uploads", "")],
        headers,
        ..CosRequest::new(Method::POST, "users/alice/b")
    };
    assert_eq!(code(&alice.send(&sandbox, begin(&[])).await), DENIED);
    let answer = alice.send(&sandbox, begin(KEEP)).await;
    let id = answer.body.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0.to_owned();
    let part = [("partNumber", "1"), ("uploadId", id.as_str())];
    let sent =
        alice.send(&sandbox, CosRequest { query: &part, ..CosRequest::put("users/alice/b", "x") }).await;
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
        sent.header("etag")
    );
    for (headers, expected) in [(&[][..], DENIED), (KEEP, (200, ""))] {
        let complete = CosRequest {
            query: &part[1..],
            headers,
            body: list.clone().into(),
            ..CosRequest::new(Method::POST, "users/alice/b")
        };
        assert_eq!(code(&alice.send(&sandbox, complete).await), expected);
    }
}
