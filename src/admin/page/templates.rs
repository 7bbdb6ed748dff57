//! The active templates, how each is used, and what their shadow templates would change.

use std::{cmp::Ordering, time::Duration};

use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    chart::sparkline,
    language::Language,
    layout::{Column, badge, code, none, pager, table},
    quantity::{ago, count, latency, number, percent, span},
    template::template_link,
    view::{TemplateOrder, View},
};
use crate::{
    admin::{status::Status, template_history::TemplateUse},
    reload::StoreStatus,
};
use diagnostics::printable;
use templates::{ShadowReport, TemplateStatus};

/// The length of a version as shown.
const VERSION_DIGITS: usize = 8;
/// The number of templates on one page.
const MAX_ROWS: usize = 20;

/// A template, and how it is used if it was requested since the start.
type Row<'a> = (&'a TemplateStatus, Option<&'a TemplateUse>);

pub(super) fn section(language: Language, view: View, status: &Status) -> Markup {
    let store = &status.templates;
    let rows = ordered(view.order, store, &status.template_uses);
    let pages = rows.len().div_ceil(MAX_ROWS).max(1);
    let page = view.page.min(pages);
    let shown = rows.iter().skip((page - 1) * MAX_ROWS).take(MAX_ROWS);
    let link = |page| View { page, ..view }.link() + "#templates";
    html! {
        section #templates {
            h2 { (language.text("Templates")) " " span.soft { (count(rows.len() as u64)) } }
            (folder(language, store, status.now))
            (table(language, &columns(view), shown.map(|row| cells(language, row, status.now))))
            (pager(language, page, pages, link))
        }
    }
}

fn folder(language: Language, store: &StoreStatus, now: Timestamp) -> Markup {
    html! {
        p {
            @if store.problems.is_empty() {
                (language.sentence(
                    "The folder is active. Last read {}.",
                    &[ago(language, store.last_attempt_at, now)],
                ))
            } @else {
                (badge("warning", language.text("refused"))) " "
                (language.sentence(
                    "The folder changed {} and is refused; the templates loaded {} stay active:",
                    &[ago(language, store.last_attempt_at, now), ago(language, store.loaded_at, now)],
                ))
            }
        }
        @if !store.problems.is_empty() {
            ul.problems { @for problem in &store.problems { li { (printable(problem)) } } }
        }
        @for orphan in &store.orphans {
            p.soft {
                (language.sentence(
                    "{} is the shadow of no template and has no effect.",
                    &[code(&printable(orphan))],
                ))
            }
        }
    }
}

fn columns(view: View) -> [Column; 8] {
    let ordered =
        |name, order| Column { name, order: Some(View { order, page: 1, ..view }.link() + "#templates") };
    [
        ordered("Template", TemplateOrder::Name),
        ordered("Requests per second", TemplateOrder::Requests),
        ordered("Hit rate", TemplateOrder::HitRate),
        ordered("99th percentile", TemplateOrder::Latency),
        ordered("Refused per second", TemplateOrder::Refused),
        Column::plain("Home"),
        Column::plain("Key lifetime"),
        Column::plain("Version"),
    ]
}

/// Returns the templates in an order: what needs attention first, templates without a figure last.
fn ordered<'a>(order: TemplateOrder, store: &'a StoreStatus, uses: &'a [TemplateUse]) -> Vec<Row<'a>> {
    let use_of = |name: &str| uses.iter().find(|template_use| template_use.name == name);
    let mut rows: Vec<Row<'a>> =
        store.templates.iter().map(|template| (template, use_of(&template.name))).collect();
    match order {
        TemplateOrder::Name => {}
        TemplateOrder::Requests => rows.sort_by(|a, b| greatest(a, b, |used| Some(used.requests_per_second))),
        TemplateOrder::HitRate => rows.sort_by(|a, b| greatest(a, b, |used| used.hit_rate.map(|rate| -rate))),
        TemplateOrder::Latency => rows.sort_by(|a, b| greatest(a, b, |used| used.p99)),
        TemplateOrder::Refused => rows.sort_by(|a, b| greatest(a, b, |used| Some(used.refused_per_second))),
    }
    rows
}

fn greatest(a: &Row<'_>, b: &Row<'_>, figure: impl Fn(&TemplateUse) -> Option<f64>) -> Ordering {
    let [a, b] = [a, b].map(|row| row.1.and_then(&figure).unwrap_or(f64::NEG_INFINITY));
    b.total_cmp(&a)
}

fn cells(language: Language, (template, template_use): &Row<'_>, now: Timestamp) -> Vec<Markup> {
    let figure = |value: Option<String>| value.map_or_else(none, |value| html! { (value) });
    let used = template_use.as_ref();
    vec![
        html! {
            a href=(template_link(&template.name)) { b { (template.name) } }
            @if template.default { " " (badge("", language.text("default"))) }
            small { (printable(&template.description)) }
            @if let Some(shadow) = &template.shadow { (shadow_report(language, shadow)) }
        },
        html! {
            (figure(used.map(|used| number(used.requests_per_second))))
            @if let Some(used) = used.filter(|used| is_worth_drawing(&used.past)) { (sparkline(&used.past, language.text("requests in the last hour"))) }
        },
        figure(used.and_then(|used| used.hit_rate).map(percent)),
        figure(used.and_then(|used| used.p99).map(latency)),
        figure(used.map(|used| number(used.refused_per_second))),
        html! { (code(&template.home)) small { (template.bucket) ", " (template.region) } },
        html! { (span(language, Duration::from_secs(template.duration_seconds))) },
        html! {
            (code(&template.version.chars().take(VERSION_DIGITS).collect::<String>()))
            small { (ago(language, template.loaded_at, now)) }
        },
    ]
}

/// Returns whether there is a line to see: two points or more, and not all at the bottom.
fn is_worth_drawing(past: &[f64]) -> bool {
    past.len() > 1 && past.iter().any(|rate| *rate > 0.0)
}

/// Renders what a shadow would change.
pub(super) fn shadow_report(language: Language, shadow: &ShadowReport) -> Markup {
    let counts = [shadow.users, shadow.widened, shadow.narrowed, shadow.failed];
    html! {
        small.shadow {
            @if shadow.problems.is_empty() {
                (language.sentence(
                    "shadow template, compared for {} users: {} could do more, {} less, {} would get no key",
                    &counts.map(|users| html! { (count(users as u64)) }),
                ))
            } @else {
                (language.sentence(
                    "shadow template is refused: {}",
                    &[html! { (printable(&shadow.problems.join("; "))) }],
                ))
            }
        }
    }
}
