//! A client of a running broker's operators' listener.

use std::time::Duration;

use anyhow::Context;
use reqwest::StatusCode;
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::network::{ClientIdentity, tls_trusting};
use diagnostics::to_single_line;

/// Advice is the slowest response: it replays what is recorded.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

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

impl AdminClient {
    /// Returns a client of the listener at a URL, whose certificate is trusted by this machine or by `trusted`.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub(super) fn new(
        base: String,
        token: Option<SecretString>,
        trusted: &[CertificateDer<'static>],
        identity: Option<ClientIdentity>,
    ) -> anyhow::Result<Self> {
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .timeout(RESPONSE_TIMEOUT)
            // The token is for this listener only, which never redirects.
            .redirect(reqwest::redirect::Policy::none());
        if base.starts_with("https:") {
            let tls =
                tls_trusting(trusted, identity).context("TLS to the operators' listener cannot be set up")?;
            builder = builder.tls_backend_preconfigured(tls);
        }
        Ok(Self { base, token, http: builder.build()? })
    }

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
            _ if status == StatusCode::UNAUTHORIZED => anyhow::bail!(
                "the operators' listener {} responded {status}: {}; name its configuration with --config, or set COSBROKER_TOKEN",
                self.base,
                if self.token.is_some() { "the token is not its own" } else { "it wants a token" }
            ),
            _ if status == StatusCode::FORBIDDEN => anyhow::bail!(
                "the operators' listener {} responded {status}: {}",
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
            "if its certificate is not trusted here, give --ca-file, or with --operators the name that it has; if it wants one of clients, give --client-cert and --client-key; without admin.tls_cert_file, write http://"
        } else {
            "start the broker, or name its listener with --config, --operators or COSBROKER_URL; with admin.tls_cert_file, write https://"
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
