//! What the integration tests share: a running broker, an STS that answers as a test says, tokens, a running sandbox.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a failed helper stops the test"
)]

pub mod canned_sts;
mod cloud;
pub mod deployed;
pub mod log;
pub mod metrics_page;
pub mod sandbox;
mod setup;

use std::{
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Child,
    thread::JoinHandle,
    time::Duration,
};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use runtime::clock::{Clock, SystemClock};
use rustix::fs::{CWD, FileType, Mode, mknodat};
pub use rustix::process::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, kill_process, prlimit, setrlimit};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use self::log::Log;
pub use self::{
    canned_sts::{Answers, CannedSts, Recorded},
    cloud::{cloud, emulator, emulator_with, inject_fault},
    setup::{Setup, cosbroker},
};

/// How long a test waits for what must come. It is reached only by a failure, so it may be long.
pub const DEADLINE: Duration = Duration::from_mins(1);

pub const JWT_SECRET: &str = "jwt-canary-0123456789abcdef0123456789abcdef";
pub const SECRET_ID: &str = "AKIDcanaryIdOfTheOperator";
pub const SECRET_KEY: &str = "canaryKeyOfTheOperator0123456789";
pub const BUCKET: &str = "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/";

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The program under test. Cargo builds it and names it to the tests of its package; `COSBROKER_BINARY` names another,
/// such as a release build.
pub fn binary() -> PathBuf {
    let path = std::env::var_os("COSBROKER_BINARY").or_else(|| std::env::var_os("CARGO_BIN_EXE_cosbroker"));
    path.expect("CARGO_BIN_EXE_cosbroker is not set: run the tests with Cargo").into()
}

/// A running `cosbroker serve`, ended with the test.
#[derive(Debug)]
pub struct Broker {
    child: Child,
    dir: tempfile::TempDir,
    pub public: SocketAddr,
    pub operators: SocketAddr,
    log: Log,
    reader: Option<JoinHandle<()>>,
    pub http: reqwest::Client,
}

/// Writes a file that only its owner may read.
pub fn write_secret(path: &Path, text: &str) {
    let mut file = std::fs::File::options();
    let file = file.create(true).truncate(true).write(true).mode(0o600).open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

/// Makes a named pipe (mkfifo(3)).
pub fn make_fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// The template files of a row of `homes.json`: the shipped one with other homes.
pub fn templates_of(row: &Value) -> Vec<(String, String)> {
    let upload = std::fs::read_to_string(repository("policies/upload.toml")).unwrap();
    let homes = row["homes"].as_array().unwrap().iter().enumerate();
    let template = |(index, home): (usize, &Value)| {
        let mut text = upload.replace("\"users/${sub|escape}/\"", &home["home"].to_string());
        if home["owner"].is_array() {
            text = text.replace("duration =", &format!("owner = {}\nduration =", home["owner"]));
        }
        (format!("t{index}.toml"), text)
    };
    homes.map(template).collect()
}

/// Returns an HTTP client that ends idle connections before the server does, after five seconds: a request on a connection
/// that is just being closed fails.
pub(crate) fn http_client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().pool_idle_timeout(Duration::from_secs(1)).build().unwrap()
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Answer {
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.text().await.unwrap() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Broker {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.public)
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        Answer::of(self.http.get(self.url(path)).bearer_auth(token)).await
    }

    pub async fn post(&self, path: &str, token: &str, body: impl Into<String>) -> Answer {
        Answer::of(self.http.post(self.url(path)).bearer_auth(token).body(body.into())).await
    }

    /// Where its configuration lies, and in `policies` its templates.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a template there as an editor does: written beside it, then renamed over it.
    pub fn put_template(&self, name: &str, text: &str) {
        let policies = self.dir().join("policies");
        std::fs::write(policies.join(".being-written"), text).unwrap();
        std::fs::rename(policies.join(".being-written"), policies.join(name)).unwrap();
    }

    /// `POST /api/reload`: the status, and what became of it.
    pub async fn reload(&self) -> (u16, Value) {
        let answer = Answer::of(self.http.post(format!("http://{}/api/reload", self.operators))).await;
        (answer.status, answer.json())
    }

    /// `GET /api/templates`
    pub async fn templates(&self) -> Value {
        Answer::of(self.http.get(format!("http://{}/api/templates", self.operators))).await.json()
    }

    pub async fn operators_get(&self, path: &str) -> Answer {
        Answer::of(self.http.get(format!("http://{}{path}", self.operators))).await
    }

    pub async fn operators_post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.http.post(format!("http://{}{path}", self.operators)).body(body.to_string())).await
    }

    /// `cosbroker keys …` beside it: the exit code, what it said, and its notes.
    pub fn keys(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = cosbroker(self.dir())
            .arg("keys")
            .args(arguments)
            .args(["--operators", &format!("http://{}", self.operators)])
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    pub async fn metrics(&self) -> String {
        metrics(&self.http, self.operators).await
    }

    /// The sum of a metric's samples whose line holds every one of `parts`.
    pub async fn figure(&self, parts: &[&str]) -> u64 {
        figure(&self.http, self.operators, parts).await
    }

    pub fn log(&self) -> String {
        self.log.text()
    }

    pub fn says(&self, words: &str) {
        self.log.says(words);
    }

    pub fn signal(&self, signal: Signal) {
        send_signal(&self.child, signal);
    }

    /// Returns a file of its directory in `/proc` (proc(5)).
    pub fn proc_file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }

    /// Returns the number of its open file descriptors. Only root may count them, because the process is not dumpable;
    /// for others it is the size of their table (`proc_pid_status(5)`, `FDSize`).
    pub fn open_files(&self) -> u64 {
        let listed = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        listed.map_or_else(|_| figure_of(&self.proc_file("status"), "FDSize:"), |files| files.count() as u64)
    }

    /// Returns the memory that it takes in bytes (`proc_pid_status(5)`, `VmRSS`).
    pub fn resident_bytes(&self) -> u64 {
        figure_of(&self.proc_file("status"), "VmRSS:") << 10
    }

    /// Sets the size that files it writes may have.
    pub fn may_write_files_of(&self, bytes: u64) {
        let limit = Rlimit { current: Some(bytes), maximum: None };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit).unwrap();
    }

    /// Waits for the process to end by itself, and for its last words.
    pub fn ended(&mut self) -> Option<i32> {
        let clock = SystemClock::start();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(clock.monotonic() < DEADLINE, "it did not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        };
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status.code()
    }
}

/// A figure in a status file of `/proc`: a number, or kibibytes.
fn figure_of(status: &str, label: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(label)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Raises the number of files that this process, and the brokers that it starts, may open.
pub fn raise_open_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// A port that refuses connections. It is taken, so that no other test gets it, but nothing listens there.
#[derive(Debug)]
pub struct RefusingPort(Socket);

impl RefusingPort {
    pub fn bind() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Self(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap().as_socket().unwrap()
    }
}

fn send_signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log();
        assert!(!log.contains("panicked") || std::thread::panicking(), "the broker panicked: {log}");
    }
}

async fn metrics(http: &reqwest::Client, operators: SocketAddr) -> String {
    Answer::of(http.get(format!("http://{operators}/metrics"))).await.body
}

async fn figure(http: &reqwest::Client, operators: SocketAddr, parts: &[&str]) -> u64 {
    let metrics = metrics(http, operators).await;
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let matching = samples.filter(|line| parts.iter().all(|part| line.contains(part)));
    matching.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// A token of the test's issuer, good for ten minutes.
pub fn token(subject: &str) -> String {
    token_of(&json!({"sub": subject}))
}

/// A token with these claims over the usual ones.
pub fn token_of(claims: &Value) -> String {
    let now = SystemClock::start().now().as_second();
    let mut all = json!({"iss": "https://id.test/", "aud": "app", "exp": now + 600, "iat": now});
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &all, &key).unwrap()
}
