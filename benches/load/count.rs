//! Instructions of a request in user space, counted by valgrind's tool callgrind: they repeat where seconds do not.
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
    callgrind::{CALLGRIND, Profile},
    client::{ask, connect, request},
    cloud,
    compare::NO_QUOTA,
    login::Login,
    replicas::Redis,
};

const REQUESTS: u64 = 2000;
/// As many first requests of users: each takes as much as fifty hits.
const USERS: u64 = 300;
/// How long a broker with `[redis]` runs, whatever the number of requests: what it does beside them, such as telling that
/// it lives, is then in both runs.
const RUN_TIME_BESIDE_REDIS: Duration = Duration::from_secs(20);
/// How much more a hit with `[redis]` may cost, in per cent: the requests of a user as busy as this one are counted for all
/// replicas, which takes 3 to 4 % in an optimised build. A round trip for each hit would cost far more.
const REDIS_TOLERANCE_PERCENT: u64 = 5;
/// Before the counts: the first requests fill caches and buffers.
const FIRST_REQUESTS: u64 = 100;
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

impl Count {
    fn of(profile: &Profile) -> Self {
        let is_hash = |name: &str| name.contains(HASH_FUNCTION);
        Self { hit: profile.per_request(|name| !is_hash(name)), hash: profile.per_request(is_hash) }
    }
}

impl Counts {
    /// Counts all.
    pub(crate) fn of(binary: &Path) -> Result<Self, BenchError> {
        let login = Login::with_public_keys()?;
        let request = request(&login.token(0)?, "");
        Ok(Self {
            bare: Count::of(&of_bare(&request)?),
            one_worker: Count::of(&of_broker(binary, &login, 1, &request)?),
            two_workers: Count::of(&of_broker(binary, &login, 2, &request)?),
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

/// Prints which functions take the instructions of a bare server's request, of a hit, and of a user's first request.
pub(crate) fn profile(binary: &Path) -> Result<(), BenchError> {
    let login = Login::with_public_keys()?;
    let request = request(&login.token(0)?, "");
    of_bare(&request)?.print("a bare server's request");
    of_broker(binary, &login, 1, &request)?.print("a hit");
    per_request(USERS, |users| count_first(binary, &login, users))?.print("a user's first request");
    Ok(())
}

/// Counts a hit, without [redis] and with it, and compares it with the budget of such a build.
pub(crate) fn check(binary: &Path, build: &str) -> Result<(), BenchError> {
    let login = Login::with_public_keys()?;
    let request = request(&login.token(0)?, "");
    let broker = Count::of(&of_broker(binary, &login, 1, &request)?);
    let redis = Redis::start()?;
    let shared =
        per_request(REQUESTS, |requests| count_beside_redis(binary, &login, &redis, &request, requests))?;
    let shared = Count::of(&shared);
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

fn of_bare(request: &str) -> Result<Profile, BenchError> {
    per_request(REQUESTS, |requests| count_bare(request, requests))
}

fn of_broker(binary: &Path, login: &Login, workers: usize, request: &str) -> Result<Profile, BenchError> {
    per_request(REQUESTS, |requests| count_broker(binary, login, workers, request, requests))
}

fn per_request(
    requests: u64,
    count: impl Fn(u64) -> Result<Profile, BenchError>,
) -> Result<Profile, BenchError> {
    let (once, twice) = (count(requests)?, count(2 * requests)?);
    Ok(twice.without(&once))
}

fn count_bare(request: &str, requests: u64) -> Result<Profile, BenchError> {
    let dir = tempfile::tempdir()?;
    let mut bare = Bare::start(1, &CALLGRIND, dir.path())?;
    send(&bare.address, request, requests)?;
    bare.stop()?;
    Profile::read(dir.path(), requests)
}

fn count_broker(
    binary: &Path,
    login: &Login,
    workers: usize,
    request: &str,
    requests: u64,
) -> Result<Profile, BenchError> {
    let cloud = cloud::start()?;
    let setup = Setup { binary, login, cloud: &cloud, config: AUDIT, sts: "", workers };
    let mut broker = setup.start(&CALLGRIND)?;
    send(&broker.public, request, requests)?;
    broker.stop()?;
    Profile::read(broker.dir(), requests)
}

fn count_beside_redis(
    binary: &Path,
    login: &Login,
    redis: &Redis,
    request: &str,
    requests: u64,
) -> Result<Profile, BenchError> {
    let cloud = cloud::start()?;
    let config = redis.config() + AUDIT;
    let mut broker =
        Setup { binary, login, cloud: &cloud, config: &config, sts: "", workers: 1 }.start(&CALLGRIND)?;
    let began = Instant::now();
    send(&broker.public, request, requests)?;
    thread::sleep(RUN_TIME_BESIDE_REDIS.saturating_sub(began.elapsed()));
    broker.stop()?;
    Profile::read(broker.dir(), requests)
}

/// Counts the first requests of some users.
fn count_first(binary: &Path, login: &Login, users: u64) -> Result<Profile, BenchError> {
    let cloud = cloud::start()?;
    let setup = Setup { binary, login, cloud: &cloud, config: AUDIT, sts: NO_QUOTA, workers: 1 };
    let tokens = (0..FIRST_REQUESTS + users).map(|user| login.token(user));
    let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
    let mut broker = setup.start(&CALLGRIND)?;
    let mut connection = connect(&broker.public)?;
    for token in &tokens {
        ask(&mut connection, &request(token, ""))?;
    }
    broker.stop()?;
    Profile::read(broker.dir(), users)
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
