//! What `cosbroker plan` says of Redis, beside what a real one holds and carries.

use serde_json::Value;

use crate::{
    fleet::{fleet, request_all},
    redis_server::RedisServer,
    support::{binary, emulator},
};

const USERS: usize = 1000;
const REPLICAS: usize = 4;

/// A figure of `INFO`.
fn info(redis: &RedisServer, name: &str) -> f64 {
    let text = redis.cli(&["info", "everything"]);
    let figure = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    figure.unwrap().trim().parse().unwrap()
}

fn traffic(redis: &RedisServer) -> f64 {
    info(redis, "total_net_input_bytes") + info(redis, "total_net_output_bytes")
}

/// What it says of many users who come to every replica in each lifetime of their keys.
fn plan() -> Value {
    let arguments = ["plan", "--users", "10M", "--lifetime", "36h", "--requests-per-user", "60/h"];
    let output = std::process::Command::new(binary())
        .args(arguments)
        .args(["--replicas", &REPLICAS.to_string(), "--format", "json"])
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A figure that was planned and measured.
struct Figure {
    name: &'static str,
    planned: f64,
    measured: f64,
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plan_says_what_keys_take_and_what_redis_carries() {
    let redis = RedisServer::start();
    let (address, _) = emulator();
    let brokers = fleet(address, &redis, u32::try_from(REPLICAS).unwrap());
    // The first requests fill buffers and compile scripts.
    request_all(&brokers, (0..40).map(|user| format!("first{user}"))).await;
    let (held, carried) = (info(&redis, "used_memory"), traffic(&redis));
    for broker in &brokers {
        let users = (0..USERS).map(|user| format!("user{user}"));
        let answers = request_all(std::slice::from_ref(broker), users).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
    }
    let (held, carried) = (info(&redis, "used_memory") - held, traffic(&redis) - carried);
    let of_cache = async |name| brokers[0].figure(&[name]).await as f64;
    let key = of_cache("cosbroker_cache_bytes").await / of_cache("cosbroker_cache_entries").await;
    let plan = plan();
    let planned = |path: &str| plan.pointer(path).unwrap().as_f64().unwrap();
    let cache_per_key = planned("/redis/cache_bytes") / planned("/redis/keys_per_replica");
    let figures = [
        // 11 of 16 parts of the cache are for the keys.
        Figure { name: "memory of a key, in bytes", planned: cache_per_key * 11.0 / 16.0, measured: key },
        Figure {
            name: "memory of a key in Redis, in bytes",
            planned: planned("/redis/redis/bytes") / planned("/redis/redis/keys"),
            measured: held / USERS as f64,
        },
        Figure {
            name: "bytes to and from Redis for a key that all replicas need",
            planned: planned("/redis/redis/bytes_per_second") / planned("/redis/sts_calls_per_second"),
            measured: carried / USERS as f64,
        },
    ];
    for Figure { name, planned, measured } in &figures {
        println!("{name}: planned {planned:.0}, measured {measured:.0}");
    }
    for Figure { name, planned, measured } in figures {
        assert!(
            (0.8..=1.2).contains(&(planned / measured)),
            "{name}: planned {planned}, measured {measured}"
        );
    }
}
