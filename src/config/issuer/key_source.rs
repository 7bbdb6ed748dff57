//! Where an issuer's verification keys come from.

use std::{ops::Range, path::PathBuf};

use secrecy::SecretSlice;
use url::Url;

use super::RawIssuer;
use crate::config::context::Context;
use diagnostics::Diagnostic;

/// Where an issuer's verification keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// A JWK set over HTTPS (plain HTTP on loopback only).
    JwksUrl(Url),
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

impl RawIssuer {
    /// Returns the one source of keys that the section names.
    pub(super) fn key_source(
        &self,
        span: &Range<usize>,
        context: &Context<'_>,
    ) -> Result<KeySource, Diagnostic> {
        let has_secret = self.secret_env.is_some() || self.secret_file.is_some();
        match (&self.jwks_url, &self.jwks_file, &self.public_key_file, has_secret) {
            (Some(url), None, None, false) => Ok(KeySource::JwksUrl(context.url(url)?)),
            (None, Some(path), None, false) => {
                context.read_file(path)?;
                Ok(KeySource::JwksFile(context.resolve(path.get_ref())))
            }
            (None, None, Some(path), false) => {
                let pem = context.read_file(path)?;
                Ok(KeySource::PublicKey { path: context.resolve(path.get_ref()), pem })
            }
            (None, None, None, true) => self.secret(context).map(KeySource::Secret),
            _ => Err(context.problem(
                span.clone(),
                format!("issuer `{}` needs exactly one source of keys", self.issuer.get_ref()),
                "give one of jwks_url, jwks_file, public_key_file, secret_env, secret_file",
            )),
        }
    }

    fn secret(&self, context: &Context<'_>) -> Result<SecretSlice<u8>, Diagnostic> {
        let encoding = self.secret_encoding.as_ref().map(|encoding| *encoding.get_ref()).unwrap_or_default();
        let (env, file) = (self.secret_env.clone(), self.secret_file.clone());
        context.hmac_secret(env, file, encoding, self.allow_short_secret)
    }
}
