//! Asks a running broker's operators' listener.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    app::StartError,
    config::{Admin, Environment},
};

/// Where the operators' listener stands.
#[derive(Debug, Args)]
pub(super) struct Listener {
    /// The configuration that the broker runs with: says where its operators' listener stands, and its token.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The operators' listener itself, for a broker without a token; a sandbox's is the default.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5001", conflicts_with = "config")]
    operators: String,
}

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
        let http = reqwest::Client::builder().no_proxy().build()?;
        let Some(config) = &self.config else {
            return Ok(Operators {
                base: self.operators.trim_end_matches('/').to_owned(),
                token: None,
                http,
            });
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
        let response = request.send().await.map_err(|error| {
            anyhow::anyhow!(
                "no answer from the operators' listener {}: {}; start the broker, or name its listener with --config or --operators",
                self.base,
                anyhow::Error::from(error).root_cause()
            )
        })?;
        let status = response.status();
        let text = response.text().await?;
        if status.is_success() {
            return serde_json::from_str(&text)
                .map_err(|_| anyhow::anyhow!("{} is not a broker's operators' listener", self.base));
        }
        let problems = serde_json::from_str::<Value>(&text).ok().and_then(|body| {
            let list = body.get("problems")?.as_array()?.iter().filter_map(Value::as_str);
            Some(list.collect::<Vec<_>>().join("\n"))
        });
        match problems {
            Some(problems) => anyhow::bail!("{problems}"),
            None => anyhow::bail!("the operators' listener {} answered {status}: {}", self.base, text.trim()),
        }
    }
}
