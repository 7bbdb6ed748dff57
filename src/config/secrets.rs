//! Secrets and key files: read once, from the environment or from a file that the configuration names.

use std::{fmt, ops::Range, path::PathBuf};

use secrecy::{ExposeSecret, SecretSlice, SecretString};
use toml::Spanned;
use zeroize::Zeroizing;

use super::{
    context::Context,
    hmac_secret::{SecretEncoding, WeakHmacSecret, check_hmac_secret, check_written_secret},
};
use diagnostics::{Diagnostic, ReadFault, read_regular_file, read_secret_file};

/// A reader of environment variables. It is a parameter so that tests need not change the environment of the process.
pub struct Environment<'a>(pub &'a dyn Fn(&str) -> Option<String>);

impl fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

impl Environment<'static> {
    /// The environment of this process.
    pub fn of_process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
        Self(&|name| std::env::var(name).ok())
    }
}

impl Environment<'_> {
    /// Returns the value of a variable.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }
}

/// A secret or a private key.
pub(super) const MAX_SECRET_FILE_BYTES: u64 = 256 << 10;

/// A public key, certificates or a key set, which may be as large as one that is fetched.
pub(super) const MAX_KEY_FILE_BYTES: u64 = 1 << 20;

impl Context<'_> {
    /// Returns the secret that `<name>_env` or `<name>_file` names, if either is given.
    pub(super) fn secret(
        &self,
        env: Option<Spanned<String>>,
        file: Option<Spanned<PathBuf>>,
        name: &str,
    ) -> Result<Option<SecretString>, Diagnostic> {
        let (secret, span) = match (env, file) {
            (None, None) => return Ok(None),
            (Some(variable), None) => (self.variable(&variable)?, variable.span()),
            (None, Some(path)) => (self.secret_file(&path)?, path.span()),
            (Some(_), Some(path)) => {
                return Err(self.problem(
                    path.span(),
                    format!("both {name}_env and {name}_file are given"),
                    "keep one of them",
                ));
            }
        };
        if secret.expose_secret().trim().is_empty() {
            return Err(self.problem(span, format!("{name} is empty"), "put the secret there"));
        }
        Ok(Some(secret))
    }

    /// Returns an issuer's HMAC secret.
    pub(super) fn hmac_secret(
        &self,
        env: Option<Spanned<String>>,
        file: Option<Spanned<PathBuf>>,
        encoding: SecretEncoding,
        allow_short: bool,
    ) -> Result<SecretSlice<u8>, Diagnostic> {
        let span =
            env.as_ref().map(Spanned::span).or_else(|| file.as_ref().map(Spanned::span)).unwrap_or_default();
        let secret = match (encoding, &env, &file) {
            (SecretEncoding::Raw, None, Some(path)) => {
                let bytes = self.read_secret_file(path)?;
                check_written_secret(&bytes).map_err(|weakness| self.weak_secret(&span, weakness))?;
                bytes
            }
            (SecretEncoding::Raw, ..) => {
                let help = "give secret_file instead of secret_env, or another secret_encoding";
                return Err(self.problem(span, "only a file can hold a raw secret", help));
            }
            _ => {
                let text = self.secret(env, file, "secret")?.unwrap_or_default();
                let text = text.expose_secret().as_bytes();
                check_written_secret(text).map_err(|weakness| self.weak_secret(&span, weakness))?;
                encoding.decode(text).map_err(|error| {
                    self.problem(span.clone(), error.to_string(), "correct secret_encoding, or the secret")
                })?
            }
        };
        check_hmac_secret(&secret, allow_short).map_err(|weakness| self.weak_secret(&span, weakness))?;
        Ok(SecretSlice::from(secret.to_vec()))
    }

    fn weak_secret(&self, span: &Range<usize>, weakness: WeakHmacSecret) -> Diagnostic {
        self.problem(span.clone(), weakness.to_string(), weakness.help())
    }

    /// Returns the bytes of a file that holds no secret; the path is relative to the configuration.
    pub(super) fn read_file(&self, path: &Spanned<PathBuf>) -> Result<Vec<u8>, Diagnostic> {
        self.checked(path, read_regular_file(&self.resolve(path.get_ref()), MAX_KEY_FILE_BYTES))
    }

    /// Returns the bytes of a file that holds a secret, and that others cannot read.
    pub(super) fn read_secret_file(&self, path: &Spanned<PathBuf>) -> Result<Zeroizing<Vec<u8>>, Diagnostic> {
        self.checked(path, read_secret_file(&self.resolve(path.get_ref()), MAX_SECRET_FILE_BYTES))
    }

    /// Returns what was read, unless it is nothing.
    fn checked<B: AsRef<[u8]>>(
        &self,
        path: &Spanned<PathBuf>,
        read: Result<B, ReadFault>,
    ) -> Result<B, Diagnostic> {
        let file = self.resolve(path.get_ref());
        let bytes = read.map_err(|fault| {
            self.problem(path.span(), format!("{} {fault}", file.display()), fault.help(&file))
        })?;
        if bytes.as_ref().is_empty() {
            let message = format!("{} is empty", file.display());
            return Err(self.problem(path.span(), message, "write the key into it"));
        }
        Ok(bytes)
    }

    fn secret_file(&self, path: &Spanned<PathBuf>) -> Result<SecretString, Diagnostic> {
        secret_of(&self.read_secret_file(path)?).map_err(|error| {
            self.problem(
                path.span(),
                format!("{} is not text: {error}", path.get_ref().display()),
                "put only the secret in it",
            )
        })
    }

    fn variable(&self, name: &Spanned<String>) -> Result<SecretString, Diagnostic> {
        // The operator may have put the secret itself here: it must not be repeated.
        if !is_variable_name(name.get_ref()) {
            return Err(self.problem(
                name.span(),
                "this is not the name of an environment variable (A-Z, 0-9 and `_`)",
                "write the variable's name here, and the secret into the variable",
            ));
        }
        let value = self.environment.variable(name.get_ref()).map(Zeroizing::new);
        value.map(|value| without_final_line_break(&value)).ok_or_else(|| {
            self.problem(
                name.span(),
                format!("the environment variable {} is not set", name.get_ref()),
                "set it where the service is started; this is its name, not the secret itself",
            )
        })
    }
}

fn is_variable_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The secret in the bytes of a file: everything but the final line break.
pub(super) fn secret_of(bytes: &[u8]) -> Result<SecretString, std::str::Utf8Error> {
    std::str::from_utf8(bytes).map(without_final_line_break)
}

fn without_final_line_break(text: &str) -> SecretString {
    SecretString::from(text.trim_end_matches(['\n', '\r']))
}
