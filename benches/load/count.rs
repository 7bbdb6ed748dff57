//! Instructions of a cached hit in user space, counted by valgrind's tool callgrind: they repeat where seconds do not.
//!
//! Two runs, one with twice as many requests: the difference is what the requests cost, without start and stop.

use std::{
    collections::HashMap,
    fmt, fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;

use crate::{
    BenchError,
    bare::Bare,
    broker::{AUDIT, Setup},
    client::{ask, connect, request},
    cloud,
    login::Login,
    replicas::Redis,
};

const REQUESTS: u64 = 2000;
/// How long a broker with `[redis]` runs, whatever the number of requests: what it does beside them, such as telling that
/// it lives, is then in both runs.
const RUN_TIME_BESIDE_REDIS: Duration = Duration::from_secs(20);
/// How much more a hit with `[redis]` may cost, in per cent: the requests of a user as busy as this one are counted for all
/// replicas, which takes 3 to 4 % in an optimised build. A round trip for each hit would cost far more.
const REDIS_TOLERANCE_PERCENT: u64 = 5;
/// Before the counts: the first requests fill caches and buffers.
const FIRST_REQUESTS: u64 = 100;
const COUNTS_FILE: &str = "callgrind.out";
const CALLGRIND: [&str; 4] =
    ["valgrind", "--quiet", "--tool=callgrind", "--callgrind-out-file=callgrind.out"];
/// In the names of functions that hash the token: counted apart, because it grows with the token.
const HASH_FUNCTION: &str = "blake3";
/// How far above the budget a count may be: what versions of the compiler differ by.
const TOLERANCE_PERCENT: u64 = 3;
const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/budget.toml");

/// Instructions of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    bare: Count,
    one_worker: Count,
    two_workers: Count,
}

/// Instructions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    /// All but the token's hash.
    hit: u64,
    hash: u64,
}

impl Counts {
    /// Counts all.
    pub(crate) fn of(binary: &Path) -> Result<Self, BenchError> {
        let login = Login::with_public_keys()?;
        let request = request(&login.token(0)?, "");
        Ok(Self {
            bare: per_request(|requests| count_bare(&request, requests))?,
            one_worker: per_request(|requests| count_broker(binary, &login, 1, &request, requests))?,
            two_workers: per_request(|requests| count_broker(binary, &login, 2, &request, requests))?,
        })
    }

    /// A hit without the hash, as a multiple of the bare server's request.
    pub(crate) fn of_bare(&self) -> f64 {
        ratio(self.one_worker.hit, self.bare.hit)
    }

    /// What two workers serve, as a multiple of what one serves.
    pub(crate) fn of_two_workers(&self) -> f64 {
        let Self { one_worker, two_workers, .. } = self;
        2.0 * ratio(one_worker.hit + one_worker.hash, two_workers.hit + two_workers.hash)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bare, one_worker: Count { hit, hash }, .. } = self;
        write!(
            f,
            "Instructions in user space: a bare server {}, a hit {hit}, and the hash of its token {hash}.",
            bare.hit
        )
    }
}

/// Counts a hit, without [redis] and with it, and compares it with the budget of such a build.
pub(crate) fn check(binary: &Path, build: &str) -> Result<(), BenchError> {
    let login = Login::with_public_keys()?;
    let request = request(&login.token(0)?, "");
    let broker = per_request(|requests| count_broker(binary, &login, 1, &request, requests))?;
    let redis = Redis::start()?;
    let shared = per_request(|requests| count_beside_redis(binary, &login, &redis, &request, requests))?;
    let budgets: HashMap<String, Count> = toml::from_str(&fs::read_to_string(BUDGET)?)?;
    let budget = budgets.get(build).ok_or_else(|| format!("benches/budget.toml has no [{build}]"))?;
    println!("{:>8}  instructions of a hit in user space, without the token's hash", broker.hit);
    println!("{:>8}  instructions of a hit with [redis], without the token's hash", shared.hit);
    println!("{:>8}  instructions of the hash, of a request of {} bytes", broker.hash, request.len());
    for (what, counted, allowed) in [("hit", broker.hit, budget.hit), ("hash", broker.hash, budget.hash)] {
        let limit = allowed + allowed * TOLERANCE_PERCENT / 100;
        if counted > limit {
            return Err(format!(
                "{what}: {counted} instructions, and benches/budget.toml, [{build}], allows {allowed} and {TOLERANCE_PERCENT} %; \
                 make it cheaper, or say in the commit what the instructions are for and raise the budget"
            )
            .into());
        }
        if counted + allowed * TOLERANCE_PERCENT / 100 < allowed {
            println!("{what} is below its budget of {allowed}: lower it in benches/budget.toml");
        }
    }
    let limit = broker.hit + broker.hit * REDIS_TOLERANCE_PERCENT / 100;
    if shared.hit > limit {
        return Err(format!(
            "a hit with [redis] takes {} instructions, and one without {}: a hit must not ask Redis",
            shared.hit, broker.hit
        )
        .into());
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn ratio(count: u64, of: u64) -> f64 {
    count as f64 / of.max(1) as f64
}

fn per_request(count: impl Fn(u64) -> Result<Count, BenchError>) -> Result<Count, BenchError> {
    let (once, twice) = (count(REQUESTS)?, count(2 * REQUESTS)?);
    Ok(Count { hit: (twice.hit - once.hit) / REQUESTS, hash: (twice.hash - once.hash) / REQUESTS })
}

fn count_bare(request: &str, requests: u64) -> Result<Count, BenchError> {
    let dir = tempfile::tempdir()?;
    let mut bare = Bare::start(1, &CALLGRIND, dir.path())?;
    send(&bare.address, request, requests)?;
    bare.stop()?;
    counted(dir.path())
}

fn count_broker(
    binary: &Path,
    login: &Login,
    workers: usize,
    request: &str,
    requests: u64,
) -> Result<Count, BenchError> {
    let cloud = cloud::start()?;
    let setup = Setup { binary, login, cloud: &cloud, config: AUDIT, sts: "", workers };
    let mut broker = setup.start(&CALLGRIND)?;
    send(&broker.public, request, requests)?;
    broker.stop()?;
    counted(broker.dir())
}

fn count_beside_redis(
    binary: &Path,
    login: &Login,
    redis: &Redis,
    request: &str,
    requests: u64,
) -> Result<Count, BenchError> {
    let cloud = cloud::start()?;
    let config = redis.config() + AUDIT;
    let mut broker =
        Setup { binary, login, cloud: &cloud, config: &config, sts: "", workers: 1 }.start(&CALLGRIND)?;
    let began = Instant::now();
    send(&broker.public, request, requests)?;
    thread::sleep(RUN_TIME_BESIDE_REDIS.saturating_sub(began.elapsed()));
    broker.stop()?;
    counted(broker.dir())
}

/// Sends requests one after the other, so that each run does the same. Two connections, for as many workers.
fn send(address: &str, request: &str, requests: u64) -> Result<(), BenchError> {
    let mut connections = [connect(address)?, connect(address)?];
    for _ in 0..u64::midpoint(FIRST_REQUESTS, requests) {
        for connection in &mut connections {
            ask(connection, request)?;
        }
    }
    Ok(())
}

fn counted(dir: &Path) -> Result<Count, BenchError> {
    let profile = fs::read_to_string(dir.join(COUNTS_FILE))?;
    let by_function = own_costs(&profile);
    let sum = |hashes: bool| {
        let wanted = |name: &str| name.contains(HASH_FUNCTION) == hashes;
        by_function.iter().filter(|(name, _)| wanted(name)).map(|(_, cost)| cost).sum()
    };
    Ok(Count { hit: sum(false), hash: sum(true) })
}

/// Instructions of each function without those it calls, from callgrind's file: valgrind's manual, "Callgrind Format
/// Specification".
fn own_costs(profile: &str) -> HashMap<&str, u64> {
    let (mut names, mut costs) = (HashMap::new(), HashMap::new());
    let (mut function, mut is_of_call) = ("", false);
    for line in profile.lines() {
        if let Some(named) = line.strip_prefix("fn=") {
            function = name_of(named, &mut names);
        } else if let Some(named) = line.strip_prefix("cfn=") {
            name_of(named, &mut names);
        } else if line.starts_with("calls=") {
            is_of_call = true;
        } else if let Some(cost) = cost(line) {
            if !is_of_call {
                *costs.entry(function).or_insert(0) += cost;
            }
            is_of_call = false;
        }
    }
    costs
}

/// The name of `(id) name`; where an id comes again, it is alone.
fn name_of<'a>(entry: &'a str, names: &mut HashMap<&'a str, &'a str>) -> &'a str {
    match entry.split_once(' ') {
        Some((id, name)) => {
            names.insert(id, name);
            name
        }
        None => names.get(entry).copied().unwrap_or_default(),
    }
}

/// The cost of a line such as `+3 17`: a place, and instructions.
fn cost(line: &str) -> Option<u64> {
    let (place, cost) = line.split_once(' ')?;
    let is_place = place.bytes().all(|byte| byte.is_ascii_digit() || b"+-*".contains(&byte));
    if is_place { cost.parse().ok() } else { None }
}
