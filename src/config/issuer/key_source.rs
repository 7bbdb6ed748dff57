//! Where an issuer's verification keys come from.

use std::{ops::Range, path::PathBuf};

use secrecy::SecretSlice;
use toml::Spanned;
use url::Url;

use super::RawIssuer;
use crate::config::context::Context;
use diagnostics::Diagnostic;

/// Where an issuer's verification keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// A JWK set over HTTPS (plain HTTP on loopback and from `network.plain_http_hosts` only).
    JwksUrl(Url),
    /// A JWK set that the issuer's discovery document names.
    Discovery(DiscoverySource),
    /// A JWK set in a file, which is read again when an unknown key id appears.
    JwksFile(PathBuf),
    /// One public key in PEM.
    PublicKey {
        /// The file it was read from.
        path: PathBuf,
        /// The bytes of the file.
        pem: Vec<u8>,
    },
    /// A secret for HMAC signatures.
    Secret(SecretSlice<u8>),
}

/// The addresses of an issuer's discovery document: each is tried if those before it have none.
#[derive(Debug, Clone)]
pub struct DiscoverySource(Vec<Url>);

impl DiscoverySource {
    /// The addresses, in their order.
    pub(crate) fn documents(&self) -> &[Url] {
        &self.0
    }

    /// Returns the well-known addresses of an issuer. `OpenID` Connect Discovery 1.0 §4.1 appends the name, RFC 8414
    /// §3.1 inserts another between host and path.
    fn of_issuer(issuer: &Url) -> Self {
        let path = issuer.path().trim_end_matches('/').to_owned();
        let at = |path: &str| {
            let mut url = issuer.clone();
            url.set_path(path);
            url
        };
        Self(vec![
            at(&format!("{path}/.well-known/openid-configuration")),
            at(&format!("/.well-known/oauth-authorization-server{path}")),
        ])
    }
}

impl KeySource {
    /// The URLs that are fetched for the keys, as far as the configuration names them.
    pub(crate) fn urls(&self) -> &[Url] {
        match self {
            Self::JwksUrl(url) => std::slice::from_ref(url),
            Self::Discovery(source) => source.documents(),
            Self::JwksFile(_) | Self::PublicKey { .. } | Self::Secret(_) => &[],
        }
    }
}

impl RawIssuer {
    /// Returns the one source of keys that the section names. Without any, the issuer's discovery document is it.
    pub(super) fn key_source(
        &self,
        span: &Range<usize>,
        context: &Context<'_>,
    ) -> Result<KeySource, Diagnostic> {
        let has_secret = self.secret_env.is_some() || self.secret_file.is_some();
        let named = (&self.jwks_url, &self.discovery_url, &self.jwks_file, &self.public_key_file, has_secret);
        match named {
            (Some(url), None, None, None, false) => Ok(KeySource::JwksUrl(context.issuer_url(url)?)),
            (None, Some(url), None, None, false) => {
                Ok(KeySource::Discovery(DiscoverySource(vec![context.issuer_url(url)?])))
            }
            (None, None, Some(path), None, false) => {
                context.read_file(path)?;
                Ok(KeySource::JwksFile(context.resolve(path.get_ref())))
            }
            (None, None, None, Some(path), false) => {
                let pem = context.read_file(path)?;
                Ok(KeySource::PublicKey { path: context.resolve(path.get_ref()), pem })
            }
            (None, None, None, None, true) => self.secret(context).map(KeySource::Secret),
            (None, None, None, None, false) => self.discovery_at_issuer(context),
            _ => Err(context.problem(
                span.clone(),
                format!("issuer `{}` needs exactly one source of keys", self.issuer.get_ref()),
                "give one of jwks_url, discovery_url, jwks_file, public_key_file, secret_env, secret_file, or none for discovery at the issuer",
            )),
        }
    }

    fn discovery_at_issuer(&self, context: &Context<'_>) -> Result<KeySource, Diagnostic> {
        let names = self.algorithms.as_ref().map(Spanned::get_ref);
        let is_hmac = names.is_some_and(|names| names.iter().any(|name| name.starts_with("HS")));
        match context.issuer_url(&self.issuer) {
            Ok(issuer) if !is_hmac => Ok(KeySource::Discovery(DiscoverySource::of_issuer(&issuer))),
            Ok(_) | Err(_) => Err(context.problem(
                self.issuer.span(),
                format!("issuer `{}` needs exactly one source of keys", self.issuer.get_ref()),
                "give one of jwks_url, discovery_url, jwks_file, public_key_file, secret_env, secret_file; without, its discovery document is used if issuer is an https:// URL and the algorithms need a public key",
            )),
        }
    }

    fn secret(&self, context: &Context<'_>) -> Result<SecretSlice<u8>, Diagnostic> {
        let encoding = self.secret_encoding.as_ref().map(|encoding| *encoding.get_ref()).unwrap_or_default();
        let (env, file) = (self.secret_env.clone(), self.secret_file.clone());
        context.hmac_secret(env, file, encoding, self.allow_short_secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discovery_document_is_at_two_well_known_addresses() {
        for (issuer, documents) in [
            (
                "https://id.example.com",
                [
                    "https://id.example.com/.well-known/openid-configuration",
                    "https://id.example.com/.well-known/oauth-authorization-server",
                ],
            ),
            (
                "https://id.example.com/realms/a/",
                [
                    "https://id.example.com/realms/a/.well-known/openid-configuration",
                    "https://id.example.com/.well-known/oauth-authorization-server/realms/a",
                ],
            ),
        ] {
            let source = DiscoverySource::of_issuer(&issuer.parse().unwrap());
            assert_eq!(source.documents().iter().map(Url::as_str).collect::<Vec<_>>(), documents);
        }
    }
}
