//! Brokers that share a Redis.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    support::{Answer, Broker, DEADLINE, Setup, token, write_secret},
};

/// The setup of one replica of `replicas`.
pub(crate) fn setup(sts: SocketAddr, redis: &str, replicas: u32) -> Setup {
    // On a busy machine, no call is given up and made again.
    Setup::new(sts).with_section("sts", "timeout = \"1m\"").with_section(
        "redis",
        &format!(
            "url = {redis}\nencryption_key_file = \"redis.key\"\nreplicas = {replicas}\ntimeout = \"1s\""
        ),
    )
}

/// Starts a replica, whose key is the fleet's.
pub(crate) fn start(setup: Setup) -> Broker {
    let broker = setup.start_with(|dir| write_secret(&dir.join("redis.key"), &"ab".repeat(32)));
    broker.says("Redis is used");
    broker
}

/// Some replicas beside one Redis.
pub(crate) fn fleet(sts: SocketAddr, redis: &RedisServer, replicas: u32) -> Vec<Broker> {
    let url = format!("{:?}", redis.url());
    (0..replicas).map(|_| start(setup(sts, &url, replicas))).collect()
}

/// Requests keys of all users at once, each at the replica of its number, and returns the answers.
pub(crate) async fn request_all(brokers: &[Broker], users: impl IntoIterator<Item = String>) -> Vec<Answer> {
    let requests = users.into_iter().enumerate().map(|(number, user)| {
        let broker = &brokers[number % brokers.len()];
        async move { broker.get("/v1/credentials", &token(&user)).await }
    });
    join_all(requests).await
}

/// Requests a key for a folder of the user's home.
pub(crate) async fn scoped(broker: &Broker, user: &str, folder: &str) -> Answer {
    let scope = json!({"scope": [{"action": "name/cos:PutObject", "bucket": "examplebucket-1250000000",
        "region": "ap-guangzhou", "prefix": format!("users/{user}/{folder}/*")}]});
    broker.post("/v1/credentials", &token(user), scope.to_string()).await
}

/// The id of the key in an answer.
pub(crate) fn key_id(answer: &Answer) -> String {
    let id = answer.json()["credentials"]["tmpSecretId"].as_str().map(str::to_owned);
    id.unwrap_or_else(|| panic!("no key: {answer:?}"))
}

pub(crate) fn status_of(answer: &Answer) -> (u16, String) {
    (answer.status, answer.header("cache-status").to_owned())
}

/// What a replica shows of the others.
pub(crate) async fn shown(broker: &Broker) -> Value {
    broker.operators_get("/api/status").await.json()["replicas"].clone()
}

/// Waits until what a replica shows is as wanted.
pub(crate) async fn wait_until(broker: &Broker, wanted: impl Fn(&Value) -> bool) -> Duration {
    let started = Instant::now();
    loop {
        let shown = shown(broker).await;
        if wanted(&shown) {
            return started.elapsed();
        }
        assert!(started.elapsed() < DEADLINE, "{shown}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
