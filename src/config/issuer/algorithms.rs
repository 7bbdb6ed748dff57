//! The signature algorithms that an issuer uses.

use std::ops::Range;

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use toml::Spanned;

use crate::config::context::Context;
use diagnostics::{Diagnostic, nearest};

const KNOWN_ALGORITHMS: [&str; 13] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "Ed25519", "HS256",
    "HS384", "HS512",
];

/// All algorithms of public keys. Each key fixes its own.
pub(super) const PUBLIC_KEY_ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Registered algorithms of JWS that are not supported (RFC 7518 §3.1, RFC 8812, RFC 9864).
const UNSUPPORTED_ALGORITHMS: [&str; 3] = ["ES512", "ES256K", "Ed448"];

/// Parses the algorithms. Each public key fixes its own family, so that they may be listed together. An HMAC
/// algorithm beside them is how a public key is mistaken for a secret (RFC 8725 §2.1).
pub(super) fn algorithms(
    names: &Spanned<Vec<String>>,
    context: &Context<'_>,
) -> Result<Vec<Algorithm>, Diagnostic> {
    let mut algorithms = Vec::new();
    for name in names.get_ref() {
        algorithms.push(algorithm(name, names.span(), context)?);
    }
    if algorithms.is_empty() {
        return Err(context.problem(
            names.span(),
            "algorithms is empty",
            "list the algorithms your issuer signs with",
        ));
    }
    let hmac = algorithms.iter().filter(|algorithm| algorithm.family() == AlgorithmFamily::Hmac).count();
    if hmac != 0 && hmac != algorithms.len() {
        return Err(context.problem(
            names.span(),
            "algorithms mixes HMAC with public keys",
            "keep either HS256/384/512 or the others: a public key must never be taken for a secret",
        ));
    }
    Ok(algorithms)
}

/// Returns the algorithm of a name in a configuration, a token or a key. `Ed25519` is the name that RFC 9864 gives
/// to `EdDSA` with this curve.
pub(crate) fn parse_algorithm(name: &str) -> Option<Algorithm> {
    if name == "Ed25519" { Some(Algorithm::EdDSA) } else { name.parse().ok() }
}

fn algorithm(name: &str, span: Range<usize>, context: &Context<'_>) -> Result<Algorithm, Diagnostic> {
    parse_algorithm(name).ok_or_else(|| {
        if UNSUPPORTED_ALGORITHMS.contains(&name) {
            let help = format!("let the issuer sign with one of {}", KNOWN_ALGORITHMS.join(", "));
            return context.problem(span, format!("the algorithm `{name}` is not supported"), help);
        }
        let help = match nearest(name, KNOWN_ALGORITHMS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", KNOWN_ALGORITHMS.join(", ")),
        };
        context.problem(span, format!("unknown algorithm `{name}`"), help)
    })
}
