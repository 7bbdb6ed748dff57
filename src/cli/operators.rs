//! Asks a running broker's operators' listener.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::{
    app::StartError,
    config::{Admin, Environment},
};
use diagnostics::to_single_line;

/// Where the operators' listener stands.
#[derive(Debug, Args)]
pub(super) struct Listener {
    /// The configuration that the broker runs with: says where its operators' listener stands, and its token.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The operators' listener itself, for a broker without a token; a sandbox's is the default.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5001", conflicts_with = "config", value_parser = base)]
    operators: String,
}

/// Scheme, host and port, without a `/` behind them.
fn base(text: &str) -> Result<String, String> {
    let example = "http://127.0.0.1:5001";
    // `localhost:5001` reads as a URL with the scheme `localhost`.
    let Some((scheme @ ("http" | "https"), _)) = text.split_once("://") else {
        return Err(format!("write it with http://, like {example}"));
    };
    let url = Url::parse(text).map_err(|error| format!("{error}; write it like {example}"))?;
    let has_more = !url.username().is_empty() || url.password().is_some() || url.query().is_some();
    if has_more || url.path() != "/" || url.fragment().is_some() {
        return Err(format!("write {scheme}, host and port only, without a path, like {example}"));
    }
    Ok(url.origin().ascii_serialization())
}

/// Advice is the slowest answer: it replays what is recorded.
const SLOWEST: Duration = Duration::from_secs(30);

/// How an answer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For a person.
    Human,
    /// As the operators' listener answers.
    Json,
}

/// A broker's answer as its own version writes it.
pub(super) fn read<T: DeserializeOwned>(answer: Value) -> anyhow::Result<T> {
    serde_json::from_value(answer).context("this broker is of another version, and answers in another way")
}

pub(super) fn pretty(answer: &Value) -> anyhow::Result<String> {
    serde_json::to_string_pretty(answer).context("the answer cannot be written as JSON")
}

/// A listener that can be asked.
pub(super) struct Operators {
    base: String,
    token: Option<SecretString>,
    http: reqwest::Client,
}

impl Listener {
    /// The configuration named, if one is.
    pub(super) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    pub(super) fn open(&self) -> anyhow::Result<Operators> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(SLOWEST)
            // The token is for this listener, and it never sends anybody elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let Some(config) = &self.config else {
            return Ok(Operators { base: self.operators.clone(), token: None, http });
        };
        let admin = Admin::load(config, &Environment::of_process())
            .map_err(|problem| StartError::Problems(vec![problem]))?;
        Ok(Operators { base: format!("http://{}", admin.listen), token: admin.token, http })
    }
}

impl Operators {
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(self.http.get(format!("{}{path}", self.base))).await
    }

    pub(super) async fn post(&self, path: &str) -> anyhow::Result<Value> {
        self.send(self.http.post(format!("{}{path}", self.base))).await
    }

    pub(super) async fn post_json(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.http.post(format!("{}{path}", self.base));
        self.send(request.header("content-type", "application/json").body(body.to_string())).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        };
        let response = request.send().await.map_err(|error| self.unanswered(error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| self.unanswered(error))?;
        let answer = serde_json::from_str::<Value>(&text).ok();
        let problems = answer.as_ref().and_then(|answer| {
            let list = answer.get("problems")?.as_array()?.iter().filter_map(Value::as_str);
            Some(list.collect::<Vec<_>>().join("\n"))
        });
        match (answer, problems) {
            (Some(answer), _) if status.is_success() => Ok(answer),
            (_, Some(problems)) => anyhow::bail!("{problems}"),
            _ if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN => anyhow::bail!(
                "the operators' listener {} answered {status}: {}; for a broker with a token, name its configuration with --config",
                self.base,
                to_single_line(text.trim())
            ),
            _ => anyhow::bail!(
                "{} answered {status}: that is not a broker's operators' listener; name it as admin.listen has it, port 5001 by default, with --config or --operators",
                self.base
            ),
        }
    }

    fn unanswered(&self, error: reqwest::Error) -> anyhow::Error {
        let help = if error.is_timeout() {
            "see whether it is overloaded, and ask again"
        } else if self.base.starts_with("https:") {
            "the listener itself speaks plain HTTP: write http://, unless it stands behind TLS of yours"
        } else {
            "start the broker, or name its listener with --config or --operators"
        };
        anyhow::anyhow!(
            "no answer from the operators' listener {}: {}; {help}",
            self.base,
            anyhow::Error::from(error).root_cause()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_named_by_scheme_host_and_port() {
        for (text, expected) in [
            ("http://127.0.0.1:5001", "http://127.0.0.1:5001"),
            ("http://[::1]:5001/", "http://[::1]:5001"),
            ("https://broker.example.com", "https://broker.example.com"),
        ] {
            assert_eq!(base(text).as_deref(), Ok(expected));
        }
        for (text, told) in [
            ("127.0.0.1:5001", "write it with http://"),
            ("localhost:5001", "write it with http://"),
            ("ftp://127.0.0.1:5001", "write it with http://"),
            ("http://", "write it like"),
            ("http://127.0.0.1:99999", "write it like"),
            ("http://127.0.0.1:5001/api/status", "without a path"),
            ("http://127.0.0.1:5001?x=1", "without a path"),
            ("http://me:secret@127.0.0.1:5001", "host and port only"),
        ] {
            assert!(base(text).unwrap_err().contains(told), "{text}");
        }
    }
}
