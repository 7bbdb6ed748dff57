//! More new users than the quota allows, and an STS that fails often or is slow: what users notice. Measured with more load
//! by `make outages`.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;

use crate::support::{Answer, Answers, Broker, CannedSts, DEADLINE, Setup, emulator, inject_fault, token};

/// Asks until there is a key, each time when told to. Returns how often it asked.
async fn requests_until_served(broker: &Broker, user: &str) -> u32 {
    let (token, started) = (token(user), Instant::now());
    for requests in 1.. {
        let answer = broker.get("/v1/credentials", &token).await;
        if answer.status == 200 {
            return requests;
        }
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(started.elapsed() < DEADLINE, "{user} gets no key: {answer:?}");
        let retry_after = answer.header("retry-after").parse().unwrap();
        tokio::time::sleep(Duration::from_secs(retry_after)).await;
    }
    unreachable!("it asks until it is served")
}

#[tokio::test]
async fn with_more_new_users_than_the_quota_allows_every_call_brings_a_key_and_sts_is_not_blamed() {
    const USERS: usize = 70;
    let (address, sts) = emulator();
    inject_fault(address, &json!({"on": "sts", "fault": "latency", "delay": "200ms"})).await;
    let broker =
        Setup::new(address).with("calls_per_second = 600", "calls_per_second = 20\ntimeout = \"4s\"").start();
    let users: Vec<String> = (0..USERS).map(|user| format!("user{user}")).collect();
    let requests = join_all(users.iter().map(|user| requests_until_served(&broker, user))).await;
    assert!(requests.iter().any(|requests| *requests > 1), "the queue was never full");
    assert_eq!(sts.calls(), u64::try_from(USERS).unwrap(), "no call is cut off, and no key thrown away");
    let ready = Answer::of(broker.http.get(broker.url("/readyz"))).await;
    assert_eq!(ready.status, 200, "{ready:?}");
    assert!(!broker.log().contains("the circuit to STS is open"));
}

#[tokio::test]
async fn eleven_failed_calls_in_a_row_are_not_noticed() {
    let (address, _) = emulator();
    // A busy machine gets more time.
    let broker = Setup::new(address).with_section("sts", "timeout = \"30s\"").start();
    for (user, fault) in ["error", "html", "truncated", "throttle"].into_iter().enumerate() {
        inject_fault(address, &json!({"on": "sts", "fault": fault, "times": 11})).await;
        let answer = broker.get("/v1/credentials", &token(&format!("user{user}"))).await;
        assert_eq!(answer.status, 200, "{fault}: {answer:?}");
    }
}

#[tokio::test]
async fn a_user_with_an_active_key_does_not_wait_for_an_sts_that_does_not_answer() {
    let sts = CannedSts::start(Answers::Key(100));
    let broker = Setup::new(sts.address).with_section("sts", "timeout = \"50s\"").start();
    let alice = token("alice");
    let first = broker.get("/v1/credentials", &alice).await;
    assert_eq!(first.status, 200);
    sts.answers(Answers::Silence(DEADLINE));
    let started = Instant::now();
    let stale = broker.get("/v1/credentials", &alice).await;
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    assert!(stale.header("cache-status").contains("fwd=stale"), "{stale:?}");
    assert_eq!(stale.json()["expiredTime"], first.json()["expiredTime"]);
}
