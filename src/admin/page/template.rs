//! One template, read only: its file with the findings of `policy lint` at their lines, what it grants to pasted claims, and
//! what its shadow template would change.

use std::{collections::HashSet, sync::Arc};

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use super::{
    language::Language,
    layout::{self, Place, badge, code},
    templates::shadow_report,
};
use crate::{admin::error::AdminError, identity::Verifier, reload::Inspection};
use diagnostics::printable;
use templates::{
    Explanation, Finding, Grant, Level, Question, TemplateSet, TemplateStatus, explain, identity::Identity,
};

/// What an operator asks of a template.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Inquiry {
    /// The claims of a user, as JSON.
    claims: String,
    action: String,
    key: String,
    size: String,
    content_type: String,
}

/// Returns the address of a template's page.
pub(super) fn template_link(name: &str) -> String {
    format!("/templates/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

/// Returns the least claims that the token of a user has, by issuer and subject.
pub(super) type ClaimsOf<'a> = &'a dyn Fn(&str, &str) -> Value;

/// Renders the button that leads to what a template grants to a user of whom no more is known.
pub(super) fn grant_button(
    language: Language,
    claims_of: ClaimsOf<'_>,
    name: &str,
    issuer: &str,
    subject: &str,
) -> Markup {
    let claims = claims_of(issuer, subject).to_string();
    html! {
        form.inline method="post" action=(form_address(name)) {
            input type="hidden" name="claims" value=(claims);
            button.link { (language.text("grant")) }
        }
    }
}

/// Returns the address of the form, whose response is shown from the grant on.
fn form_address(name: &str) -> String {
    template_link(name) + "#grant"
}

/// What the page shows.
pub(super) struct TemplatePage<'a> {
    pub(super) language: Language,
    pub(super) status: &'a TemplateStatus,
    /// Whether the folder as it is now is refused, so that an older version of the file is active.
    pub(super) is_refused: bool,
    pub(super) inspection: &'a Inspection,
    pub(super) inquiry: &'a Inquiry,
    pub(super) verifier: &'a Verifier,
}

impl TemplatePage<'_> {
    pub(super) fn draw(&self) -> Markup {
        let Self { language, status, inquiry, .. } = *self;
        let shadow = format!("{}.next", status.name);
        layout::page(
            language,
            Place::Elsewhere,
            &status.name,
            &html! {
                section {
                    h2 { (status.name) @if status.default { " " (badge("", language.text("default"))) } }
                    p { (printable(&status.description)) }
                    @if self.is_refused {
                        p {
                            (badge("warning", language.text("refused"))) " "
                            (language.text("The folder is refused as it is now: an older version of this file is active."))
                        }
                    }
                }
                section #grant {
                    h2 { (language.text("What does it grant?")) }
                    (self.form())
                    @if !inquiry.claims.trim().is_empty() { (self.granted(&status.name, &shadow)) }
                }
                (self.file(&status.name))
                @if let Some(report) = &status.shadow {
                    section {
                        h2 { (language.text("Shadow template")) }
                        p { (shadow_report(language, report)) }
                        p { (printable(&report.revision.to_string())) }
                    }
                    (self.file(&shadow))
                }
            },
        )
    }

    fn form(&self) -> Markup {
        let Self { language, inquiry, .. } = *self;
        html! {
            form.search method="post" action=(form_address(&self.status.name)) {
                label.wide { (language.text("Claims of the user's token, as JSON"))
                    textarea name="claims" rows="3" spellcheck="false" placeholder="{\"sub\":\"alice\"}" { (inquiry.claims) }
                }
                (field(language.text("Action"), "action", &inquiry.action, "PutObject"))
                (field(language.text("Object key"), "key", &inquiry.key, "users/alice/cat.jpg"))
                (field(language.text("Size in bytes"), "size", &inquiry.size, "1048576"))
                (field(language.text("Content type"), "content_type", &inquiry.content_type, "image/jpeg"))
                button.primary { (language.text("Explain")) }
            }
        }
    }

    /// Renders what the file, and its shadow, grant to the claims.
    fn granted(&self, name: &str, shadow: &str) -> Markup {
        let language = self.language;
        html! {
            @match self.grant(name) {
                Err(problem) => p { (badge("bad", language.text("no key"))) " " (language.cause(&problem)) },
                Ok(grant) => {
                    @if !self.inquiry.action.trim().is_empty() { (self.explanation(&grant)) }
                    h3 { (language.text("The policy")) }
                    pre { (pretty(&grant)) }
                    @if self.inspection.source(shadow).is_some() {
                        h3 { (language.text("What the shadow template would change in it")) }
                        @match self.grant(shadow) {
                            Err(problem) => p { (badge("bad", language.text("no key"))) " " (language.cause(&problem)) },
                            Ok(next) => (difference(language, &pretty(&grant), &pretty(&next))),
                        }
                    }
                }
            }
        }
    }

    fn explanation(&self, grant: &Grant) -> Markup {
        let Self { language, inquiry, .. } = *self;
        let question = Question {
            action: inquiry.action.trim(),
            key: inquiry.key.trim(),
            size: inquiry.size.trim().parse().ok(),
            content_type: Some(inquiry.content_type.trim()).filter(|content_type| !content_type.is_empty()),
            ..Question::default()
        };
        let Explanation { allowed, reason, statement, condition } = explain(grant, &question);
        html! {
            p {
                @if allowed { (badge("good", language.text("allowed"))) } @else { (badge("bad", language.text("denied"))) }
                " " (language.cause(&reason))
                @if let Some(unmet) = condition { " " (code(&format!("{} {}", unmet.operator, unmet.key))) }
            }
            @if let Some(statement) = statement {
                pre { (serde_json::to_string_pretty(&statement).unwrap_or_default()) }
            }
        }
    }

    /// Returns what a file grants to the claims. It is loaded for this alone, so that nobody is counted as a user.
    fn grant(&self, name: &str) -> Result<Arc<Grant>, String> {
        let source = self.inspection.source(name).ok_or("the file cannot be read")?;
        let set = TemplateSet::of_file(source.clone(), None)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let identity = identity(&self.inquiry.claims, self.verifier).map_err(|error| error.to_string())?;
        set.grant(None, &identity).map_err(|refused| refused.to_string())
    }

    /// Renders a file with its findings at their lines.
    fn file(&self, name: &str) -> Markup {
        let language = self.language;
        let findings: Vec<&Finding> = self.inspection.findings(name).collect();
        let of_file = |finding: &&Finding| finding.diagnostic.place.is_none();
        let at_line = |line: usize| {
            findings.iter().filter(move |finding| {
                finding.diagnostic.place.as_ref().is_some_and(|place| place.line == line)
            })
        };
        html! {
            section {
                h2 { (name) ".toml" }
                @match self.inspection.source(name) {
                    None => p { (badge("bad", language.text("cannot be read"))) },
                    Some(source) => {
                        @if findings.is_empty() { p { (badge("good", "ok")) " " (language.text("No finding.")) } }
                        @for found in findings.iter().copied().filter(of_file) { p { (finding(language, found)) } }
                        ol.source {
                            @for (index, line) in source.text().lines().enumerate() {
                                li { code { (printable(line)) }
                                    @for found in at_line(index + 1) { p { (finding(language, found)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn field(label: &str, name: &str, value: &str, example: &str) -> Markup {
    html! { label { (label) input name=(name) value=(value) placeholder=(example) autocomplete="off" spellcheck="false"; } }
}

fn finding(language: Language, finding: &Finding) -> Markup {
    html! {
        @match finding.level {
            Level::Error => (badge("bad", language.text("error"))),
            Level::Warning => (badge("warning", language.text("warning"))),
        }
        " " (printable(&finding.diagnostic.message)) "; " (printable(&finding.diagnostic.help))
    }
}

/// Renders the lines that only one of two JSON texts has. A comma at the end of a line says only that more follows.
fn difference(language: Language, now: &str, next: &str) -> Markup {
    let only_in = |text: &str, other: &str| -> Vec<String> {
        let others: HashSet<&str> = other.lines().map(without_comma).collect();
        text.lines().map(without_comma).filter(|line| !others.contains(line)).map(str::to_owned).collect()
    };
    let (removed, added) = (only_in(now, next), only_in(next, now));
    html! {
        @if removed.is_empty() && added.is_empty() {
            p.soft { (language.text("Nothing.")) }
        } @else {
            pre {
                @for line in &removed { del { "- " (line) } }
                @for line in &added { ins { "+ " (line) } }
            }
        }
    }
}

fn without_comma(line: &str) -> &str {
    line.strip_suffix(',').unwrap_or(line)
}

fn pretty(grant: &Grant) -> String {
    serde_json::to_string_pretty(&grant.policy().policy()).unwrap_or_default()
}

/// Returns the identity that a token with these claims would have.
fn identity(claims: &str, verifier: &Verifier) -> Result<Identity, AdminError> {
    let Value::Object(claims) =
        strict_json::from_slice(claims.as_bytes()).map_err(AdminError::bad_request)?
    else {
        return Err(AdminError::bad_request("the claims are not a JSON object; paste {\"sub\":\"alice\"}"));
    };
    verifier.identity_of_claims(claims).map_err(AdminError::bad_request)
}
