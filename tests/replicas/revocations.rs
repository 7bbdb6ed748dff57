//! Revocations reach all replicas.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    fleet::{fleet, key_id, setup, start, wait_until},
    redis_server::RedisServer,
    support::{Answers, Broker, CannedSts, DEADLINE, token},
};

fn mallory() -> Value {
    json!({"issuer": "https://id.test/", "subject": "mallory"})
}

/// Waits until a replica answers a user so, and returns how long it took.
async fn wait_for_status(broker: &Broker, user: &str, status: u16) -> Duration {
    let (started, token) = (Instant::now(), token(user));
    while broker.get("/v1/credentials", &token).await.status != status {
        assert!(started.elapsed() < DEADLINE, "{status} did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    started.elapsed()
}

#[tokio::test]
async fn a_user_revoked_at_one_replica_gets_no_key_at_the_others_and_another_key_once_restored() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let brokers = fleet(sts.address, &redis, 3);
    let before = brokers[1].get("/v1/credentials", &token("mallory")).await;
    assert_eq!(brokers[0].operators_post("/api/revoke", &mallory()).await.status, 200);
    for broker in &brokers {
        let took = wait_for_status(broker, "mallory", 403).await;
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    assert_eq!(brokers[2].get("/v1/credentials", &token("alice")).await.status, 200);
    // A replica that starts now knows it before its first request.
    let late = start(setup(sts.address, &format!("{:?}", redis.url()), 3));
    assert_eq!(late.get("/v1/credentials", &token("mallory")).await.status, 403);

    assert_eq!(brokers[1].operators_post("/api/restore", &mallory()).await.status, 200);
    for broker in brokers.iter().chain([&late]) {
        let took = wait_for_status(broker, "mallory", 200).await;
        assert!(took < Duration::from_secs(1), "{took:?}");
        let after = broker.get("/v1/credentials", &token("mallory")).await;
        assert_ne!(key_id(&after), key_id(&before), "the key of before is not used again");
    }
}

#[tokio::test]
async fn who_can_write_to_redis_cannot_restore_a_user() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let brokers = fleet(sts.address, &redis, 2);
    let changes = |redis: &RedisServer| redis.keys("*:revocations:*")[0].clone();
    // The intruder keeps a restoration, and plays it after the user is revoked again.
    brokers[0].operators_post("/api/revoke", &mallory()).await;
    wait_for_status(&brokers[1], "mallory", 403).await;
    brokers[0].operators_post("/api/restore", &mallory()).await;
    wait_for_status(&brokers[1], "mallory", 200).await;
    let kept = redis.cli(&["copy", &changes(&redis), "kept"]);
    assert_eq!(kept, "1");
    brokers[0].operators_post("/api/revoke", &mallory()).await;
    wait_for_status(&brokers[1], "mallory", 403).await;
    redis.cli(&["copy", "kept", &changes(&redis), "replace"]);
    redis.cli(&["incr", "{cosbroker}:revocation-count"]);
    redis.cli(&["publish", "{cosbroker}:revoked", ""]);
    let repaired = ["cosbroker_revocations_unannounced"];
    wait_until(&brokers[0], |_| {
        redis.cli_bytes(&["hgetall", &changes(&redis)]) != redis.cli_bytes(&["hgetall", "kept"])
    })
    .await;
    for broker in &brokers {
        assert_eq!(broker.get("/v1/credentials", &token("mallory")).await.status, 403);
        assert_eq!(broker.figure(&repaired).await, 0);
    }
    // A wiped Redis restores nobody either, and gets the change again.
    redis.cli(&["flushall"]);
    for broker in &brokers {
        assert_eq!(broker.get("/v1/credentials", &token("mallory")).await.status, 403);
    }
    wait_until(&brokers[0], |_| !redis.keys("*:revocations:*").is_empty()).await;
    let late = start(setup(sts.address, &format!("{:?}", redis.url()), 2));
    assert_eq!(late.get("/v1/credentials", &token("mallory")).await.status, 403);
}

#[tokio::test]
async fn a_revocation_without_redis_reaches_the_others_when_it_is_back() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let brokers = fleet(sts.address, &redis, 2);
    redis.signal(Signal::STOP);
    wait_until(&brokers[0], |shown| shown["redis_up"] == false).await;
    brokers[0].operators_post("/api/revoke", &mallory()).await;
    wait_until(&brokers[0], |shown| shown["revocations_unannounced"] == 1).await;
    assert_eq!(brokers[1].get("/v1/credentials", &token("mallory")).await.status, 200);
    redis.signal(Signal::CONT);
    wait_for_status(&brokers[1], "mallory", 403).await;
    wait_until(&brokers[0], |shown| shown["revocations_unannounced"] == 0).await;
}
