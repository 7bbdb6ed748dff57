//! Which operators' listener a command calls, and how it proves who it is.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use secrecy::SecretString;
use url::Url;

use super::{admin_client::AdminClient, config_file};
use crate::{
    app::StartError,
    config::{AdminAccess, Environment},
    network::ClientIdentity,
};
use diagnostics::{read_regular_file, read_secret_file};

/// The listener of a sandbox.
const DEFAULT_URL: &str = "http://127.0.0.1:5001";
/// The variable with the URL of the listener.
const URL_VARIABLE: &str = "COSBROKER_URL";
/// The variable with the token, where no configuration is read.
const TOKEN_VARIABLE: &str = "COSBROKER_TOKEN";
/// A file of certificates or with a key is smaller.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// Which operators' listener a command calls.
#[derive(Debug, Args)]
pub(super) struct ListenerOptions {
    /// The configuration file of the broker, which has the address of its operators' listener and the token. Default: if
    /// no URL is given, as for `check`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The URL of the operators' listener. Default: `COSBROKER_URL`, else the address in the configuration, else that of a
    /// sandbox. The token is that of the configuration given with --config, else `COSBROKER_TOKEN`.
    #[arg(long, value_name = "URL", value_parser = listener_url)]
    operators: Option<String>,
    /// A file with certificates in PEM, of which the listener's is one or is signed by one. Default: those of this
    /// machine, and `admin.tls_cert_file`.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// A file with the certificate chain of this client in PEM, for a listener with `admin.client_ca_file`.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// The file with its private key in PEM.
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
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

/// What tells where the listener is. A configuration also has the token.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    url: Option<String>,
    config: Option<PathBuf>,
}

impl ListenerOptions {
    /// The configuration file, if one is used.
    ///
    /// # Errors
    /// If the URL in the environment is none.
    pub(super) fn config(&self) -> anyhow::Result<Option<PathBuf>> {
        Ok(self.target(&Environment::of_process())?.config)
    }

    /// Options come before the environment: a token must not go to an address that was meant for another.
    fn target(&self, environment: &Environment<'_>) -> anyhow::Result<Target> {
        if self.operators.is_some() || self.config.is_some() {
            return Ok(Target { url: self.operators.clone(), config: self.config.clone() });
        }
        let Some(url) = environment.variable(URL_VARIABLE).filter(|url| !url.is_empty()) else {
            return Ok(Target { url: None, config: config_file::found(None, environment) });
        };
        let url = listener_url(&url).with_context(|| format!("{URL_VARIABLE} is not a listener's URL"))?;
        Ok(Target { url: Some(url), config: None })
    }

    /// Returns a client of the listener.
    ///
    /// # Errors
    /// If the configuration or a file cannot be read.
    pub(super) fn client(&self) -> anyhow::Result<AdminClient> {
        let environment = Environment::of_process();
        let Target { url, config } = self.target(&environment)?;
        let access = config.as_deref().map(|config| AdminAccess::load(config, &environment));
        let access = access.transpose().map_err(StartError::from)?;
        let base = url.unwrap_or_else(|| access.as_ref().map_or_else(|| DEFAULT_URL.to_owned(), url_of));
        let mut trusted = Vec::new();
        if let Some(file) = &self.ca_file {
            trusted.extend(certificates(file)?);
        }
        if let Some(chain) = access.as_ref().and_then(|access| access.chain.as_deref()) {
            trusted.extend(certificates(chain)?);
        }
        let token = match access.and_then(|access| access.token) {
            Some(token) => Some(token),
            None => {
                environment.variable(TOKEN_VARIABLE).filter(|token| !token.is_empty()).map(SecretString::from)
            }
        };
        AdminClient::new(base, token, &trusted, self.identity()?)
    }

    fn identity(&self) -> anyhow::Result<Option<ClientIdentity>> {
        let (Some(chain), Some(key)) = (&self.client_cert, &self.client_key) else { return Ok(None) };
        let pem = read_secret_file(key, MAX_PEM_BYTES)
            .map_err(|fault| anyhow::anyhow!("{} {fault}; {}", key.display(), fault.help(key)))?;
        let private = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|error| anyhow::anyhow!("{} holds no private key in PEM: {error}", key.display()))?;
        Ok(Some((certificates(chain)?, private)))
    }
}

/// Returns the URL of a configured listener.
fn url_of(access: &AdminAccess) -> String {
    let scheme = if access.chain.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", access.listen)
}

/// Reads certificates in PEM.
fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = read_regular_file(file, MAX_PEM_BYTES)
        .map_err(|fault| anyhow::anyhow!("{} {fault}; {}", file.display(), fault.help(file)))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| anyhow::anyhow!("{} is not PEM: {error}", file.display()))?;
    anyhow::ensure!(!found.is_empty(), "{} holds no certificate in PEM", file.display());
    Ok(found)
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

    #[test]
    fn options_come_before_the_environment() {
        let environment = Environment(&|name| match name {
            "COSBROKER_URL" => Some("https://env.example.com/".to_owned()),
            "COSBROKER_CONFIG" => Some("env.toml".to_owned()),
            _ => None,
        });
        let options = |config: Option<&str>, operators: Option<&str>| ListenerOptions {
            config: config.map(PathBuf::from),
            operators: operators.map(str::to_owned),
            ca_file: None,
            client_cert: None,
            client_key: None,
        };
        let given = Some("https://given.example.com");
        for (config, operators, url, file) in [
            (None, None, Some("https://env.example.com"), None),
            (None, given, given, None),
            (Some("a.toml"), None, None, Some("a.toml")),
            (Some("a.toml"), given, given, Some("a.toml")),
        ] {
            let expected = Target { url: url.map(str::to_owned), config: file.map(PathBuf::from) };
            assert_eq!(options(config, operators).target(&environment).unwrap(), expected);
        }
    }
}
