//! The model against a simulation: each user's requests come at random times to random replicas, and each replica
//! follows the rules of the cache.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

const HOUR: f64 = 3600.0;
/// Lifetimes before anything is counted, until the keys' ages have mixed, and lifetimes that are counted.
const WARM_UP_LIFETIMES: f64 = 4.0;
const COUNTED_LIFETIMES: f64 = 8.0;

/// A key, and the age from which it is renewed.
#[derive(Clone, Copy)]
struct Key {
    issued: f64,
    due: f64,
}

#[derive(Default)]
struct Counted {
    requests: f64,
    calls: f64,
    /// Requests that waited for a call of their own.
    waited: f64,
    /// Requests for which there was a key that had not expired.
    with_key: f64,
    round_trips: f64,
    /// Keys in the memory of one replica at the end.
    keys_in_a_replica: f64,
    /// Lifetimes left at the end, of the keys that serve in an outage.
    left: Vec<f64>,
    calls_by_second: Vec<u32>,
}

struct Simulation {
    demand: Demand,
    sharing: Sharing,
    random: StdRng,
    counted: Counted,
}

/// The keys of one user.
struct User {
    by_replica: Vec<Option<Key>>,
    in_redis: Option<Key>,
}

impl Simulation {
    fn run(demand: Demand, sharing: Sharing) -> Counted {
        let seconds = whole(COUNTED_LIFETIMES * demand.lifetime_seconds) + 1;
        let counted = Counted { calls_by_second: vec![0; seconds], ..Counted::default() };
        let mut simulation = Self { demand, sharing, random: StdRng::seed_from_u64(1), counted };
        for _ in 0..whole(demand.users) {
            simulation.one_user();
        }
        simulation.counted
    }

    fn one_user(&mut self) {
        let mut user = User { by_replica: vec![None; whole(self.demand.replicas)], in_redis: None };
        let from = WARM_UP_LIFETIMES * self.demand.lifetime_seconds;
        let end = from + COUNTED_LIFETIMES * self.demand.lifetime_seconds;
        let mut now = self.gap();
        while now < end {
            let replica = self.random.random_range(0..user.by_replica.len());
            self.request(&mut user, replica, now, from);
            now += self.gap();
        }
        let left = |key: Option<Key>| key.map(|key| key.issued + self.demand.lifetime_seconds - end);
        let active = |key: Option<Key>| left(key).filter(|left| *left > 0.0);
        let serves_in_outage = match self.sharing {
            Sharing::None => active(user.by_replica[0]),
            Sharing::Redis => active(user.in_redis),
        };
        self.counted.left.extend(serves_in_outage);
        self.counted.keys_in_a_replica += f64::from(u8::from(active(user.by_replica[0]).is_some()));
    }

    /// The time to a user's next request: exponentially distributed.
    fn gap(&mut self) -> f64 {
        -(1.0 - self.random.random::<f64>()).ln() / self.demand.requests_per_second
    }

    fn request(&mut self, user: &mut User, replica: usize, now: f64, counted_from: f64) {
        let lifetime = self.demand.lifetime_seconds;
        let one = f64::from(u8::from(now >= counted_from));
        let is_shared = self.sharing == Sharing::Redis;
        let age = |key: Option<Key>| key.map_or(f64::INFINITY, |key| now - key.issued);
        let is_due = |key: Option<Key>| key.is_none_or(|key| now - key.issued >= key.due);
        let own = user.by_replica[replica];
        let known = if is_shared { user.in_redis } else { own };
        self.counted.requests += one;
        if age(known) < lifetime {
            self.counted.with_key += one;
        }
        if !is_due(own) {
            return;
        }
        if is_shared {
            self.counted.round_trips += one;
        }
        user.by_replica[replica] = known;
        if !is_due(known) {
            return;
        }
        let served_until = lifetime - MIN_REMAINING_SECONDS.min(lifetime / 3.0);
        if age(known) >= served_until {
            self.counted.waited += one;
        }
        let jitter = 0.9 + 0.2 * self.random.random::<f64>();
        let due = served_until.min(lifetime * (1.0 - REFRESH_SHARE * jitter));
        user.by_replica[replica] = Some(Key { issued: now, due });
        if is_shared {
            user.in_redis = user.by_replica[replica];
            self.counted.round_trips += one;
        }
        self.counted.calls += one;
        if now >= counted_from {
            self.counted.calls_by_second[whole(now - counted_from)] += 1;
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
fn whole(number: f64) -> usize {
    number as usize
}

#[track_caller]
fn assert_close(what: &str, expected: f64, found: f64, tolerance: f64) {
    assert!((expected - found).abs() <= tolerance, "{what}: the model says {expected}, found {found}");
}

/// Long and short lifetimes, busy and idle users, each alone and with Redis. In the third, a request has to wait before
/// a refresh would be due.
fn cases() -> Vec<(Demand, Sharing)> {
    let demand = |lifetime_seconds: f64, requests_per_hour: f64, replicas| Demand {
        users: 3000.0,
        requests_per_second: requests_per_hour / HOUR,
        lifetime_seconds,
        replicas,
        quota: 600.0,
    };
    let demands = [
        demand(HOUR / 2.0, 20.0, 1.0),
        demand(HOUR / 2.0, 20.0, 4.0),
        demand(HOUR / 6.0, 60.0, 2.0),
        demand(HOUR * 2.0, 1.0, 3.0),
    ];
    let both = |demand| [Sharing::None, Sharing::Redis].map(|sharing| (demand, sharing));
    demands.into_iter().flat_map(both).collect()
}

#[test]
fn calls_hits_and_redis_are_as_simulated() {
    for (demand, sharing) in cases() {
        let (forecast, counted) = (demand.forecast(sharing), Simulation::run(demand, sharing));
        let seconds = COUNTED_LIFETIMES * demand.lifetime_seconds;
        let calls = counted.calls / seconds;
        let name = |what: &str| format!("{what} with {demand:?}, {sharing:?}");
        assert_close(&name("calls"), forecast.sts_calls_per_second, calls, calls * 0.02);
        let hit_rate = 1.0 - counted.waited / counted.requests;
        assert_close(&name("hit rate"), forecast.hit_rate, hit_rate, 0.01);
        let with_key = counted.with_key / counted.requests;
        assert_close(&name("requests with a key"), forecast.served_in_outage, with_key, 0.01);
        if let Some(redis) = forecast.redis {
            let idle = demand.replicas * REDIS_ROUND_TRIPS_PER_REPLICA;
            let round_trips = counted.round_trips / seconds;
            let expected = redis.round_trips_per_second - idle;
            assert_close(&name("round trips"), expected, round_trips, round_trips * 0.03);
        }
    }
}

#[test]
fn memory_is_at_most_and_nearly_as_simulated() {
    for (demand, sharing) in cases() {
        let most = demand.forecast(sharing).keys_per_replica;
        let simulated = Simulation::run(demand, sharing).keys_in_a_replica;
        let is_near = simulated <= most * 1.02 && simulated >= most * 0.75;
        assert!(is_near, "{demand:?}, {sharing:?}: {simulated} of {most}");
    }
}

#[test]
fn the_outage_that_is_covered_is_as_simulated() {
    for (demand, sharing) in cases() {
        let mut left = Simulation::run(demand, sharing).left;
        left.sort_unstable_by(f64::total_cmp);
        let simulated = left[left.len() / whole(TOLERATED_ONE_IN)];
        let expected = demand.forecast(sharing).outage_covered_seconds;
        let name = format!("outage covered with {demand:?}, {sharing:?}");
        assert_close(&name, expected, simulated, demand.lifetime_seconds * 0.02);
    }
}

#[test]
fn the_busiest_second_is_as_simulated() {
    let demand = Demand {
        users: 20_000.0,
        requests_per_second: 20.0 / HOUR,
        lifetime_seconds: HOUR / 2.0,
        replicas: 4.0,
        quota: 600.0,
    };
    let most = *Simulation::run(demand, Sharing::None).calls_by_second.iter().max().unwrap();
    let expected = demand.forecast(Sharing::None).sts_calls_in_busiest_second;
    assert_close("busiest second", expected, f64::from(most), expected * 0.1);
}

/// Figures that stand in the documentation as well, with the commands that measure them.
#[test]
fn the_measured_figures_are_those_of_the_documentation() {
    let page = |path: &str| {
        let path = format!("{}/docs/{path}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap().replace('\n', " ")
    };
    let memory = page("operate/memory.md");
    assert!(memory.contains(&format!("key takes {} KiB", KEY_BYTES / 1024.0)), "KEY_BYTES");
    assert!(memory.contains("memory: at most 930 MiB: 308 MiB for cache.max_bytes"), "PROCESS_BYTES");
    let mebibyte = f64::from(1 << 20);
    assert_close("the rest of the process, in MiB", PROCESS_BYTES / mebibyte, 930.0 - 308.0, 0.5);
    assert_close("the allocator's part", PROCESS_BYTES_PER_CACHE_BYTE, 308.0 / 256.0, 0.005);
    let reliability = page("understand/reliability.md");
    assert!(reliability.contains("96 of 100 calls are used"), "USABLE_QUOTA");
    assert!(reliability.contains("(48,700 to 4,700 a second)"), "REQUESTS_PER_REPLICA");
    let cache = page("understand/cache.md");
    assert!(cache.contains("(30 % of the lifetime left, ± a tenth)"), "REFRESH_SHARE");
    assert!(cache.contains("(5 min, or a third of a shorter `duration`)"), "MIN_REMAINING_SECONDS");
    assert!(cache.contains("11 of 16 parts for the keys themselves"), "CACHE_BYTES_PER_KEY_BYTE");
}
