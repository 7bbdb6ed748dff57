//! A real Redis, for one test.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::DEADLINE;

/// A running `redis-server`, ended with the test.
#[derive(Debug)]
pub(crate) struct RedisServer {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
    tls_port: Option<u16>,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// One that can be reached over TLS as well.
    pub(crate) fn start_with_tls(certificate: &str, key: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let (cert_file, key_file) = (files.path().join("cert.pem"), files.path().join("key.pem"));
        std::fs::write(&cert_file, certificate).unwrap();
        std::fs::write(&key_file, key).unwrap();
        let tls_port = free_port();
        let mut server = Self::start_with(&[
            "--tls-port",
            &tls_port.to_string(),
            "--tls-cert-file",
            cert_file.to_str().unwrap(),
            "--tls-key-file",
            key_file.to_str().unwrap(),
            "--tls-ca-cert-file",
            cert_file.to_str().unwrap(),
            "--tls-auth-clients",
            "no",
        ]);
        server.tls_port = Some(tls_port);
        server
    }

    /// A node of a cluster that is made later.
    pub(crate) fn start_as_node() -> Self {
        let bus_port = free_port().to_string();
        Self::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus_port])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let port = free_port();
        let dir = tempfile::tempdir().unwrap();
        let port_text = port.to_string();
        let child = spawn("redis-server", dir.path(), &[&["--port", &port_text], arguments].concat());
        let server = Self { child, dir, port, tls_port: None };
        server.wait();
        server
    }

    pub(crate) fn tls_port(&self) -> Option<u16> {
        self.tls_port
    }

    /// A replica of another one, which is a server of its own.
    pub(crate) fn replica_of(master: &Self) -> Self {
        let server = Self::start();
        server.cli(&["replicaof", "127.0.0.1", &master.port.to_string()]);
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What `redis-cli` prints, without formatting.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&self.cli_bytes(arguments)).trim_end().to_owned()
    }

    pub(crate) fn cli_bytes(&self, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(arguments)
            .output()
            .unwrap();
        output.stdout
    }

    /// The names of the keys that a pattern matches.
    pub(crate) fn keys(&self, pattern: &str) -> Vec<String> {
        self.keys_in(0, pattern)
    }

    /// Those in a database.
    pub(crate) fn keys_in(&self, database: u32, pattern: &str) -> Vec<String> {
        let keys = self.cli(&["-n", &database.to_string(), "--raw", "keys", pattern]);
        keys.lines().map(str::to_owned).collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it at once, as if its machine had failed.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again at the same address, with nothing in it.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn("redis-server", self.dir.path(), &["--port", &self.port.to_string()]);
        self.wait();
    }

    fn wait(&self) {
        let started = Instant::now();
        while self.cli(&["ping"]) != "PONG" {
            assert!(started.elapsed() < DEADLINE, "Redis did not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // A stopped process cannot be ended by other signals.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn(program: &str, dir: &Path, arguments: &[&str]) -> Child {
    Command::new(program)
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"])
        .args(arguments)
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} cannot be started: {error}; run `make redis`"))
}

/// Sentinels that watch a master.
#[derive(Debug)]
pub(crate) struct Sentinels(Vec<(Child, u16, tempfile::TempDir)>);

impl Sentinels {
    /// Three of them, of which two must agree that the master is down.
    pub(crate) fn watch(master: &RedisServer) -> Self {
        let sentinel = |_| {
            let port = free_port();
            let dir = tempfile::tempdir().unwrap();
            let config = format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor keys 127.0.0.1 {} 2\nsentinel down-after-milliseconds keys 500\nsentinel failover-timeout keys 2000\n",
                master.port()
            );
            std::fs::write(dir.path().join("sentinel.conf"), config).unwrap();
            let child = Command::new("redis-server")
                .args(["sentinel.conf", "--sentinel"])
                .current_dir(dir.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            (child, port, dir)
        };
        Self((0..3).map(sentinel).collect())
    }

    /// Their addresses, for the configuration.
    pub(crate) fn urls(&self) -> String {
        let urls: Vec<String> =
            self.0.iter().map(|(_, port, _)| format!("\"redis://127.0.0.1:{port}\"")).collect();
        format!("[{}]", urls.join(", "))
    }

    /// Waits until each knows the other two and a replica to promote.
    pub(crate) fn wait_until_ready(&self) {
        let started = Instant::now();
        let is_ready = |port: u16| {
            let output = Command::new("redis-cli")
                .args(["-p", &port.to_string(), "sentinel", "master", "keys"])
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout).replace('\n', " ");
            text.contains("num-slaves 1 ") && text.contains("num-other-sentinels 2 ")
        };
        while !self.0.iter().all(|(_, port, _)| is_ready(*port)) {
            assert!(started.elapsed() < DEADLINE, "the sentinels did not find each other");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        for (child, ..) in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
