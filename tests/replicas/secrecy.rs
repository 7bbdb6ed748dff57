//! What lies in Redis tells nothing, and what others put there is not used.

use std::time::Instant;

use crate::{
    fleet::{fleet, key_id, request_all, scoped, setup, shown, start, status_of},
    redis_server::RedisServer,
    support::{Answers, CannedSts, DEADLINE, SECRET_ID, SECRET_KEY, token, write_secret},
};

#[tokio::test]
async fn nothing_in_redis_is_readable() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let url = format!("{:?}", redis.url());
    let replica = || setup(sts.address, &url, 2).with("per_user = \"off\"", "per_user = \"10/minute\"");
    let brokers = [start(replica()), start(replica())];
    request_all(&brokers, ["alice".to_owned(), "bob".to_owned()]).await;
    assert_eq!(scoped(&brokers[0], "alice", "photos").await.status, 200);
    let started = Instant::now();
    while redis.keys("*:requests:*").is_empty() {
        assert!(started.elapsed() < DEADLINE, "no request is counted");
    }
    let revoked = serde_json::json!({"issuer": "https://id.test/", "subject": "mallory"});
    assert_eq!(brokers[0].operators_post("/api/revoke", &revoked).await.status, 200);
    brokers[1].says("user revoked");
    redis.cli(&["save"]);
    let mut dump = redis.cli_bytes(&["--raw", "keys", "*"]);
    assert!(
        redis.keys("*:key:*").len() == 3
            && redis.keys("*:scopes:*").len() == 1
            && redis.keys("*:revocations:*").len() == 1
    );
    for key in redis.keys("*") {
        for read in ["get", "hgetall"] {
            dump.extend(redis.cli_bytes(&["--raw", read, &key]));
        }
        dump.extend(redis.cli_bytes(&["--raw", "zrange", &key, "0", "-1"]));
    }
    assert!(dump.len() > 1000, "{}", dump.len());
    let policy = r#""version":"2.0""#;
    for secret in [
        "canary",
        "AKID",
        "alice",
        "bob",
        "mallory",
        "id.test",
        "users/",
        "photos",
        "examplebucket",
        "upload",
        policy,
        SECRET_ID,
        SECRET_KEY,
    ] {
        let is_there = dump.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!is_there, "{secret} is readable in Redis");
    }
}

#[tokio::test]
async fn a_key_copied_to_another_users_name_is_refused_and_counted() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let brokers = fleet(sts.address, &redis, 2);
    let alice = brokers[0].get("/v1/credentials", &token("alice")).await;
    let of_alice = redis.keys("*:key:*");
    let bob = brokers[0].get("/v1/credentials", &token("bob")).await;
    let of_bob = redis.keys("*:key:*").into_iter().find(|key| !of_alice.contains(key)).unwrap();
    assert_eq!(redis.cli(&["copy", &of_alice[0], &of_bob, "replace"]), "1");

    let answer = brokers[1].get("/v1/credentials", &token("bob")).await;
    assert_eq!(answer.status, 200);
    assert!(key_id(&answer) != key_id(&alice) && key_id(&answer) != key_id(&bob), "a key of his own");
    assert_eq!(brokers[1].figure(&["cosbroker_redis_values_refused_total", "forged"]).await, 1);
    assert_eq!(shown(&brokers[1]).await["values_refused"], 1);
    assert_ne!(
        redis.cli_bytes(&["get", &of_bob]),
        redis.cli_bytes(&["get", &of_alice[0]]),
        "it was replaced"
    );
    for garbage in ["", "x", "\u{1}cosbroker cosbroker cosbroker cosbroker cosbroker cosbroker"] {
        let other = token(&format!("garbage{}", garbage.len()));
        brokers[0].get("/v1/credentials", &other).await;
        for key in redis.keys("*:key:*") {
            redis.cli(&["set", &key, garbage, "keepttl"]);
        }
        assert_eq!(brokers[1].get("/v1/credentials", &other).await.status, 200);
    }
    assert_eq!(brokers[1].figure(&["cosbroker_redis_values_refused_total", "forged"]).await, 4);
}

#[tokio::test]
async fn the_encryption_key_is_rotated_without_a_call_to_sts() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let brokers = fleet(sts.address, &redis, 1);
    let first = brokers[0].get("/v1/credentials", &token("alice")).await;
    let url = format!("{:?}", redis.url());
    let rotated = setup(sts.address, &url, 1)
        .with(
            "encryption_key_file = \"redis.key\"",
            "encryption_key_file = \"new.key\"\nprevious_encryption_key_file = \"redis.key\"",
        )
        .start_with(|dir| {
            write_secret(&dir.join("redis.key"), &"ab".repeat(32));
            write_secret(&dir.join("new.key"), &"cd".repeat(32));
        });
    rotated.says("Redis is used");
    let found = rotated.get("/v1/credentials", &token("alice")).await;
    assert!(key_id(&found) == key_id(&first) && sts.calls() == 1, "{:?}", status_of(&found));
    rotated.get("/v1/credentials", &token("bob")).await;
    // Who has only the old key does not find it, and does not fail.
    let old = start(setup(sts.address, &url, 1));
    assert_eq!(old.get("/v1/credentials", &token("bob")).await.status, 200);
    assert_eq!(old.figure(&["cosbroker_redis_values_refused_total"]).await, 0);
}
