//! The rules for a template as a whole.

use std::ops::Range;

use super::Violation;
use crate::{advice::Advice, render, rule::Rule, serving_constraints::IssuerTrust, template::Template};

/// A template that is being checked, and its position in the set.
pub(super) struct CheckedTemplate<'a> {
    pub(super) template: &'a Template,
    pub(super) index: usize,
}

impl CheckedTemplate<'_> {
    pub(super) fn violation(&self, rule: Rule, span: Range<usize>, advice: Advice) -> Violation {
        Violation {
            rule,
            templates: vec![self.template.name.clone()],
            diagnostic: advice.at(&self.template.source, span),
            between: (self.index, self.index),
            statement: None,
        }
    }

    pub(super) fn home_violation(&self, rule: Rule, advice: Advice) -> Violation {
        self.violation(rule, self.template.home_written.span(), advice)
    }

    /// Checks the rest of rule (a): with several issuers the issuer is part of the home, and users cannot choose
    /// the claims in it.
    pub(super) fn check_home_owner(&self, issuer_trust: &IssuerTrust) -> Vec<Violation> {
        let mut violations = Vec::new();
        let names_issuer = self.template.home.claims().any(|claim| issuer_trust.identifies_issuer(claim));
        if issuer_trust.several && !names_issuer && self.template.only_issuer().is_none() {
            let advice = Advice::new(
                "home does not hold the issuer, and several are configured: one's `alice` would share with the other's",
                "add a segment with ${iss|sha256}, or serve the users of one issuer only: [require] with iss = \"…\"",
            );
            violations.push(self.home_violation(Rule::IssuerInHome, advice));
        }
        for claim in self.template.home.claims().filter(|claim| !issuer_trust.trusts(claim)) {
            let path = claim.to_string();
            // The configuration takes a claim's path with or without `claim.` before it.
            let bare = path.strip_prefix("claim.").filter(|path| !path.starts_with("claim."));
            let advice = Advice::new(
                format!("home holds ${{{claim}}}, which a user may be able to choose"),
                format!(
                    "list {} in trusted_claims of every [[issuer]] if only the issuer can set it",
                    toml::Value::from(bare.unwrap_or(&path))
                ),
            );
            violations.push(self.home_violation(Rule::TrustedClaim, advice));
        }
        violations
    }

    /// Reports that the home overlaps another template's, which breaks rule (e).
    pub(super) fn homes_overlap(&self, other_index: usize, other: &Template) -> Violation {
        let advice = Advice::new(
            format!(
                "the home `{}` and the home `{}` of template `{}` can meet without naming one owner in one way",
                self.template.home, other.home, other.name
            ),
            "begin the two with different literal folders, or give both the same owner, encoding and text",
        );
        let mut violation = self.home_violation(Rule::HomesApart, advice);
        violation.between.1 = other_index;
        violation.templates.push(other.name.clone());
        violation
    }

    /// Checks that something is allowed. The verifier refuses every policy that allows nothing.
    pub(super) fn check_usefulness(&self) -> Option<Violation> {
        if self.template.allows().next().is_some() {
            return None;
        }
        let advice =
            Advice::new("every statement denies: a key could do nothing", "add one with effect = \"allow\"");
        Some(self.violation(Rule::Useful, 0..0, advice))
    }

    /// Checks that STS accepts the largest policy that the template can render to.
    pub(super) fn check_size(&self) -> Option<Violation> {
        let max_bytes = render::max_policy_bytes(self.template);
        if max_bytes <= render::MAX_POLICY_BYTES {
            return None;
        }
        let advice = Advice::new(
            format!(
                "the policy can grow to {max_bytes} bytes, more than {} (docs 598/10609)",
                render::MAX_POLICY_BYTES
            ),
            "split the template, or use the filter sha256 for long values",
        );
        Some(self.home_violation(Rule::PolicySize, advice))
    }
}
