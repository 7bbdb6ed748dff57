//! What the check of a section needs: the file's text, its folder and the environment.

use std::{
    net::IpAddr,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::Spanned;
use url::Url;

use super::{Environment, Network};
use diagnostics::{Diagnostic, FilePlace, Source};

/// Context of one check of a configuration.
pub(super) struct Context<'a> {
    pub(super) source: &'a Source,
    pub(super) environment: &'a Environment<'a>,
    /// `[network]`, which other sections depend on.
    pub(super) network: Network,
}

impl Context<'_> {
    pub(super) fn problem(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Diagnostic {
        self.source.problem(span, message, help)
    }

    /// The position of a span for messages: `file:line:column`.
    pub(super) fn place(&self, span: &Range<usize>) -> String {
        self.source.place(span)
    }

    /// The same, for problems that are found later.
    pub(super) fn file_place(&self, span: Range<usize>) -> FilePlace {
        self.source.file_place(span)
    }

    /// The folder of the configuration file.
    pub(super) fn base(&self) -> &Path {
        self.source.path().parent().unwrap_or(Path::new(""))
    }

    /// A path of the configuration, which is relative to its file.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.base().join(path)
    }

    /// As [`Self::url`], and plain HTTP from the hosts in `network.plain_http_hosts`.
    pub(super) fn issuer_url(&self, text: &Spanned<String>) -> Result<Url, Diagnostic> {
        match url_without_credentials(text.get_ref()) {
            Ok(url) if self.network.permits_issuer(&url) => Ok(url),
            Ok(_) | Err(_) => self.url(text),
        }
    }

    /// HTTPS anywhere, plain HTTP on loopback only; never with credentials inside.
    pub(super) fn url(&self, text: &Spanned<String>) -> Result<Url, Diagnostic> {
        safe_url(text.get_ref()).map_err(|message| {
            let help = "write it like \"https://host/path\"; http:// is accepted for loopback only, and for issuers on the hosts in network.plain_http_hosts";
            self.problem(text.span(), message.to_string(), help)
        })
    }
}

/// Why a text is not a URL that the broker may call.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnsafeUrl {
    #[error("`{text}` is not a URL: {error}")]
    Syntax { text: String, error: url::ParseError },
    #[error("a URL with credentials in it")]
    Credentials,
    #[error("`{0}` is not a safe URL")]
    PlainHttp(String),
}

/// Parses a URL that contains no user name and no password.
pub(super) fn url_without_credentials(text: &str) -> Result<Url, UnsafeUrl> {
    let url = Url::parse(text).map_err(|error| UnsafeUrl::Syntax { text: text.to_owned(), error })?;
    if url.username().is_empty() && url.password().is_none() { Ok(url) } else { Err(UnsafeUrl::Credentials) }
}

fn safe_url(text: &str) -> Result<Url, UnsafeUrl> {
    let url = url_without_credentials(text)?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(UnsafeUrl::PlainHttp(text.to_owned())),
    }
}

/// Returns whether a URL names this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

/// Whether a URL has more than scheme, host and port.
pub(super) fn has_path(url: &Url) -> bool {
    url.path() != "/" || url.query().is_some()
}
