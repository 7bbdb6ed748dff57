//! Fetches the documents of issuers: key sets and discovery documents.

use std::time::Duration;

use reqwest::{StatusCode, header, redirect};
use url::Url;

use crate::{
    config::Network,
    network::{self, NoHttpClient},
};
use diagnostics::to_single_line;

/// The limit for a document, after decompression. 512 RSA keys of 4096 bits take half of it.
pub(super) const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// For the connection, its TLS handshake included: an issuer may be far away or start slowly.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// From the connection to the last byte.
const FETCH_TIMEOUT: Duration = Duration::from_secs(8);

const MAX_REDIRECTS: usize = 3;

const USER_AGENT: &str = concat!("cosbroker/", env!("CARGO_PKG_VERSION"));

/// An HTTP client for the documents of issuers.
#[derive(Debug, Clone)]
pub(super) struct DocumentClient(reqwest::Client);

/// Why a document was not fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchFault {
    #[error("cannot be fetched: {0}; check the address and the way to it")]
    Interrupted(String),
    #[error(
        "cannot be fetched: its server has a certificate that no trusted authority signed ({0}); if the authority is your own, name its certificate in network.ca_file"
    )]
    UntrustedCertificate(String),
    #[error("answered {0}; check the address")]
    Status(StatusCode),
    #[error(
        "answered {status} with a redirect to `{target}`, which is not followed: only {MAX_REDIRECTS} over https to the same host or its subdomains are; if that is the document, use this address"
    )]
    Redirect { status: StatusCode, target: String },
    #[error("is larger than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge,
}

impl FetchFault {
    /// Returns whether the server has no such document.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Status(StatusCode::NOT_FOUND))
    }
}

impl DocumentClient {
    pub(super) fn new(network: &Network) -> Result<Self, NoHttpClient> {
        let client = network::client_builder(network)?
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::custom(follow_within_site))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(FETCH_TIMEOUT)
            .gzip(true)
            .deflate(true)
            .build()?;
        Ok(Self(client))
    }

    pub(super) async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchFault> {
        let mut response = self.0.get(url.clone()).send().await.map_err(|error| interrupted(&error))?;
        let status = response.status();
        if let Some(target) = response.headers().get(header::LOCATION)
            && status.is_redirection()
        {
            let target = String::from_utf8_lossy(target.as_bytes());
            let target = response.url().join(&target).map_or_else(|_| target.into_owned(), String::from);
            return Err(FetchFault::Redirect { status, target: to_single_line(&target) });
        }
        if status != StatusCode::OK {
            return Err(FetchFault::Status(status));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| interrupted(&error))? {
            if body.len() + chunk.len() > MAX_DOCUMENT_BYTES {
                return Err(FetchFault::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn follow_within_site(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let first = attempt.previous().first();
    let is_within_site = first.is_some_and(|first| is_same_site(first, attempt.url()));
    if is_within_site && attempt.previous().len() <= MAX_REDIRECTS {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

/// Returns whether a redirect stays with those whom the configuration names: https, at the same host, with or without
/// `www.`, or a subdomain of it.
fn is_same_site(first: &Url, target: &Url) -> bool {
    let (Some(from), Some(to)) = (first.host_str(), target.host_str()) else { return false };
    let is_subdomain =
        first.domain().is_some() && to.strip_suffix(from).is_some_and(|rest| rest.ends_with('.'));
    target.scheme() == "https"
        && target.port() == first.port()
        && (to == from || is_subdomain || from.strip_prefix("www.") == Some(to))
}

/// Returns "connection refused" rather than "error sending request".
fn interrupted(error: &reqwest::Error) -> FetchFault {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let cause = cause.to_string();
    if cause.contains("UnknownIssuer") {
        FetchFault::UntrustedCertificate(cause)
    } else {
        FetchFault::Interrupted(cause)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Fetches from a server that always gives this answer.
    async fn fetched(answer: String) -> Result<Vec<u8>, String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                let moved = String::from_utf8_lossy(&request[..read]).contains("/moved");
                let answer = if moved { ok("{}") } else { answer.clone() };
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let client = DocumentClient::new(&Network::default()).unwrap();
        client.get(&url.parse().unwrap()).await.map_err(|fault| fault.to_string())
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn only_a_small_200_from_the_configured_url_is_read() {
        assert_eq!(fetched(ok("{}")).await, Ok(b"{}".to_vec()));
        assert_eq!(
            fetched(ok(&" ".repeat(MAX_DOCUMENT_BYTES))).await.map(|body| body.len()),
            Ok(MAX_DOCUMENT_BYTES)
        );
        assert!(fetched(ok(&" ".repeat(MAX_DOCUMENT_BYTES + 1))).await.unwrap_err().contains("larger than"));
        for (head, message) in [
            ("500 Oops", "answered 500"),
            ("404 Not Found", "answered 404"),
            ("302 Found\r\nlocation: /moved", "answered 302 Found with a redirect to `http://127.0.0.1:"),
            ("301 Moved\r\nlocation: https://a.example/keys", "redirect to `https://a.example/keys`"),
        ] {
            let answer = ok("{}").replace("200 OK", head);
            let fault = fetched(answer).await.unwrap_err();
            assert!(fault.contains(message), "{head}: {fault}");
        }
    }

    #[test]
    fn a_redirect_is_followed_only_over_https_within_the_site() {
        let allowed = |from: &str, to: &str| is_same_site(&from.parse().unwrap(), &to.parse().unwrap());
        for (from, to) in [
            ("https://id.example.com/keys", "https://id.example.com/v2/keys"),
            ("https://example.com/keys", "https://www.example.com/keys"),
            ("https://www.example.com/keys", "https://example.com/keys"),
            ("https://example.com/keys", "https://eu.id.example.com/keys"),
            ("http://id.example.com/keys", "https://id.example.com/keys"),
            ("https://id.example.com:8443/keys", "https://id.example.com:8443/k"),
        ] {
            assert!(allowed(from, to), "{from} {to}");
        }
        for (from, to) in [
            ("https://id.example.com/keys", "http://id.example.com/keys"),
            ("https://id.example.com/keys", "https://example.com/keys"),
            ("https://example.com/keys", "https://badexample.com/keys"),
            ("https://example.com/keys", "https://example.com.evil.test/keys"),
            ("https://example.com/keys", "https://127.0.0.1/keys"),
            ("https://example.com/keys", "https://169.254.169.254/keys"),
            ("https://example.com/keys", "https://example.com:6379/keys"),
            ("https://10.0.0.1/keys", "https://1.10.0.0.1/keys"),
        ] {
            // The last is no URL.
            assert!(to.parse::<Url>().is_err() || !allowed(from, to), "{from} {to}");
        }
    }
}
