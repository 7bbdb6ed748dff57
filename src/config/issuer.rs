//! `[[issuer]]`: who signs the tokens of users.

mod algorithms;
mod audience;
mod key_source;
mod name;
mod warnings;

use std::{ops::Range, path::PathBuf, time::Duration};

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::Deserialize;
use toml::Spanned;

use self::algorithms::{PUBLIC_KEY_ALGORITHMS, algorithms};
use self::audience::{ABSENT, RawAudience};
use self::name::TENANT_PLACEHOLDER;
pub(crate) use self::{algorithms::parse_algorithm, name::TENANT_CLAIM};
pub use self::{
    audience::Audience,
    key_source::{DiscoverySource, KeySource},
    name::{IssuerMatch, IssuerName},
};
use super::{Problems, context::Context, hmac_secret::SecretEncoding, template_settings::IssuerSettings};
use diagnostics::{Diagnostic, HumanDuration};
use templates::claim_path;

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIssuer {
    issuer: Spanned<String>,
    #[serde(default)]
    aliases: Vec<String>,
    issuer_claim: Option<Spanned<String>>,
    audience: Option<Spanned<RawAudience>>,
    audience_claim: Option<Spanned<String>>,
    subject_claim: Option<Spanned<String>>,
    algorithms: Option<Spanned<Vec<String>>>,
    jwks_url: Option<Spanned<String>>,
    discovery_url: Option<Spanned<String>>,
    jwks_file: Option<Spanned<PathBuf>>,
    public_key_file: Option<Spanned<PathBuf>>,
    secret_env: Option<Spanned<String>>,
    secret_file: Option<Spanned<PathBuf>>,
    secret_encoding: Option<Spanned<SecretEncoding>>,
    #[serde(default)]
    allow_short_secret: bool,
    header_keys: Option<Spanned<HeaderKeys>>,
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
    /// How tokens name it in `iss`.
    pub name: IssuerName,
    /// For whom its tokens must be meant.
    pub audience: Audience,
    /// The claim with the user's id, as the path through nested objects.
    pub subject_claim: Vec<String>,
    /// The algorithms allowed; never empty. Either all are HMAC or none is.
    pub algorithms: Vec<Algorithm>,
    /// Where its verification keys come from.
    pub keys: KeySource,
    /// What is done with keys that tokens bring in their headers.
    pub header_keys: HeaderKeys,
    /// The paths of claims, besides the subject and `iss`, that users of this issuer cannot choose themselves.
    pub trusted_claims: Vec<Vec<String>>,
    /// Tolerance for clocks that differ; at most a minute.
    pub leeway: Duration,
    /// The required `typ` of the token's header, if any (RFC 9068 uses `at+jwt`).
    pub required_typ: Option<String>,
}

/// What is done with keys that tokens bring in their headers `jku`, `jwk`, `x5u` and `x5c`. They are never used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeaderKeys {
    /// The token is rejected.
    #[default]
    Reject,
    /// The token is verified with the issuer's configured keys, as if it brought none.
    Ignore,
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

const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
const MAX_LEEWAY: Duration = Duration::from_mins(1);

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
        if let Some(other) = issuers.iter().find(|other| other.name.overlaps(&issuer.name)) {
            problems.push(context.problem(
                span,
                format!("issuer `{}` is configured twice: see `{}`", issuer.name.canonical(), other.place),
                "merge the two sections: a token's `iss`, or its lack, must lead to one set of rules",
            ));
        } else {
            issuers.push(issuer);
        }
    }
    let mut issuers = issuers.into_iter();
    issuers.next().map(|first| Issuers { first, others: issuers.collect() })
}

impl RawIssuer {
    /// What templates need to know, unchecked.
    pub(super) fn unchecked_settings(self) -> IssuerSettings {
        let name = self.issuer.into_inner();
        let has_tenants = name.contains(TENANT_PLACEHOLDER);
        let subject_claim = self.subject_claim.as_ref().map_or("sub", |claim| claim.get_ref());
        IssuerSettings {
            name,
            has_tenants,
            subject_claim: claim_path(subject_claim),
            trusted_claims: trusted_claims(&self.trusted_claims, has_tenants),
        }
    }

    fn check(self, span: Range<usize>, context: &Context<'_>) -> Result<Issuer, Diagnostic> {
        let name = self.name(context)?;
        let audience = Audience::check(self.audience.as_ref(), self.audience_claim.as_ref(), &span, context)?;
        let subject_claim = self.subject_claim(context)?;
        let trusted_claims = trusted_claims(&self.trusted_claims, name.has_tenants());
        let leeway = self.leeway(context)?;
        let keys = self.key_source(&span, context)?;
        let algorithms = self.algorithms(&keys, &span, context)?;
        let is_hmac = algorithms.iter().any(|algorithm| algorithm.family() == AlgorithmFamily::Hmac);
        if is_hmac != matches!(keys, KeySource::Secret(_)) {
            return Err(context.problem(
                self.algorithms.as_ref().map_or(span, Spanned::span),
                "the algorithms do not fit the key",
                "HS256/384/512 go with secret_env or secret_file, all others with public keys",
            ));
        }
        Ok(Issuer {
            place: context.place(&span),
            name,
            audience,
            subject_claim,
            algorithms,
            keys,
            header_keys: self.header_keys.map(Spanned::into_inner).unwrap_or_default(),
            trusted_claims,
            leeway,
            required_typ: self.required_typ,
        })
    }

    fn name(&self, context: &Context<'_>) -> Result<IssuerName, Diagnostic> {
        if self.issuer.get_ref().is_empty() {
            return Err(context.problem(
                self.issuer.span(),
                "issuer is empty",
                "write exactly what `iss` in the tokens says",
            ));
        }
        let may_be_absent = match &self.issuer_claim {
            None => false,
            Some(word) if word.get_ref() == ABSENT => true,
            Some(other) => {
                return Err(context.problem(
                    other.span(),
                    format!("issuer_claim is `{}`", other.get_ref()),
                    "the only value is \"absent\", for tokens without `iss`; otherwise remove it",
                ));
            }
        };
        IssuerName::check(self.issuer.get_ref(), &self.aliases, may_be_absent, &self.issuer.span(), context)
    }

    fn subject_claim(&self, context: &Context<'_>) -> Result<Vec<String>, Diagnostic> {
        let Some(claim) = &self.subject_claim else { return Ok(vec!["sub".to_owned()]) };
        claim_path::parse(claim.get_ref())
            .map_err(|advice| context.problem(claim.span(), advice.message, advice.help))
    }

    /// Returns the algorithms that are listed, else those that the keys of a discovered set may have.
    fn algorithms(
        &self,
        keys: &KeySource,
        span: &Range<usize>,
        context: &Context<'_>,
    ) -> Result<Vec<Algorithm>, Diagnostic> {
        match (&self.algorithms, keys) {
            (Some(names), _) => algorithms(names, context),
            (None, KeySource::Discovery(_)) => Ok(PUBLIC_KEY_ALGORITHMS.to_vec()),
            (None, _) => Err(context.problem(
                span.clone(),
                format!("issuer `{}` has no algorithms", self.issuer.get_ref()),
                "list the algorithms it signs with; only discovery goes without",
            )),
        }
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
}

/// The claims that users cannot choose. With tenants, `tid` is one, because it must repeat what `iss` says.
fn trusted_claims(written: &[String], has_tenants: bool) -> Vec<Vec<String>> {
    let tenant = has_tenants.then(|| TENANT_CLAIM.to_owned());
    claim_paths(written).into_iter().chain(tenant.map(|claim| vec![claim])).collect()
}

/// Claims as paths. They may be written with the prefix that templates use.
fn claim_paths(claims: &[String]) -> Vec<Vec<String>> {
    claims.iter().map(|claim| claim_path(claim.strip_prefix("claim.").unwrap_or(claim))).collect()
}

/// The path of a claim. What is no path, such as `custom:tenant`, is the name of one claim: nothing stands beside it
/// here that quotes would keep it apart from.
fn claim_path(written: &str) -> Vec<String> {
    claim_path::parse(written).unwrap_or_else(|_| vec![written.to_owned()])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::ExposeSecret;

    use super::super::test_support::{MINIMAL, parse, problem};
    use super::KeySource;

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
            ("\"HS256\"", "\"HS256\", \"RS256\"", 5, "mixes HMAC"),
            ("\"HS256\"", "\"RS256\"", 5, "do not fit the key"),
            ("\"HS256\"", "\"none\"", 5, "unknown algorithm `none`"),
            ("\"HS256\"", "", 5, "algorithms is empty"),
            ("[\"app\"]", "[]", 4, "audience is empty"),
            ("secret_env = \"JWT_SECRET\"", "public_key_file = \"no.pem\"", 6, "no.pem cannot be read"),
            ("secret_env = \"JWT_SECRET\"", "jwks_url = \"http://id.example.com/\"", 6, "not a safe URL"),
            ("secret_env = \"JWT_SECRET\"", "", 3, "exactly one source of keys"),
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

    #[test]
    fn a_final_line_break_is_no_part_of_a_secret_in_a_variable() {
        let config = parse(&MINIMAL.replace("JWT_SECRET", "WITH_LINE_BREAK")).unwrap();
        let KeySource::Secret(secret) = &config.issuers().first().keys else { panic!("a secret") };
        assert_eq!(secret.expose_secret(), b"0123456789abcdef-0123456789abcdef");
    }

    #[test]
    fn a_published_secret_is_refused_in_every_encoding() {
        for encoding in ["text", "base64", "hex"] {
            let lines = format!("secret_env = \"PUBLISHED\"\nsecret_encoding = \"{encoding}\"");
            let text = problem(&MINIMAL.replace("secret_env = \"JWT_SECRET\"", &lines));
            assert!(text.starts_with("config.toml:6:") && text.contains("everybody knows"), "{text}");
        }
    }

    #[test]
    fn each_new_key_of_an_issuer_is_checked_at_its_line() {
        for (from, to, line, message) in [
            ("audience = [\"app\"]\n", "", 2, "audience is missing"),
            ("[\"app\"]", "\"app\"", 4, "write a list, [\"app\"]"),
            ("[\"app\"]", "\"absent\"\naudience_claim = \"azp\"", 5, "says that there is none"),
            ("[\"app\"]", "[\"app\"]\naudience_claim = \"clientid\"", 5, "did you mean `client_id`?"),
            ("[\"app\"]", "[\"app\"]\nsubject_claim = \"user..id\"", 5, "not the path of a claim"),
            ("[\"app\"]", "[\"app\"]\nissuer_claim = \"none\"", 5, "the only value is \"absent\""),
            ("https://id.example.com/", "https://{tenant}.example.com/", 3, "not the name of an issuer"),
            ("[\"app\"]", "[\"app\"]\nsecret_encoding = \"base65\"", 5, "base65"),
            ("[\"app\"]", "[\"app\"]\nsecret_encoding = \"hex\"", 7, "not in the encoding"),
            ("[\"app\"]", "[\"app\"]\nsecret_encoding = \"raw\"", 7, "only a file can hold a raw secret"),
            ("[\"app\"]", "[\"app\"]\nheader_keys = \"use\"", 5, "use"),
        ] {
            let text = problem(&MINIMAL.replace(from, to));
            assert!(text.starts_with(&format!("config.toml:{line}:")), "{to}: {text}");
            assert!(text.contains(message), "{to}: {text}");
        }
    }

    #[test]
    fn two_issuers_that_one_token_would_name_are_refused() {
        let second = |lines: &str| {
            let section = MINIMAL.split("[templates]").next().unwrap();
            problem(&format!("{MINIMAL}{}", section.replace("issuer = \"https://id.example.com/\"", lines)))
        };
        let alias = second("issuer = \"https://b/\"\naliases = [\"https://id.example.com/\"]");
        assert!(alias.contains("configured twice: see `config.toml:2:1`"), "{alias}");
        let absent = "issuer_claim = \"absent\"";
        let both = problem(&format!(
            "{}{}",
            MINIMAL.replace("[templates]", &format!("{absent}\n[templates]")),
            MINIMAL.split("[templates]").next().unwrap().replace(
                "issuer = \"https://id.example.com/\"",
                &format!("issuer = \"https://b/\"\n{absent}")
            )
        ));
        assert!(both.contains("or its lack"), "{both}");
    }

    #[test]
    fn public_key_algorithms_may_be_mixed_but_not_with_hmac() {
        let algorithms = |names: &str| {
            let key = "jwks_url = \"http://127.0.0.1/jwks.json\"";
            parse(&MINIMAL.replace("\"HS256\"", names).replace("secret_env = \"JWT_SECRET\"", key))
        };
        let mixed = algorithms("\"ES256\", \"RS256\", \"Ed25519\"").unwrap();
        assert_eq!(mixed.issuers().first().algorithms.len(), 3);
        assert!(algorithms("\"ES256\", \"HS256\"").unwrap_err()[0].to_string().contains("mixes HMAC"));
    }

    #[test]
    fn an_algorithm_that_is_not_supported_is_not_taken_for_a_typing_error() {
        for name in ["ES512", "ES256K", "Ed448"] {
            let text = problem(&MINIMAL.replace("HS256", name));
            assert!(text.contains(&format!("`{name}` is not supported")), "{text}");
            assert!(!text.contains("did you mean"), "{text}");
        }
    }
}
