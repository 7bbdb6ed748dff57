//! The active templates, and what their shadow templates would change.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    layout::{badge, code, table},
    quantity::{ago, count, span},
};
use crate::reload::StoreStatus;
use diagnostics::printable;
use templates::{ShadowReport, TemplateStatus};

/// The length of a version as shown.
const VERSION_DIGITS: usize = 12;

pub(super) fn section(store: &StoreStatus, now: Timestamp) -> Markup {
    let columns = ["Template", "Home", "Key lifetime", "Version", "Since"];
    html! {
        section {
            h2 { "Templates" }
            p {
                @if store.problems.is_empty() {
                    "The folder is active. Last read " (ago(store.last_attempt_at, now)) "."
                } @else {
                    (badge("bad", "refused")) " The folder changed " (ago(store.last_attempt_at, now))
                    " and is refused; the templates loaded " (ago(store.loaded_at, now)) " stay active:"
                }
            }
            @if !store.problems.is_empty() {
                ul.problems { @for problem in &store.problems { li { (printable(problem)) } } }
            }
            @for orphan in &store.orphans {
                p.soft { (code(&printable(orphan))) " is the shadow of no template and has no effect." }
            }
            (table(&columns, store.templates.iter().map(|template| row(template, now))))
        }
    }
}

fn row(template: &TemplateStatus, now: Timestamp) -> Vec<Markup> {
    vec![
        html! {
            b { (template.name) } @if template.default { " " (badge("", "default")) }
            small { (printable(&template.description)) }
            @if let Some(shadow) = &template.shadow { (shadow_report(shadow)) }
        },
        html! { (code(&template.home)) small { (template.bucket) ", " (template.region) } },
        html! { (span(Duration::from_secs(template.duration_seconds))) },
        code(&template.version.chars().take(VERSION_DIGITS).collect::<String>()),
        ago(template.loaded_at, now),
    ]
}

fn shadow_report(shadow: &ShadowReport) -> Markup {
    html! {
        small.shadow {
            @if shadow.problems.is_empty() {
                "shadow template, compared for " (count(shadow.users as u64)) " users: "
                (count(shadow.widened as u64)) " could do more, " (count(shadow.narrowed as u64)) " less, "
                (count(shadow.failed as u64)) " would get no key"
            } @else {
                "shadow template is refused: " (printable(&shadow.problems.join("; ")))
            }
        }
    }
}
