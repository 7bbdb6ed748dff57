//! Explains a token: every check in its order, what the token says, and what the configuration wants. For operators
//! only.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    checks::{Check, Checked},
    error::{AuthError, Comparison, Rejection},
    token::UnverifiedToken,
    verifier::{TrustedIssuer, Verifier},
};
use templates::{fingerprint::Fingerprint, identity::Identity};

/// What the checks of a token say. The signature is not part of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The token's header; `None` if it cannot be read.
    pub header: Option<Map<String, Value>>,
    /// The token's claims; `None` if they cannot be read.
    pub claims: Option<Map<String, Value>>,
    /// The checks, in their order.
    pub steps: Vec<Step>,
    /// The user that the token identifies, if every check passed.
    pub user: Option<ExplainedUser>,
}

/// The user of an accepted token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedUser {
    /// The issuer, as homes, limits and revocations name it.
    pub issuer: String,
    /// The user's id.
    pub subject: String,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What is checked.
    pub check: &'static str,
    /// How it ended.
    pub outcome: StepOutcome,
    /// Why it failed.
    pub reason: Option<String>,
    /// What token and configuration say.
    #[serde(flatten)]
    pub comparison: Option<Comparison>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// The token is as wanted.
    Passed,
    /// The token is rejected.
    Failed,
    /// It could not be checked now.
    Unknown,
}

impl Explanation {
    /// Whether the broker accepts the token.
    pub fn is_accepted(&self) -> bool {
        self.user.is_some()
    }
}

impl Step {
    fn of(check: &'static str, error: Option<&AuthError>, comparison: Option<Comparison>) -> Self {
        let (outcome, reason) = match error {
            None => (StepOutcome::Passed, None),
            Some(AuthError::Rejected(rejected)) => (StepOutcome::Failed, Some(rejected.reason.to_string())),
            Some(AuthError::NoSubject(error)) => (StepOutcome::Failed, Some(error.to_string())),
            Some(error @ (AuthError::KeysUnavailable { .. } | AuthError::KeyNotFetched { .. })) => {
                (StepOutcome::Unknown, Some(error.to_string()))
            }
        };
        Self { check, outcome, reason, comparison }
    }
}

impl Verifier {
    /// Makes every check of a token that can be made, also after one that fails. Nothing is cached.
    pub async fn explain(&self, token: &str) -> Explanation {
        let unverified = match UnverifiedToken::parse(token) {
            Ok(unverified) => unverified,
            Err(reason) => return unreadable(reason),
        };
        let mut steps = vec![Step::of("form", None, None)];
        let user = self.explain_readable(&unverified, &mut steps).await;
        let all_passed = steps.iter().all(|step| step.outcome == StepOutcome::Passed);
        Explanation {
            header: Some(unverified.header),
            claims: Some(unverified.claims),
            steps,
            user: user.filter(|_| all_passed),
        }
    }

    async fn explain_readable(
        &self,
        token: &UnverifiedToken<'_>,
        steps: &mut Vec<Step>,
    ) -> Option<ExplainedUser> {
        let found = self.issuer_of(token);
        let compared = Some(self.compare_issuer(token));
        steps.push(Step::of("issuer", found.as_ref().err(), compared));
        let (trusted, named) = found.ok()?;
        let checked = Checked { token, rules: &trusted.rules, named, now: self.now() };
        steps.extend(Check::BEFORE_SIGNATURE.map(|check| step(checked, check)));
        steps.push(signature(trusted, token).await);
        steps.extend(Check::AFTER_SIGNATURE.map(|check| step(checked, check)));
        let claims = token.claims.clone();
        let name = trusted.identity_name(named);
        let identity = Identity::with_subject_claim(name, claims, &trusted.rules.subject_claim);
        let identity = identity.map_err(AuthError::from);
        steps.push(subject_step(trusted, identity.as_ref().err()));
        let identity = identity.ok()?;
        let (issuer, subject) = (identity.issuer().to_owned(), identity.subject().to_owned());
        Some(ExplainedUser { issuer, subject })
    }
}

fn unreadable(reason: Rejection) -> Explanation {
    let comparison = Comparison {
        token: reason.to_string(),
        configured: "a signed JWT: three parts in base64url, joined by dots (RFC 7519)".to_owned(),
        help: match reason {
            Rejection::Opaque | Rejection::Encrypted => {
                "let the app send a signed JWT, such as the ID token, or let the issuer make access tokens that are signed JWTs"
            }
            Rejection::Padded => "let the issuer leave out `=` (RFC 7515 §2)",
            Rejection::RefusedHeader => "let the issuer leave out `crit`, `zip`, `b64` and `enc`",
            _ => "see that the whole token was sent, and only the token",
        }
        .to_owned(),
    };
    let step = Step::of("form", Some(&reason.into()), Some(comparison));
    Explanation { header: None, claims: None, steps: vec![step], user: None }
}

fn step(checked: Checked<'_>, check: Check) -> Step {
    let error = checked.run(check).err().map(AuthError::from);
    Step::of(check.name(), error.as_ref(), Some(checked.compare(check)))
}

async fn signature(issuer: &TrustedIssuer, token: &UnverifiedToken<'_>) -> Step {
    let digest = Fingerprint::of(&[token.message, token.signature]);
    let error = issuer.verify_signature(token, digest).await.err();
    let reason = match &error {
        Some(AuthError::Rejected(rejected)) => rejected.reason,
        _ => Rejection::Signature,
    };
    Step::of("signature", error.as_ref(), Some(issuer.compare_key(reason, token)))
}

fn subject_step(issuer: &TrustedIssuer, error: Option<&AuthError>) -> Step {
    let claim = issuer.rules.subject_claim.join(".");
    let comparison = Comparison {
        token: error.map_or_else(|| format!("`{claim}` has the user's id"), ToString::to_string),
        configured: format!("the user's id in `{claim}`"),
        help: format!("name the claim with the user's id in subject_claim ({})", issuer.rules.place),
    };
    Step::of("subject", error, Some(comparison))
}
