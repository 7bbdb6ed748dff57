//! The proof of confinement: for every identity and every reading of the policy (exact, glob, prefix,
//! slash-merged, URL-decoded), what a template grants lies in its owner's home, and the homes of two owners do
//! not overlap.
//!
//! Why this is enough: a home has no wildcard and ends in `/`, so every key that matches a pattern under the
//! home begins with the home, whatever follows it. Rules (a) to (e) are explained in `docs/`; (a) is
//! [`Home::prove`].

mod ambiguity;
mod home;
mod statement;
mod template;

pub(super) use self::{ambiguity::ambiguity, home::Home};

use self::{statement::CheckedStatement, template::CheckedTemplate};
use super::{rule::Rule, serving_constraints::IssuerTrust, template::Template, verify::CommonShape};
use diagnostics::Diagnostic;

/// A template that may serve. Only [`prove`] and [`prove_beside`] make one.
#[derive(Debug)]
pub(super) struct Proved {
    template: Template,
    version: String,
    policy_shape: CommonShape,
}

impl Proved {
    fn new(template: Template) -> Self {
        let version = template.source.sha256();
        Self { template, version, policy_shape: CommonShape::default() }
    }

    pub(super) fn template(&self) -> &Template {
        &self.template
    }

    /// Returns the file's SHA-256 in hexadecimal.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Returns what its users' policies have in common.
    pub(super) fn policy_shape(&self) -> &CommonShape {
        &self.policy_shape
    }
}

/// A rule that a set of templates breaks.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) rule: Rule,
    /// The names of the templates at fault. The one it is found in comes first.
    pub(super) templates: Vec<String>,
    pub(super) diagnostic: Diagnostic,
    /// The positions in the set of the two templates that overlap; both are the same for most rules.
    pub(super) between: (usize, usize),
    /// The position of the statement at fault, if it is a single one.
    pub(super) statement: Option<usize>,
}

/// Proves a set of templates, all or none.
pub(super) fn prove(
    templates: Vec<Template>,
    issuer_trust: &IssuerTrust,
) -> Result<Vec<Proved>, Vec<Diagnostic>> {
    let violations = examine(&templates.iter().collect::<Vec<_>>(), issuer_trust);
    if violations.is_empty() {
        return Ok(templates.into_iter().map(Proved::new).collect());
    }
    Err(violations.into_iter().map(|violation| violation.diagnostic).collect())
}

/// Proves one more template beside a set that is proved already.
pub(super) fn prove_beside(
    template: Template,
    others: &[&Template],
    issuer_trust: &IssuerTrust,
) -> Result<Proved, Vec<Diagnostic>> {
    let set: Vec<&Template> = others.iter().copied().chain([&template]).collect();
    let violations = examine_beside(others.len(), &set, issuer_trust);
    if violations.is_empty() {
        return Ok(Proved::new(template));
    }
    Err(violations.into_iter().map(|violation| violation.diagnostic).collect())
}

/// Returns everything that cannot be proved of a set of templates.
pub(super) fn examine(templates: &[&Template], issuer_trust: &IssuerTrust) -> Vec<Violation> {
    examine_beside(0, templates, issuer_trust)
}

/// Returns everything that cannot be proved of a set because of the templates from `first` on. Those before it are
/// not examined again, alone or beside each other: a set with a shadow for each template would take cubic time.
pub(super) fn examine_beside(
    first: usize,
    templates: &[&Template],
    issuer_trust: &IssuerTrust,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut homes = Vec::new();
    for (index, &template) in templates.iter().enumerate() {
        let home = Home::prove(&template.home, &template.owners);
        homes.push(home.map_err(|advice| {
            let violation = CheckedTemplate { template, index }.home_violation(Rule::Home, advice);
            violations.extend((index >= first).then_some(violation));
        }));
    }
    let set = TemplatesWithHomes { templates, homes };
    for (index, &template) in templates.iter().enumerate() {
        let checked = CheckedTemplate { template, index };
        let is_new = index >= first;
        if is_new {
            violations.extend(checked.check_home_owner(issuer_trust));
        }
        for (index, statement) in template.statements.iter().enumerate() {
            let checked = CheckedStatement { template: &checked, statement, index };
            if is_new {
                violations.extend(checked.check_spelling());
                violations.extend(checked.check_confinement());
                violations.extend(checked.check_acl_guard());
            }
            if checked.is_shared() {
                let others = set.in_bucket_of(template, if is_new { 0 } else { first });
                violations.extend(others.filter_map(|(other_index, other, home)| {
                    checked.check_shared_folder(other_index, other, home)
                }));
            }
        }
        if is_new {
            violations.extend(checked.check_usefulness());
            violations.extend(checked.check_size());
            violations.extend(
                set.earlier_that_overlap(index, issuer_trust)
                    .map(|(index, other, _)| checked.homes_overlap(index, other)),
            );
        }
    }
    violations
}

/// A set of templates, and the home of each that could be proved.
struct TemplatesWithHomes<'a> {
    templates: &'a [&'a Template],
    homes: Vec<Result<Home, ()>>,
}

impl TemplatesWithHomes<'_> {
    /// Iterates over the templates from `first` on of a template's bucket that have a home, with their positions.
    fn in_bucket_of(
        &self,
        template: &Template,
        first: usize,
    ) -> impl Iterator<Item = (usize, &Template, &Home)> {
        let templates = self.templates.iter().zip(&self.homes).enumerate().skip(first);
        let in_bucket = templates.filter(|(_, (other, _))| other.bucket.name == template.bucket.name);
        in_bucket.filter_map(|(index, (other, home))| Some((index, *other, home.as_ref().ok()?)))
    }

    /// Iterates over the templates before a template whose homes may overlap its home.
    /// Two templates that each serve one issuer only, and not the same, have no owner in common: their homes may not
    /// meet at all.
    fn earlier_that_overlap(
        &self,
        index: usize,
        issuer_trust: &IssuerTrust,
    ) -> impl Iterator<Item = (usize, &Template, &Home)> {
        let several = issuer_trust.several;
        let template =
            self.templates.get(index).zip(self.homes.get(index).and_then(|home| home.as_ref().ok()));
        template.into_iter().flat_map(move |(template, home)| {
            let earlier = self.in_bucket_of(template, 0).take_while(move |(other, ..)| *other < index);
            earlier.filter(move |(_, other, other_home)| {
                let have_owners_apart = several && template.only_issuer() != other.only_issuer();
                home.may_overlap(other_home) || (have_owners_apart && home.may_meet(other_home))
            })
        })
    }
}

#[cfg(test)]
mod tests;
