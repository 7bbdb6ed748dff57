//! A sandbox for one test: the real `cosbroker sandbox`, its three listeners, and its account.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ExitStatus, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Answer, Signal, cosbroker, http_client, log::Log, repository, send_signal};

/// A running `cosbroker sandbox`, stopped at the end of the test.
#[derive(Debug)]
pub struct Sandbox {
    child: Child,
    /// For its temporary files, which it cannot delete when it is killed.
    _temporary: TempDir,
    /// The lines that it printed at its start.
    pub printed: Vec<String>,
    pub broker: SocketAddr,
    pub operators: SocketAddr,
    pub cloud: SocketAddr,
    pub secret_id: String,
    pub secret_key: String,
    log: Log,
    pub http: reqwest::Client,
}

impl Sandbox {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a sandbox with these additional arguments, on free ports.
    pub fn with(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut child = cosbroker(&repository(""))
            .env("TMPDIR", temporary.path())
            .args(["sandbox", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--cloud-listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::default();
        log.follow(child.stderr.take().unwrap(), |_| {});
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut printed = Vec::new();
        loop {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).unwrap();
            assert!(read > 0, "the sandbox did not start: {}", log.text());
            printed.push(line.trim_end().to_owned());
            if line.contains("Ctrl-C") {
                break;
            }
        }
        // The sandbox would fail if the pipe were closed.
        std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        let account = text_after(&printed, "account");
        Self {
            broker: address_after(&printed, "broker"),
            operators: address_after(&printed, "operators"),
            cloud: address_after(&printed, "cloud"),
            secret_id: account_field(&account, "SecretId "),
            secret_key: account_field(&account, "SecretKey "),
            child,
            _temporary: temporary,
            printed,
            log,
            http: http_client(),
        }
    }

    /// Returns a URL of the cloud.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.cloud)
    }

    /// Returns a token of the sandbox's issuer.
    pub async fn token(&self, subject: &str) -> String {
        let url = url::Url::parse_with_params(&self.url("/token"), [("sub", subject)]).unwrap();
        Answer::of(self.http.get(url)).await.body
    }

    /// Sends a `GET` to the broker as this user.
    pub async fn get(&self, path: &str, subject: &str) -> Answer {
        let token = self.token(subject).await;
        Answer::of(self.http.get(format!("http://{}{path}", self.broker)).bearer_auth(token)).await
    }

    /// `POST /faults`
    pub async fn fault(&self, fault: Value) -> Value {
        let answer = Answer::of(self.http.post(self.url("/faults")).body(fault.to_string())).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    /// Returns how often each fault was injected.
    pub async fn injected(&self) -> Vec<u64> {
        let listed = Answer::of(self.http.get(self.url("/faults"))).await.json();
        listed["faults"].as_array().unwrap().iter().map(|fault| fault["injected"].as_u64().unwrap()).collect()
    }

    /// `DELETE /faults`
    pub async fn clear_faults(&self) {
        assert_eq!(Answer::of(self.http.delete(self.url("/faults"))).await.status, 204);
    }

    /// `PUT /clock`
    pub async fn put_clock(&self, ahead: &str) -> Answer {
        Answer::of(self.http.put(self.url("/clock")).body(json!({"ahead": ahead}).to_string())).await
    }

    /// Returns the sum of the metric samples whose line contains all `parts`.
    pub async fn figure(&self, parts: &[&str]) -> u64 {
        super::figure(&self.http, self.operators, parts).await
    }

    pub fn log(&self) -> String {
        self.log.text()
    }

    pub fn says(&self, words: &str) {
        self.log.says(words);
    }

    /// Returns its maximum memory use so far in bytes (`proc_pid_status(5)`).
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        super::figure_of(&status, "VmHWM:") << 10
    }

    /// Sends SIGINT, as Ctrl-C does, and waits for its end.
    pub fn interrupt(mut self) -> ExitStatus {
        send_signal(&self.child, Signal::INT);
        self.child.wait().unwrap()
    }
}

/// Returns the rest of the printed line that begins with a label.
fn text_after(printed: &[String], label: &str) -> String {
    let line = printed.iter().find_map(|line| line.trim().strip_prefix(label));
    line.unwrap_or_else(|| panic!("{label}: {printed:?}")).trim().to_owned()
}

fn address_after(printed: &[String], label: &str) -> SocketAddr {
    let text = text_after(printed, label);
    text.split_whitespace().next().unwrap().strip_prefix("http://").unwrap().parse().unwrap()
}

fn account_field(account: &str, label: &str) -> String {
    let (_, rest) = account.split_once(label).unwrap();
    rest.split([',', ' ']).next().unwrap().to_owned()
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log();
        assert!(!log.contains("panicked") || std::thread::panicking(), "the sandbox panicked: {log}");
    }
}
