//! A cached hit of a broker that shares its keys with other replicas: it never asks Redis, so it must cost the same.

use std::{
    fs::{self, Permissions},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    BenchError,
    broker::{AUDIT, Setup},
    client::{ask, connect, fetch, request},
    cloud,
    compare::SERVER_CORE,
    login::Login,
    report::Served,
    wrk::{TokenFile, Wrk},
};

const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Users whose requests are measured, each with a token of its own.
const USERS: u64 = 1000;
/// More than for other figures: the two are close to each other.
const ROUNDS: usize = 7;

/// A running Redis, ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Redis {
    process: Child,
    dir: TempDir,
    port: u16,
}

impl Redis {
    pub(crate) fn start() -> Result<Self, BenchError> {
        let dir = tempfile::tempdir()?;
        let key = dir.path().join("redis.key");
        fs::write(&key, "ab".repeat(32))?;
        fs::set_permissions(&key, Permissions::from_mode(0o600))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("redis-server cannot be started: {error}; run `make redis`"))?;
        let redis = Self { process, dir, port };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if began.elapsed() > START_TIMEOUT {
                return Err("redis-server does not listen".into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(redis)
    }

    /// The section that makes a broker one of its replicas. The time-out is long enough for one under valgrind.
    pub(crate) fn config(&self) -> String {
        let key = self.dir.path().join("redis.key");
        format!(
            "[redis]\nurl = \"redis://127.0.0.1:{}\"\nencryption_key_file = \"{}\"\nreplicas = 4\ntimeout = \"1s\"\n",
            self.port,
            key.display()
        )
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The throughput of hits without Redis and with it, in turn.
pub(crate) fn hits(binary: &Path, cloud: &str) -> Result<[Served; 2], BenchError> {
    let redis = Redis::start()?;
    let login = Login::with_secret()?;
    let tokens = TokenFile::write((0..USERS).map(|user| login.token(user)))?;
    let configs = [AUDIT.to_owned(), redis.config() + AUDIT];
    let setups =
        configs.each_ref().map(|config| Setup { binary, login: &login, cloud, config, sts: "", workers: 1 });
    let [without, with] = setups.each_ref().map(|setup| setup.start(&SERVER_CORE));
    let brokers = [without?, with?];
    let mut measured = brokers
        .each_ref()
        .map(|broker| Wrk::new(format!("http://{}/v1/credentials", broker.public), tokens.path()));
    for broker in &brokers {
        let mut connection = connect(&broker.public)?;
        for user in 0..USERS {
            ask(&mut connection, &request(&login.token(user)?, ""))?;
        }
    }
    let [_, shares] = &brokers;
    if !String::from_utf8_lossy(&fetch(&shares.operators, "/metrics")?.body).contains("cosbroker_redis_up 1")
    {
        return Err("the broker does not use Redis".into());
    }
    for _ in 0..ROUNDS {
        measured.iter_mut().try_for_each(Wrk::round)?;
    }
    let [without, with] = &mut measured;
    Ok([without.take("without [redis]"), with.take("with [redis]")])
}

/// Measures the hits only, and prints them.
pub(crate) fn run(binary: &Path) -> Result<(), BenchError> {
    let cloud = cloud::start()?;
    let [without, with] = hits(binary, &cloud)?;
    for Served { name, per_second, p99, .. } in [&without, &with] {
        println!("{per_second:8.0} hits/s, 99th percentile {p99:?}, {name}");
    }
    println!("{:8.3} of the throughput without", with.per_second / without.per_second);
    Ok(())
}
