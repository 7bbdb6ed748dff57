//! The tags of objects.

use super::*;

const KEY: &str = "users/alice/a";
const TAGGING: &[(&str, &str)] = &[("tagging", "")];

fn list(tags: &[(&str, &str)]) -> String {
    let tags: Vec<String> = tags
        .iter()
        .map(|(key, value)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"))
        .collect();
    format!("<Tagging><TagSet>{}</TagSet></Tagging>", tags.concat())
}

async fn tagging(sandbox: &Sandbox, by: &Key, method: Method, body: &str) -> Answer {
    let request = CosRequest { query: TAGGING, body: body.to_owned().into(), ..CosRequest::new(method, KEY) };
    by.send(sandbox, request).await
}

#[tokio::test]
async fn tags_are_put_listed_and_deleted_and_stay_with_the_object() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("objects").display().to_string();
    let sandbox = Sandbox::with(&["--data", &data]);
    let account = Key::of_account(&sandbox);
    let headers = [("x-cos-tagging", "from=upload&kind=a%20b")];
    let put = CosRequest { headers: &headers, ..CosRequest::put(KEY, "content") };
    assert_eq!(account.send(&sandbox, put).await.status, 200);
    let stored = account.send(&sandbox, CosRequest::new(Method::GET, KEY)).await;
    assert_eq!((stored.header("x-cos-tagging-count"), stored.body.as_str()), ("2", "content"));
    let listed = tagging(&sandbox, &account, Method::GET, "").await.body;
    assert!(listed.contains("<Tag><Key>kind</Key><Value>a b</Value></Tag>"), "{listed}");

    let tags = list(&[("team", "photos"), ("部门", "图片")]);
    assert_eq!(tagging(&sandbox, &account, Method::PUT, &tags).await.status, 200);
    let sandbox = {
        drop(sandbox);
        Sandbox::with(&["--data", &data])
    };
    let account = Key::of_account(&sandbox);
    let listed = tagging(&sandbox, &account, Method::GET, "").await.body;
    assert!(listed.contains("<Key>部门</Key><Value>图片</Value>") && !listed.contains("upload"), "{listed}");
    let source = format!("{BUCKET}.cos.ap-guangzhou.myqcloud.com/{KEY}");
    for (headers, expected) in [
        (vec![("x-cos-copy-source", source.as_str())], "2"),
        (
            vec![
                ("x-cos-copy-source", source.as_str()),
                ("x-cos-tagging", "a=b"),
                ("x-cos-tagging-directive", "Replaced"),
            ],
            "1",
        ),
    ] {
        let copy = CosRequest { headers: &headers, ..CosRequest::new(Method::PUT, "users/alice/copy") };
        assert_eq!(account.send(&sandbox, copy).await.status, 200);
        let copy = account.send(&sandbox, CosRequest::new(Method::HEAD, "users/alice/copy")).await;
        assert_eq!(copy.header("x-cos-tagging-count"), expected);
    }
    assert_eq!(tagging(&sandbox, &account, Method::DELETE, "").await.status, 204);
    assert_eq!(tagging(&sandbox, &account, Method::GET, "").await.body.matches("<Tag>").count(), 0);
    assert_eq!(account.send(&sandbox, CosRequest::new(Method::GET, KEY)).await.body, "content");
}

#[tokio::test]
async fn tags_beyond_the_vendors_bounds_and_of_others_are_refused() {
    let sandbox = Sandbox::start();
    let account = Key::of_account(&sandbox);
    assert_eq!(code(&tagging(&sandbox, &account, Method::GET, "").await), (404, "NoSuchKey"));
    assert_eq!(account.send(&sandbox, CosRequest::put(KEY, "x")).await.status, 200);
    let names: Vec<String> = (0..11).map(|number| number.to_string()).collect();
    let eleven: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let (key, value) = ("k".repeat(128), "v".repeat(256));
    for (tags, expected) in [
        (list(&eleven), (400, "BadRequest")),
        (list(&[("a", "1"), ("a", "2")]), (400, "InvalidTag")),
        (list(&[("", "1")]), (400, "InvalidTag")),
        (list(&[(&key, "1")]), (400, "InvalidTag")),
        (list(&[("a", &value)]), (400, "InvalidTag")),
        (list(&[("a*", "1")]), (400, "InvalidTag")),
        ("<Tagging>".to_owned(), (400, "MalformedXML")),
        (list(&eleven[..10]), (200, "")),
        (list(&[(&key[1..], &value[1..])]), (200, "")),
    ] {
        assert_eq!(code(&tagging(&sandbox, &account, Method::PUT, &tags).await), expected, "{tags}");
    }
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    for method in [Method::PUT, Method::GET, Method::DELETE] {
        let answer = tagging(&sandbox, &alice, method.clone(), &list(&[])).await;
        assert_eq!(code(&answer), DENIED, "no template grants it: {method}");
    }
}
