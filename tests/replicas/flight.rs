//! One fetch for all replicas.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::{
    fleet::{fleet, key_id, request_all, setup, start, status_of},
    measured_sts::MeasuredSts,
    redis_server::RedisServer,
    support::{Answers, CannedSts, emulator, token},
};

#[tokio::test]
async fn a_user_who_asks_every_replica_at_once_has_one_key_and_costs_one_call() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::WhenReleased);
    let brokers = fleet(sts.address, &redis, 4);
    let requests = request_all(&brokers, (0..40).map(|_| "alice".to_owned()));
    let release = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sts.release();
    };
    let (answers, ()) = tokio::join!(requests, release);
    let ids: std::collections::BTreeSet<String> = answers.iter().map(key_id).collect();
    assert_eq!((ids.len(), sts.calls()), (1, 1));
}

#[tokio::test]
async fn many_users_at_all_replicas_cost_one_call_each() {
    let redis = RedisServer::start();
    let (address, sts) = emulator();
    let brokers = fleet(address, &redis, 4);
    for round in 0..4 {
        // Each time at another replica.
        let users = (0..200).map(|user| format!("user{}", (user + round) % 200));
        let answers = request_all(&brokers, users).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
    }
    assert_eq!(sts.calls(), 200);
}

#[tokio::test]
async fn a_restarted_replica_is_warm_at_once_and_says_where_its_keys_come_from() {
    let redis = RedisServer::start();
    let (address, sts) = emulator();
    let mut brokers = fleet(address, &redis, 2);
    request_all(&brokers, (0..20).map(|user| format!("user{user}"))).await;
    assert_eq!(sts.calls(), 20);
    drop(brokers.pop());
    brokers.push(start(setup(address, &format!("{:?}", redis.url()), 2)));
    for user in 0..20 {
        let answer = brokers[1].get("/v1/credentials", &token(&format!("user{user}"))).await;
        let (status, cache) = status_of(&answer);
        assert!(status == 200 && cache.contains("fwd=miss; detail=shared"), "{status} {cache}");
    }
    assert_eq!(sts.calls(), 20);
    let outcome = ["cosbroker_credential_requests_total", "outcome=\"shared\""];
    assert_eq!(brokers[1].figure(&outcome).await, 20);
}

#[tokio::test]
async fn a_replica_that_dies_while_it_fetches_costs_the_others_a_second() {
    let redis = RedisServer::start();
    let sts = MeasuredSts::start(Duration::ZERO).await;
    let brokers = fleet(sts.address, &redis, 2);
    sts.fault(&json!({"on": "sts", "fault": "latency", "delay": "50s"})).await;
    let doomed = brokers[0].http.get(brokers[0].url("/v1/credentials")).bearer_auth(token("alice")).send();
    let doomed = tokio::spawn(doomed);
    while sts.calls() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sts.clear_faults().await;
    let alice = token("alice");
    let waiting = brokers[1].get("/v1/credentials", &alice);
    let killing = async {
        // Longer than a lease: the holder keeps it as long as it lives.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(sts.calls(), 1);
        brokers[0].signal(Signal::KILL);
    };
    let started = Instant::now();
    let (answer, ()) = tokio::join!(waiting, killing);
    assert_eq!((answer.status, sts.calls()), (200, 2));
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    assert!(doomed.await.unwrap().is_err());
}

#[tokio::test]
async fn a_failure_of_sts_at_one_replica_does_not_hold_up_the_others() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Body(
        r#"{"Response":{"Error":{"Code":"InvalidParameter.StrategyInvalid","Message":"m"},"RequestId":"r"}}"#
            .to_owned(),
    ));
    let brokers = fleet(sts.address, &redis, 2);
    assert_eq!(brokers[0].get("/v1/credentials", &token("alice")).await.status, 500);
    assert!(redis.keys("*:lease:*").is_empty(), "the lease is given back");
    sts.answers(Answers::Key(1800));
    assert_eq!(brokers[1].get("/v1/credentials", &token("alice")).await.status, 200);
}
