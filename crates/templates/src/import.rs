//! A CAM policy, as the vendor's documents and console have them, becomes a template: what everybody who held
//! the policy could reach becomes each user's own folder.
//!
//! Knows the vendor's spellings, old and new, and the template format; touches no file. What cannot be carried
//! over as it stands is left out and said, and never widened: a condition that a template cannot state takes
//! its statement with it. Whether the result confines anybody is for [`lint`] to say, as for any template.
//!
//! ```text
//! text ─ pasted ─► statements ─ ground ─► bucket, home ─ grant ─► grants ─ writing ─► TOML ─ lint ─► notes
//! ```

mod condition;
mod grant;
mod ground;
mod pasted;
mod place;
mod request;
mod writing;

use self::{grant::Grant, ground::Ground, pasted::Pasted};
use super::{
    finding::{Finding, Level, Rule},
    lint::lint,
};
use cam::Effect;
use diagnostics::{Source, to_single_line};

/// A template made of a CAM policy, and what a person must know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The file, with comments for whoever reviews it.
    pub template: String,
    /// What was changed, left out or could not be confined, and why: a line each. What begins with
    /// `not proved: ` keeps the template from serving.
    pub notes: Vec<String>,
}

/// Why no template can be made of a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportFault {
    /// It cannot be taken apart.
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
        /// What to do about it.
        help: &'static str,
    },
    /// The home that was asked for cannot be read.
    #[error("home: {fault}; {help}")]
    Home {
        /// What is wrong with it.
        fault: String,
        /// What to do about it.
        help: String,
    },
    /// Nothing of it is what a template may grant; the notes say why of each part.
    #[error(
        "nothing is left that a template may grant; write one by hand after policies/upload.toml. Left out: {}",
        .0.join(" | ")
    )]
    NothingGrantable(Vec<String>),
    /// What was written does not read as a template: a fault of ours.
    #[error("the template made of this policy does not read, which is a fault of cosbroker; report it: {0}")]
    Unreadable(String),
}

/// Makes a template of a CAM policy's text: JSON, with the comments, trailing commas and quotes of JavaScript
/// that documents and demos have. Without a `home`, the folder that everything granted lies under gets a
/// folder for each user.
///
/// # Errors
/// When the text is no policy, or nothing in it can be granted by a template.
pub fn import(text: &str, home: Option<&str>) -> Result<Imported, ImportFault> {
    let mut notes = Notes::default();
    let statements = Pasted::read_all(text, &mut notes)?;
    let ground = Ground::of(&statements, home)?;
    let grants: Vec<Grant> =
        statements.iter().flat_map(|statement| Grant::all_of(statement, &ground, &mut notes)).collect();
    if !grants.iter().any(|grant| grant.effect == Effect::Allow) {
        return Err(ImportFault::NothingGrantable(notes.0));
    }
    ground.describe(&mut notes);
    let template = writing::template(&ground, &grants, &notes.0);
    let report = lint(vec![Ok(Source::new(FILE, template.as_str()))], None);
    for Finding { level, rule, diagnostic, .. } in report.findings {
        match (level, rule) {
            (_, Rule::Readable) => return Err(ImportFault::Unreadable(diagnostic.to_string())),
            (Level::Error, _) => notes.add(format!("not proved: {diagnostic}")),
            (Level::Warning, _) => notes.add(format!("to look at: {diagnostic}")),
        }
    }
    Ok(Imported { template, notes: notes.0 })
}

/// How findings call the file that the operator has not named yet.
const FILE: &str = "imported.toml";

/// What a person must know, in the order it was found out.
#[derive(Debug, Default)]
struct Notes(Vec<String>);

impl Notes {
    fn add(&mut self, note: impl AsRef<str>) {
        let note = to_single_line(note.as_ref());
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    /// A statement, or a part of one, that no template can say. Of a deny this must not be overlooked: what it
    /// forbade is allowed now.
    fn left_out(&mut self, effect: Effect, number: usize, what: &str, why: &str) {
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
