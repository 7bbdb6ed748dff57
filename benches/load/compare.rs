//! The broker and others side by side, each on one core, against one STS on this machine that answers at once.

use std::{
    collections::VecDeque,
    fs,
    io::Write,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    BenchError,
    bare::Bare,
    broker::{AUDIT, Broker, Setup},
    client::{Connection, answer, ask, connect, fetch, request},
    cloud,
    count::Counts,
    login::Login,
    peers::Peers,
    replicas,
    report::{Growth, Report, Served, Start},
    wrk::{TokenFile, Wrk},
};

/// The servers' core; the load and STS have the other one.
pub(crate) const SERVER_CORE: [&str; 3] = ["taskset", "-c", "0"];
const LIVE_USERS: u64 = 100_000;
/// Users whose requests are measured, each with a token of its own.
const MEASURED_USERS: u64 = 1000;
const FIRST_REQUESTS: u64 = 20_000;
const WARM_UP_REQUESTS: u64 = 1000;
const GROWTH: [u64; 3] = [1000, 100_000, 1_000_000];
const ROUNDS: usize = 5;
const TEMPLATES: usize = 500;
/// As many first requests are under way at once.
const CONNECTIONS: usize = 64;
/// Every user's key and token fit, and all that belongs to them.
const CACHE: &str = "[cache]\nmax_bytes = \"24GiB\"\n";
/// STS on this machine has no quota.
pub(crate) const NO_QUOTA: &str = "calls_per_second = 100000\n";

/// Measures everything.
pub(crate) fn run(binary: &Path, peers: &Path) -> Result<Report, BenchError> {
    let peers = Peers::new(peers)?;
    let cloud = cloud::start()?;
    let (served, cold) = hits(binary, &cloud, &peers)?;
    println!("hits and first requests are measured");
    let beside_redis = replicas::hits(binary, &cloud)?;
    println!("hits with [redis] are measured");
    let growth = growth(binary, &cloud)?;
    println!("growth is measured");
    let start = start(binary, &cloud)?;
    let counts = Counts::of(binary)?;
    let binary_bytes = stripped_bytes(binary)?;
    Ok(Report { served, cold, beside_redis, growth, start, counts, binary_bytes })
}

/// The size of the program without the names of functions.
fn stripped_bytes(binary: &Path) -> Result<u64, BenchError> {
    let dir = tempfile::tempdir()?;
    let stripped = dir.path().join("stripped");
    let status = Command::new("strip").arg("-o").arg(&stripped).arg(binary).status()?;
    if !status.success() {
        return Err("strip failed; install binutils".into());
    }
    Ok(fs::metadata(stripped)?.len())
}

/// Throughput of the broker with many live users and of all others, and the broker's of first requests.
fn hits(binary: &Path, cloud: &str, peers: &Peers) -> Result<(Vec<Served>, f64), BenchError> {
    let login = Login::with_public_keys()?;
    let tokens = TokenFile::write((0..MEASURED_USERS).map(|user| login.token(user)))?;
    let config = format!("{AUDIT}{CACHE}");
    let setup = Setup { binary, login: &login, cloud, config: &config, sts: NO_QUOTA, workers: 1 };
    let broker = setup.start(&SERVER_CORE)?;
    let mut clients = Clients::open(&broker)?;
    clients.send((MEASURED_USERS..LIVE_USERS).map(|user| login.cheaper_token(user)))?;
    clients.send((0..MEASURED_USERS).map(|user| login.token(user)))?;
    let dir = tempfile::tempdir()?;
    let bare = Bare::start(1, &SERVER_CORE, dir.path())?;
    let nginx = peers.nginx(&clients.answer)?;
    let measured = |address: &str, path| Wrk::new(format!("http://{address}{path}"), tokens.path());
    let mut wrk = vec![
        ("cosbroker", measured(&broker.public, "/v1/credentials").with_process(broker.id())),
        ("bare actix-web", measured(&bare.address, "/v1/credentials").with_process(bare.id())),
        ("nginx, a static file", measured(&nginx.address, "/key.json")),
    ];
    for _ in 0..ROUNDS {
        for (_, wrk) in &mut wrk {
            wrk.round()?;
        }
    }
    // Stopped one by one: each has a core for itself.
    drop((bare, nginx));
    let cold = first_requests_per_second(binary, cloud)?;
    for peer in peers.start_all(cloud) {
        let peer = peer?;
        let mut peers = measured(&peer.address, peer.path);
        (0..ROUNDS).try_for_each(|_| peers.round())?;
        wrk.push((peer.name, peers));
    }
    Ok((wrk.iter_mut().map(|(name, wrk)| wrk.take(name)).collect(), cold))
}

/// Throughput of requests of users who never came before.
fn first_requests_per_second(binary: &Path, cloud: &str) -> Result<f64, BenchError> {
    let login = Login::with_public_keys()?;
    let config = format!("{AUDIT}{CACHE}");
    let setup = Setup { binary, login: &login, cloud, config: &config, sts: NO_QUOTA, workers: 1 };
    let broker = setup.start(&SERVER_CORE)?;
    // Signed before: RSA takes the login longer than the broker takes for all else.
    let warm_up: Vec<String> =
        (0..WARM_UP_REQUESTS).map(|user| login.token(user)).collect::<Result<_, _>>()?;
    let measured: Vec<String> = (WARM_UP_REQUESTS..WARM_UP_REQUESTS + FIRST_REQUESTS)
        .map(|user| login.token(user))
        .collect::<Result<_, _>>()?;
    // After the signing: a connection without a request is closed.
    let mut clients = Clients::open(&broker)?;
    clients.send(warm_up.into_iter().map(Ok))?;
    let began = Instant::now();
    clients.send(measured.into_iter().map(Ok))?;
    Ok(f64::from(u32::try_from(FIRST_REQUESTS)?) / began.elapsed().as_secs_f64())
}

/// Hits, memory, `/metrics` and the page as users become more.
pub(crate) fn growth(binary: &Path, cloud: &str) -> Result<Vec<Growth>, BenchError> {
    let login = Login::with_secret()?;
    let tokens = TokenFile::write((0..MEASURED_USERS).map(|user| login.token(user)))?;
    let config = format!("{AUDIT}{CACHE}");
    let setup = Setup { binary, login: &login, cloud, config: &config, sts: NO_QUOTA, workers: 1 };
    let broker = setup.start(&SERVER_CORE)?;
    let mut clients = Clients::open(&broker)?;
    let mut hits = Wrk::new(format!("http://{}/v1/credentials", broker.public), tokens.path());
    clients.send([login.token(0)])?;
    let (empty, mut users, mut growth) = (broker.resident_bytes()?, 1, Vec::new());
    for goal in GROWTH {
        clients.send((users..goal).map(|user| login.token(user)))?;
        users = goal;
        let resident = broker.resident_bytes()?;
        (0..ROUNDS).try_for_each(|_| hits.round())?;
        let served = hits.take("cosbroker");
        let (scrape, page, slowest_hit) = operators_view(&broker, &login)?;
        growth.push(Growth {
            users,
            served,
            bytes_per_user: resident.saturating_sub(empty) / users,
            scrape,
            page,
            slowest_hit,
        });
    }
    Ok(growth)
}

/// How long a scrape and the page take, and the slowest hit meanwhile.
fn operators_view(broker: &Broker, login: &Login) -> Result<(Duration, Duration, Duration), BenchError> {
    let request = request(&login.token(0)?, "");
    let mut connection = connect(&broker.public)?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let hits = scope.spawn(|| -> Result<Duration, BenchError> {
            let mut slowest = Duration::ZERO;
            while !is_over.load(Ordering::Relaxed) {
                let began = Instant::now();
                ask(&mut connection, &request)?;
                slowest = slowest.max(began.elapsed());
            }
            Ok(slowest)
        });
        let views = median(|| fetch(&broker.operators, "/metrics"))
            .and_then(|scrape| Ok((scrape, median(|| fetch(&broker.operators, "/"))?)));
        is_over.store(true, Ordering::Relaxed);
        let slowest = hits.join().map_err(|_| "the client ended")??;
        let (scrape, page) = views?;
        Ok((scrape, page, slowest))
    })
}

/// How long something takes, the median of some times.
fn median<T>(what: impl Fn() -> Result<T, BenchError>) -> Result<Duration, BenchError> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        what()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(ROUNDS / 2).copied().unwrap_or_default())
}

/// How long a start takes, with one template and with many.
fn start(binary: &Path, cloud: &str) -> Result<Start, BenchError> {
    let login = Login::with_secret()?;
    let setup = Setup { binary, login: &login, cloud, config: AUDIT, sts: "", workers: 1 };
    let one = median(|| setup.start(&SERVER_CORE))?;
    let many = median(|| {
        let dir = setup.write()?;
        add_templates(&dir.path().join("policies"))?;
        let began = Instant::now();
        setup.start_in(dir, &SERVER_CORE).map(|_| began.elapsed())
    })?;
    Ok(Start { one, many, templates: TEMPLATES })
}

fn add_templates(policies: &Path) -> Result<(), BenchError> {
    let upload = fs::read_to_string(policies.join("upload.toml"))?;
    for number in 1..TEMPLATES {
        let home = format!("home = \"folder-{number:03}/");
        fs::write(
            policies.join(format!("upload-{number:03}.toml")),
            upload.replace("home = \"users/", &home),
        )?;
    }
    Ok(())
}

/// Clients of a broker.
struct Clients {
    connections: Vec<Connection>,
    /// The last answer.
    answer: Vec<u8>,
}

impl Clients {
    fn open(broker: &Broker) -> Result<Self, BenchError> {
        let connections = (0..CONNECTIONS).map(|_| connect(&broker.public)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { connections, answer: Vec::new() })
    }

    /// Sends a request with each of these tokens, on all connections at once.
    fn send(
        &mut self,
        tokens: impl IntoIterator<Item = Result<String, BenchError>>,
    ) -> Result<(), BenchError> {
        let (mut tokens, mut waiting) = (tokens.into_iter(), VecDeque::new());
        for (connection, token) in self.connections.iter_mut().zip(tokens.by_ref()) {
            connection.get_mut().write_all(request(&token?, "").as_bytes())?;
            waiting.push_back(connection);
        }
        while let Some(connection) = waiting.pop_front() {
            self.answer = answer(connection)?.body;
            if let Some(token) = tokens.next() {
                connection.get_mut().write_all(request(&token?, "").as_bytes())?;
                waiting.push_back(connection);
            }
        }
        Ok(())
    }
}
