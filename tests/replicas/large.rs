//! Many users and a rolling restart: `make replicas-large`, which prints the figures of `docs/operate/replicas.md`.

use std::{
    net::SocketAddr,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    fleet::{setup, start},
    redis_server::RedisServer,
    support::{Broker, emulator, raise_open_file_limit, token},
};

const REPLICAS: usize = 4;
const CLIENTS: usize = 64;
/// More than the account has: the emulated STS has no quota.
const CALLS_PER_SECOND: &str = "calls_per_second = 5000";

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn start_replica(sts: SocketAddr, redis: &RedisServer) -> Broker {
    let setup = setup(sts, &format!("{:?}", redis.url()), u32::try_from(REPLICAS).unwrap())
        .with("calls_per_second = 600", CALLS_PER_SECOND)
        .with("drain_delay = \"0s\"", "drain_delay = \"1s\"");
    start(setup)
}

/// What clients see.
#[derive(Debug, Default)]
struct Tally {
    sent: AtomicU64,
    failed: AtomicU64,
    slowest_ms: AtomicU64,
}

impl Tally {
    async fn request(&self, http: &reqwest::Client, address: SocketAddr, user: u64) {
        let started = Instant::now();
        let url = format!("http://{address}/v1/credentials");
        let request = http.get(url).bearer_auth(token(&format!("user{user}")));
        let is_served = match request.send().await {
            Ok(response) => response.status() == 200 && response.bytes().await.is_ok(),
            Err(_) => false,
        };
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(!is_served), Ordering::Relaxed);
        let took = u64::try_from(started.elapsed().as_millis()).unwrap();
        self.slowest_ms.fetch_max(took, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn each_of_many_users_costs_one_call_whichever_replicas_they_reach() {
    raise_open_file_limit();
    let users = number("REPLICAS_USERS", 100_000);
    let redis = RedisServer::start();
    let (address, sts) = emulator();
    let brokers: Vec<Broker> = (0..REPLICAS).map(|_| start_replica(address, &redis)).collect();
    let addresses: Arc<[SocketAddr]> = brokers.iter().map(|broker| broker.public).collect();
    let (tally, next) = (Arc::new(Tally::default()), Arc::new(AtomicU64::new(0)));
    let started = Instant::now();
    let clients = (0..CLIENTS).map(|_| {
        let (tally, next, addresses) = (Arc::clone(&tally), Arc::clone(&next), Arc::clone(&addresses));
        let http = brokers[0].http.clone();
        tokio::spawn(async move {
            // Each user three times, and each time at whichever replica.
            loop {
                let request = next.fetch_add(1, Ordering::Relaxed);
                if request >= 3 * users {
                    return;
                }
                let address = addresses[usize::from(rand::random::<u8>()) % REPLICAS];
                tally.request(&http, address, request % users).await;
            }
        })
    });
    futures::future::join_all(clients).await;
    let took = started.elapsed();
    let (calls, memory) = (sts.calls(), redis.cli(&["info", "memory"]));
    let memory = memory.lines().find_map(|line| line.strip_prefix("used_memory_human:")).unwrap_or_default();
    println!(
        "{users} users, {} requests in {took:?}: {tally:?}, {calls} calls, Redis has {memory}",
        3 * users
    );
    for broker in &brokers {
        let lapsed = broker.figure(&["cosbroker_shared_turns_lapsed_total"]).await;
        let used = broker.figure(&["cosbroker_shared_turns_used_total"]).await;
        let alone = broker.figure(&["cosbroker_redis_lookups_total", "alone"]).await;
        println!("turns used {used}, lapsed {lapsed}; lookups alone {alone}");
    }
    assert_eq!(tally.failed.load(Ordering::Relaxed), 0);
    assert!(calls * 100 <= users * 101, "{calls} calls for {users} users");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn a_rolling_restart_under_load_loses_no_request_and_costs_no_call() {
    raise_open_file_limit();
    let (users, per_second) = (number("REPLICAS_USERS", 100_000) / 10, number("REPLICAS_RATE", 2000));
    let redis = RedisServer::start();
    let (address, sts) = emulator();
    let mut brokers: Vec<Broker> = (0..REPLICAS).map(|_| start_replica(address, &redis)).collect();
    let addresses: Arc<RwLock<Vec<SocketAddr>>> =
        Arc::new(RwLock::new(brokers.iter().map(|broker| broker.public).collect()));
    let (tally, next) = (Arc::new(Tally::default()), Arc::new(AtomicU64::new(0)));
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let started = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (tally, next, addresses) = (Arc::clone(&tally), Arc::clone(&next), Arc::clone(&addresses));
            let (is_over, http) = (Arc::clone(&is_over), brokers[0].http.clone());
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let request = next.fetch_add(1, Ordering::Relaxed);
                    let due = Duration::from_micros(request * 1_000_000 / per_second);
                    tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
                    let address = {
                        let addresses = addresses.read().unwrap();
                        addresses[usize::from(rand::random::<u8>()) % addresses.len()]
                    };
                    tally.request(&http, address, request % users).await;
                }
            })
        })
        .collect();
    // Every user is known before.
    while tally.sent.load(Ordering::Relaxed) < 2 * users {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let calls = sts.calls();
    for place in &mut brokers {
        // As a load balancer does: the new one first, and the old one no more once it is not ready.
        let replacement = start_replica(address, &redis);
        addresses.write().unwrap().push(replacement.public);
        let old = std::mem::replace(place, replacement);
        old.signal(Signal::TERM);
        addresses.write().unwrap().retain(|address| *address != old.public);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    is_over.store(true, Ordering::Relaxed);
    futures::future::join_all(clients).await;
    let took = started.elapsed();
    let more = sts.calls() - calls;
    println!("{users} users, {took:?}: {tally:?}, {calls} calls before the restarts and {more} in them");
    assert_eq!(tally.failed.load(Ordering::Relaxed), 0);
    assert!(more * 100 <= calls, "{more} calls");
}
