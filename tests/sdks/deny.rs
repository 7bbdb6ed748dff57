//! The policies that `cosbroker keys revoke --print-deny` prints, put in force in the emulated cloud: Tencent's Python
//! SDK sees that they stop exactly one user's keys.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Stdio},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    sdks::python,
    support::{Answer, cosbroker, repository, sandbox::Sandbox},
};

/// The program `python_deny.py`, which has a key of Alice and one of Bob.
struct Users {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<std::process::ChildStdout>,
}

impl Users {
    fn start(sandbox: &Sandbox) -> Self {
        let addresses = [sandbox.broker, sandbox.cloud].map(|address| format!("http://{address}"));
        let mut child = python("python_deny.py")
            .args(&addresses)
            .args([&sandbox.secret_id, &sandbox.secret_key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (commands, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, commands, answers: BufReader::new(answers) }
    }

    fn answer(&mut self, command: &str) -> Value {
        writeln!(self.commands, "{command}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{command}: {line}: {error}"))
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the JSON that follows the line with this label.
fn printed(told: &str, label: &str) -> Value {
    let (_, rest) = told.split_once(label).unwrap_or_else(|| panic!("{label}: {told}"));
    let (_, json) = rest.split_once('\n').unwrap();
    serde_json::Deserializer::from_str(json).into_iter::<Value>().next().unwrap().unwrap()
}

#[tokio::test]
async fn what_print_deny_prints_stops_the_keys_of_one_user_and_no_others() {
    let sandbox = Sandbox::start();
    let mut users = Users::start(&sandbox);
    let all = json!({"put": 200, "get": 200, "list": 200});
    let none = json!({"put": 403, "get": 403, "list": 403});
    assert_eq!(users.answer("try"), json!({"alice": all, "bob": all}));
    let revoked = cosbroker(&repository(""))
        .args(["keys", "revoke", "--subject", "alice", "--yes", "--print-deny"])
        .args(["--operators", &format!("http://{}", sandbox.operators)])
        .output()
        .unwrap();
    let told = String::from_utf8(revoked.stdout).unwrap();
    assert!(revoked.status.success(), "{told} {}", String::from_utf8_lossy(&revoked.stderr));
    assert_eq!(users.answer("try"), json!({"alice": all, "bob": all}), "a key works until it expires");

    let policy = printed(&told, "bucket policy of examplebucket-1250000000");
    assert_eq!(users.answer(&format!("policy {policy}")), policy);
    assert_eq!(users.answer("try"), json!({"alice": none, "bob": all}));
    assert_eq!(users.answer("no policy"), 200);
    assert_eq!(users.answer("try"), json!({"alice": all, "bob": all}));

    let policy = printed(&told, "CAM policy, for the role or sub-account");
    let url = sandbox.url("/account/policies/stop-alice");
    let put = sandbox.http.request(Method::PUT, url).body(policy.to_string());
    assert_eq!(Answer::of(put).await.status, 204);
    assert_eq!(users.answer("try"), json!({"alice": none, "bob": all}));
}
