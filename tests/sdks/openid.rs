//! An OpenID provider that many apps use, the npm package `oidc-provider`, as the issuer: from its token to an upload.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use serde_json::Value;

use crate::{
    sdks::node,
    support::{Setup, emulator},
};

/// The program `openid.mjs`, ended with the test.
struct Provider {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Provider {
    /// Starts it, and returns it with its issuer.
    fn start(cloud: &str) -> (Self, String) {
        let mut command = node("openid.mjs");
        let mut child = command.arg(cloud).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut provider = Self { child, input, output };
        let issuer = provider.answer();
        (provider, issuer.as_str().unwrap().to_owned())
    }

    fn ask(&mut self, command: &str) -> Value {
        writeln!(self.input, "{command}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn token(&mut self) -> String {
        self.ask("token").as_str().unwrap().to_owned()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_login_at_an_openid_provider_leads_to_an_upload_before_and_after_its_keys_are_rotated() {
    let (cloud, _) = emulator();
    let (mut provider, issuer) = Provider::start(&format!("http://{cloud}"));
    // The issuer alone: its discovery document says all the rest.
    let broker = Setup::new(cloud)
        .with("algorithms = [\"HS256\"]\n", "")
        .with("secret_env = \"JWT_SECRET\"\n", "")
        .with("https://id.test/", &issuer)
        .start();
    let first = provider.token();
    let credentials = broker.get("/v1/credentials", &first).await;
    assert_eq!(credentials.status, 200, "{}\n{}", credentials.body, broker.log());
    assert_eq!(credentials.json()["prefix"], "users/alice/");
    assert_eq!(provider.ask(&format!("upload {}", credentials.json())), 200);

    provider.ask("rotate");
    let second = provider.token();
    assert_ne!(first, second);
    let answer = loop {
        let answer = broker.get("/v1/credentials", &second).await;
        if answer.status != 503 {
            break answer;
        }
        // Two fetches within a second are one too many.
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
    };
    assert_eq!(answer.status, 200, "{}\n{}", answer.body, broker.log());
    assert_eq!(provider.ask(&format!("upload {}", answer.json())), 200);
    assert_eq!(broker.get("/v1/credentials", &first).await.status, 401, "its key was withdrawn");
}
