//! Limits of one user that hold over all replicas.

use std::time::{Duration, Instant};

use crate::{
    fleet::{scoped, setup, start, status_of, wait_until},
    redis_server::RedisServer,
    support::{Answers, Broker, CannedSts, DEADLINE, token},
};

/// So few in an hour that none is allowed again during a test.
const PER_HOUR: usize = 40;
/// What each of four replicas admits without counting.
const UNCOUNTED: usize = 2;

/// Replicas with limits.
fn limited_fleet(sts: &CannedSts, redis: &RedisServer, replicas: u32) -> Vec<Broker> {
    let url = format!("{:?}", redis.url());
    let replica = |_| {
        let limits = format!("per_user = \"{PER_HOUR}/hour\"\nscopes_per_user = 2");
        start(setup(sts.address, &url, replicas).with("per_user = \"off\"", &limits))
    };
    (0..replicas).map(replica).collect()
}

/// Sends requests until one is refused, and returns how many were served. With Redis, each counted request is known to
/// all before the next is sent.
async fn served(broker: &Broker, user: &str, redis: Option<&RedisServer>) -> usize {
    for served in 0..3 * PER_HOUR {
        let before = redis.map(used);
        let answer = broker.get("/v1/credentials", &token(user)).await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0, "{answer:?}");
            return served;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        if let (Some(redis), Some(before)) = (redis, before)
            && served >= UNCOUNTED
        {
            wait_until_used_more(redis, before).await;
        }
    }
    panic!("none of {} requests was refused", 3 * PER_HOUR);
}

/// How much of the limit the one user has used, by how long Redis remembers it.
fn used(redis: &RedisServer) -> i64 {
    let key = redis.keys("*:requests:*").pop().unwrap_or_default();
    redis.cli(&["pttl", &key]).parse().unwrap()
}

async fn wait_until_used_more(redis: &RedisServer, before: i64) {
    let started = Instant::now();
    while used(redis) <= before {
        assert!(started.elapsed() < DEADLINE, "the request is not counted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_user_who_goes_from_replica_to_replica_does_not_get_the_limit_at_each() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let brokers = limited_fleet(&sts, &redis, 4);
    let mut each = Vec::new();
    for broker in &brokers {
        each.push(served(broker, "alice", Some(&redis)).await);
    }
    // The others learn by the first request that they count; the next may come before the answer.
    let few = UNCOUNTED + 1..=UNCOUNTED + 2;
    assert_eq!(each[0], PER_HOUR + UNCOUNTED);
    assert!(each[1..].iter().all(|served| few.contains(served)), "{each:?}");
    assert_eq!(brokers[3].get("/v1/credentials", &token("bob")).await.status, 200);
}

#[tokio::test]
async fn without_redis_each_replica_has_the_limit() {
    let mut redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let brokers = limited_fleet(&sts, &redis, 2);
    redis.kill();
    for broker in &brokers {
        wait_until(broker, |shown| shown["redis_up"] == false).await;
        // Five are not counted.
        assert_eq!(served(broker, "alice", None).await, PER_HOUR + 5);
    }
}

#[tokio::test]
async fn a_user_holds_keys_for_so_many_scopes_at_all_replicas_together() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let brokers = limited_fleet(&sts, &redis, 2);
    assert_eq!(scoped(&brokers[0], "alice", "a").await.status, 200);
    assert_eq!(scoped(&brokers[1], "alice", "b").await.status, 200);
    for broker in &brokers {
        let refused = scoped(broker, "alice", "c").await;
        assert!(
            refused.status == 429 && refused.json()["type"].as_str().unwrap().contains("too-many-scopes")
        );
        let retry_after: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1700..=1800).contains(&retry_after), "the first expires then: {retry_after}");
    }
    let (status, cache) = status_of(&scoped(&brokers[1], "alice", "a").await);
    assert!(status == 200 && cache.contains("detail=shared"), "what is held is served everywhere: {cache}");
    assert_eq!(brokers[1].get("/v1/credentials", &token("alice")).await.status, 200, "the whole is no scope");
    assert_eq!(scoped(&brokers[1], "bob", "a").await.status, 200);
}

#[tokio::test]
async fn a_scope_for_which_sts_gave_no_key_does_not_count() {
    let redis = RedisServer::start();
    let refusal =
        r#"{"Response":{"Error":{"Code":"InvalidParameter.StrategyInvalid","Message":"m"},"RequestId":"r"}}"#;
    let sts = CannedSts::start(Answers::Body(refusal.to_owned()));
    let brokers = limited_fleet(&sts, &redis, 2);
    for folder in ["a", "b", "c"] {
        assert_eq!(scoped(&brokers[0], "alice", folder).await.status, 500);
    }
    let started = Instant::now();
    while !redis.keys("*:scopes:*").is_empty() {
        assert!(started.elapsed() < DEADLINE, "the scopes are still counted");
    }
    sts.answers(Answers::Key(1800));
    for folder in ["d", "e"] {
        assert_eq!(scoped(&brokers[1], "alice", folder).await.status, 200);
    }
    assert_eq!(scoped(&brokers[0], "alice", "f").await.status, 429);
}
