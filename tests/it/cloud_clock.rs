//! The sandbox's clock moved forward: what a user of an app notices as a key gets old.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::{Answer, DEADLINE, sandbox::Sandbox};

async fn clock(sandbox: &Sandbox) -> Value {
    Answer::of(sandbox.http.get(sandbox.url("/clock"))).await.json()
}

fn second(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<Timestamp>().unwrap().as_second()
}

#[tokio::test]
async fn the_clock_moves_forward_for_the_whole_sandbox_and_never_back() {
    let sandbox = Sandbox::start();
    let before = clock(&sandbox).await;
    assert_eq!(before["ahead"], "0s");
    let moved = sandbox.put_clock("25m").await;
    assert_eq!((moved.status, moved.json()["ahead"].clone()), (200, json!("25m")));
    let passed = second(&moved.json()["now"]) - second(&before["now"]);
    assert!((1500..=1530).contains(&passed), "{passed}");
    let served = sandbox.get("/v1/credentials", "alice").await.json()["serverTime"].as_i64().unwrap();
    assert!((0..=30).contains(&(served - second(&moved.json()["now"]))), "the broker uses it");

    for back in ["24m", "0s", "-1h"] {
        let refused = sandbox.put_clock(back).await;
        assert_eq!(refused.status, 409, "{back}");
        assert!(refused.body.contains("the clock is 25m ahead and never goes back"), "{}", refused.body);
    }
    for wrong in ["25", "tomorrow", "900000h"] {
        assert_eq!(sandbox.put_clock(wrong).await.status, 400, "{wrong}");
    }
    let no_object = Answer::of(sandbox.http.put(sandbox.url("/clock")).body("25m")).await;
    assert!(no_object.status == 400 && no_object.body.contains(r#"send {"ahead": "25m"}"#), "{no_object:?}");
    assert_eq!(clock(&sandbox).await["ahead"], "25m");
}

#[tokio::test]
async fn from_its_refresh_point_on_a_key_is_served_and_replaced_in_the_background() {
    let sandbox = Sandbox::start();
    let first = sandbox.get("/v1/credentials", "alice").await.json();
    assert!(sandbox.put_clock("23m").await.status == 200);
    let hit = sandbox.get("/v1/credentials", "alice").await;
    assert!(hit.header("cache-status").starts_with("cosbroker; hit"), "{hit:?}");
    assert_eq!(hit.json()["credentials"], first["credentials"]);
    let deadline = Instant::now() + DEADLINE;
    loop {
        let next = sandbox.get("/v1/credentials", "alice").await;
        assert!(next.header("cache-status").starts_with("cosbroker; hit"), "no request waits: {next:?}");
        if next.json()["credentials"] != first["credentials"] {
            let extended_by =
                next.json()["expiredTime"].as_i64().unwrap() - first["expiredTime"].as_i64().unwrap();
            assert!((1375..=1390).contains(&extended_by), "{extended_by}: by the moved clock");
            break;
        }
        assert!(Instant::now() < deadline, "no new key was served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(sandbox.figure(&["cosbroker_sts_calls_total", "ok"]).await, 2);
}

#[tokio::test]
async fn near_its_expiry_a_key_is_replaced_and_while_sts_fails_it_is_served_as_stale() {
    let sandbox = Sandbox::start();
    let first = sandbox.get("/v1/credentials", "alice").await.json();
    sandbox.put_clock("25m 1s").await;
    let second = sandbox.get("/v1/credentials", "alice").await;
    assert!(second.header("cache-status").contains("fwd=miss"), "{second:?}");
    assert_ne!(second.json()["credentials"], first["credentials"]);

    sandbox.fault(json!({"on": "sts", "fault": "html"})).await;
    sandbox.put_clock("51m").await;
    let stale = sandbox.get("/v1/credentials", "alice").await;
    assert!(stale.header("cache-status").starts_with("cosbroker; fwd=stale; ttl="), "{stale:?}");
    let body = stale.json();
    assert_eq!(body["credentials"], second.json()["credentials"]);
    assert!(body["refreshAt"].as_i64() > body["serverTime"].as_i64());
    sandbox.put_clock("54m 30s").await;
    let last = sandbox.get("/v1/credentials", "alice").await;
    let body = last.json();
    let left = body["expiredTime"].as_i64().unwrap() - body["serverTime"].as_i64().unwrap();
    assert!((1..=31).contains(&left), "{body}");
    let with_true_expiry = [left - 1, left].map(|ttl| format!("cosbroker; fwd=stale; ttl={ttl}"));
    assert!(with_true_expiry.iter().any(|status| status == last.header("cache-status")), "{last:?}");
    sandbox.put_clock("55m 1s").await;
    let refused = sandbox.get("/v1/credentials", "alice").await;
    assert_eq!(refused.status, 503, "an expired key is not served: {refused:?}");
    sandbox.clear_faults().await;
    // Longer than any cooldown of the circuit breaker.
    sandbox.put_clock("2h").await;
    assert_eq!(sandbox.get("/v1/credentials", "alice").await.status, 200);
    assert_eq!(sandbox.figure(&["cosbroker_cache_misses_total", "expired"]).await, 5);
}
