//! The proof of confinement: for every identity and every reading of the policy (exact, glob, prefix,
//! slash-merged, URL-decoded), what a template grants lies in its owner's home, and no two owners'
//! homes meet.
//!
//! Why it is enough: a home is wildcard-free and closed by `/`, so whatever a matcher makes of the
//! text after it, a matching key begins with the home. Rules (a) to (e) are those of `docs/templates.md`;
//! (a) is [`Home::prove`].

mod statement;
mod template;

pub(super) use self::statement::unplain;

use self::{statement::ExaminedStatement, template::Examined};
use super::{
    finding::{Finding, Rule},
    home::Home,
    issuer_trust::IssuerTrust,
    template::Template,
};
use diagnostics::Diagnostic;

/// A template that may serve. Only [`prove`] and [`prove_beside`] make one.
#[derive(Debug)]
pub(super) struct Proved(Template);

impl Proved {
    /// What was proved.
    pub(super) fn template(&self) -> &Template {
        &self.0
    }
}

/// Proves a set of templates, all or none.
///
/// # Errors
/// Everything that cannot be proved, each with its place and mend.
pub(super) fn prove(
    templates: Vec<Template>,
    issuer_trust: &IssuerTrust,
) -> Result<Vec<Proved>, Vec<Diagnostic>> {
    let faults = examine(&templates.iter().collect::<Vec<_>>(), issuer_trust);
    if faults.is_empty() {
        return Ok(templates.into_iter().map(Proved).collect());
    }
    Err(faults.into_iter().map(|fault| fault.finding.diagnostic).collect())
}

/// What keeps templates from being proved, and between which two it could be seen.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) finding: Finding,
    /// The template it stands in, and the one it meets (often itself), by their places in the set.
    pub(super) between: (usize, usize),
    /// The statement at fault, if it is one alone.
    pub(super) statement: Option<usize>,
}

/// Proves one more template beside those that serve, which are not judged again.
///
/// # Errors
/// Everything about this one, or between it and another, that cannot be proved.
pub(super) fn prove_beside(
    template: Template,
    others: &[&Template],
    issuer_trust: &IssuerTrust,
) -> Result<Proved, Vec<Diagnostic>> {
    let set: Vec<&Template> = others.iter().copied().chain([&template]).collect();
    let faults = examine(&set, issuer_trust);
    if faults.is_empty() {
        return Ok(Proved(template));
    }
    Err(faults.into_iter().map(|fault| fault.finding.diagnostic).collect())
}

/// Everything that cannot be proved of a set of templates.
pub(super) fn examine(templates: &[&Template], issuer_trust: &IssuerTrust) -> Vec<Fault> {
    let mut faults = Vec::new();
    let homes: Vec<Option<Home>> = templates
        .iter()
        .enumerate()
        .map(|(index, &template)| {
            let proved = Home::prove(&template.home, &template.owners);
            let refused = |(message, help): (String, String)| {
                faults.push(Examined { template, index }.home(Rule::Home, message, help));
            };
            proved.map_err(refused).ok()
        })
        .collect();
    let mates = |template: &Template| {
        let bucket = template.bucket.name.clone();
        let homes = templates.iter().zip(&homes).enumerate();
        homes.filter(move |(_, (other, _))| other.bucket.name == bucket)
    };
    for (index, &template) in templates.iter().enumerate() {
        let examined = Examined { template, index };
        faults.extend(examined.home_is_owned(issuer_trust));
        for (number, statement) in template.statements.iter().enumerate() {
            let examined = ExaminedStatement { template: &examined, statement, number };
            faults.extend(examined.spelling_is_plain());
            faults.extend(examined.is_confined());
            faults.extend(examined.guard_holds());
            for (at, (other, home)) in mates(template) {
                faults.extend(home.as_ref().and_then(|home| examined.shared_spares(at, other, home)));
            }
        }
        faults.extend(examined.something_is_allowed());
        faults.extend(examined.policy_fits());
        let Some(Some(home)) = homes.get(index) else { continue };
        for (at, (other, other_home)) in mates(template).filter(|(at, _)| *at < index) {
            let met = other_home.as_ref().filter(|other_home| home.clash(other_home));
            faults.extend(met.map(|_| examined.homes_meet(at, other)));
        }
    }
    faults
}

#[cfg(test)]
mod tests;
