//! One quota for all replicas, as STS sees it.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{
    fleet::{request_all, setup, start},
    measured_sts::MeasuredSts,
    redis_server::RedisServer,
    support::Broker,
};

const CALLS_PER_SECOND: usize = 100;

/// Four replicas that know of each other, so that they share the whole quota.
async fn limited_fleet(sts: &MeasuredSts, redis: &RedisServer) -> Vec<Broker> {
    let url = format!("{:?}", redis.url());
    let limited = |_| {
        let setup = setup(sts.address, &url, 4)
            .with("calls_per_second = 600", &format!("calls_per_second = {CALLS_PER_SECOND}"))
            .with_section("sts", "timeout = \"30s\"");
        start(setup)
    };
    let brokers: Vec<Broker> = (0..4).map(limited).collect();
    wait_until_outage_is_over(redis).await;
    brokers
}

/// For three seconds, replicas are careful: others may be alone.
async fn wait_until_outage_is_over(redis: &RedisServer) {
    while !redis.keys("*:outage").is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_replicas_together_keep_the_quota_and_use_it() {
    let redis = RedisServer::start();
    let sts = MeasuredSts::start(Duration::ZERO).await;
    let brokers = limited_fleet(&sts, &redis).await;
    let started = Instant::now();
    let answers = request_all(&brokers, (0..400).map(|user| format!("user{user}"))).await;
    let took = started.elapsed();
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(sts.calls(), 400);
    let most = sts.most_in_a_second();
    assert!(most <= CALLS_PER_SECOND, "{most} calls in a second");
    println!("400 keys in {took:?}, at most {most} calls in a second");
    assert!(took < Duration::from_millis(7000), "{took:?}: the quota is not used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_replica_may_use_the_whole_quota_and_only_its_part_without_redis() {
    let redis = RedisServer::start();
    let sts = MeasuredSts::start(Duration::ZERO).await;
    let brokers = limited_fleet(&sts, &redis).await;
    let started = Instant::now();
    request_all(&brokers[..1], (0..200).map(|user| format!("user{user}"))).await;
    let took = started.elapsed();
    assert!(took < Duration::from_millis(3500), "{took:?}: more than its part");
    redis.signal(Signal::STOP);
    let started = Instant::now();
    let answers = request_all(&brokers, (0..100).map(|user| format!("alone{user}"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let took = started.elapsed();
    redis.signal(Signal::CONT);
    let most = sts.most_in_a_second();
    assert!(most <= CALLS_PER_SECOND, "{most} calls in a second");
    assert!(took > Duration::from_millis(900), "{took:?}: each replica has a quarter");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wiping_redis_does_not_let_more_calls_through() {
    let redis = RedisServer::start();
    let sts = MeasuredSts::start(Duration::ZERO).await;
    let brokers = limited_fleet(&sts, &redis).await;
    let requests = request_all(&brokers, (0..300).map(|user| format!("user{user}")));
    let wiping = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            redis.cli(&["flushall"]);
        }
    };
    let (answers, ()) = tokio::join!(requests, wiping);
    assert!(answers.iter().all(|answer| answer.status == 200));
    let most = sts.most_in_a_second();
    assert!(most <= CALLS_PER_SECOND, "{most} calls in a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quota_holds_while_redis_comes_and_goes() {
    let mut redis = RedisServer::start();
    let sts = MeasuredSts::start(Duration::ZERO).await;
    let brokers = limited_fleet(&sts, &redis).await;
    let requests = request_all(&brokers, (0..600).map(|user| format!("user{user}")));
    let failing = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            redis.kill();
            tokio::time::sleep(Duration::from_millis(700)).await;
            redis.start_again();
            tokio::time::sleep(Duration::from_millis(700)).await;
            redis.signal(Signal::STOP);
            tokio::time::sleep(Duration::from_millis(700)).await;
            redis.signal(Signal::CONT);
        }
    };
    let (answers, ()) = tokio::join!(requests, failing);
    assert!(answers.iter().all(|answer| answer.status == 200));
    let most = sts.most_in_a_second();
    println!("at most {most} calls in a second while Redis comes and goes");
    assert!(most <= CALLS_PER_SECOND + CALLS_PER_SECOND / 10, "{most} calls in a second");
}
