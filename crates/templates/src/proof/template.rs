//! What is proved of a template as a whole.

use std::ops::Range;

use super::Fault;
use crate::{
    finding::{Finding, Level, Rule},
    issuer_trust::IssuerTrust,
    render,
    template::Template,
    variable::Subject,
};
use cam::Effect;

/// A template under examination.
pub(super) struct Examined<'a> {
    pub(super) template: &'a Template,
    pub(super) index: usize,
}

impl Examined<'_> {
    pub(super) fn fault(
        &self,
        rule: Rule,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Fault {
        Fault {
            finding: Finding::new(
                Level::Error,
                rule,
                &self.template.name,
                self.template.source.problem(span, message, help),
            ),
            between: (self.index, self.index),
            statement: None,
        }
    }

    pub(super) fn home(&self, rule: Rule, message: impl Into<String>, help: impl Into<String>) -> Fault {
        self.fault(rule, self.template.home_written.span(), message, help)
    }

    /// Rest of (a): the issuer is part of the home where there are several, and no user can choose whose
    /// home they get.
    pub(super) fn home_is_owned(&self, issuer_trust: &IssuerTrust) -> Vec<Fault> {
        let mut faults = Vec::new();
        if issuer_trust.several && !self.template.home.subjects().any(|subject| *subject == Subject::Iss) {
            faults.push(self.home(
                Rule::IssuerInHome,
                "home does not hold the issuer, and several are configured: one's `alice` would share with the other's",
                "add a segment with ${iss|sha256}",
            ));
        }
        for subject in self.template.home.subjects().filter(|subject| !issuer_trust.vouch_for(subject)) {
            let claim = subject.to_string();
            // The configuration takes a claim's path with or without `claim.` before it.
            let bare = claim.strip_prefix("claim.").filter(|path| !path.starts_with("claim."));
            let claim = bare.unwrap_or(&claim);
            faults.push(self.home(
                Rule::TrustedClaim,
                format!("home holds ${{{subject}}}, which a user may be able to choose"),
                format!(
                    "list \"{claim}\" in trusted_claims of every [[issuer]] if only the issuer can set it"
                ),
            ));
        }
        faults
    }

    /// Rule (e).
    pub(super) fn homes_meet(&self, at: usize, other: &Template) -> Fault {
        let mut fault = self.home(
            Rule::HomesApart,
            format!(
                "the home `{}` and the home `{}` of template `{}` can meet without naming one owner in one way",
                self.template.home, other.home, other.name
            ),
            "begin the two with different literal folders, or give both the same owner, encoding and text",
        );
        fault.between.1 = at;
        fault.finding.templates.push(other.name.clone());
        fault
    }

    /// A key that could do nothing is a mistake; the verifier would refuse its policy each time.
    pub(super) fn something_is_allowed(&self) -> Option<Fault> {
        let allowed = self.template.statements.iter().any(|statement| statement.effect == Effect::Allow);
        (!allowed).then(|| {
            self.fault(
                Rule::Useful,
                0..0,
                "every statement denies: a key could do nothing",
                "add one with effect = \"allow\"",
            )
        })
    }

    /// The largest rendering must be one that STS takes.
    pub(super) fn policy_fits(&self) -> Option<Fault> {
        let longest = render::longest_policy(self.template);
        (longest > render::MAX_POLICY_BYTES).then(|| {
            self.home(
                Rule::PolicySize,
                format!(
                    "the policy can grow to {longest} bytes, more than {} (docs 598/10609)",
                    render::MAX_POLICY_BYTES
                ),
                "split the template, or use the filter sha256 for long values",
            )
        })
    }
}
