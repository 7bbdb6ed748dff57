//! One quota for all replicas. STS counts; on a busy machine calls may come later than they should, and never sooner, so
//! the tests look at how long it took at least.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{
    fleet::{request_all, setup, start, wait_until},
    measured_sts::MeasuredSts,
    redis_server::RedisServer,
    support::Broker,
};

const CALLS_PER_SECOND: u32 = 100;

fn limited_fleet(sts: &MeasuredSts, redis: &RedisServer) -> Vec<Broker> {
    let url = format!("{:?}", redis.url());
    let limited = |_| {
        let setup = setup(sts.address, &url, 4)
            .with("calls_per_second = 600", &format!("calls_per_second = {CALLS_PER_SECOND}"));
        start(setup)
    };
    (0..4).map(limited).collect()
}

/// Requests the keys of so many new users, and returns how long that took.
async fn fetch(brokers: &[Broker], name: &str, users: u32) -> Duration {
    let started = Instant::now();
    let answers = request_all(brokers, (0..users).map(|user| format!("{name}{user}"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    started.elapsed()
}

/// The shortest time for so many calls: the first second's may come at once.
fn shortest(calls: u32) -> Duration {
    Duration::from_secs(1) * (calls - CALLS_PER_SECOND) / CALLS_PER_SECOND
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_replicas_together_keep_the_quota() {
    let redis = RedisServer::start();
    let sts = MeasuredSts::start(Duration::ZERO).await;
    let brokers = limited_fleet(&sts, &redis);
    let took = fetch(&brokers, "user", 400).await;
    println!("400 keys in {took:?}, at most {} calls in a second", sts.most_in_a_second());
    assert!(took >= shortest(400), "{took:?}");
    assert_eq!(sts.calls(), 400);
    let mut in_turns = 0;
    for broker in &brokers {
        in_turns += broker.figure(&["cosbroker_shared_turns_used_total"]).await;
    }
    assert!(in_turns > 200, "{in_turns} of 400 calls were made in a turn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_replica_may_use_the_whole_quota_and_only_its_part_without_redis() {
    let redis = RedisServer::start();
    let sts = MeasuredSts::start(Duration::ZERO).await;
    let brokers = limited_fleet(&sts, &redis);
    fetch(&brokers[..1], "one", 10).await;
    assert_eq!(brokers[0].figure(&["cosbroker_sts_quota_allowed"]).await, 100);
    redis.signal(Signal::STOP);
    for broker in &brokers {
        wait_until(broker, |shown| shown["redis_up"] == false).await;
    }
    let took = fetch(&brokers, "alone", 200).await;
    redis.signal(Signal::CONT);
    assert!(took >= shortest(200), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wiping_redis_does_not_let_more_calls_through() {
    let redis = RedisServer::start();
    let sts = MeasuredSts::start(Duration::ZERO).await;
    let brokers = limited_fleet(&sts, &redis);
    let wiping = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            redis.cli(&["flushall"]);
        }
    };
    let (took, ()) = tokio::join!(fetch(&brokers, "user", 300), wiping);
    assert!(took >= shortest(300), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quota_holds_while_redis_comes_and_goes() {
    let mut redis = RedisServer::start();
    let sts = MeasuredSts::start(Duration::ZERO).await;
    let brokers = limited_fleet(&sts, &redis);
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
    let (took, ()) = tokio::join!(fetch(&brokers, "user", 600), failing);
    println!("600 keys in {took:?}, at most {} calls in a second", sts.most_in_a_second());
    assert!(took >= shortest(600), "{took:?}");
}
