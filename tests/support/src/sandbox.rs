//! A whole sandbox of one's own: the real `cosbroker sandbox`, its three listeners, and its account.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ExitStatus, Stdio},
};

use serde_json::{Value, json};

use super::{Answer, Signal, cosbroker, log::Log, repository, send_signal};

/// A running `cosbroker sandbox`, ended with the test.
#[derive(Debug)]
pub struct Sandbox {
    child: Child,
    /// What it said at its start, line by line.
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

    /// With more on its command line; it listens on ports that are free.
    pub fn with(arguments: &[&str]) -> Self {
        let mut child = cosbroker(&repository(""))
            .args(["sandbox", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--cloud-listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::default();
        log.follow(child.stderr.take().unwrap(), |_| {});
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut printed = Vec::new();
        loop {
            let mut line = String::new();
            let read = said.read_line(&mut line).unwrap();
            assert!(read > 0, "the sandbox did not start: {}", log.text());
            printed.push(line.trim_end().to_owned());
            if line.contains("Ctrl-C") {
                break;
            }
        }
        // Nobody reads on, but a pipe that is closed would end it.
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        let after = |label: &str| {
            let line = printed.iter().find_map(|line| line.trim().strip_prefix(label));
            line.unwrap_or_else(|| panic!("{label}: {printed:?}")).trim().to_owned()
        };
        let address = |label: &str| {
            after(label).split_whitespace().next().unwrap().strip_prefix("http://").unwrap().parse().unwrap()
        };
        let account = after("account");
        let word = |label: &str| {
            let (_, rest) = account.split_once(label).unwrap();
            rest.split([',', ' ']).next().unwrap().to_owned()
        };
        Self {
            broker: address("broker"),
            operators: address("operators"),
            cloud: address("cloud"),
            secret_id: word("SecretId "),
            secret_key: word("SecretKey "),
            child,
            printed,
            log,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// A place of the cloud.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.cloud)
    }

    /// A token of its issuer's.
    pub async fn token(&self, subject: &str) -> String {
        let url = url::Url::parse_with_params(&self.url("/token"), [("sub", subject)]).unwrap();
        Answer::of(self.http.get(url)).await.body
    }

    /// `GET` at the broker, as this user.
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

    /// How often each fault has struck.
    pub async fn struck(&self) -> Vec<u64> {
        let listed = Answer::of(self.http.get(self.url("/faults"))).await.json();
        listed["faults"].as_array().unwrap().iter().map(|fault| fault["struck"].as_u64().unwrap()).collect()
    }

    /// `DELETE /faults`
    pub async fn clear_faults(&self) {
        assert_eq!(Answer::of(self.http.delete(self.url("/faults"))).await.status, 204);
    }

    /// `PUT /clock`
    pub async fn put_clock(&self, ahead: &str) -> Answer {
        Answer::of(self.http.put(self.url("/clock")).body(json!({"ahead": ahead}).to_string())).await
    }

    /// The sum of a metric's samples whose line holds every one of `parts`.
    pub async fn figure(&self, parts: &[&str]) -> u64 {
        super::figure(&self.http, self.operators, parts).await
    }

    pub fn log(&self) -> String {
        self.log.text()
    }

    pub fn says(&self, words: &str) {
        self.log.says(words);
    }

    /// The most memory it has had so far, in bytes (`proc_pid_status(5)`).
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    /// Ctrl-C.
    pub fn interrupt(mut self) -> ExitStatus {
        send_signal(&self.child, Signal::INT);
        self.child.wait().unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log();
        assert!(!log.contains("panicked") || std::thread::panicking(), "the sandbox panicked: {log}");
    }
}
