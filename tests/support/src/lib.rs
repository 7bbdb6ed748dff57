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
pub mod deployed;
pub mod log;
pub mod metrics_page;
pub mod sandbox;

use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use cloud_emulator::{
    Account, CloudEmulator, EmulatorConfig, MovableClock, SessionKey, Storage, StsEmulator, Weakness,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use runtime::{
    clock::{Clock, SystemClock},
    entropy::{Entropy, SystemEntropy},
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::pipe::fcntl_setpipe_size;
pub use rustix::process::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, kill_process, prlimit, setrlimit};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

pub use self::canned_sts::{Answers, CannedSts, Recorded};
use self::log::Log;

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

/// What a test's broker is told.
#[derive(Debug)]
pub struct Setup {
    pub sts: SocketAddr,
    pub config: String,
    pub templates: Vec<(String, String)>,
    pub log_level: &'static str,
    /// Where its stdout goes; nowhere without.
    pub stdout: Option<std::fs::File>,
    /// Whether its log is read after it has started. If not, the pipe is full soon.
    pub log_is_read: bool,
    /// How many files it may open; as many as this process without.
    pub open_files: Option<u64>,
}

/// The smallest pipe: fcntl(2), `F_SETPIPE_SZ`.
const SMALL_PIPE_BYTES: usize = 4096;

impl Setup {
    /// The shipped templates, one HS256 issuer, no limit per user.
    pub fn new(sts: SocketAddr) -> Self {
        let shipped = ["upload", "files"].map(|name| {
            let file = format!("{name}.toml");
            let text = std::fs::read_to_string(repository("policies").join(&file)).unwrap();
            (file, text)
        });
        Self {
            sts,
            config: r#"[server]
listen = "127.0.0.1:0"
drain_delay = "0s"
cors_origins = ["https://app.example.com"]
[admin]
listen = "127.0.0.1:0"
[[issuer]]
issuer = "https://id.test/"
audience = ["app"]
algorithms = ["HS256"]
secret_env = "JWT_SECRET"
trusted_claims = ["tenant"]
[templates]
dir = "policies"
default = "upload"
[sts]
region = "ap-guangzhou"
endpoint = "http://STS"
secret_id_env = "SECRET_ID"
secret_key_env = "SECRET_KEY"
calls_per_second = 600
[limits]
per_user = "off"
"#
            .to_owned(),
            templates: shipped.into(),
            log_level: "info",
            stdout: None,
            log_is_read: true,
            open_files: None,
        }
    }

    /// Leaves the filter out of the homes, so that subjects that are not plain are refused.
    #[must_use]
    pub fn with_bare_homes(mut self) -> Self {
        for (_, text) in &mut self.templates {
            *text = text.replace("${sub|escape}", "${sub}");
        }
        self
    }

    /// Adds lines to a section of the configuration, such as `server`, and the section if it is missing.
    #[must_use]
    pub fn with_section(mut self, name: &str, lines: &str) -> Self {
        let header = format!("[{name}]\n");
        match self.config.find(&header) {
            Some(start) => self.config.insert_str(start + header.len(), &format!("{lines}\n")),
            None => self.config.extend([&header, lines, "\n"]),
        }
        self
    }

    /// Replaces a part of the configuration.
    #[must_use]
    pub fn with(mut self, from: &str, to: &str) -> Self {
        assert!(self.config.contains(from), "{from}");
        self.config = self.config.replace(from, to);
        self
    }

    /// Writes it down, for `serve` or `check`.
    pub fn write(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("policies")).unwrap();
        for (name, text) in &self.templates {
            // A private key may be among them.
            write_secret(&dir.path().join("policies").join(name), text);
        }
        let config = self.config.replace("STS", &self.sts.to_string());
        std::fs::write(dir.path().join("config.toml"), config).unwrap();
        dir
    }

    pub fn start(self) -> Broker {
        self.start_with(|_| {})
    }

    /// Starts it where something more was put beside its configuration.
    pub fn start_with(self, put: impl FnOnce(&Path)) -> Broker {
        let dir = self.write();
        put(dir.path());
        let mut command = match self.open_files {
            Some(limit) => limited(dir.path(), limit),
            None => cosbroker(dir.path()),
        };
        let mut child = command
            .args(["serve", "--log", "json", "--config", "config.toml"])
            .env("RUST_LOG", self.log_level)
            .stdout(self.stdout.map_or_else(Stdio::null, Stdio::from))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::default();
        let (found, serving) = mpsc::channel();
        let log_is_read = self.log_is_read;
        let stderr = child.stderr.take().unwrap();
        if !log_is_read {
            fcntl_setpipe_size(&stderr, SMALL_PIPE_BYTES).unwrap();
        }
        let reader = log.follow(stderr, move |line| {
            let event: Value = serde_json::from_str(line).unwrap_or_default();
            if event["fields"]["message"] == "serving" {
                let address = |name: &str| event["fields"][name].as_str().unwrap().parse().unwrap();
                let addresses: (SocketAddr, SocketAddr) = (address("public"), address("operators"));
                found.send(addresses).unwrap();
                if !log_is_read {
                    stop_reading();
                }
            }
        });
        let reader = Some(reader).filter(|_| log_is_read);
        let Ok((public, operators)) = serving.recv_timeout(DEADLINE) else {
            child.kill().unwrap();
            panic!("the broker did not start: {}", log.text());
        };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Broker { child, dir, public, operators, log, reader, http }
    }
}

/// Keeps a pipe open and reads no more, as a log collector that hangs.
fn stop_reading() -> ! {
    loop {
        std::thread::park();
    }
}

/// The binary, with the environment a test's configuration names and no other.
pub fn cosbroker(dir: &Path) -> Command {
    with_environment(Command::new(binary()), dir)
}

/// The binary, which may open so many files.
fn limited(dir: &Path, open_files: u64) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("ulimit -n {open_files}; exec \"$0\" \"$@\"")).arg(binary());
    with_environment(command, dir)
}

fn with_environment(mut command: Command, dir: &Path) -> Command {
    command.current_dir(dir).env_clear().envs([
        ("JWT_SECRET", JWT_SECRET),
        ("SECRET_ID", SECRET_ID),
        ("SECRET_KEY", SECRET_KEY),
    ]);
    command
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

/// A cloud with the operator's account.
pub fn cloud(issuer: &str, clock: &Arc<MovableClock>) -> CloudEmulator {
    cloud_with(issuer, clock, None)
}

fn cloud_with(issuer: &str, clock: &Arc<MovableClock>, weakness: Option<Weakness>) -> CloudEmulator {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let config = EmulatorConfig {
        issuer_url: issuer.to_owned(),
        audience: "app".to_owned(),
        account: Account { secret_id: SECRET_ID.to_owned(), secret_key: SECRET_KEY.to_owned() },
        session_key: SessionKey::new([7; 32]),
        storage: Storage::in_memory(1 << 20),
        default_region: "ap-guangzhou".to_owned(),
        weakness,
    };
    CloudEmulator::new(config, clock, &entropy).unwrap()
}

/// The strict emulator, for as long as the test process lives.
pub fn emulator() -> (SocketAddr, Arc<StsEmulator>) {
    emulator_with(None)
}

/// The emulator, whose COS makes a mistake.
pub fn emulator_with(weakness: Option<Weakness>) -> (SocketAddr, Arc<StsEmulator>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let clock = Arc::new(MovableClock::new(Arc::new(SystemClock::start())));
    let cloud = cloud_with("http://issuer.test/", &clock, weakness);
    let sts = Arc::clone(cloud.sts());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            cloud.serve(listener).unwrap().await.unwrap();
        });
    });
    (address, sts)
}

/// Adds a fault to the emulator at this address.
pub async fn inject_fault(cloud: SocketAddr, fault: &Value) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = Answer::of(http.post(format!("http://{cloud}/faults")).body(fault.to_string())).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}
