//! The list of the account's buckets.

use super::*;

impl Key {
    /// Requests the list at a host that names no bucket.
    async fn list_buckets(&self, sandbox: &Sandbox, host: &str, query: &[(&str, &str)]) -> Answer {
        let mut parameters = pairs(query);
        parameters.extend(self.token.clone().map(|token| ("x-cos-security-token".to_owned(), token)));
        let headers = pairs(&[("host", host)]);
        let request = Request { method: "GET", path: "/", parameters: &parameters, headers: &headers };
        let fields = request.authorize(&self.id, &self.secret, self.window);
        let mut url = url::Url::parse(&sandbox.url("/")).unwrap();
        url.query_pairs_mut().extend_pairs(&parameters).extend_pairs(&fields);
        Answer::of(sandbox.http.get(url).header("host", host)).await
    }
}

#[tokio::test]
async fn the_account_lists_the_buckets_that_hold_objects_and_a_user_does_not() {
    let sandbox = Sandbox::start();
    let account = Key::of_account(&sandbox);
    let empty = account.list_buckets(&sandbox, "service.cos.myqcloud.com", &[]).await;
    assert!(empty.status == 200 && !empty.body.contains("<Name>"), "{empty:?}");
    assert_eq!(account.send(&sandbox, CosRequest::put("users/alice/a", "x")).await.status, 200);
    for (host, region) in
        [("service.cos.myqcloud.com", "ap-guangzhou"), ("cos.ap-beijing.myqcloud.com", "ap-beijing")]
    {
        let answer = account.list_buckets(&sandbox, host, &[]).await;
        let bucket = format!("<Bucket><Name>{BUCKET}</Name><Location>{region}</Location><CreationDate>");
        assert!(answer.status == 200 && answer.body.contains(&bucket), "{answer:?}");
    }
    for (query, is_listed) in [
        ([("range", "gt"), ("create-time", "1")], true),
        ([("range", "lt"), ("create-time", "1")], false),
        ([("marker", BUCKET), ("max-keys", "9")], false),
    ] {
        let answer = account.list_buckets(&sandbox, "service.cos.myqcloud.com", &query).await;
        assert_eq!((answer.status, answer.body.contains("<Name>")), (200, is_listed), "{answer:?}");
    }
    let unknown = account.list_buckets(&sandbox, "service.cos.myqcloud.com", &[("tagkey", "a")]).await;
    assert_eq!(code(&unknown), (501, "NotImplemented"));
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let refused = alice.list_buckets(&sandbox, "service.cos.myqcloud.com", &[]).await;
    assert_eq!(code(&refused), (403, "AccessDenied"));
    let unsigned = sandbox.http.get(sandbox.url("/")).header("host", "service.cos.myqcloud.com");
    assert_eq!(code(&Answer::of(unsigned).await), (403, "AccessDenied"));
}
