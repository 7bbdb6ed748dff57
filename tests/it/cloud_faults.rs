//! Injected faults: how each looks on the wire, and what a user of an app notices behind the broker.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use runtime::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use tencent_sign::tc3::{Signing, authorization};

use crate::support::{Answer, sandbox::Sandbox};

const STS_BODY: &str = r#"{"Name":"a","DurationSeconds":1800,"Policy":"%7B%22version%22%3A%222.0%22%2C%22statement%22%3A%5B%7B%22effect%22%3A%22allow%22%2C%22action%22%3A%5B%22name%2Fcos%3APutObject%22%5D%2C%22resource%22%3A%5B%22%2A%22%5D%7D%5D%7D"}"#;
const OBJECT: &str = "/examplebucket-1250000000/users/alice/cat.jpg";

fn now() -> i64 {
    SystemClock::start().now().as_second()
}

/// A valid call of STS, signed with the account's keys.
fn sts_call(sandbox: &Sandbox) -> reqwest::RequestBuilder {
    let (host, content_type) = (sandbox.cloud.to_string(), "application/json; charset=utf-8");
    let at = SystemClock::start().now();
    let signing = Signing {
        service: "sts",
        method: "POST",
        query: "",
        host: &host,
        content_type,
        body: STS_BODY.as_bytes(),
        at,
    };
    sandbox
        .http
        .post(sandbox.url("/"))
        .header("authorization", authorization(&signing, &sandbox.secret_id, &sandbox.secret_key))
        .header("content-type", content_type)
        .header("x-tc-action", "GetFederationToken")
        .header("x-tc-version", "2018-08-13")
        .header("x-tc-region", "ap-guangzhou")
        .header("x-tc-timestamp", at.as_second())
        .body(STS_BODY)
}

fn put(sandbox: &Sandbox) -> reqwest::RequestBuilder {
    sandbox.http.put(sandbox.url(OBJECT)).body("miaow")
}

/// Returns all bytes received on a new connection, or the error if there are none.
fn send_raw(sandbox: &Sandbox, request: &str) -> Result<String, ErrorKind> {
    let mut stream = TcpStream::connect(sandbox.cloud).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let result = stream.read_to_end(&mut answer);
    if answer.is_empty() {
        result.map_err(|error| error.kind())?;
    }
    Ok(String::from_utf8(answer).unwrap())
}

/// Returns by how many seconds the answer's `Date` is off.
fn date_offset(answer: &Answer) -> i64 {
    let date = jiff::fmt::rfc2822::parse(answer.header("date")).unwrap();
    date.timestamp().as_second() - now()
}

async fn sts_error_code(sandbox: &Sandbox) -> Value {
    let answer = Answer::of(sts_call(sandbox)).await;
    assert_eq!(answer.status, 200);
    answer.json()["Response"]["Error"]["Code"].clone()
}

#[tokio::test]
async fn each_fault_of_sts_looks_like_the_real_one() {
    let sandbox = Sandbox::start();
    let whole = Answer::of(sts_call(&sandbox)).await;
    assert!(whole.json()["Response"]["Credentials"]["Token"].is_string(), "{whole:?}");

    sandbox.fault(json!({"on": "sts", "fault": "throttle", "times": 1})).await;
    assert_eq!(sts_error_code(&sandbox).await, "RequestLimitExceeded");

    sandbox.fault(json!({"on": "sts", "fault": "error", "status": 500, "times": 1})).await;
    let failed = Answer::of(sts_call(&sandbox)).await;
    assert_eq!((failed.status, failed.body.as_str()), (500, ""));

    sandbox.fault(json!({"on": "sts", "fault": "html", "times": 1})).await;
    let page = Answer::of(sts_call(&sandbox)).await;
    assert_eq!((page.status, page.header("content-type")), (502, "text/html; charset=utf-8"));
    assert!(page.body.contains("<h1>502 Bad Gateway</h1>"), "{page:?}");

    sandbox.fault(json!({"on": "sts", "fault": "truncated", "times": 1})).await;
    let cut = Answer::of(sts_call(&sandbox)).await;
    assert_eq!((cut.status, cut.header("content-length")), (200, cut.body.len().to_string().as_str()));
    assert!(cut.body.starts_with(r#"{"Response":"#) && serde_json::from_str::<Value>(&cut.body).is_err());

    sandbox.fault(json!({"on": "sts", "fault": "latency", "delay": "400ms", "times": 1})).await;
    let started = Instant::now();
    assert_eq!(sts_error_code(&sandbox).await, Value::Null);
    assert!(started.elapsed() >= Duration::from_millis(400));

    sandbox.fault(json!({"on": "sts", "fault": "skew", "by": "-20m", "times": 1})).await;
    let skewed = Answer::of(sts_call(&sandbox)).await;
    assert_eq!(skewed.json()["Response"]["Error"]["Code"], "AuthFailure.SignatureExpire");
    assert!((-1202..=-1198).contains(&date_offset(&skewed)), "{skewed:?}");

    sandbox.fault(json!({"on": "sts", "fault": "lifetime", "lasts": "90s", "times": 1})).await;
    let short = Answer::of(sts_call(&sandbox)).await.json()["Response"]["ExpiredTime"].as_i64().unwrap();
    assert!((now() + 85..=now() + 90).contains(&short));

    assert_eq!(sandbox.injected().await, [1; 7], "each once, and none twice");
    let after = Answer::of(sts_call(&sandbox)).await;
    assert!(after.json()["Response"]["Credentials"]["Token"].is_string(), "{after:?}");
    assert!((-2..=2).contains(&date_offset(&after)));
}

#[tokio::test]
async fn each_fault_of_cos_looks_like_the_real_one() {
    let sandbox = Sandbox::start();
    sandbox.fault(json!({"on": "cos", "fault": "throttle", "times": 1})).await;
    let slow = Answer::of(put(&sandbox)).await;
    assert_eq!((slow.status, slow.header("content-type")), (503, "application/xml"));
    assert!(slow.body.contains("<Code>SlowDown</Code>"), "{slow:?}");
    assert!(slow.header("x-cos-request-id").len() > 8, "SDKs show it: {slow:?}");

    for (fault, status, code) in [
        (json!({"on": "cos", "fault": "error", "times": 1}), 503, "ServiceUnavailable"),
        (json!({"on": "cos", "fault": "error", "status": 500, "times": 1}), 500, "InternalError"),
    ] {
        sandbox.fault(fault).await;
        let failed = Answer::of(put(&sandbox)).await;
        assert_eq!(failed.status, status);
        assert!(failed.body.contains(&format!("<Code>{code}</Code>")), "{failed:?}");
    }

    sandbox.fault(json!({"on": "cos", "fault": "html", "status": 200, "times": 1})).await;
    let page = Answer::of(put(&sandbox)).await;
    assert_eq!((page.status, page.body.contains("<html>")), (200, true));

    sandbox.fault(json!({"on": "cos", "fault": "latency", "delay": "400ms", "times": 1})).await;
    let started = Instant::now();
    put(&sandbox).send().await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(400));

    sandbox.fault(json!({"on": "cos", "fault": "skew", "by": "1h", "times": 1})).await;
    let skewed = Answer::of(put(&sandbox)).await;
    assert!((3598..=3602).contains(&date_offset(&skewed)), "{skewed:?}");
    assert_eq!(sandbox.injected().await, [1; 6]);
}

#[tokio::test]
async fn a_truncated_answer_of_cos_is_shorter_than_announced() {
    let sandbox = Sandbox::start();
    sandbox.fault(json!({"on": "cos", "fault": "truncated"})).await;
    let answer = send_raw(&sandbox, &format!("GET {OBJECT} HTTP/1.1\r\nhost: x\r\n\r\n")).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let announced = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    assert_eq!(announced.parse::<usize>().unwrap() / 2, body.len(), "{answer}");
    let read = async { sandbox.http.get(sandbox.url(OBJECT)).send().await?.text().await };
    let read = read.await;
    assert!(read.is_err(), "{read:?}");
}

/// A 204 has no body that could be truncated.
#[tokio::test]
async fn a_truncated_answer_without_body_is_lost_but_the_request_is_carried_out() {
    let sandbox = Sandbox::start();
    let key = sandbox.get("/v1/credentials/files", "alice").await.body;
    let presigned = async |method: &str| {
        let presign = sandbox.url(&format!("/presign?name=a&method={method}"));
        Answer::of(sandbox.http.post(presign).body(key.clone())).await.body.trim().to_owned()
    };
    let put = sandbox.http.put(presigned("PUT").await).body("content").send().await.unwrap();
    assert_eq!(put.status(), 200);
    sandbox.fault(json!({"on": "cos", "fault": "truncated", "action": "DeleteObject", "times": 1})).await;
    // On a connection that was used before, the client would send the request again.
    let fresh = reqwest::Client::builder().no_proxy().build().unwrap();
    let lost = fresh.delete(presigned("DELETE").await).send().await;
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(sandbox.injected().await, [1]);
    let gone = sandbox.http.get(presigned("GET").await).send().await.unwrap();
    assert_eq!(gone.status(), 404);
}

#[tokio::test]
async fn a_reset_ends_the_connection_without_an_answer() {
    let sandbox = Sandbox::start();
    for on in ["sts", "cos"] {
        sandbox.fault(json!({"on": on, "fault": "reset", "times": 1})).await;
    }
    let answer = send_raw(&sandbox, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}");
    assert_eq!(answer, Err(ErrorKind::ConnectionReset));
    let answer =
        send_raw(&sandbox, &format!("PUT {OBJECT} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nmiaow"));
    assert_eq!(answer, Err(ErrorKind::ConnectionReset));
    assert_eq!(sandbox.injected().await, [1, 1]);
    assert_eq!(sts_error_code(&sandbox).await, Value::Null, "the next connection works");
}

#[tokio::test]
async fn a_fault_affects_only_the_action_it_names() {
    let sandbox = Sandbox::start();
    for fault in [
        json!({"on": "sts", "fault": "throttle", "action": "AssumeRole"}),
        json!({"on": "cos", "fault": "throttle", "action": "UploadPart"}),
    ] {
        sandbox.fault(fault).await;
    }
    assert_eq!(sts_error_code(&sandbox).await, Value::Null);
    assert_ne!(Answer::of(put(&sandbox)).await.status, 503);
    assert_eq!(sandbox.injected().await, [0, 0]);
    let part = format!("{}?partNumber=1&uploadId=7", sandbox.url(OBJECT));
    assert_eq!(Answer::of(sandbox.http.put(part).body("miaow")).await.status, 503);
    let of_bucket = sandbox.http.put(sandbox.url("/cat.jpg?partNumber=1&uploadId=7"));
    let of_bucket = of_bucket.header("host", "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com");
    assert_eq!(Answer::of(of_bucket).await.status, 503);
    // The older signature names the action in a form.
    let older = sandbox.http.post(sandbox.url("/")).body("Name=a&Action=AssumeRole&Version=2018-08-13");
    let throttled = Answer::of(older).await.json();
    assert_eq!(throttled["Response"]["Error"]["Code"], "RequestLimitExceeded");
    assert_eq!(sandbox.injected().await, [1, 2]);
}

#[tokio::test]
async fn faults_are_listed_counted_and_removed_and_never_affect_their_own_api() {
    let sandbox = Sandbox::start();
    let first = sandbox.fault(json!({"on": "sts", "fault": "reset"})).await;
    assert_eq!(first, json!({"id": 1, "injected": 0, "on": "sts", "fault": "reset"}));
    let second = json!({"on": "cos", "fault": "latency", "delay": "2s", "times": 3, "share": 0.5});
    assert_eq!(sandbox.fault(second).await["id"], 2);
    assert!(!sandbox.token("alice").await.is_empty());
    assert_eq!(Answer::of(sandbox.http.get(sandbox.url("/jwks.json"))).await.status, 200);
    assert_eq!(sandbox.injected().await, [0, 0]);

    let first_url = sandbox.url("/faults/1");
    assert_eq!(Answer::of(sandbox.http.delete(&first_url)).await.status, 204);
    let gone = Answer::of(sandbox.http.delete(&first_url)).await;
    assert_eq!((gone.status, gone.body.as_str()), (404, "there is no fault 1; GET /faults lists them\n"));
    assert_eq!(sandbox.injected().await, [0]);
    sandbox.clear_faults().await;
    assert!(sandbox.injected().await.is_empty());

    for (body, expected) in [
        ("{", "EOF"),
        (r#"{"on":"sts","fault":"latency"}"#, "`latency` needs `delay`"),
        (r#"{"on":"sts","fault":"reset","tmes":1}"#, "unknown field `tmes`"),
    ] {
        let refused = Answer::of(sandbox.http.post(sandbox.url("/faults")).body(body)).await;
        assert_eq!(refused.status, 400);
        assert!(refused.body.contains(expected) && refused.body.contains("is written like"), "{refused:?}");
    }
    assert!(sandbox.injected().await.is_empty());
}

/// Faults that a retry can overcome.
const TRANSIENT_FAULTS: [&str; 5] = ["throttle", "error", "html", "truncated", "reset"];

#[tokio::test]
async fn a_fault_that_is_injected_once_is_not_noticed_by_a_user() {
    let sandbox = Sandbox::start();
    for (index, fault) in TRANSIENT_FAULTS.into_iter().enumerate() {
        sandbox.fault(json!({"on": "sts", "fault": fault, "times": 1})).await;
        let answer = sandbox.get("/v1/credentials", fault).await;
        assert_eq!(answer.status, 200, "{fault}: {answer:?}");
        assert_eq!(sandbox.injected().await, vec![1; index + 1], "{fault}");
    }
}

#[tokio::test]
async fn while_a_fault_lasts_new_users_get_retry_after_and_cached_keys_are_served() {
    let sandbox = Sandbox::start();
    let alice = sandbox.get("/v1/credentials", "alice").await.json();
    for fault in TRANSIENT_FAULTS {
        sandbox.fault(json!({"on": "sts", "fault": fault})).await;
        let refused = sandbox.get("/v1/credentials", fault).await;
        assert_eq!(refused.status, 503, "{fault}: {refused:?}");
        assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1, "{fault}");
        for word in ["injected", "STS", "gateway", "Limit", "127.0.0.1"] {
            assert!(!refused.body.contains(word), "{fault}: {}", refused.body);
        }
        let attempts = sandbox.injected().await[0];
        assert!((1..=12).contains(&attempts), "{fault}: {attempts} attempts");
        let cached = sandbox.get("/v1/credentials", "alice").await;
        assert!(cached.header("cache-status").contains("hit"), "{fault}: {cached:?}");
        assert_eq!(cached.json()["credentials"], alice["credentials"], "{fault}");
        sandbox.clear_faults().await;
        assert_eq!(sandbox.get("/v1/credentials", fault).await.status, 200, "{fault}: removed");
    }
}

#[tokio::test]
async fn the_broker_waits_for_a_slow_sts_until_the_timeout() {
    let sandbox = Sandbox::start();
    sandbox.fault(json!({"on": "sts", "fault": "latency", "delay": "1500ms"})).await;
    let started = Instant::now();
    assert_eq!(sandbox.get("/v1/credentials", "alice").await.status, 200);
    assert!(started.elapsed() >= Duration::from_millis(1500));
    assert_eq!(sandbox.injected().await, [1], "late is better than never, and one call is enough");
    sandbox.clear_faults().await;
    sandbox.fault(json!({"on": "sts", "fault": "latency", "delay": "1m"})).await;
    let started = Instant::now();
    assert_eq!(sandbox.get("/v1/credentials", "bob").await.status, 503);
    assert!(started.elapsed() < Duration::from_millis(3500), "{:?}", started.elapsed());
    assert_eq!(sandbox.injected().await, [1], "one call may use the whole timeout");
}

#[tokio::test]
async fn a_key_with_a_shorter_ttl_than_requested_is_served_but_not_from_the_cache() {
    let sandbox = Sandbox::start();
    sandbox.fault(json!({"on": "sts", "fault": "lifetime", "lasts": "90s"})).await;
    let first = sandbox.get("/v1/credentials", "alice").await;
    assert!(first.header("cache-status").starts_with("cosbroker; fwd=miss; stored; ttl="), "{first:?}");
    let left = first.json()["expiredTime"].as_i64().unwrap() - now();
    assert!((80..=90).contains(&left), "{left}: the answer has the expiry that STS gave");
    let second = sandbox.get("/v1/credentials", "alice").await;
    assert!(
        second.header("cache-status").contains("fwd=miss"),
        "its TTL is too short for the cache: {second:?}"
    );
    assert_ne!(first.json()["credentials"], second.json()["credentials"]);
    assert_eq!(sandbox.injected().await, [2]);

    sandbox.clear_faults().await;
    sandbox.fault(json!({"on": "sts", "fault": "error"})).await;
    let stale = sandbox.get("/v1/credentials", "alice").await;
    assert!(stale.header("cache-status").contains("fwd=stale"), "it is served as stale: {stale:?}");

    sandbox.clear_faults().await;
    sandbox.fault(json!({"on": "sts", "fault": "lifetime", "lasts": "500ms"})).await;
    let expired = sandbox.get("/v1/credentials", "bob").await;
    assert_eq!(expired.status, 503, "a key that has already expired is not served: {expired:?}");
}

#[tokio::test]
async fn a_skewed_clock_is_reported_to_operators_and_not_to_users() {
    let sandbox = Sandbox::start();
    sandbox.fault(json!({"on": "sts", "fault": "skew", "by": "-20m"})).await;
    let refused = sandbox.get("/v1/credentials", "alice").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    for word in ["clock", "AuthFailure", "Signature", "skew"] {
        assert!(!refused.body.contains(word), "{}", refused.body);
    }
    assert_eq!(sandbox.injected().await, [1], "a retry cannot help");
    sandbox.says("AuthFailure.SignatureExpire");
    assert_eq!(sandbox.figure(&["cosbroker_sts_calls_total", "source_credentials_rejected"]).await, 1);

    sandbox.clear_faults().await;
    sandbox.fault(json!({"on": "sts", "fault": "skew", "by": "4m"})).await;
    // The broker does not use rejected source credentials for one second of its own clock.
    sandbox.put_clock("2s").await;
    assert_eq!(sandbox.get("/v1/credentials", "alice").await.status, 200, "four minutes are within bounds");
}
