//! A running broker, with everything on that a production configuration has.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    BenchError,
    login::{ISSUER, Login, SECRET, SECRET_VARIABLE},
};

/// Requests are counted, but none is refused.
const LIMITS: &str = "[limits]\nper_user = \"60000000/minute\"\n";
pub(crate) const AUDIT: &str = "[audit]\npath = \"audit.jsonl\"\n";

/// What a broker is started with.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) login: &'a Login,
    /// The address of STS.
    pub(crate) cloud: &'a str,
    /// More sections of the configuration.
    pub(crate) config: &'a str,
    /// More lines of `[sts]`.
    pub(crate) sts: &'a str,
    pub(crate) workers: usize,
}

/// A running broker, ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    process: Child,
    dir: TempDir,
    pub(crate) public: String,
    pub(crate) operators: String,
}

impl Setup<'_> {
    /// Writes the configuration.
    pub(crate) fn write(&self) -> Result<TempDir, BenchError> {
        let dir = tempfile::tempdir()?;
        let policies = dir.path().join("policies");
        fs::create_dir(&policies)?;
        fs::write(policies.join("upload.toml"), include_str!("../../policies/upload.toml"))?;
        let Self { login, cloud, config, sts, workers, .. } = self;
        let issuer = &login.config;
        if let Some(jwks) = &login.jwks {
            fs::write(dir.path().join("jwks.json"), jwks.to_string())?;
        }
        let text = format!(
            r#"[server]
listen = "127.0.0.1:0"
workers = {workers}
drain_delay = "0s"
[admin]
listen = "127.0.0.1:0"
[[issuer]]
issuer = "{ISSUER}"
audience = ["app"]
{issuer}
[templates]
dir = "policies"
default = "upload"
[sts]
region = "ap-guangzhou"
endpoint = "http://{cloud}"
secret_id_env = "SECRET_ID"
secret_key_env = "SECRET_KEY"
{sts}
{LIMITS}
{config}
"#
        );
        fs::write(dir.path().join("config.toml"), text)?;
        Ok(dir)
    }

    /// Starts it, under another program if `under` has words.
    pub(crate) fn start(&self, under: &[&str]) -> Result<Broker, BenchError> {
        self.start_in(self.write()?, under)
    }

    /// Starts it where its configuration was written.
    pub(crate) fn start_in(&self, dir: TempDir, under: &[&str]) -> Result<Broker, BenchError> {
        let binary = fs::canonicalize(self.binary)?;
        let mut command = command(under, &binary);
        let mut process = command
            .current_dir(dir.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs([(SECRET_VARIABLE, SECRET), ("SECRET_ID", "AKIDbench"), ("SECRET_KEY", "bench")])
            .args(["serve", "--log", "json", "--config", "config.toml"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut log = BufReader::new(process.stderr.take().ok_or("no log")?);
        let addresses = serving(&mut log);
        if addresses.is_err() {
            process.kill()?;
            process.wait()?;
        }
        let (public, operators) = addresses?;
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Ok(Broker { process, dir, public, operators })
    }
}

/// The command that runs a program under another.
pub(crate) fn command(under: &[&str], program: &Path) -> Command {
    match under {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    }
}

impl Broker {
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Resident memory, as `ps` shows it.
    pub(crate) fn resident_bytes(&self) -> Result<u64, BenchError> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        Ok(kib.ok_or("no VmRSS")?.parse::<u64>()? << 10)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Stops it as systemd does, and waits for its end.
    pub(crate) fn stop(&mut self) -> Result<(), BenchError> {
        terminate(&mut self.process)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends SIGTERM, and waits for the end.
pub(crate) fn terminate(process: &mut Child) -> Result<(), BenchError> {
    kill_process(Pid::from_child(process), Signal::TERM)?;
    process.wait()?;
    Ok(())
}

/// Addresses of the listeners, from the broker's log. Lines that are not its own come from the program it runs under.
fn serving(log: &mut BufReader<ChildStderr>) -> Result<(String, String), BenchError> {
    let mut said = String::new();
    for line in log.lines() {
        let line = line?;
        if let Ok(event) = serde_json::from_str::<Value>(&line) {
            let address = |name: &str| event.pointer(&format!("/fields/{name}")).and_then(Value::as_str);
            if let (Some(public), Some(operators)) = (address("public"), address("operators")) {
                return Ok((public.to_owned(), operators.to_owned()));
            }
        }
        said.push_str(&line);
        said.push('\n');
    }
    Err(format!("the broker did not start:\n{said}").into())
}
