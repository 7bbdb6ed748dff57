//! Whatever happens to Redis, users with an active key are served, and others get one from STS.

use std::time::Duration;

use rustix::process::Signal;

use crate::{
    fleet::{fleet, request_all, setup, shown, start, status_of, wait_until},
    redis_server::{RedisServer, Sentinels},
    slow_relay::SlowRelay,
    support::{Answers, Broker, CannedSts, emulator, token},
};

/// Requests a known and a new user's key at each replica.
async fn serves(brokers: &[Broker], new_user: &str) {
    for (number, broker) in brokers.iter().enumerate() {
        for user in ["known", &format!("{new_user}{number}")] {
            let answer = broker.get("/v1/credentials", &token(user)).await;
            assert_eq!(answer.status, 200, "{user}: {answer:?}");
        }
    }
}

async fn wait_until_redis_is(up: bool, brokers: &[Broker]) {
    for broker in brokers {
        wait_until(broker, |shown| shown["redis_up"] == up).await;
    }
}

#[tokio::test]
async fn a_redis_that_is_killed_is_not_missed_and_used_again_when_it_is_back() {
    let mut redis = RedisServer::start();
    let (address, _) = emulator();
    let brokers = fleet(address, &redis, 2);
    serves(&brokers, "before").await;
    redis.kill();
    serves(&brokers, "during").await;
    wait_until_redis_is(false, &brokers).await;
    let shown = shown(&brokers[0]).await;
    assert!(shown["problem"].is_string() && shown["quota_alone"] == 300, "{shown}");
    assert_eq!(brokers[0].figure(&["cosbroker_redis_up"]).await, 0);
    redis.start_again();
    wait_until_redis_is(true, &brokers).await;
    serves(&brokers, "after").await;
    let other = brokers[1].get("/v1/credentials", &token("after0")).await;
    assert!(status_of(&other).1.contains("detail=shared"), "{:?}", status_of(&other));
}

#[tokio::test]
async fn a_redis_that_hangs_costs_one_timeout_and_not_one_for_each_request() {
    let redis = RedisServer::start();
    let (address, _) = emulator();
    let setup = || setup(address, &format!("{:?}", redis.url()), 2).with("\"1s\"", "\"200ms\"");
    let brokers = [start(setup()), start(setup())];
    serves(&brokers, "before").await;
    redis.signal(Signal::STOP);
    serves(&brokers, "first").await;
    wait_until_redis_is(false, &brokers).await;
    let timeouts = ["cosbroker_redis_call_failures_total", "timeout"];
    let before = brokers[0].figure(&timeouts).await;
    let users = (0..50).map(|user| format!("hung{user}"));
    assert!(request_all(&brokers[..1], users).await.iter().all(|answer| answer.status == 200));
    assert_eq!(brokers[0].figure(&timeouts).await, before, "none of them asked Redis");
    redis.signal(Signal::CONT);
    wait_until_redis_is(true, &brokers).await;
    serves(&brokers, "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_answers_after_five_seconds_fails_no_request() {
    let redis = RedisServer::start();
    let relay = SlowRelay::start(redis.port()).await;
    let (address, _) = emulator();
    let setup = || setup(address, &format!("{:?}", relay.url()), 2).with("\"1s\"", "\"200ms\"");
    let brokers = [start(setup()), start(setup())];
    // Each has its key at one replica, and in Redis.
    let users = || (0..40).map(|user| format!("user{user}"));
    assert!(request_all(&brokers, users()).await.iter().all(|answer| answer.status == 200));
    relay.delay(Duration::from_secs(5));
    for (round, broker) in [&brokers[0], &brokers[1], &brokers[0]].into_iter().enumerate() {
        let answers = request_all(std::slice::from_ref(broker), users()).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "round {round}: {answers:?}");
    }
    wait_until_redis_is(false, &brokers).await;
    serves(&brokers, "during").await;
    let timeouts = ["cosbroker_redis_call_failures_total", "timeout"];
    let before = brokers[0].figure(&timeouts).await;
    let others = (0..50).map(|user| format!("other{user}"));
    assert!(request_all(&brokers[..1], others).await.iter().all(|answer| answer.status == 200));
    assert_eq!(brokers[0].figure(&timeouts).await, before, "none of them asked Redis");
    relay.delay(Duration::ZERO);
    wait_until_redis_is(true, &brokers).await;
    serves(&brokers, "after").await;
}

#[tokio::test]
async fn a_wiped_redis_fills_again_and_a_full_one_is_done_without() {
    let redis = RedisServer::start();
    let (address, sts) = emulator();
    let brokers = fleet(address, &redis, 2);
    serves(&brokers, "before").await;
    redis.cli(&["flushall"]);
    serves(&brokers, "wiped").await;
    let other = brokers[1].get("/v1/credentials", &token("wiped0")).await;
    assert!(status_of(&other).1.contains("detail=shared"), "{:?}", status_of(&other));

    redis.cli(&["config", "set", "maxmemory", "1"]);
    let calls = sts.calls();
    serves(&brokers, "full").await;
    assert_eq!(sts.calls(), calls + 2, "each replica fetched its own user's key");
    // What is there is read all the same.
    let other = brokers[0].get("/v1/credentials", &token("wiped1")).await;
    assert!(status_of(&other).1.contains("detail=shared"), "{:?}", status_of(&other));
    assert!(shown(&brokers[0]).await["quota_shared"] == false);
    redis.cli(&["config", "set", "maxmemory", "0"]);
    wait_until(&brokers[0], |shown| shown["quota_shared"] == true).await;
    serves(&brokers, "after").await;
}

#[tokio::test]
async fn replicas_follow_a_failover_by_sentinels() {
    let mut master = RedisServer::start();
    let replica = RedisServer::replica_of(&master);
    let sentinels = Sentinels::watch(&master);
    sentinels.wait_until_ready();
    let (address, sts) = emulator();
    let url = format!("{}\nsentinel_master = \"keys\"", sentinels.urls());
    let brokers: Vec<Broker> = (0..2).map(|_| start(setup(address, &url, 2))).collect();
    serves(&brokers, "before").await;
    let calls = sts.calls();
    master.kill();
    serves(&brokers, "during").await;
    for broker in &brokers {
        wait_until(broker, |shown| shown["redis_up"] == true && replica.cli(&["role"]).starts_with("master"))
            .await;
    }
    // The keys of before came with the replication.
    let other = brokers[1].get("/v1/credentials", &token("before0")).await;
    assert!(status_of(&other).1.contains("detail=shared"), "{:?}", status_of(&other));
    assert!(sts.calls() <= calls + 2, "{} calls", sts.calls() - calls);
}

#[tokio::test]
async fn a_replica_starts_and_serves_without_redis() {
    let (address, _) = emulator();
    let refusing = crate::support::RefusingPort::bind();
    let url = format!("\"redis://{}\"", refusing.address());
    let setup = setup(address, &url, 3);
    let broker =
        setup.start_with(|dir| crate::support::write_secret(&dir.join("redis.key"), &"ab".repeat(32)));
    broker.says("Redis is not used");
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    let shown = shown(&broker).await;
    assert!(shown["redis_up"] == false && shown["quota_alone"] == 200, "{shown}");
}

#[tokio::test]
async fn a_user_with_an_active_key_anywhere_is_served_while_sts_is_silent() {
    let redis = RedisServer::start();
    // Each key is soon too old, and active for long.
    let sts = CannedSts::start(Answers::Key(900));
    let url = format!("{:?}", redis.url());
    let setup = || {
        setup(sts.address, &url, 3).with_section("cache", "min_remaining = \"20m\"").with("\"1m\"", "\"2s\"")
    };
    let brokers = [start(setup()), start(setup()), start(setup())];
    let alice = token("alice");
    assert_eq!(brokers[0].get("/v1/credentials", &alice).await.status, 200);
    sts.answers(Answers::Silence(Duration::from_mins(1)));
    // The first that asks fetches, and the others wait for it, none of which has the key in memory.
    let [first, second, third] = &brokers;
    let answers =
        futures::future::join_all([second, third, first].map(|broker| broker.get("/v1/credentials", &alice)));
    for answer in answers.await {
        let (status, cache) = status_of(&answer);
        assert!(status == 200 && cache.contains("fwd=stale"), "{status} {cache}");
    }
}
