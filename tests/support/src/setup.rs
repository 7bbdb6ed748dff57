//! What a test's broker is told, and its start.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
};

use rustix::pipe::fcntl_setpipe_size;
use serde_json::Value;

use crate::{
    Broker, DEADLINE, JWT_SECRET, SECRET_ID, SECRET_KEY, binary, http_client, log::Log, repository,
    write_secret,
};

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
        let http = http_client();
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
