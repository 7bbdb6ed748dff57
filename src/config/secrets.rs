//! Secrets and key files: read once, from the environment or a file the configuration names.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use jsonwebtoken::Algorithm;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use toml::Spanned;
use zeroize::Zeroizing;

use diagnostics::{Diagnostic, Source};

/// A reader of environment variables, handed in so that a test need not touch the process's own.
pub struct Environment<'a>(pub &'a dyn Fn(&str) -> Option<String>);

impl fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

impl Environment<'static> {
    /// The process's own environment.
    pub fn of_process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the environment")]
        Self(&|name| std::env::var(name).ok())
    }
}

pub(super) struct Secrets<'a> {
    pub(super) source: &'a Source,
    pub(super) base: &'a Path,
    pub(super) environment: &'a Environment<'a>,
}

/// RFC 7518 §3.2: an HMAC key must be at least as long as the hash it keys.
const SHORTEST_HMAC_SECRET: usize = 32;

impl Secrets<'_> {
    /// The secret that `<name>_env` or `<name>_file` leads to, if either is given.
    pub(super) fn one_of(
        &self,
        env: Option<Spanned<String>>,
        file: Option<Spanned<PathBuf>>,
        name: &str,
    ) -> Result<Option<SecretString>, Diagnostic> {
        let (secret, span) = match (env, file) {
            (None, None) => return Ok(None),
            (Some(variable), None) => (self.variable(&variable)?, variable.span()),
            (None, Some(path)) => {
                let secret = secret_of(self.bytes(path.get_ref(), path.span())?).map_err(|error| {
                    self.source.problem(
                        path.span(),
                        format!("{} is not text: {error}", path.get_ref().display()),
                        "put only the secret in it",
                    )
                })?;
                (secret, path.span())
            }
            (Some(_), Some(path)) => {
                return Err(self.source.problem(
                    path.span(),
                    format!("both {name}_env and {name}_file are given"),
                    "keep one of them",
                ));
            }
        };
        if secret.expose_secret().trim().is_empty() {
            return Err(self.source.problem(span, format!("{name} is empty"), "put the secret there"));
        }
        Ok(Some(secret))
    }

    /// An issuer's HMAC secret.
    pub(super) fn hmac(
        &self,
        env: Option<Spanned<String>>,
        file: Option<Spanned<PathBuf>>,
    ) -> Result<SecretSlice<u8>, Diagnostic> {
        let span =
            env.as_ref().map(Spanned::span).or_else(|| file.as_ref().map(Spanned::span)).unwrap_or_default();
        let secret = self.one_of(env, file, "secret")?.unwrap_or_default();
        let bytes = secret.expose_secret().as_bytes();
        if bytes.len() < SHORTEST_HMAC_SECRET {
            return Err(self.source.problem(
                span,
                format!(
                    "the HMAC secret has {} bytes, fewer than {SHORTEST_HMAC_SECRET} (RFC 7518 §3.2)",
                    bytes.len()
                ),
                "use a random one, such as from `openssl rand -base64 48`",
            ));
        }
        Ok(SecretSlice::from(bytes.to_vec()))
    }

    /// A file's bytes; the path is relative to the configuration.
    pub(super) fn bytes(&self, path: &Path, span: Range<usize>) -> Result<Vec<u8>, Diagnostic> {
        let full = self.base.join(path);
        let bytes = std::fs::read(&full).map_err(|error| {
            self.source.problem(
                span.clone(),
                format!("{} cannot be read: {error}", full.display()),
                "check the path (relative to this file) and its permissions",
            )
        })?;
        if bytes.is_empty() {
            return Err(self.source.problem(
                span,
                format!("{} is empty", full.display()),
                "write the key into it",
            ));
        }
        Ok(bytes)
    }

    fn variable(&self, name: &Spanned<String>) -> Result<SecretString, Diagnostic> {
        // Somebody may have put the secret itself here: it must not be repeated.
        let is_name = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        };
        if !is_name(name.get_ref()) {
            return Err(self.source.problem(
                name.span(),
                "this is not the name of an environment variable (A-Z, 0-9 and `_`)",
                "write the variable's name here, and the secret into the variable",
            ));
        }
        (self.environment.0)(name.get_ref()).map(SecretString::from).ok_or_else(|| {
            self.source.problem(
                name.span(),
                format!("the environment variable {} is not set", name.get_ref()),
                "set it where the service is started; this is its name, not the secret itself",
            )
        })
    }
}

/// The secret that a file's bytes hold: all of it but the line's end.
pub(super) fn secret_of(bytes: Vec<u8>) -> Result<SecretString, std::str::Utf8Error> {
    let bytes = Zeroizing::new(bytes);
    Ok(SecretString::from(std::str::from_utf8(&bytes)?.trim_end_matches(['\n', '\r'])))
}

pub(super) fn is_hmac(algorithm: Algorithm) -> bool {
    algorithm.family() == jsonwebtoken::AlgorithmFamily::Hmac
}
