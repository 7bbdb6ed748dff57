//! `[network]`: how this service reaches issuers, STS, COS and the collector of traces.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use ipnet::IpNet;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::context::{Context, has_path, is_loopback, url_without_credentials};
use diagnostics::Diagnostic;

/// The section as written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNetwork {
    proxy: Option<Spanned<String>>,
    proxy_credentials_env: Option<Spanned<String>>,
    proxy_credentials_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    no_proxy: Vec<Spanned<String>>,
    ca_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    plain_http_hosts: Vec<Spanned<String>>,
}

/// How this service reaches others. The default: directly, with the certificate authorities of this machine.
#[derive(Debug, Clone, Default)]
pub struct Network {
    proxy: Option<Proxy>,
    ca_certificates: Arc<[CertificateDer<'static>]>,
    plain_http_hosts: Arc<[String]>,
}

/// A proxy for outgoing requests.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Its address, without credentials.
    pub url: Url,
    /// `user:password`.
    pub credentials: Option<SecretString>,
    /// The hosts and networks that are reached without it. This machine is always among them.
    pub exceptions: Vec<String>,
}

/// Addresses of this machine: a proxy elsewhere cannot reach them.
const THIS_MACHINE: [&str; 3] = ["localhost", "127.0.0.0/8", "::1"];

/// Endings of names that the public DNS does not have (RFC 2606, RFC 6761, RFC 6762, RFC 8375, ICANN's `.internal`), or
/// that clusters use.
const INTERNAL_ENDINGS: [&str; 8] =
    [".internal", ".local", ".svc", ".consul", ".lan", ".home.arpa", ".localhost", ".test"];

impl Network {
    /// The proxy, if one is configured.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// The certificates that are trusted beside those of this machine.
    pub(crate) fn ca_certificates(&self) -> &[CertificateDer<'static>] {
        &self.ca_certificates
    }

    /// Returns whether documents of an issuer may be fetched there: over HTTPS, or over plain HTTP from this machine or
    /// a host that is named for it.
    pub(crate) fn permits_issuer(&self, url: &Url) -> bool {
        url.scheme() == "https"
            || (url.scheme() == "http" && (is_loopback(url) || self.is_plain_http_host(url)))
    }

    /// Returns whether a URL uses plain HTTP through a network.
    pub(crate) fn is_plain_http_host(&self, url: &Url) -> bool {
        url.scheme() == "http"
            && url.host_str().is_some_and(|host| self.plain_http_hosts.iter().any(|named| named == host))
    }
}

impl RawNetwork {
    pub(super) fn check(self, context: &Context<'_>) -> Result<Network, Diagnostic> {
        let plain_http_hosts = self.plain_http_hosts(context)?;
        let ca_certificates = self.ca_file.as_ref().map(|path| ca_certificates(path, context)).transpose()?;
        Ok(Network {
            proxy: self.proxy(context)?,
            ca_certificates: ca_certificates.unwrap_or_default().into(),
            plain_http_hosts: plain_http_hosts.into(),
        })
    }

    fn proxy(self, context: &Context<'_>) -> Result<Option<Proxy>, Diagnostic> {
        let needless = self.proxy_credentials_env.as_ref().map(Spanned::span);
        let needless = needless.or_else(|| self.proxy_credentials_file.as_ref().map(Spanned::span));
        let needless = needless.or_else(|| self.no_proxy.first().map(Spanned::span));
        let Some(text) = &self.proxy else {
            return match needless {
                None => Ok(None),
                Some(span) => {
                    Err(context.problem(span, "there is no proxy", "give network.proxy, or remove this"))
                }
            };
        };
        let url = proxy_url(text, context)?;
        let credentials =
            context.secret(self.proxy_credentials_env, self.proxy_credentials_file, "proxy_credentials")?;
        if credentials.as_ref().is_some_and(|credentials| !is_user_and_password(credentials.expose_secret()))
        {
            return Err(context.problem(
                text.span(),
                "the credentials of the proxy are not `user:password`",
                "write the user's name, a colon and the password, in ASCII and without spaces",
            ));
        }
        let mut exceptions: Vec<String> = THIS_MACHINE.map(str::to_owned).into();
        for exception in self.no_proxy {
            exceptions.push(proxy_exception(exception, context)?);
        }
        Ok(Some(Proxy { url, credentials, exceptions }))
    }

    fn plain_http_hosts(&self, context: &Context<'_>) -> Result<Vec<String>, Diagnostic> {
        let public = self.plain_http_hosts.iter().find(|host| !is_internal_host(host.get_ref()));
        match public {
            None => Ok(self.plain_http_hosts.iter().map(|host| host.get_ref().clone()).collect()),
            Some(host) => Err(context.problem(
                host.span(),
                format!("`{}` is not the name of a host inside a cluster or a private network", host.get_ref()),
                format!(
                    "plain HTTP lets whoever is on the way put in keys of their own; name a host without a dot, with an ending such as {}, or a private address; else use https",
                    INTERNAL_ENDINGS.join(" ")
                ),
            )),
        }
    }
}

/// Accepts a proxy that is spoken to in plain HTTP; what goes through it has its own TLS.
fn proxy_url(text: &Spanned<String>, context: &Context<'_>) -> Result<Url, Diagnostic> {
    let help = "write it like \"http://proxy.internal:3128\"; a user and a password belong into proxy_credentials_env or proxy_credentials_file";
    // A URL with a password must not be repeated.
    let message = match url_without_credentials(text.get_ref()) {
        Err(_) => "network.proxy is not a URL, or one with credentials in it".to_owned(),
        Ok(url) if url.scheme() != "http" || url.host().is_none() || has_path(&url) => {
            format!("`{url}` is not the address of an HTTP proxy")
        }
        Ok(url) => return Ok(url),
    };
    Err(context.problem(text.span(), message, help))
}

fn is_user_and_password(text: &str) -> bool {
    text.contains(':') && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A host, a domain with everything below, an address or a network.
fn proxy_exception(text: Spanned<String>, context: &Context<'_>) -> Result<String, Diagnostic> {
    let name = text.get_ref().trim_start_matches('.');
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if is_name || name.parse::<IpAddr>().is_ok() || name.parse::<IpNet>().is_ok() {
        return Ok(text.into_inner());
    }
    Err(context.problem(
        text.span(),
        format!("`{}` is neither a host nor a network", text.get_ref()),
        "write a host, a domain with all below it, an address or a network, like \".internal\" or \"10.0.0.0/8\"",
    ))
}

fn is_internal_host(host: &str) -> bool {
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return match address {
            IpAddr::V4(address) => address.is_private() || address.is_loopback(),
            IpAddr::V6(address) => address.is_unique_local() || address.is_loopback(),
        };
    }
    let is_name =
        host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte));
    let is_internal = !host.contains('.') || INTERNAL_ENDINGS.iter().any(|ending| host.ends_with(ending));
    !host.is_empty() && is_name && is_internal
}

/// Reads certificates in PEM, each of which must be usable as a trust anchor.
pub(super) fn ca_certificates(
    path: &Spanned<PathBuf>,
    context: &Context<'_>,
) -> Result<Vec<CertificateDer<'static>>, Diagnostic> {
    let pem = context.read_file(path)?;
    usable_certificates(&pem).ok_or_else(|| {
        context.problem(
            path.span(),
            format!("{} holds no certificates in PEM", context.resolve(path.get_ref()).display()),
            "put the certificate of the authority there, from -----BEGIN CERTIFICATE----- on; or the server's own if it is self-signed",
        )
    })
}

/// Returns the certificates in a PEM text, if there are any and each is usable as a trust anchor.
pub(super) fn usable_certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    let are_usable =
        certificates.iter().all(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok());
    (are_usable && !certificates.is_empty()).then_some(certificates)
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{MINIMAL, assert_refused, parse};

    #[test]
    fn a_network_has_a_proxy_with_exceptions_and_its_credentials_are_not_shown() {
        let section = "[network]\nproxy = \"http://proxy.internal:3128\"\nproxy_credentials_env = \"PROXY\"\nno_proxy = [\".svc\", \"10.0.0.0/8\"]\nplain_http_hosts = [\"keycloak\", \"id.auth.svc\", \"10.1.2.3\"]";
        let network = parse(&format!("{MINIMAL}{section}")).unwrap().into_parts().network;
        let proxy = network.proxy().unwrap();
        assert_eq!(proxy.url.as_str(), "http://proxy.internal:3128/");
        assert_eq!(proxy.exceptions, ["localhost", "127.0.0.0/8", "::1", ".svc", "10.0.0.0/8"]);
        assert!(!format!("{network:?}").contains("canary-password"));
        for (url, permitted) in [
            ("http://keycloak:8080/realms/a", true),
            ("http://id.auth.svc/", true),
            ("http://10.1.2.3/", true),
            ("http://keycloak.example.com/", false),
            ("http://10.1.2.4/", false),
            ("https://id.example.com/", true),
            ("ftp://keycloak/", false),
        ] {
            assert_eq!(network.permits_issuer(&url.parse().unwrap()), permitted, "{url}");
        }
    }

    #[test]
    fn each_mistake_is_told() {
        for (keys, message) in [
            ("proxy = \"http://me:canary-password@proxy:3128\"", "with credentials in it"),
            ("proxy = \"https://proxy:3128\"", "not the address of an HTTP proxy"),
            ("proxy = \"proxy:3128\"", "not the address of an HTTP proxy"),
            ("proxy = \"http://proxy:3128/path\"", "not the address of an HTTP proxy"),
            ("no_proxy = [\"a\"]", "there is no proxy"),
            ("proxy_credentials_env = \"PROXY\"", "there is no proxy"),
            ("proxy = \"http://proxy\"\nproxy_credentials_env = \"SHORT\"", "not `user:password`"),
            ("proxy = \"http://proxy\"\nno_proxy = [\"http://a\"]", "neither a host nor a network"),
            ("ca_file = \"none.pem\"", "none.pem cannot be read"),
            ("plain_http_hosts = [\"id.example.com\"]", "`id.example.com` is not the name of a host inside"),
            ("plain_http_hosts = [\"8.8.8.8\"]", "`8.8.8.8` is not the name of a host inside"),
            ("plain_http_hosts = [\"\"]", "is not the name of a host inside"),
            ("plain_http_hosts = [\"keycloak:8080\"]", "is not the name of a host inside"),
            ("plain_http_hosts = [\"*\"]", "is not the name of a host inside"),
        ] {
            assert_refused(&format!("[network]\n{keys}"), message);
        }
    }
}
