//! `[admin]`: the operators' listener.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use toml::Spanned;

use super::{
    Environment, Network, RawConfig,
    context::Context,
    network::ca_certificates,
    tls::{Tls, tls},
};
use diagnostics::{Diagnostic, Source};

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAdmin {
    listen: Spanned<SocketAddr>,
    token_file: Option<Spanned<PathBuf>>,
    token_env: Option<Spanned<String>>,
    viewer_token_file: Option<Spanned<PathBuf>>,
    viewer_token_env: Option<Spanned<String>>,
    tls_cert_file: Option<Spanned<PathBuf>>,
    tls_key_file: Option<Spanned<PathBuf>>,
    client_ca_file: Option<Spanned<PathBuf>>,
}

impl Default for RawAdmin {
    fn default() -> Self {
        Self {
            listen: Spanned::new(0..0, SocketAddr::from(([127, 0, 0, 1], 5001))),
            token_file: None,
            token_env: None,
            viewer_token_file: None,
            viewer_token_env: None,
            tls_cert_file: None,
            tls_key_file: None,
            client_ca_file: None,
        }
    }
}

/// Settings of the operators' listener.
#[derive(Debug)]
pub struct Admin {
    listen: SocketAddr,
    tokens: Option<AdminTokens>,
    tls: Option<Tls>,
}

/// The parts of the settings, for the modules that they configure.
#[derive(Debug)]
pub struct AdminParts {
    /// The address.
    pub listen: SocketAddr,
    /// The tokens. Only a listener on loopback may have none.
    pub tokens: Option<AdminTokens>,
    /// The certificate; plain HTTP if absent.
    pub tls: Option<Tls>,
}

/// What a client of the operators' listener needs.
#[derive(Debug)]
pub struct AdminAccess {
    /// The address.
    pub listen: SocketAddr,
    /// The operator's token.
    pub token: Option<SecretString>,
    /// The file of the listener's certificate chain; plain HTTP if absent.
    pub chain: Option<PathBuf>,
}

/// The tokens of the operators' listener.
#[derive(Debug)]
pub struct AdminTokens {
    /// Lets a client look at everything, revoke users and reload templates.
    pub operator: SecretString,
    /// Lets a client look only.
    pub viewer: Option<SecretString>,
}

/// The least length of a token that other machines can try, in bytes: 128 bits, in hexadecimal.
const MIN_TOKEN_BYTES: usize = 32;

impl AdminTokens {
    /// Iterates over the tokens and what each lets a client do.
    pub(crate) fn by_role(&self) -> impl Iterator<Item = (Role, &SecretString)> {
        let viewer = self.viewer.iter().map(|token| (Role::Viewer, token));
        std::iter::once((Role::Operator, &self.operator)).chain(viewer)
    }
}

/// What an authenticated client of the operators' listener may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Look at everything, and change nothing.
    Viewer,
    /// Look, revoke, restore and reload.
    Operator,
}

impl RawAdmin {
    pub(super) fn check(mut self, context: &Context<'_>) -> Result<Admin, Diagnostic> {
        let tls = self.tls(context)?;
        let listen = *self.listen.get_ref();
        Ok(Admin { listen, tokens: self.tokens(context)?, tls })
    }

    fn tls(&mut self, context: &Context<'_>) -> Result<Option<Tls>, Diagnostic> {
        let tls = tls("admin", self.tls_cert_file.take(), self.tls_key_file.take(), context)?;
        match (tls, self.client_ca_file.take()) {
            (None, Some(authorities)) => Err(context.problem(
                authorities.span(),
                "without TLS no client shows a certificate",
                "set admin.tls_cert_file and admin.tls_key_file as well",
            )),
            (Some(mut tls), Some(authorities)) => {
                tls.contents.client_authorities = ca_certificates(&authorities, context)?;
                tls.files.client_authorities = Some(context.resolve(authorities.get_ref()));
                Ok(Some(tls))
            }
            (tls, None) => Ok(tls),
        }
    }

    fn tokens(self, context: &Context<'_>) -> Result<Option<AdminTokens>, Diagnostic> {
        let span = self.listen.span();
        let listen = *self.listen.get_ref();
        let operator = context.secret(self.token_env, self.token_file, "token")?;
        let viewer = context.secret(self.viewer_token_env, self.viewer_token_file, "viewer_token")?;
        let tokens = match (operator, viewer) {
            (Some(operator), viewer) => Some(AdminTokens { operator, viewer }),
            (None, None) => None,
            (None, Some(_)) => {
                return Err(context.problem(
                    span,
                    "[admin] has a viewer's token and no operator's",
                    "set token_file or token_env as well",
                ));
            }
        };
        let fault = match &tokens {
            None if listen.ip().is_loopback() => None,
            None => Some((
                format!(
                    "the operators' listener on {listen} is reachable from other machines and has no token"
                ),
                "set admin.token_file or admin.token_env, or listen on 127.0.0.1",
            )),
            Some(tokens) => fault_of(tokens, listen),
        };
        match fault {
            Some((message, help)) => Err(context.problem(span, message, help)),
            None => Ok(tokens),
        }
    }
}

/// Returns what is wrong with the tokens of a listener, and how to fix it.
fn fault_of(tokens: &AdminTokens, listen: SocketAddr) -> Option<(String, &'static str)> {
    let is_same = |viewer: &SecretString| viewer.expose_secret() == tokens.operator.expose_secret();
    if tokens.viewer.as_ref().is_some_and(is_same) {
        return Some((
            "the viewer's token of [admin] is the operator's".to_owned(),
            "make another one: openssl rand -hex 32",
        ));
    }
    if listen.ip().is_loopback() {
        return None;
    }
    let mut lengths = tokens.by_role().map(|(_, token)| token.expose_secret().len());
    let short = lengths.find(|length| *length < MIN_TOKEN_BYTES)?;
    Some((
        format!(
            "a token of [admin] has {short} bytes, and other machines can try tokens on {listen}: it needs {MIN_TOKEN_BYTES} or more"
        ),
        "make one with: openssl rand -hex 32",
    ))
}

impl AdminAccess {
    /// Reads only this section of a configuration file, and no secret but its token.
    ///
    /// # Errors
    /// When the file is not a configuration, or the token is missing.
    pub fn load(path: &Path, environment: &Environment<'_>) -> Result<Self, Diagnostic> {
        let source = Source::read(path)?;
        let raw: RawConfig = source.parse()?;
        let context = Context { source: &source, environment, network: Network::default() };
        let listen = *raw.admin.listen.get_ref();
        let chain = raw.admin.tls_cert_file.as_ref().map(|chain| context.resolve(chain.get_ref()));
        let token = raw.admin.tokens(&context)?.map(|tokens| tokens.operator);
        Ok(Self { listen, token, chain })
    }
}

impl Admin {
    /// The address of the operators' listener.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The certificate; plain HTTP if absent.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Its parts.
    pub(crate) fn into_parts(self) -> AdminParts {
        let Self { listen, tokens, tls } = self;
        AdminParts { listen, tokens, tls }
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
    fn a_token_that_others_can_try_has_32_bytes() {
        let short = "[admin]\nlisten = \"0.0.0.0:5001\"\ntoken_env = \"ID\"";
        assert_refused(short, "needs 32 or more; make one with: openssl rand -hex 32");
        assert!(parse(&format!("{MINIMAL}[admin]\ntoken_env = \"ID\"")).is_ok(), "on loopback any will do");
    }

    #[test]
    fn a_viewers_token_is_not_the_operators_and_not_alone() {
        assert_refused("[admin]\nviewer_token_env = \"ID\"", "has a viewer's token and no operator's");
        let same = "[admin]\ntoken_env = \"ID\"\nviewer_token_env = \"ID\"";
        assert_refused(same, "is the operator's");
    }

    #[test]
    fn clients_show_certificates_over_tls_only() {
        assert_refused(
            "[admin]\nclient_ca_file = \"ca.pem\"",
            "set admin.tls_cert_file and admin.tls_key_file",
        );
        assert_refused("[admin]\ntls_key_file = \"key.pem\"", "[admin] has one of tls_cert_file");
    }

    #[test]
    fn the_two_listeners_need_different_addresses() {
        assert_refused("[server]\nlisten = \"127.0.0.1:5001\"", "are both 127.0.0.1:5001");
    }
}
