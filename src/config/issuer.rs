//! `[[issuer]]`: who signs the tokens of users.

use std::{ops::Range, path::PathBuf, time::Duration};

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use secrecy::SecretSlice;
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::{
    Problems,
    context::{AllowedAlgorithms, Context},
};
use diagnostics::{Diagnostic, HumanDuration, nearest};

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIssuer {
    issuer: Spanned<String>,
    audience: Spanned<Vec<String>>,
    algorithms: Spanned<Vec<String>>,
    jwks_url: Option<Spanned<String>>,
    jwks_file: Option<Spanned<PathBuf>>,
    public_key_file: Option<Spanned<PathBuf>>,
    secret_env: Option<Spanned<String>>,
    secret_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    trusted_claims: Vec<String>,
    leeway: Option<Spanned<HumanDuration>>,
    required_typ: Option<String>,
}

/// One issuer whose tokens are accepted.
#[derive(Debug)]
pub struct Issuer {
    /// Where the configuration has this section, for messages: `file:line:column`.
    pub place: String,
    /// Must equal the token's `iss`.
    pub issuer: String,
    /// The token's `aud` must contain one of these; never empty.
    pub audience: Vec<String>,
    /// The algorithms allowed; never empty.
    pub algorithms: Vec<Algorithm>,
    /// Where its verification keys come from.
    pub keys: KeySource,
    /// Claims, besides `sub` and `iss`, that users of this issuer cannot choose themselves.
    pub trusted_claims: Vec<String>,
    /// Tolerance for clocks that differ; at most a minute.
    pub leeway: Duration,
    /// The required `typ` of the token's header, if any (RFC 9068 uses `at+jwt`).
    pub required_typ: Option<String>,
}

/// The issuers whose tokens are accepted: at least one, each only once.
#[derive(Debug)]
pub struct Issuers {
    first: Issuer,
    others: Vec<Issuer>,
}

impl Issuers {
    /// The issuer that the configuration names first.
    pub(crate) fn first(&self) -> &Issuer {
        &self.first
    }

    /// All issuers, in the order of the configuration.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Issuer> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// All issuers, in the order of the configuration.
    pub(crate) fn into_vec(self) -> Vec<Issuer> {
        std::iter::once(self.first).chain(self.others).collect()
    }
}

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

const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
const MAX_LEEWAY: Duration = Duration::from_mins(1);

const KNOWN_ALGORITHMS: [&str; 12] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256", "HS384",
    "HS512",
];

/// Checks all sections, and that no issuer has two.
pub(super) fn check_all(
    sections: Vec<Spanned<RawIssuer>>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Issuers> {
    if sections.is_empty() {
        problems.push(context.problem(
            0..0,
            "no [[issuer]] is configured, so no token could be accepted",
            "add an [[issuer]] section with issuer, audience, algorithms and a key",
        ));
    }
    let mut issuers: Vec<Issuer> = Vec::new();
    for section in sections {
        let span = section.span();
        let Some(issuer) = problems.keep(section.into_inner().check(span.clone(), context)) else { continue };
        if issuers.iter().any(|other| other.issuer == issuer.issuer) {
            problems.push(context.problem(
                span,
                format!("issuer `{}` is configured twice", issuer.issuer),
                "merge the two sections: a token's `iss` must lead to one set of rules",
            ));
        } else {
            issuers.push(issuer);
        }
    }
    let mut issuers = issuers.into_iter();
    issuers.next().map(|first| Issuers { first, others: issuers.collect() })
}

impl RawIssuer {
    /// The issuer's name and its trusted claims, unchecked.
    pub(super) fn name_and_trusted_claims(self) -> (String, Vec<String>) {
        (self.issuer.into_inner(), claim_paths(self.trusted_claims))
    }

    fn check(self, span: Range<usize>, context: &Context<'_>) -> Result<Issuer, Diagnostic> {
        if self.issuer.get_ref().is_empty() {
            return Err(context.problem(
                self.issuer.span(),
                "issuer is empty",
                "write exactly what `iss` in the tokens says",
            ));
        }
        let audience = self.audience.get_ref();
        if audience.is_empty() || audience.iter().any(|one| one.trim().is_empty()) {
            return Err(context.problem(
                self.audience.span(),
                "audience is empty",
                "name the audience your tokens carry in `aud`; without one, tokens meant for other services would be accepted",
            ));
        }
        let algorithms = algorithms(&self.algorithms, context)?;
        let leeway = self.leeway(context)?;
        let keys = self.key_source(&span, context)?;
        let is_hmac = algorithms.iter().any(|algorithm| algorithm.family() == AlgorithmFamily::Hmac);
        if is_hmac != matches!(keys, KeySource::Secret(_)) {
            return Err(context.problem(
                self.algorithms.span(),
                "the algorithms do not fit the key",
                "HS256/384/512 go with secret_env or secret_file, all others with public keys",
            ));
        }
        Ok(Issuer {
            place: context.place(&span),
            issuer: self.issuer.into_inner(),
            audience: self.audience.into_inner(),
            algorithms,
            keys,
            trusted_claims: claim_paths(self.trusted_claims),
            leeway,
            required_typ: self.required_typ,
        })
    }

    fn leeway(&self, context: &Context<'_>) -> Result<Duration, Diagnostic> {
        match &self.leeway {
            None => Ok(DEFAULT_LEEWAY),
            Some(leeway) if leeway.get_ref().0 > MAX_LEEWAY => Err(context.problem(
                leeway.span(),
                "leeway is longer than a minute",
                "give at most \"60s\": expired tokens would be accepted for that much longer",
            )),
            Some(leeway) => Ok(leeway.get_ref().0),
        }
    }

    fn key_source(&self, span: &Range<usize>, context: &Context<'_>) -> Result<KeySource, Diagnostic> {
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
            (None, None, None, true) => {
                Ok(KeySource::Secret(context.hmac_secret(self.secret_env.clone(), self.secret_file.clone())?))
            }
            _ => Err(context.problem(
                span.clone(),
                format!("issuer `{}` needs exactly one source of keys", self.issuer.get_ref()),
                "give one of jwks_url, jwks_file, public_key_file, secret_env, secret_file",
            )),
        }
    }
}

/// Parses the algorithms. A list that mixes families is how a public key is mistaken for an HMAC secret (RFC 8725
/// §2.1).
fn algorithms(names: &Spanned<Vec<String>>, context: &Context<'_>) -> Result<Vec<Algorithm>, Diagnostic> {
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
    if !may_be_mixed(&algorithms, context.algorithms) {
        return Err(context.problem(
            names.span(),
            "algorithms mixes families",
            "keep one of RSA (RS*, PS*), EC (ES*), EdDSA or HMAC (HS*); use one [[issuer]] per family",
        ));
    }
    Ok(algorithms)
}

fn algorithm(name: &str, span: Range<usize>, context: &Context<'_>) -> Result<Algorithm, Diagnostic> {
    name.parse().map_err(|_| {
        let help = match nearest(name, KNOWN_ALGORITHMS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", KNOWN_ALGORITHMS.join(", ")),
        };
        context.problem(span, format!("unknown algorithm `{name}`"), help)
    })
}

fn may_be_mixed(algorithms: &[Algorithm], allowed: AllowedAlgorithms) -> bool {
    match allowed {
        AllowedAlgorithms::OneFamily => {
            algorithms.windows(2).all(|pair| matches!(pair, [a, b] if a.family() == b.family()))
        }
        #[cfg(feature = "sandbox")]
        AllowedAlgorithms::AnyPublicKey => {
            algorithms.iter().all(|algorithm| algorithm.family() != AlgorithmFamily::Hmac)
        }
    }
}

/// Claims as paths. They may be written with the prefix that templates use.
fn claim_paths(claims: Vec<String>) -> Vec<String> {
    claims.into_iter().map(|claim| claim.strip_prefix("claim.").map(str::to_owned).unwrap_or(claim)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::test_support::{MINIMAL, parse, problem};

    #[test]
    fn clocks_may_differ_by_half_a_minute_by_default() {
        assert_eq!(parse(MINIMAL).unwrap().issuers().first().leeway, Duration::from_secs(30));
    }

    #[test]
    fn each_mistake_is_one_line_with_its_place_and_a_fix() {
        for (from, to, line, message) in [
            ("secret_env = \"JWT_SECRET\"", "secret = \"inline\"", 6, "unknown key `secret`"),
            ("JWT_SECRET", "NOT_SET", 6, "NOT_SET is not set"),
            ("JWT_SECRET", "Gu5t9xGARNpq86cd98jo", 6, "not the name of an environment variable"),
            ("JWT_SECRET", "SHORT", 6, "fewer than 32 (RFC 7518 §3.2)"),
            ("\"HS256\"", "\"RS25\"", 5, "did you mean `RS256`?"),
            ("\"HS256\"", "\"HS256\", \"RS256\"", 5, "mixes families"),
            ("\"HS256\"", "\"ES256\", \"RS256\"", 5, "mixes families"),
            ("\"HS256\"", "\"RS256\"", 5, "do not fit the key"),
            ("\"HS256\"", "\"none\"", 5, "unknown algorithm `none`"),
            ("\"HS256\"", "", 5, "algorithms is empty"),
            ("[\"app\"]", "[]", 4, "audience is empty"),
            ("secret_env = \"JWT_SECRET\"", "public_key_file = \"no.pem\"", 6, "no.pem cannot be read"),
            ("secret_env = \"JWT_SECRET\"", "jwks_url = \"http://id.example.com/\"", 6, "not a safe URL"),
            ("secret_env = \"JWT_SECRET\"", "", 2, "exactly one source of keys"),
        ] {
            let text = problem(&MINIMAL.replace(from, to));
            assert!(text.starts_with(&format!("config.toml:{line}:")), "{text}");
            assert!(text.contains(message), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }

    #[test]
    fn an_issuer_that_is_configured_twice_is_refused() {
        let section = MINIMAL.split("[templates]").next().unwrap();
        assert!(problem(&format!("{MINIMAL}{section}")).contains("configured twice"));
    }

    #[test]
    fn a_secret_in_the_place_of_a_variable_is_not_repeated() {
        assert!(!problem(&MINIMAL.replace("JWT_SECRET", "Gu5t9xGAR")).contains("Gu5t9"));
    }

    #[cfg(feature = "sandbox")]
    #[test]
    fn the_sandbox_may_mix_public_key_algorithms_but_not_hmac() {
        use super::super::test_support::parse_sandbox;
        let mixed = |algorithms: &str| {
            let key = "jwks_url = \"http://127.0.0.1/jwks.json\"";
            parse_sandbox(
                &MINIMAL.replace("\"HS256\"", algorithms).replace("secret_env = \"JWT_SECRET\"", key),
            )
        };
        assert_eq!(mixed("\"ES256\", \"RS256\", \"EdDSA\"").unwrap().issuers().first().algorithms.len(), 3);
        assert!(mixed("\"ES256\", \"HS256\"").unwrap_err()[0].to_string().contains("mixes families"));
    }
}
