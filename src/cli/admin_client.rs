//! A client of a running broker's operators' listener.

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

/// Which operators' listener a command calls.
#[derive(Debug, Args)]
pub(super) struct ListenerOptions {
    /// The configuration file of the broker, which has the address of its operators' listener and the token.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The URL of the operators' listener, for a broker without a token. The default is that of a sandbox.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5001", conflicts_with = "config", value_parser = listener_url)]
    operators: String,
}

/// Why a text is not the URL of a listener.
#[derive(Debug, thiserror::Error)]
enum BadListenerUrl {
    #[error("write it with http://, like http://127.0.0.1:5001")]
    NoScheme,
    #[error("{0}; write it like http://127.0.0.1:5001")]
    Syntax(#[from] url::ParseError),
    #[error("write {0}, host and port only, without a path, like http://127.0.0.1:5001")]
    NotOnlyHost(String),
}

/// Accepts scheme, host and port; returns them without a final `/`.
fn listener_url(text: &str) -> Result<String, BadListenerUrl> {
    // `localhost:5001` parses as a URL with the scheme `localhost`.
    let Some((scheme @ ("http" | "https"), _)) = text.split_once("://") else {
        return Err(BadListenerUrl::NoScheme);
    };
    let url = Url::parse(text)?;
    let has_more = !url.username().is_empty() || url.password().is_some() || url.query().is_some();
    if has_more || url.path() != "/" || url.fragment().is_some() {
        return Err(BadListenerUrl::NotOnlyHost(scheme.to_owned()));
    }
    Ok(url.origin().ascii_serialization())
}

/// Advice is the slowest response: it replays what is recorded.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How a response is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// Decodes a response, which a broker of another version may write in another shape.
pub(super) fn decode<T: DeserializeOwned>(response: Value) -> anyhow::Result<T> {
    serde_json::from_value(response)
        .context("this broker has another version, whose responses this command cannot read")
}

/// Formats a response with indentation.
pub(super) fn pretty(response: &Value) -> anyhow::Result<String> {
    serde_json::to_string_pretty(response).context("the response cannot be written as JSON")
}

/// A client of one operators' listener.
pub(super) struct AdminClient {
    base: String,
    token: Option<SecretString>,
    http: reqwest::Client,
}

impl ListenerOptions {
    /// The configuration file, if one is given.
    pub(super) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    pub(super) fn client(&self) -> anyhow::Result<AdminClient> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(RESPONSE_TIMEOUT)
            // The token is for this listener only, which never redirects.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let Some(config) = &self.config else {
            return Ok(AdminClient { base: self.operators.clone(), token: None, http });
        };
        let admin = Admin::load(config, &Environment::of_process()).map_err(StartError::from)?;
        let (listen, tokens) = admin.into_parts();
        let token = tokens.map(|tokens| tokens.operator);
        Ok(AdminClient { base: format!("http://{listen}"), token, http })
    }
}

impl AdminClient {
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
        let response = request.send().await.map_err(|error| self.no_response(error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| self.no_response(error))?;
        let body = serde_json::from_str::<Value>(&text).ok();
        let problems = body.as_ref().and_then(problems);
        match (body, problems) {
            (Some(body), _) if status.is_success() => Ok(body),
            (_, Some(problems)) => anyhow::bail!("{problems}"),
            _ if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN => anyhow::bail!(
                "the operators' listener {} responded {status}: {}; for a broker with a token, name its configuration with --config",
                self.base,
                to_single_line(text.trim())
            ),
            _ => anyhow::bail!(
                "{} responded {status}: it is not the operators' listener of a broker; give the address in admin.listen, by default port 5001, with --config or --operators",
                self.base
            ),
        }
    }

    fn no_response(&self, error: reqwest::Error) -> anyhow::Error {
        let help = if error.is_timeout() {
            "check whether it is overloaded, and try again"
        } else if self.base.starts_with("https:") {
            "the listener itself uses plain HTTP: write http://, unless it is behind a TLS proxy"
        } else {
            "start the broker, or name its listener with --config or --operators"
        };
        anyhow::anyhow!(
            "no response from the operators' listener {}: {}; {help}",
            self.base,
            anyhow::Error::from(error).root_cause()
        )
    }
}

/// The problems that a response lists, one per line.
fn problems(body: &Value) -> Option<String> {
    let list = body.get("problems")?.as_array()?.iter().filter_map(Value::as_str);
    Some(list.collect::<Vec<_>>().join("\n"))
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
            assert_eq!(listener_url(text).unwrap(), expected);
        }
        for (text, message) in [
            ("127.0.0.1:5001", "write it with http://"),
            ("localhost:5001", "write it with http://"),
            ("ftp://127.0.0.1:5001", "write it with http://"),
            ("http://", "write it like"),
            ("http://127.0.0.1:99999", "write it like"),
            ("http://127.0.0.1:5001/api/status", "without a path"),
            ("http://127.0.0.1:5001?x=1", "without a path"),
            ("http://me:secret@127.0.0.1:5001", "host and port only"),
        ] {
            assert!(listener_url(text).unwrap_err().to_string().contains(message), "{text}");
        }
    }
}
