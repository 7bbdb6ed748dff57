//! The proof of confinement: for every identity and every reading of the policy (exact, glob, prefix,
//! slash-merged, URL-decoded), what a template grants lies in its owner's home, and no two owners'
//! homes meet.
//!
//! Why it is enough: a home is wildcard-free and closed by `/`, so whatever a matcher makes of the
//! text after it, a matching key begins with the home. Rules (a) to (e) are those of `README.md`;
//! (a) is [`Home::prove`].

use std::ops::Range;

use super::{
    action::{Action, Reach},
    cam::{Comparison, Effect},
    finding::{Finding, Level, Rule},
    home::Home,
    render,
    template::{Operand, Service, Statement, Template},
    text::Text,
    variable::Subject,
};
use crate::source::Diagnostic;

/// A template that may serve. Only [`prove`] makes one.
#[derive(Debug)]
pub(super) struct Proved(Template);

impl Proved {
    /// What was proved.
    pub(super) fn template(&self) -> &Template {
        &self.0
    }
}

/// What the proof must know of the issuers.
#[derive(Debug, Clone, Default)]
pub struct Issuers {
    /// Whether more than one may sign tokens: then one's `alice` is not the other's.
    pub several: bool,
    /// Claims that no user of any issuer can choose for themselves, as paths joined by dots.
    pub trusted_claims: Vec<String>,
}

impl Issuers {
    /// Whether no user can choose what a variable reads.
    pub(super) fn vouch_for(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Sub | Subject::Iss => true,
            Subject::Claim(path) => self.trusted_claims.contains(&path.join(".")),
        }
    }
}

/// Proves a set of templates, all or none.
///
/// # Errors
/// Everything that cannot be proved, each with its place and mend.
pub(super) fn prove(templates: Vec<Template>, issuers: &Issuers) -> Result<Vec<Proved>, Vec<Diagnostic>> {
    let faults = examine(&templates.iter().collect::<Vec<_>>(), issuers);
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
    issuers: &Issuers,
) -> Result<Proved, Vec<Diagnostic>> {
    let set: Vec<&Template> = others.iter().copied().chain([&template]).collect();
    let faults = examine(&set, issuers);
    if faults.is_empty() {
        return Ok(Proved(template));
    }
    Err(faults.into_iter().map(|fault| fault.finding.diagnostic).collect())
}

/// Everything that cannot be proved of a set of templates.
pub(super) fn examine(templates: &[&Template], issuers: &Issuers) -> Vec<Fault> {
    let mut faults = Vec::new();
    let homes: Vec<Option<Home>> = templates
        .iter()
        .enumerate()
        .map(|(index, &template)| {
            let proved = Home::prove(&template.home, &template.owners);
            let refused = |(message, mend): (String, String)| {
                faults.push(Examined { template, index }.home(Rule::Home, message, mend));
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
        faults.extend(examined.home_is_owned(issuers));
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

/// A template under examination.
struct Examined<'a> {
    template: &'a Template,
    index: usize,
}

/// A statement under examination.
struct ExaminedStatement<'a> {
    template: &'a Examined<'a>,
    statement: &'a Statement,
    number: usize,
}

impl Examined<'_> {
    fn fault(
        &self,
        rule: Rule,
        span: Range<usize>,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> Fault {
        Fault {
            finding: Finding {
                level: Level::Error,
                rule,
                templates: vec![self.template.name.clone()],
                diagnostic: self.template.source.problem(span, message, mend),
                counter_example: None,
            },
            between: (self.index, self.index),
            statement: None,
        }
    }

    fn home(&self, rule: Rule, message: impl Into<String>, mend: impl Into<String>) -> Fault {
        self.fault(rule, self.template.home_written.span(), message, mend)
    }

    /// Rest of (a): the issuer is part of the home where there are several, and no user can choose whose
    /// home they get.
    fn home_is_owned(&self, issuers: &Issuers) -> Vec<Fault> {
        let mut faults = Vec::new();
        if issuers.several && !self.template.home.subjects().any(|subject| *subject == Subject::Iss) {
            faults.push(self.home(
                Rule::IssuerInHome,
                "home does not hold the issuer, and several are configured: one's `alice` would share with the other's",
                "add a segment with ${iss|sha256}",
            ));
        }
        for subject in self.template.home.subjects().filter(|subject| !issuers.vouch_for(subject)) {
            let claim = subject.to_string();
            let claim = claim.strip_prefix("claim.").unwrap_or(&claim);
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
    fn homes_meet(&self, at: usize, other: &Template) -> Fault {
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
    fn something_is_allowed(&self) -> Option<Fault> {
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
    fn policy_fits(&self) -> Option<Fault> {
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

impl ExaminedStatement<'_> {
    fn fault(&self, rule: Rule, message: impl Into<String>, mend: impl Into<String>) -> Fault {
        self.at(self.statement.span.clone(), rule, message, mend)
    }

    fn at(
        &self,
        span: Range<usize>,
        rule: Rule,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> Fault {
        Fault { statement: Some(self.number), ..self.template.fault(rule, span, message, mend) }
    }

    fn is_allow(&self) -> bool {
        self.statement.effect == Effect::Allow
    }

    fn home(&self) -> &Text {
        &self.template.template.home
    }

    /// Key patterns must read the same whether slashes are merged, dots resolved or escapes decoded.
    fn spelling_is_plain(&self) -> Option<Fault> {
        // A home that is not plain was told already.
        if unplain(self.home()).is_some() {
            return None;
        }
        let fault = |what: &str, text: &Text, span: Range<usize>| {
            let (message, mend) = unplain(text)?;
            Some(self.at(span, Rule::PlainSpelling, format!("{what} `{text}` {message}"), mend))
        };
        let mut resources = self.statement.resources.iter();
        let in_resource =
            resources.find_map(|resource| fault("resource", &resource.key, resource.span.clone()));
        in_resource.or_else(|| {
            let written = self.statement.condition.values().filter_map(|keys| keys.get("cos:prefix"));
            written.flat_map(|values| values.get_ref().iter().map(|value| (value, values.span()))).find_map(
                |(value, span)| match value {
                    Operand::Text(text) => fault("prefix", text, span),
                    Operand::Number(_) => None,
                },
            )
        })
    }

    /// Rules (b) and (c): every allow lies under the home, or lists it.
    fn is_confined(&self) -> Option<Fault> {
        let statement = self.statement;
        if !self.is_allow() {
            let shared = statement.shared.as_ref()?;
            return Some(self.at(
                shared.span(),
                Rule::Shared,
                "shared stands in a deny",
                "remove it: a deny shares nothing",
            ));
        }
        let lists = statement.actions().filter(|action| action.reach() == Reach::List).count();
        let only_lists = lists == statement.actions.len();
        if lists > 0 && !only_lists {
            return Some(self.fault(
                Rule::BoundList,
                "lists and object actions stand in one statement, and the cos:prefix that confines a list would deny the rest",
                "give GetBucket a statement of its own",
            ));
        }
        if let Some(write) = statement.actions().find(|action| action.reach() == Reach::WriteObject)
            && statement.shared.is_some()
        {
            return Some(self.fault(
                Rule::Shared,
                format!("shared allows reading only, and {} writes", write.name()),
                "move the writing actions to a statement under ${home}",
            ));
        }
        for resource in &statement.resources {
            let confined = resource.key.strip_prefix(self.home()).is_some();
            let literal = resource.key.as_literal();
            let whole_bucket = resource.service == Service::Cos && matches!(literal, Some("" | "*"));
            let shared = statement.shared.is_some() && literal.is_some();
            if !(confined || shared || only_lists && whole_bucket) {
                return Some(self.at(
                    resource.span.clone(),
                    Rule::UnderHome,
                    format!("resource `{}` does not begin with the home `{}`", resource.key, self.home()),
                    "begin it with ${home}; for a folder that all may read, say shared = \"<reason>\" and spell it without variables",
                ));
            }
        }
        (only_lists && !self.list_is_bound()).then(|| {
            self.fault(
                Rule::BoundList,
                "a list is not bound to the home: GetBucket's resource is the bucket",
                "add [statement.condition.string_like] \"cos:prefix\" = \"${home}*\"",
            )
        })
    }

    /// Whether some condition lets only prefixes under the home (or the shared folder) through.
    fn list_is_bound(&self) -> bool {
        let bound = |value: &Operand| match value {
            Operand::Number(_) => false,
            Operand::Text(text) => match self.statement.shared {
                Some(_) => {
                    text.as_literal().is_some_and(|prefix| !prefix.is_empty() && !prefix.starts_with('*'))
                }
                None => text.strip_prefix(self.home()).is_some(),
            },
        };
        self.statement.condition.iter().any(|(operator, keys)| {
            !operator.if_exist
                && matches!(operator.comparison, Comparison::StringEqual | Comparison::StringLike)
                && keys.get("cos:prefix").is_some_and(|values| values.get_ref().iter().all(bound))
        })
    }

    /// A shared folder is nobody's: it holds no home and lies in none, of any template of the bucket.
    fn shared_spares(&self, at: usize, other: &Template, home: &Home) -> Option<Fault> {
        self.statement.shared.as_ref()?;
        let listed = self.statement.prefixes().filter_map(Operand::as_literal);
        let read = self.statement.resources.iter().filter_map(|resource| resource.key.as_literal());
        let lists = self.statement.actions().all(|action| action.reach() == Reach::List);
        let mut shared = read.filter(|pattern| !(lists && matches!(*pattern, "" | "*"))).chain(listed);
        let reached = shared.find(|pattern| home.touches(pattern.split('*').next().unwrap_or_default()))?;
        let mut fault = self.fault(
            Rule::Shared,
            format!(
                "the shared `{reached}` reaches into the home `{}` of template `{}`",
                other.home, other.name
            ),
            "share a folder that is nobody's home, such as \"public/*\"",
        );
        fault.between.1 = at;
        Some(fault)
    }

    /// A template may narrow what the ACL guard allows, never widen it.
    fn guard_holds(&self) -> Option<Fault> {
        let writes = self.statement.actions().any(Action::takes_acl);
        if !self.is_allow() || !writes || self.template.template.acl_guard_off.is_some() {
            return None;
        }
        let stated = self.statement.condition.get(&render::ACL_GUARD)?.get(render::ACL_KEY)?;
        let harmless =
            |value: &Operand| value.as_literal().is_some_and(|acl| render::HARMLESS_ACLS.contains(&acl));
        (!stated.get_ref().iter().all(harmless)).then(|| {
            self.at(
                stated.span(),
                Rule::AclGuard,
                format!("{} lets a writer make objects public", render::ACL_KEY),
                "keep to private and default, or say acl_guard_off = \"<reason>\"",
            )
        })
    }
}

/// What about a key pattern could be read in two ways, and the mend.
fn unplain(text: &Text) -> Option<(String, &'static str)> {
    let shape = text.shape();
    if let Some(c) = shape.chars().find(|c| "?%\\".contains(*c) || c.is_control()) {
        let mend = "leave it out: it may be read as a wildcard or an escape";
        return Some((format!("holds `{}`", c.escape_default()), mend));
    }
    if shape.contains("//") || shape.starts_with('/') {
        return Some(("holds an empty segment".to_owned(), "keys have no leading or double slash"));
    }
    let dots = shape.split('/').any(|segment| segment == "." || segment.contains(".."));
    dots.then(|| ("holds a `.` or `..`".to_owned(), "name the folder itself"))
}

#[cfg(test)]
mod tests;
