//! The proof of confinement: for every identity and every reading of the policy (exact, glob, prefix,
//! slash-merged, URL-decoded), what a template grants lies in its owner's home, and no two owners'
//! homes meet.
//!
//! Why it is enough: a home is wildcard-free and closed by `/`, so whatever a matcher makes of the
//! text after it, a matching key begins with the home. Rules (a) to (e) are those of `README.md`;
//! (a) is [`Home::parse`](super::home::Home::parse).

use super::{
    action::Reach,
    cam::{Comparison, Effect},
    render,
    template::{Operand, Statement, Template},
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

/// Proves a set of templates, all or none.
///
/// # Errors
/// Everything that cannot be proved, each with its place and mend.
pub(super) fn prove(templates: Vec<Template>, issuers: &Issuers) -> Result<Vec<Proved>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    for (index, template) in templates.iter().enumerate() {
        problems.extend(home_is_owned(template, issuers));
        for statement in &template.statements {
            problems.extend(statement_is_confined(template, statement).err());
            problems.extend(guard_holds(template, statement).err());
            for other in templates.iter().filter(|other| other.bucket.name == template.bucket.name) {
                problems.extend(shared_spares(template, statement, other).err());
            }
        }
        problems.extend(something_is_allowed(template).err());
        problems.extend(policy_fits(template).err());
        let earlier = templates.iter().take(index);
        for other in earlier.filter(|other| other.bucket.name == template.bucket.name) {
            problems.extend(homes_are_apart(template, other).err());
        }
    }
    if problems.is_empty() { Ok(templates.into_iter().map(Proved).collect()) } else { Err(problems) }
}

/// Rest of (a): the issuer is part of the home where there are several, and no user can choose whose
/// home they get.
fn home_is_owned(template: &Template, issuers: &Issuers) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    if issuers.several && !template.home.subjects().any(|subject| *subject == Subject::Iss) {
        problems.push(problem(
            template,
            template.home_span.clone(),
            "home does not hold the issuer, and several are configured: one's `alice` would share with the other's",
            "add a segment with ${iss|sha256}",
        ));
    }
    for subject in template.home.subjects() {
        if let Subject::Claim(path) = subject
            && !issuers.trusted_claims.contains(&path.join("."))
        {
            problems.push(problem(
                template,
                template.home_span.clone(),
                format!("home holds ${{{subject}}}, which a user may be able to choose"),
                format!(
                    "list \"{}\" in trusted_claims of every [[issuer]] if only the issuer can set it",
                    path.join(".")
                ),
            ));
        }
    }
    problems
}

/// Rules (b) and (c): every allow lies under the home, or lists it.
fn statement_is_confined(template: &Template, statement: &Statement) -> Result<(), Diagnostic> {
    let problem = |message: String, mend: &str| Err(problem(template, statement.span.clone(), message, mend));
    if statement.effect == Effect::Deny {
        return match &statement.shared {
            None => Ok(()),
            Some(_) => problem("shared stands in a deny".to_owned(), "remove it: a deny shares nothing"),
        };
    }
    let lists = statement.known.iter().filter(|action| action.reach == Reach::List).count();
    let only_lists = lists == statement.known.len();
    if lists > 0 && !only_lists {
        return problem(
            "lists and object actions stand in one statement, and the cos:prefix that confines a list would deny the rest"
                .to_owned(),
            "give GetBucket a statement of its own",
        );
    }
    if let Some(write) = statement.known.iter().find(|action| action.reach == Reach::WriteObject)
        && statement.shared.is_some()
    {
        return problem(
            format!("shared allows reading only, and {} writes", write.name),
            "move the writing actions to a statement under ${home}",
        );
    }
    for resource in &statement.resources {
        let confined = resource.strip_prefix(template.home.text()).is_some();
        let whole_bucket = matches!(resource.as_literal(), Some("" | "*"));
        let shared = statement.shared.is_some() && resource.as_literal().is_some();
        if !(confined || shared || only_lists && whole_bucket) {
            return problem(
                format!("resource `{resource}` does not begin with the home `{}`", template.home.text()),
                "begin it with ${home}; for a folder that all may read, say shared = \"<reason>\" and spell it without variables",
            );
        }
    }
    if only_lists && !list_is_bound(template, statement) {
        return problem(
            "a list is not bound to the home: GetBucket's resource is the bucket".to_owned(),
            "add [statement.condition.string_like] \"cos:prefix\" = \"${home}*\"",
        );
    }
    Ok(())
}

/// Whether some condition lets only prefixes under the home (or the shared folder) through.
fn list_is_bound(template: &Template, statement: &Statement) -> bool {
    let bound = |value: &Operand| match value {
        Operand::Number(_) => false,
        Operand::Text(text) => match statement.shared {
            Some(_) => text.as_literal().is_some_and(|prefix| !prefix.is_empty() && !prefix.starts_with('*')),
            None => text.strip_prefix(template.home.text()).is_some(),
        },
    };
    statement.condition.iter().any(|(operator, keys)| {
        !operator.if_exist
            && matches!(operator.comparison, Comparison::StringEqual | Comparison::StringLike)
            && keys.get("cos:prefix").is_some_and(|values| values.iter().all(bound))
    })
}

/// A shared folder is nobody's: it holds no home and lies in none, of any template of the bucket.
fn shared_spares(template: &Template, statement: &Statement, other: &Template) -> Result<(), Diagnostic> {
    if statement.shared.is_none() {
        return Ok(());
    }
    let prefixes = statement.condition.values().filter_map(|keys| keys.get("cos:prefix")).flatten();
    let listed = prefixes.filter_map(|value| match value {
        Operand::Text(text) => text.as_literal(),
        Operand::Number(_) => None,
    });
    let read = statement.resources.iter().filter_map(|resource| resource.as_literal());
    let lists = statement.known.iter().all(|action| action.reach == Reach::List);
    for pattern in read.filter(|pattern| !(lists && matches!(*pattern, "" | "*"))).chain(listed) {
        let certain = pattern.split('*').next().unwrap_or_default();
        if other.home.touches(certain) {
            return Err(problem(
                template,
                statement.span.clone(),
                format!(
                    "the shared `{pattern}` reaches into the home `{}` of template `{}`",
                    other.home.text(),
                    other.name
                ),
                "share a folder that is nobody's home, such as \"public/*\"",
            ));
        }
    }
    Ok(())
}

/// Rule (e).
fn homes_are_apart(template: &Template, other: &Template) -> Result<(), Diagnostic> {
    if template.home.clash(&other.home) {
        return Err(problem(
            template,
            template.home_span.clone(),
            format!(
                "the home `{}` and the home `{}` of template `{}` can meet without naming one owner in one way",
                template.home.text(),
                other.home.text(),
                other.name
            ),
            "begin the two with different literal folders, or give both the same owner, encoding and text",
        ));
    }
    Ok(())
}

/// A key that could do nothing is a mistake; the verifier would refuse its policy each time.
fn something_is_allowed(template: &Template) -> Result<(), Diagnostic> {
    if template.statements.iter().any(|statement| statement.effect == Effect::Allow) {
        return Ok(());
    }
    Err(problem(
        template,
        0..0,
        "every statement denies: a key could do nothing",
        "add one with effect = \"allow\"",
    ))
}

/// A template may narrow what the ACL guard allows, never widen it.
fn guard_holds(template: &Template, statement: &Statement) -> Result<(), Diagnostic> {
    let writes = statement.known.iter().any(|action| action.takes_acl);
    if statement.effect == Effect::Deny || !writes || template.acl_guard_off.is_some() {
        return Ok(());
    }
    let stated = statement.condition.get(&render::ACL_GUARD).and_then(|keys| keys.get(render::ACL_KEY));
    let harmless = |value: &Operand| match value {
        Operand::Text(text) => text.as_literal().is_some_and(|acl| render::HARMLESS_ACLS.contains(&acl)),
        Operand::Number(_) => false,
    };
    match stated {
        Some(values) if !values.iter().all(harmless) => Err(problem(
            template,
            statement.span.clone(),
            format!("{} lets a writer make objects public", render::ACL_KEY),
            "keep to private and default, or say acl_guard_off = \"<reason>\"",
        )),
        _ => Ok(()),
    }
}

/// The largest rendering must be one that STS takes.
fn policy_fits(template: &Template) -> Result<(), Diagnostic> {
    let longest = render::longest_policy(template);
    if longest > render::MAX_POLICY_BYTES {
        return Err(problem(
            template,
            template.home_span.clone(),
            format!(
                "the policy can grow to {longest} bytes, more than {} (docs 598/10609)",
                render::MAX_POLICY_BYTES
            ),
            "split the template, or use the filter sha256 for long values",
        ));
    }
    Ok(())
}

fn problem(
    template: &Template,
    span: std::ops::Range<usize>,
    message: impl Into<String>,
    mend: impl Into<String>,
) -> Diagnostic {
    template.source.problem(span, message, mend)
}

#[cfg(test)]
mod tests;
