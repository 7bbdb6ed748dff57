//! `[server]`: the public listener, which applications call.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::{
    context::Context,
    tls::{Tls, tls},
};
use diagnostics::{Diagnostic, HumanDuration, SignedHumanDuration};

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawServer {
    listen: SocketAddr,
    tls_cert_file: Option<Spanned<PathBuf>>,
    tls_key_file: Option<Spanned<PathBuf>>,
    trusted_proxies: Vec<IpNet>,
    cors_origins: Vec<Spanned<String>>,
    cors_headers: Vec<Spanned<String>>,
    workers: Option<Spanned<usize>>,
    max_connections: Option<Spanned<usize>>,
    max_connections_per_address: Option<Spanned<usize>>,
    tls_handshake_timeout: HumanDuration,
    drain_delay: Option<Spanned<SignedHumanDuration>>,
    shutdown_timeout: HumanDuration,
}

impl Default for RawServer {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5000)),
            tls_cert_file: None,
            tls_key_file: None,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            cors_headers: Vec::new(),
            workers: None,
            max_connections: None,
            max_connections_per_address: None,
            tls_handshake_timeout: HumanDuration(Duration::from_secs(5)),
            drain_delay: None,
            shutdown_timeout: HumanDuration(Duration::from_secs(25)),
        }
    }
}

/// Settings of the public listener.
#[derive(Debug)]
pub struct Server {
    listen: SocketAddr,
    tls: Option<Tls>,
    trusted_proxies: Vec<IpNet>,
    cors_origins: Vec<String>,
    cors_headers: Vec<String>,
    workers: Option<usize>,
    max_connections: usize,
    max_connections_per_address: usize,
    tls_handshake_timeout: Duration,
    drain_delay: Duration,
    shutdown_timeout: Duration,
}

/// The server library's own bound.
const MAX_WORKERS: usize = 512;
const DEFAULT_MAX_CONNECTIONS: usize = 25_000;
const DEFAULT_DRAIN_DELAY: Duration = Duration::from_secs(1);
const DEFAULT_MAX_CONNECTIONS_PER_ADDRESS: usize = 4096;

impl RawServer {
    /// The origins as written.
    pub(super) fn cors_origins(&self) -> impl Iterator<Item = &str> {
        self.cors_origins.iter().map(|origin| origin.get_ref().as_str())
    }

    pub(super) fn check(self, context: &Context<'_>) -> Result<Server, Diagnostic> {
        let tls = tls("server", self.tls_cert_file, self.tls_key_file, context)?;
        for origin in &self.cors_origins {
            check_origin(origin, context)?;
        }
        for header in &self.cors_headers {
            check_header(header, context)?;
        }
        if let Some(workers) = self.workers.as_ref().filter(|workers| *workers.get_ref() > MAX_WORKERS) {
            return Err(context.problem(
                workers.span(),
                format!("more than {MAX_WORKERS} workers"),
                "leave it out for one per core",
            ));
        }
        let counts = [&self.workers, &self.max_connections, &self.max_connections_per_address];
        for count in counts.into_iter().flatten() {
            if *count.get_ref() == 0 {
                return Err(context.problem(count.span(), "0 would serve no request", "give 1 or more"));
            }
        }
        let drain_delay = match &self.drain_delay {
            None => DEFAULT_DRAIN_DELAY,
            Some(delay) => Duration::try_from(delay.get_ref().0).map_err(|_| {
                context.problem(delay.span(), "a delay is not negative", "give \"0s\" for none")
            })?,
        };
        Ok(Server {
            listen: self.listen,
            tls,
            trusted_proxies: self.trusted_proxies,
            cors_origins: self.cors_origins.into_iter().map(Spanned::into_inner).collect(),
            cors_headers: self
                .cors_headers
                .into_iter()
                .map(|header| header.into_inner().to_ascii_lowercase())
                .collect(),
            workers: self.workers.map(Spanned::into_inner),
            max_connections: self.max_connections.map_or(DEFAULT_MAX_CONNECTIONS, Spanned::into_inner),
            max_connections_per_address: self
                .max_connections_per_address
                .map_or(DEFAULT_MAX_CONNECTIONS_PER_ADDRESS, Spanned::into_inner),
            tls_handshake_timeout: self.tls_handshake_timeout.0,
            drain_delay,
            shutdown_timeout: self.shutdown_timeout.0,
        })
    }
}

fn check_origin(origin: &Spanned<String>, context: &Context<'_>) -> Result<(), Diagnostic> {
    let text = origin.get_ref();
    if Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == *text) {
        return Ok(());
    }
    Err(context.problem(
        origin.span(),
        format!("`{text}` is not an origin"),
        "write scheme and host only, like \"https://app.example.com\"; `*` is never allowed",
    ))
}

/// The name of a header is a token (RFC 9110 §5.1, §5.6.2). `*` is one too, but would allow every header.
fn check_header(header: &Spanned<String>, context: &Context<'_>) -> Result<(), Diagnostic> {
    let text = header.get_ref();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_name) {
        return Ok(());
    }
    Err(context.problem(
        header.span(),
        format!("`{text}` is not the name of a header"),
        "write one name, like \"x-requested-with\"; `*` is never allowed",
    ))
}

impl Server {
    /// The address of the public listener.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Certificate and key; plain HTTP if absent.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Peers whose `X-Forwarded-For` and sampling flag are trusted.
    pub(crate) fn trusted_proxies(&self) -> &[IpNet] {
        &self.trusted_proxies
    }

    /// Origins that CORS allows.
    pub(crate) fn cors_origins(&self) -> &[String] {
        &self.cors_origins
    }

    /// Headers that CORS allows besides those that the API reads, in lower case.
    pub(crate) fn cors_headers(&self) -> &[String] {
        &self.cors_headers
    }

    /// Worker threads; one per core if absent.
    pub(crate) fn workers(&self) -> Option<usize> {
        self.workers
    }

    /// Connections that may be open.
    pub(crate) fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// Connections that one client may have open, unless it is a trusted proxy.
    pub(crate) fn max_connections_per_address(&self) -> usize {
        self.max_connections_per_address
    }

    /// The time in which a TLS handshake must be done.
    pub(crate) fn tls_handshake_timeout(&self) -> Duration {
        self.tls_handshake_timeout
    }

    /// How long new connections are still taken after a signal to stop.
    pub(crate) fn drain_delay(&self) -> Duration {
        self.drain_delay
    }

    /// How long running requests may take after a signal to stop.
    pub(crate) fn shutdown_timeout(&self) -> Duration {
        self.shutdown_timeout
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{MINIMAL, assert_refused, parse};

    #[test]
    fn the_public_listener_is_on_loopback_by_default() {
        assert_eq!(parse(MINIMAL).unwrap().server().listen().to_string(), "127.0.0.1:5000");
    }

    #[test]
    fn bad_values_are_refused() {
        for (section, message) in [
            ("[server]\ncors_origins = [\"*\"]", "not an origin"),
            ("[server]\ncors_headers = [\"*\"]", "not the name of a header"),
            ("[server]\ncors_headers = [\"a, b\"]", "not the name of a header"),
            ("[server]\ntls_cert_file = \"a.pem\"", "one of tls_cert_file and tls_key_file"),
            ("[server]\nworkers = 0", "0 would serve no request"),
            ("[server]\nmax_connections_per_address = 0", "0 would serve no request"),
            ("[server]\ntls_handshake_timeout = \"0s\"", "is not a duration"),
            ("[server]\ndrain_delay = \"-1s\"", "a delay is not negative"),
            ("[server]\nworkers = 513", "more than 512"),
        ] {
            assert_refused(section, message);
        }
    }
}
