//! What the configuration asks of every template, besides the proof.

use std::{collections::BTreeSet, time::Duration};

use super::{issuer_trust::IssuerTrust, template::Template, variable::Subject};
use diagnostics::Diagnostic;

/// The terms under which templates serve.
#[derive(Debug, Clone)]
pub struct ServingConstraints {
    /// Who may sign tokens.
    pub issuer_trust: IssuerTrust,
    /// The longest life the configured STS action gives.
    pub longest: Duration,
    /// The least life a key is handed out with, if the operator set one.
    pub min_remaining: Option<Duration>,
    /// The template used where none is named.
    pub default: Option<String>,
}

/// The longest life that STS gives a key of any account, by GetFederationToken (docs 1312/48195).
const LONGEST_OF_ANY: Duration = Duration::from_hours(36);

impl ServingConstraints {
    /// Where no configuration is at hand: one issuer, which vouches for the claims that stand in homes, and
    /// keys that live as long as any account's.
    pub(super) fn assumed(templates: &[Template]) -> Self {
        let owners = templates.iter().flat_map(|template| {
            template.home.subjects().filter(|subject| template.owners.contains(subject))
        });
        let claims = owners.filter_map(|subject| match subject {
            Subject::Claim(path) => Some(path.join(".")),
            Subject::Sub | Subject::Iss => None,
        });
        let trusted_claims = claims.collect::<BTreeSet<_>>().into_iter().collect();
        Self {
            issuer_trust: IssuerTrust { several: false, trusted_claims },
            longest: LONGEST_OF_ANY,
            min_remaining: None,
            default: None,
        }
    }

    /// What was assumed, in words.
    pub(super) fn assumptions(&self) -> Vec<String> {
        let trusted = &self.issuer_trust.trusted_claims;
        let trusts = format!("its trusted_claims list {}", trusted.join(", "));
        let one = "one issuer signs tokens".to_owned();
        [one].into_iter().chain((!trusted.is_empty()).then_some(trusts)).collect()
    }

    /// Whether keys of a template can live as long as it says, and long enough to be handed out.
    pub(super) fn duration_fits(&self, template: &Template) -> Result<(), Diagnostic> {
        let problem = |message: String, help: &str| {
            Err(template.source.problem(template.duration_span.clone(), message, help))
        };
        let seconds = template.duration.as_secs();
        if template.duration > self.longest {
            let who = if self.longest < LONGEST_OF_ANY { "the configured sts.action" } else { "STS" };
            return problem(
                format!("duration is {seconds} s; {who} gives {} s at most", self.longest.as_secs()),
                "shorten it",
            );
        }
        if let Some(least) = self.min_remaining.filter(|least| template.duration <= *least) {
            return problem(
                format!(
                    "duration is {seconds} s, not more than cache.min_remaining ({} s): every key would be too old when new",
                    least.as_secs()
                ),
                "lengthen duration, or lower cache.min_remaining",
            );
        }
        Ok(())
    }
}
