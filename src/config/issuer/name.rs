//! How the `iss` of tokens names an issuer: exactly, by an alias, with a tenant in it, or not at all.

use std::{borrow::Cow, ops::Range};

use crate::config::context::Context;
use diagnostics::Diagnostic;

/// Stands for the tenant in the issuer of a service with many tenants, as Microsoft's discovery document has it.
pub(super) const TENANT_PLACEHOLDER: &str = "{tenantid}";

/// The claim that must repeat the tenant of the issuer.
pub(crate) const TENANT_CLAIM: &str = "tid";

/// The limit for a tenant in an issuer. Microsoft's are GUIDs.
const MAX_TENANT_BYTES: usize = 64;

/// How tokens name an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerName {
    written: String,
    canonical: Spelling,
    aliases: Vec<Spelling>,
    /// Whether a token without `iss` is this issuer's too.
    may_be_absent: bool,
}

/// How a token names an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuerMatch<'a> {
    /// By one of its names, or not at all.
    Whole,
    /// With this tenant, which the claim `tid` must repeat.
    Tenant(&'a str),
}

/// One spelling of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Spelling {
    Exact(String),
    /// The parts before and after the tenant.
    Tenants(String, String),
}

impl IssuerName {
    /// An issuer with one spelling.
    #[cfg(test)]
    pub(crate) fn exact(name: &str) -> Self {
        Self {
            written: name.to_owned(),
            canonical: Spelling::Exact(name.to_owned()),
            aliases: Vec::new(),
            may_be_absent: false,
        }
    }

    pub(super) fn check(
        issuer: &str,
        aliases: &[String],
        may_be_absent: bool,
        span: &Range<usize>,
        context: &Context<'_>,
    ) -> Result<Self, Diagnostic> {
        let canonical = Spelling::parse(issuer, span, context)?;
        let aliases = aliases.iter().map(|alias| Spelling::parse(alias, span, context));
        let aliases = aliases.collect::<Result<Vec<_>, _>>()?;
        let name = Self { written: issuer.to_owned(), canonical, aliases, may_be_absent };
        if name.aliases.iter().any(|alias| alias.has_tenant() != name.has_tenants()) {
            return Err(context.problem(
                span.clone(),
                format!("only some spellings of issuer `{issuer}` have a tenant"),
                "write {tenantid} into the issuer and all its aliases, or into none",
            ));
        }
        if may_be_absent && name.has_tenants() {
            return Err(context.problem(
                span.clone(),
                format!("the issuer `{issuer}` has tenants, so its tokens cannot be without `iss`"),
                "remove issuer_claim = \"absent\"",
            ));
        }
        Ok(name)
    }

    /// Returns the issuer as the configuration writes it.
    pub(crate) fn canonical(&self) -> &str {
        &self.written
    }

    /// Whether tokens name a tenant in their issuer.
    pub(crate) fn has_tenants(&self) -> bool {
        self.canonical.has_tenant()
    }

    /// Whether a token without `iss` is this issuer's too.
    pub(crate) fn may_be_absent(&self) -> bool {
        self.may_be_absent
    }

    /// Returns how a token with this `iss` names the issuer, if it does.
    pub(crate) fn resolve<'a>(&self, iss: Option<&'a str>) -> Option<IssuerMatch<'a>> {
        match iss {
            None => self.may_be_absent.then_some(IssuerMatch::Whole),
            Some(iss) => self.spellings().find_map(|spelling| spelling.resolve(iss)),
        }
    }

    /// Returns the name that identifies the issuer, whichever alias the token has.
    pub(crate) fn identity(&self, named: IssuerMatch<'_>) -> Cow<'_, str> {
        match (&self.canonical, named) {
            (Spelling::Tenants(before, after), IssuerMatch::Tenant(tenant)) => {
                format!("{before}{tenant}{after}").into()
            }
            _ => self.canonical().into(),
        }
    }

    /// Whether some `iss` would name both issuers.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        (self.may_be_absent && other.may_be_absent)
            || self.spellings().any(|a| other.spellings().any(|b| a.overlaps(b)))
    }

    /// Returns all spellings, for messages.
    pub(crate) fn written(&self) -> Vec<String> {
        let absent = self.may_be_absent.then(|| "no `iss`".to_owned());
        self.spellings().map(Spelling::text).chain(absent).collect()
    }

    fn spellings(&self) -> impl Iterator<Item = &Spelling> {
        std::iter::once(&self.canonical).chain(&self.aliases)
    }
}

impl Spelling {
    fn parse(text: &str, span: &Range<usize>, context: &Context<'_>) -> Result<Self, Diagnostic> {
        let parsed = match text.split_once(TENANT_PLACEHOLDER) {
            None => Self::Exact(text.to_owned()),
            Some((before, after)) => Self::Tenants(before.to_owned(), after.to_owned()),
        };
        let is_sound = match &parsed {
            Self::Exact(text) => !text.is_empty() && !text.contains(['{', '}']),
            Self::Tenants(before, after) => {
                let path = before.strip_prefix("https://").and_then(|rest| rest.find('/'));
                path.is_some_and(|host_bytes| host_bytes > 0)
                    && before.ends_with('/')
                    && after.starts_with('/')
                    && !after.contains(['{', '}'])
            }
        };
        if is_sound {
            return Ok(parsed);
        }
        Err(context.problem(
            span.clone(),
            format!("`{text}` is not the name of an issuer"),
            "write exactly what `iss` in the tokens says; for all tenants of a service, write {tenantid} for the one part of the path that differs",
        ))
    }

    fn text(&self) -> String {
        match self {
            Self::Exact(text) => text.clone(),
            Self::Tenants(before, after) => format!("{before}{TENANT_PLACEHOLDER}{after}"),
        }
    }

    fn has_tenant(&self) -> bool {
        matches!(self, Self::Tenants(..))
    }

    fn resolve<'a>(&self, iss: &'a str) -> Option<IssuerMatch<'a>> {
        match self {
            Self::Exact(text) => (text == iss).then_some(IssuerMatch::Whole),
            Self::Tenants(before, after) => {
                let tenant = iss.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
                is_tenant(tenant).then_some(IssuerMatch::Tenant(tenant))
            }
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => a == b,
            (Self::Exact(text), pattern) | (pattern, Self::Exact(text)) => pattern.resolve(text).is_some(),
            (Self::Tenants(before, after), Self::Tenants(other_before, other_after)) => {
                let starts_alike = before.starts_with(other_before) || other_before.starts_with(before);
                let ends_alike = after.ends_with(other_after) || other_after.ends_with(after);
                starts_alike && ends_alike
            }
        }
    }
}

fn is_tenant(text: &str) -> bool {
    (1..=MAX_TENANT_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Network};
    use diagnostics::Source;

    fn name(issuer: &str, aliases: &[&str]) -> Result<IssuerName, Diagnostic> {
        let source = Source::new("config.toml", "");
        let environment = Environment(&|_| None);
        let context = Context { source: &source, environment: &environment, network: Network::default() };
        let aliases: Vec<String> = aliases.iter().map(|&alias| alias.to_owned()).collect();
        IssuerName::check(issuer, &aliases, false, &(0..0), &context)
    }

    #[test]
    fn aliases_are_one_identity() {
        let google = name("https://accounts.google.com", &["accounts.google.com"]).unwrap();
        for iss in ["https://accounts.google.com", "accounts.google.com"] {
            let named = google.resolve(Some(iss)).unwrap();
            assert_eq!(google.identity(named), "https://accounts.google.com");
        }
        assert_eq!(google.resolve(Some("http://accounts.google.com")), None);
        assert_eq!(google.resolve(None), None);
    }

    #[test]
    fn a_tenant_is_one_part_of_the_path_and_part_of_the_identity() {
        let entra = name(
            "https://login.microsoftonline.com/{tenantid}/v2.0",
            &["https://sts.windows.net/{tenantid}/"],
        );
        let entra = entra.unwrap();
        let found = entra.resolve(Some("https://sts.windows.net/9188040d-6c67/")).unwrap();
        assert_eq!(found, IssuerMatch::Tenant("9188040d-6c67"));
        assert_eq!(entra.identity(found), "https://login.microsoftonline.com/9188040d-6c67/v2.0");
        for iss in [
            "https://login.microsoftonline.com//v2.0",
            "https://login.microsoftonline.com/a/b/v2.0",
            "https://login.microsoftonline.com/a%2fb/v2.0",
            "https://login.microsoftonline.com/{tenantid}/v2.0",
            "https://login.microsoftonline.com/a/v2.0/",
        ] {
            assert_eq!(entra.resolve(Some(iss)), None, "{iss}");
        }
    }

    #[test]
    fn a_pattern_that_could_match_another_host_is_refused() {
        for issuer in [
            "https://{tenantid}/",
            "{tenantid}",
            "https://a/{tenantid}",
            "https://a/{tid}/",
            "http://a/{tenantid}/",
        ] {
            assert!(name(issuer, &[]).is_err(), "{issuer}");
        }
        assert!(name("https://a/{tenantid}/", &["https://b/"]).is_err());
    }

    #[test]
    fn issuers_that_some_token_would_name_both_overlap() {
        let tenants = name("https://a/{tenantid}/v2.0", &[]).unwrap();
        assert!(tenants.overlaps(&name("https://a/x/v2.0", &[]).unwrap()));
        assert!(!tenants.overlaps(&name("https://a/x/v1.0", &[]).unwrap()));
        assert!(!tenants.overlaps(&name("https://b/", &[]).unwrap()));
    }
}
