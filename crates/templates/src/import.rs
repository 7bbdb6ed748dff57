//! Imports a CAM policy, as the vendor's documents and console show it, as a template. The folder that all holders
//! of the policy could reach becomes a folder for each user.
//!
//! What a template cannot express is left out with a note, and never widened: an unsupported condition removes
//! its whole statement. [`lint`] then checks the result like any template.
//!
//! ```text
//! text ─ statement ─► policy statements ─ target ─► bucket, home ─ template_statement ─► write ─► TOML ─ lint ─► notes
//! ```

mod actions;
mod condition;
mod resource;
mod statement;
mod target;
mod template_statement;
mod write;

use self::{statement::PolicyStatement, target::ImportTarget, template_statement::TemplateStatement};
use super::{
    advice::Advice,
    lint::{Finding, Level, lint},
    rule::Rule,
};
use cam::Effect;
use diagnostics::{Source, to_single_line};

/// A template made from a CAM policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The template's text, with comments for its reviewer.
    pub template: String,
    /// What was changed or left out, and why, one line each. A note that begins with `not proved: ` keeps the
    /// template from serving.
    pub notes: Vec<String>,
}

/// Why a text cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportFault {
    /// It is not JSON.
    #[error(
        "the text is not JSON: {0}; paste the policy alone, from its first `{{` to its last `}}`, with every variable of a program filled in"
    )]
    NotJson(String),
    /// It is JSON, but no policy of CAM.
    #[error("{place}: {fault}; {help}")]
    NotAPolicy {
        /// The element, such as `statement 2: effect`.
        place: String,
        /// What is wrong with it.
        fault: String,
        /// How to fix it.
        help: &'static str,
    },
    /// It has more elements than a policy of CAM can have.
    #[error(
        "it has more than {0} actions, resources and values of conditions; split it, as CAM takes no policy of more than 6144 bytes"
    )]
    TooLarge(usize),
    /// The requested home is malformed.
    #[error("home: {0}")]
    Home(Advice),
    /// No part of it can be granted by a template. The notes say why.
    #[error(
        "nothing is left that a template may grant; write one by hand after policies/upload.toml. Left out: {}",
        .0.join(" | ")
    )]
    NothingGrantable(Vec<String>),
    /// The result does not parse as a template, which is a bug of cosbroker.
    #[error("the template made of this policy does not read, which is a fault of cosbroker; report it: {0}")]
    Unreadable(String),
}

/// Imports a CAM policy from JSON. The comments, trailing commas and quotes of JavaScript are accepted.
///
/// Without a `home`, the folder that contains everything granted gets a folder for each user.
///
/// # Errors
/// When the text is no policy, or a template can grant no part of it.
pub fn import(text: &str, home: Option<&str>) -> Result<Imported, ImportFault> {
    let mut notes = Notes::default();
    let policy = PolicyStatement::parse_all(text, &mut notes)?;
    let target = ImportTarget::of(&policy, home)?;
    let statements: Vec<TemplateStatement> = policy
        .iter()
        .flat_map(|statement| TemplateStatement::from_policy(statement, &target, &mut notes))
        .collect();
    if !statements.iter().any(|statement| statement.effect == Effect::Allow) {
        return Err(ImportFault::NothingGrantable(notes.0));
    }
    target.describe(&mut notes);
    let template = write::template(&target, &statements, &notes.0);
    let report = lint(vec![Ok(Source::new(FILE_NAME, template.as_str()))], None);
    for Finding { level, rule, diagnostic, .. } in report.findings {
        match (level, rule) {
            (_, Rule::Readable) => return Err(ImportFault::Unreadable(diagnostic.to_string())),
            (Level::Error, _) => notes.add(format!("not proved: {diagnostic}")),
            (Level::Warning, _) => notes.add(format!("to look at: {diagnostic}")),
        }
    }
    Ok(Imported { template, notes: notes.0 })
}

/// The name of the file in findings, as the operator has not named it yet.
const FILE_NAME: &str = "imported.toml";

/// Why a template cannot express a part of the policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct Unsupported(String);

impl Unsupported {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// The notes so far, without duplicates.
#[derive(Debug, Default)]
struct Notes(Vec<String>);

impl Notes {
    fn add(&mut self, note: impl AsRef<str>) {
        let note = to_single_line(note.as_ref());
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    /// Notes that a statement, or a part of it, is left out. For a deny the note stands out, as what it forbade
    /// may be allowed now.
    fn left_out(&mut self, effect: Effect, number: usize, what: &str, why: &Unsupported) {
        self.add(match effect {
            Effect::Allow => format!("statement {number}: {what} is left out: {why}"),
            Effect::Deny => format!(
                "statement {number}: WHAT THIS DENY FORBADE MAY NOW BE ALLOWED: {what} is left out: {why}; check that no allow of the template reaches it"
            ),
        });
    }
}

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
