//! `[admin]`: the operators' listener.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use serde::Deserialize;
use toml::Spanned;

use super::{Environment, Network, RawConfig, context::Context};
use diagnostics::{Diagnostic, Source};

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAdmin {
    listen: Spanned<SocketAddr>,
    token_file: Option<Spanned<PathBuf>>,
    token_env: Option<Spanned<String>>,
}

impl Default for RawAdmin {
    fn default() -> Self {
        Self {
            listen: Spanned::new(0..0, SocketAddr::from(([127, 0, 0, 1], 5001))),
            token_file: None,
            token_env: None,
        }
    }
}

/// Settings of the operators' listener.
#[derive(Debug)]
pub struct Admin {
    listen: SocketAddr,
    token: Option<SecretString>,
}

impl RawAdmin {
    pub(super) fn check(self, context: &Context<'_>) -> Result<Admin, Diagnostic> {
        let token = context.secret(self.token_env, self.token_file, "token")?;
        let listen = *self.listen.get_ref();
        if token.is_none() && !listen.ip().is_loopback() {
            return Err(context.problem(
                self.listen.span(),
                format!(
                    "the operators' listener on {listen} is reachable from other machines and has no token"
                ),
                "set admin.token_file or admin.token_env, or listen on 127.0.0.1",
            ));
        }
        Ok(Admin { listen, token })
    }
}

impl Admin {
    /// Reads only this section of a configuration file, and no secret but its token.
    ///
    /// # Errors
    /// When the file is not a configuration, or the token is missing.
    pub fn load(path: &Path, environment: &Environment<'_>) -> Result<Self, Diagnostic> {
        let source = Source::read(path)?;
        let raw: RawConfig = source.parse()?;
        let context = Context { source: &source, environment, network: Network::default() };
        raw.admin.check(&context)
    }

    /// The address of the operators' listener.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The address and the bearer token. Only a listener on loopback may have no token.
    pub(crate) fn into_parts(self) -> (SocketAddr, Option<SecretString>) {
        (self.listen, self.token)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{MINIMAL, assert_refused, parse};

    #[test]
    fn the_operators_listener_is_on_loopback_by_default() {
        assert_eq!(parse(MINIMAL).unwrap().admin().listen().to_string(), "127.0.0.1:5001");
    }

    #[test]
    fn a_listener_that_others_can_reach_needs_a_token() {
        assert_refused("[admin]\nlisten = \"0.0.0.0:5001\"", "has no token");
    }

    #[test]
    fn the_two_listeners_need_different_addresses() {
        assert_refused("[server]\nlisten = \"127.0.0.1:5001\"", "are both 127.0.0.1:5001");
    }
}
