//! The page that compares the cache settings with others.

use std::fmt::Display;

use maud::{Markup, html};
use serde::Deserialize;

use super::{
    language::Language,
    layout::{self, Place, plain_columns, table},
    quantity::{self, count, number, percent},
};
use crate::{
    admin::error::AdminError,
    credential_cache::{Advice, Alternative, Figures, NoAdvice, WhatIf},
};
use diagnostics::{HumanDuration, Size};

/// The columns of the comparison.
const COLUMNS: [&str; 7] = [
    "Settings",
    "Hit rate",
    "Calls per hour",
    "Change",
    "Busiest minute",
    "Memory",
    "Still active after a revocation",
];

/// The settings to compare, as typed into the form; an empty one stays as it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct SettingsForm {
    lifetime: String,
    min_remaining: String,
    max_bytes: String,
}

impl SettingsForm {
    pub(super) fn what_if(&self) -> Result<WhatIf, AdminError> {
        Ok(WhatIf {
            lifetime: parsed::<HumanDuration>(&self.lifetime)?,
            min_remaining: parsed::<HumanDuration>(&self.min_remaining)?,
            max_bytes: parsed::<Size>(&self.max_bytes)?,
        })
    }
}

fn parsed<T: TryFrom<String, Error: Display>>(text: &str) -> Result<Option<T>, AdminError> {
    let text = text.trim();
    (!text.is_empty()).then(|| T::try_from(text.to_owned())).transpose().map_err(AdminError::bad_request)
}

pub(super) fn page(language: Language, form: &SettingsForm, advice: &Result<Advice, NoAdvice>) -> Markup {
    layout::page(
        language,
        Place::WhatIf,
        language.text("What if"),
        &html! {
            section {
                h2 { (language.text("What if")) "?" }
                p { (language.text("The latest requests, replayed by the cache's rules with other settings.")) }
                (settings_form(language, form))
            }
            section {
                @match advice {
                    Ok(advice) => (report(language, advice)),
                    Err(missing) => p { (language.cause(&missing.to_string())) (language.text(".")) },
                }
            }
        },
    )
}

fn settings_form(
    language: Language,
    SettingsForm { lifetime, min_remaining, max_bytes }: &SettingsForm,
) -> Markup {
    html! {
        form.search action="/advise" {
            (field("lifetime", language.text("Key lifetime"), lifetime, "1h"))
            (field("min_remaining", language.text("Minimum remaining time when served"), min_remaining, "10m"))
            (field("max_bytes", language.text("Memory for keys"), max_bytes, "64MiB"))
            button.primary { (language.text("Replay")) }
        }
    }
}

fn field(name: &str, label: &str, value: &str, example: &str) -> Markup {
    html! {
        label { (label) input name=(name) value=(value) placeholder=(example) autocomplete="off"; }
    }
}

fn report(language: Language, advice: &Advice) -> Markup {
    let mut rows = vec![
        row(language, html! { b { (language.text("measured")) } }, &advice.counted, None),
        row(language, html! { (advice.present.settings) }, &advice.present.figures, Some(&advice.present)),
    ];
    rows.extend(
        advice
            .alternatives
            .iter()
            .map(|other| row(language, html! { (other.settings) }, &other.figures, Some(other))),
    );
    rows.extend(advice.asked.iter().map(|asked| {
        row(
            language,
            html! { b { (language.sentence("your settings: {}", &[html! { (asked.settings) }])) } },
            &asked.figures,
            Some(asked),
        )
    }));
    let recorded = &advice.recorded;
    html! {
        h2 { (language.cause(&advice.advice)) }
        (table(language, &plain_columns(COLUMNS), rows))
        p.soft.foot {
            (language.sentence("From {} requests in {}", &[
                html! { (count(recorded.requests)) },
                html! { (quantity::span(language, recorded.span.0)) },
            ]))
            @if recorded.of_one_key_in > 1 {
                (language.sentence(
                    ", sampled from one key in {} and scaled up",
                    &[html! { (recorded.of_one_key_in) }],
                ))
            }
            (language.sentence(
                "; the figures are of the last {}, because the cache fills before that. Hits here include requests that waited for a call of another request. Memory is an estimate.",
                &[html! { (quantity::span(language, recorded.measured.0)) }],
            ))
        }
    }
}

fn row(
    language: Language,
    settings: Markup,
    figures: &Figures,
    replayed: Option<&Alternative>,
) -> Vec<Markup> {
    vec![
        settings,
        html! { (percent(figures.hit_rate)) },
        html! { (number(figures.calls_per_hour)) },
        html! {
            @if let Some(change) = replayed.and_then(|replayed| replayed.calls_change) {
                (format!("{:+.0} %", change * 100.0))
            }
        },
        html! { (number(figures.busiest_calls_per_second)) " " (language.text("per second")) },
        html! { @if let Some(replayed) = replayed { (Size(replayed.peak_bytes).rounded()) } },
        html! { @if let Some(replayed) = replayed { (quantity::span(language, replayed.outlives_revocation.0)) } },
    ]
}
