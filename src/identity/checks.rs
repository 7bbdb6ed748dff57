//! The checks of a token against its issuer's rules, in their order, each with what the token says and what the
//! configuration wants. The signature is checked elsewhere.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    error::{AuthError, Comparison, Rejection},
    token::{END_OF_YEAR_9999, UnverifiedToken},
};
use crate::config::{Audience, HeaderKeys, Issuer, IssuerMatch, TENANT_CLAIM};
use diagnostics::{HumanDuration, to_single_line};

/// One check of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    HeaderKeys,
    Algorithm,
    Type,
    Tenant,
    Audience,
    Expiry,
    NotBefore,
}

/// A token, and the rules that it is checked against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checked<'a> {
    pub(super) token: &'a UnverifiedToken<'a>,
    pub(super) rules: &'a Issuer,
    /// How the token's `iss` names the issuer.
    pub(super) named: IssuerMatch<'a>,
    pub(super) now: Timestamp,
}

impl Check {
    /// The checks that decide whether the signature is looked at.
    pub(super) const BEFORE_SIGNATURE: [Self; 2] = [Self::HeaderKeys, Self::Algorithm];
    /// The checks of what is signed.
    pub(super) const AFTER_SIGNATURE: [Self; 5] =
        [Self::Type, Self::Tenant, Self::Audience, Self::Expiry, Self::NotBefore];

    /// Returns what the check is about.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::HeaderKeys => "keys in the header",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::Tenant => "tenant",
            Self::Audience => "audience",
            Self::Expiry => "expiry",
            Self::NotBefore => "not before",
        }
    }
}

impl Checked<'_> {
    /// Makes these checks, up to the first that fails.
    pub(super) fn run_all<const N: usize>(self, checks: [Check; N]) -> Result<(), AuthError> {
        for check in checks {
            self.run(check).map_err(|reason| AuthError::from(reason).compared(|_| self.compare(check)))?;
        }
        Ok(())
    }

    /// Makes one check.
    pub(super) fn run(self, check: Check) -> Result<(), Rejection> {
        match check {
            Check::HeaderKeys => self.header_keys(),
            Check::Algorithm => self.algorithm(),
            Check::Type => self.typ(),
            Check::Tenant => self.tenant(),
            Check::Audience => self.audience(),
            Check::Expiry => self.expiry().map(|_| ()),
            Check::NotBefore => self.not_before(),
        }
    }

    /// Returns what token and configuration say about one check.
    pub(super) fn compare(self, check: Check) -> Comparison {
        let (token, configured, help) = match check {
            Check::HeaderKeys => self.compare_header_keys(),
            Check::Algorithm => self.compare_algorithm(),
            Check::Type => self.compare_type(),
            Check::Tenant => self.compare_tenant(),
            Check::Audience => self.compare_audience(),
            Check::Expiry => self.compare_expiry(),
            Check::NotBefore => self.compare_not_before(),
        };
        Comparison { token, configured, help: format!("{help} ({})", self.rules.place) }
    }

    fn header_keys(self) -> Result<(), Rejection> {
        let brings_key = self.token.key_header().is_some();
        if brings_key && self.rules.header_keys == HeaderKeys::Reject {
            return Err(Rejection::RefusedHeader);
        }
        Ok(())
    }

    fn compare_header_keys(self) -> (String, String, String) {
        let brings = self.token.key_header().map_or("none".to_owned(), |name| format!("`{name}`"));
        let wanted = match self.rules.header_keys {
            HeaderKeys::Reject => "none",
            HeaderKeys::Ignore => "any, and none is used",
        };
        let help = "if the issuer puts it into every token, set header_keys = \"ignore\"";
        (brings, wanted.to_owned(), help.to_owned())
    }

    fn algorithm(self) -> Result<(), Rejection> {
        let algorithm = self.token.algorithm();
        if algorithm.is_some_and(|algorithm| self.rules.algorithms.contains(&algorithm)) {
            return Ok(());
        }
        Err(Rejection::Algorithm)
    }

    fn compare_algorithm(self) -> (String, String, String) {
        let listed: Vec<String> = self.rules.algorithms.iter().map(|one| format!("{one:?}")).collect();
        let help = "if the issuer signs with it, list it in algorithms";
        (shown(self.token.header.get("alg")), listed.join(", "), help.to_owned())
    }

    fn typ(self) -> Result<(), Rejection> {
        let Some(required) = &self.rules.required_typ else { return Ok(()) };
        let typ = self.token.header_text("typ");
        if typ.is_some_and(|typ| media_type(typ) == media_type(required)) {
            return Ok(());
        }
        Err(Rejection::Type)
    }

    fn compare_type(self) -> (String, String, String) {
        let wanted = self.rules.required_typ.clone().unwrap_or_else(|| "any".to_owned());
        let help = "send the other kind of token, or change required_typ";
        (shown(self.token.header.get("typ")), wanted, help.to_owned())
    }

    /// Microsoft's tokens repeat the tenant of the issuer, and say to compare them.
    fn tenant(self) -> Result<(), Rejection> {
        let IssuerMatch::Tenant(tenant) = self.named else { return Ok(()) };
        if self.token.claim(TENANT_CLAIM).and_then(Value::as_str) == Some(tenant) {
            return Ok(());
        }
        Err(Rejection::Tenant)
    }

    fn compare_tenant(self) -> (String, String, String) {
        let wanted = match self.named {
            IssuerMatch::Whole => "any, because the issuer has no tenants".to_owned(),
            IssuerMatch::Tenant(tenant) => format!("\"{tenant}\", as in `iss`"),
        };
        let help = format!("only tokens whose `{TENANT_CLAIM}` repeats the tenant are accepted");
        (shown(self.token.claim(TENANT_CLAIM)), wanted, help)
    }

    fn audience(self) -> Result<(), Rejection> {
        let is_accepted = match &self.rules.audience {
            // RFC 7519 §4.1.3: a token for a named audience is not for one that is not named.
            Audience::Absent => self.token.claim("aud").is_none(),
            Audience::OneOf { claim, values } => names_one(self.token.claim(claim), values),
        };
        if is_accepted { Ok(()) } else { Err(Rejection::Audience) }
    }

    fn compare_audience(self) -> (String, String, String) {
        match &self.rules.audience {
            Audience::Absent => (
                format!("aud: {}", shown(self.token.claim("aud"))),
                "no `aud`".to_owned(),
                "if these are the app's tokens, list their audience in audience".to_owned(),
            ),
            Audience::OneOf { claim, values } => {
                let (found, help) = match self.token.claim(claim) {
                    None => (
                        "missing".to_owned(),
                        "if these are the app's tokens, name the claim that they have in audience_claim, or write audience = \"absent\"",
                    ),
                    found => (shown(found), "if these are the app's tokens, add it to audience"),
                };
                (format!("{claim}: {found}"), format!("one of {values:?}"), help.to_owned())
            }
        }
    }

    /// Returns when the token expires, leeway included.
    pub(super) fn expiry(self) -> Result<Timestamp, Rejection> {
        match self.token.claim("exp") {
            Some(Value::String(_)) => return Err(Rejection::ExpiryText),
            Some(Value::Number(number)) if is_in_milliseconds(number) => {
                return Err(Rejection::ExpiryMilliseconds);
            }
            _ => {}
        }
        let exp = self.token.time("exp").ok().flatten().ok_or(Rejection::Expiry)?;
        let until = exp.saturating_add(self.rules.leeway).map_err(|_| Rejection::Expiry)?;
        if until <= self.now { Err(Rejection::Expired) } else { Ok(until) }
    }

    fn compare_expiry(self) -> (String, String, String) {
        let found = match self.token.time("exp") {
            Ok(Some(exp)) => format!("{exp}, {}", relative(exp, self.now)),
            _ => shown(self.token.claims.get("exp")),
        };
        let help = match self.expiry() {
            Err(Rejection::Expired) => "sign in again; if the clocks differ, correct them",
            Err(_) => "let the issuer set `exp` to seconds since 1970, as a number (RFC 7519 §4.1.4)",
            Ok(_) => "nothing to do",
        };
        (
            found,
            format!("a time after {:.0}, with a leeway of {:?}", self.now, self.rules.leeway),
            help.to_owned(),
        )
    }

    fn not_before(self) -> Result<(), Rejection> {
        let Some(nbf) = self.token.time("nbf").map_err(|_| Rejection::Malformed)? else { return Ok(()) };
        let earliest = nbf.saturating_sub(self.rules.leeway).map_err(|_| Rejection::Malformed)?;
        if self.now < earliest { Err(Rejection::NotYetValid) } else { Ok(()) }
    }

    fn compare_not_before(self) -> (String, String, String) {
        let found = match self.token.time("nbf") {
            Ok(Some(nbf)) => format!("{nbf}, {}", relative(nbf, self.now)),
            _ => shown(self.token.claims.get("nbf")),
        };
        let wanted =
            format!("none, or a time before {:.0}, with a leeway of {:?}", self.now, self.rules.leeway);
        (found, wanted, "correct the clocks of issuer and broker".to_owned())
    }
}

/// Whether an audience, a text or a list of texts, names one of these.
fn names_one(audience: Option<&Value>, values: &[String]) -> bool {
    match audience {
        Some(Value::String(one)) => values.contains(one),
        Some(Value::Array(list)) => {
            list.iter().all(Value::is_string)
                && list.iter().filter_map(Value::as_str).any(|one| values.iter().any(|value| value == one))
        }
        _ => false,
    }
}

fn is_in_milliseconds(number: &serde_json::Number) -> bool {
    number.as_i64().is_some_and(|time| time > END_OF_YEAR_9999 && time / 1000 <= END_OF_YEAR_9999)
}

/// Returns a value of a token in a single line of bounded length.
pub(super) fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| to_single_line(&value.to_string()))
}

/// Returns "in 5m" or "5m ago".
fn relative(at: Timestamp, now: Timestamp) -> String {
    let distance = now.duration_since(at);
    let seconds = HumanDuration(Duration::from_secs(distance.as_secs().unsigned_abs()));
    if distance.is_positive() { format!("{seconds} ago") } else { format!("in {seconds}") }
}

/// Returns a `typ` in its comparable form: without case and without `application/` (RFC 7515 §4.1.9).
fn media_type(typ: &str) -> String {
    let lower = typ.to_ascii_lowercase();
    lower.strip_prefix("application/").map(str::to_owned).unwrap_or(lower)
}
