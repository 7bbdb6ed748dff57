//! Every fault of STS gives a clean 5xx in time, with few calls; nothing is cached or disclosed, and cached
//! credentials are still served. Faults that the emulator injects are in `cloud_faults` and `cloud_clock`.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use crate::support::{Answer, Answers, Broker, CannedSts, DEADLINE, Setup, token};

const KEY: &str = r#"{"Response":{"Credentials":{"Token":"t","TmpSecretId":"i","TmpSecretKey":"k"},"ExpiredTime":EXP,"Expiration":null,"RequestId":"r"}}"#;

fn error(code: &str) -> Answers {
    Answers::Body(format!(
        r#"{{"Response":{{"Error":{{"Code":"{code}","Message":"operator-secret-words"}},"RequestId":"req-canary"}}}}"#
    ))
}

fn html(status: &str) -> Answers {
    Answers::Raw(
        format!("HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: 20\r\nconnection: close\r\n\r\n<html>gateway</html>")
            .into_bytes(),
    )
}

/// Every fault, and the maximum number of calls that one request may cost.
fn faults() -> Vec<(&'static str, Answers, usize)> {
    let body = |text: String| Answers::Body(text);
    let future = "4000000000";
    let mut faults = vec![
        ("HTML with 200", html("200 OK"), 12),
        ("HTML with 502", html("502 Bad Gateway"), 12),
        ("HTML with 403", html("403 Forbidden"), 12),
        ("a redirect", html("302 Found\r\nlocation: http://127.0.0.1:1/"), 12),
        ("an empty body", body(String::new()), 12),
        ("an empty object", body("{}".to_owned()), 12),
        ("half a JSON", body(KEY[..60].to_owned()), 12),
        ("a reset", Answers::Reset, 12),
        ("not HTTP", Answers::Raw(b"SSH-2.0-x\r\n".to_vec()), 12),
        (
            "a broken-off body",
            Answers::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"Response\"".to_vec()),
            12,
        ),
        ("a huge body", body(format!("{{\"x\":\"{}\"}}", "x".repeat(100_000))), 12),
        ("nothing", Answers::Silence(Duration::from_secs(5)), 12),
        ("an expired key", body(KEY.replace("EXP", "1000000000")), 12),
        ("a key without a token", body(KEY.replace("EXP", future).replace(r#""Token":"t","#, "")), 12),
        (
            "a key with an empty token",
            body(KEY.replace("EXP", future).replace(r#""Token":"t""#, r#""Token":"""#)),
            12,
        ),
        ("an expiry that is text", body(KEY.replace("EXP", "\"soon\"")), 12),
        ("an expiry out of range", body(KEY.replace("EXP", "9223372036854775807")), 12),
    ];
    for (code, max_calls) in [
        ("InternalError.DbError", 12),
        ("RequestLimitExceeded", 12),
        ("InvalidParameter.OverLimit", 12),
        ("SomethingNew.Altogether", 12),
        ("AuthFailure.SecretIdNotFound", 1),
        ("AuthFailure.SignatureExpire", 1),
        ("InvalidParameter.AccountNotAvaliable", 1),
        ("UnauthorizedOperation", 1),
        ("InvalidParameter.StrategyFormatError", 1),
        ("InvalidParameter.PolicyTooLong", 1),
        ("ResourceNotFound.RoleNotFound", 1),
    ] {
        faults.push((code, error(code), max_calls));
    }
    faults
}

fn broker(sts: &CannedSts) -> Broker {
    Setup::new(sts.address).start()
}

#[tokio::test]
async fn every_fault_is_a_clean_5xx_in_time_with_few_calls_and_discloses_nothing() {
    for group in faults().chunks(4) {
        let requests = group.iter().map(|(name, answers, max_calls)| async move {
            let sts = CannedSts::start(Answers::Key(1800));
            let broker = broker(&sts);
            let alice = broker.get("/v1/credentials", &token("alice")).await;
            assert_eq!((alice.status, sts.calls()), (200, 1));
            sts.answers(answers.clone());
            let started = Instant::now();
            let refused = broker.get("/v1/credentials", &token("bob")).await;
            assert!(started.elapsed() < Duration::from_millis(3500), "{name}: {:?}", started.elapsed());
            assert!((500..600).contains(&refused.status), "{name}: {refused:?}");
            let calls = sts.calls() - 1;
            assert!((1..=*max_calls).contains(&calls), "{name}: {calls} calls");
            for word in ["canary", "operator", "AuthFailure", "Secret", "STS", "gateway", "127.0.0.1"] {
                let said = refused.json()["detail"].to_string().replace("operator of this service", "");
                assert!(!said.contains(word), "{name}: {said}");
            }
            if refused.status == 503 {
                assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1, "{name}");
            }
            let cached = broker.get("/v1/credentials", &token("alice")).await;
            assert!(
                cached.header("cache-status").contains("hit"),
                "{name}: a cached credential is still served"
            );
            assert_eq!(cached.json()["credentials"], alice.json()["credentials"]);
            assert_eq!(broker.figure(&["cosbroker_cache_entries"]).await, 1, "{name}: nothing cached");
        });
        futures::future::join_all(requests).await;
    }
}

#[tokio::test]
async fn after_sts_recovers_users_get_credentials_again() {
    let sts = CannedSts::start(Answers::Body("<html>".to_owned()));
    let broker = broker(&sts);
    for user in 0..8 {
        let refused = broker.get("/v1/credentials", &token(&format!("user{user}"))).await;
        assert_eq!(refused.status, 503);
    }
    let calls = sts.calls();
    assert!(calls < 60, "{calls}: about 20 until the circuit opens, and then a trickle");
    let ready = Answer::of(broker.http.get(broker.url("/readyz"))).await;
    assert_eq!((ready.status, ready.json()["sts"].clone()), (503, false.into()));
    sts.answers(Answers::Key(1800));
    let deadline = Instant::now() + DEADLINE;
    loop {
        let answer = broker.get("/v1/credentials", &token("alice")).await;
        if answer.status == 200 {
            break;
        }
        assert!(Instant::now() < deadline, "it is not back: {answer:?}");
        let after: u64 = answer.header("retry-after").parse().unwrap();
        // The cooldown is the service's; a client can only wait for Retry-After.
        tokio::time::sleep(Duration::from_secs(after.min(2))).await;
    }
    assert_eq!(Answer::of(broker.http.get(broker.url("/readyz"))).await.status, 200);
}

#[tokio::test]
async fn rejected_source_credentials_are_not_tried_for_the_next_user() {
    let sts = CannedSts::start(error("AuthFailure.SecretIdNotFound"));
    let broker = broker(&sts);
    let users = ["alice", "bob", "carol"].map(token);
    let started = Instant::now();
    for user in &users {
        assert_eq!(broker.get("/v1/credentials", user).await.status, 503);
    }
    // They are tried again after a second at the earliest, which is long unless the machine is very busy.
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
    assert!(sts.calls() <= 1 + seconds, "{} calls in {seconds} s", sts.calls());
}

#[tokio::test]
async fn throttling_lowers_the_rate_and_does_not_open_the_circuit() {
    let sts = CannedSts::start(error("RequestLimitExceeded"));
    let broker = broker(&sts);
    let users: Vec<String> = (0..15).map(|user| token(&format!("user{user}"))).collect();
    let requests = users.iter().map(|user| broker.get("/v1/credentials", user));
    for answer in futures::future::join_all(requests).await {
        assert_eq!(answer.status, 503);
    }
    assert!((15..=15 * 12).contains(&sts.calls()), "{} calls", sts.calls());
    let ready = Answer::of(broker.http.get(broker.url("/readyz"))).await;
    assert_eq!((ready.status, ready.json()["sts"].clone()), (200, true.into()));
    let rate = broker.figure(&["cosbroker_sts_quota_available"]).await;
    assert!(rate <= 300, "{rate}");
}

#[tokio::test]
async fn a_probe_that_sts_rejects_closes_the_circuit() {
    let sts = CannedSts::start(Answers::Body("<html>".to_owned()));
    let broker = broker(&sts);
    for user in 0..8 {
        broker.get("/v1/credentials", &token(&format!("user{user}"))).await;
    }
    sts.answers(error("InvalidParameter.StrategyFormatError"));
    let deadline = Instant::now() + DEADLINE;
    while broker.get("/v1/credentials", &token("alice")).await.status != 500 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    sts.answers(Answers::Key(1800));
    assert_eq!(broker.get("/v1/credentials", &token("bob")).await.status, 200);
}

#[tokio::test]
async fn a_client_that_disconnects_while_its_request_waits_for_sts_counts_as_refused() {
    let sts = CannedSts::start(Answers::WhenReleased);
    let broker = broker(&sts);
    let mut stream = std::net::TcpStream::connect(broker.public).unwrap();
    let request = format!(
        "GET /v1/credentials HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {}\r\n\r\n",
        token("alice")
    );
    stream.write_all(request.as_bytes()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while sts.calls() == 0 {
        assert!(Instant::now() < deadline, "STS is not called");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Resets the connection: a client that only stops sending may still read the answer.
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    let refused = ["cosbroker_credential_requests_total", "template=\"upload\"", "outcome=\"refused\""];
    while broker.figure(&refused).await == 0 {
        assert!(Instant::now() < deadline, "the request is not counted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(broker.figure(&["cosbroker_credential_requests_total"]).await, 1, "counted once");
}
