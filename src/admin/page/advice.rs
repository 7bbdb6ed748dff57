//! What other settings would have given, as a table.

use std::str::FromStr;

use maud::{Markup, html};
use serde::Deserialize;

use super::{
    layout::{self, table},
    quantity::{self, count, number, percent},
};
use crate::credential_cache::{Advice, Alternative, Figures, NoAdvice, WhatIf};
use diagnostics::{HumanDuration, InvalidQuantity, Size};

/// What is asked about, as typed into the form: empty is as it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Question {
    lifetime: String,
    min_remaining: String,
    max_bytes: String,
}

impl Question {
    pub(super) fn what_if(&self) -> Result<WhatIf, InvalidQuantity> {
        fn given<T: FromStr<Err = InvalidQuantity>>(text: &str) -> Result<Option<T>, InvalidQuantity> {
            let text = text.trim();
            (!text.is_empty()).then(|| text.parse()).transpose()
        }
        Ok(WhatIf {
            lifetime: given::<HumanDuration>(&self.lifetime)?,
            min_remaining: given::<HumanDuration>(&self.min_remaining)?,
            max_bytes: given::<Size>(&self.max_bytes)?,
        })
    }
}

pub(super) fn page(question: &Question, advice: &Result<Advice, NoAdvice>) -> Markup {
    layout::page(
        layout::WHAT_IF,
        false,
        &html! {
            section {
                h2 { "What if?" }
                p { "The latest asks, replayed by the cache's rules under other settings." }
                (form(question))
            }
            section {
                @match advice {
                    Ok(advice) => (report(advice)),
                    Err(missing) => p { (missing) "." },
                }
            }
        },
    )
}

fn form(Question { lifetime, min_remaining, max_bytes }: &Question) -> Markup {
    let field = |name: &str, words: &str, value: &str, example: &str| {
        html! {
            label { (words) input name=(name) value=(value) placeholder=(example) autocomplete="off"; }
        }
    };
    html! {
        form.search action="/advise" {
            (field("lifetime", "Keys live", lifetime, "1h"))
            (field("min_remaining", "Least life when handed out", min_remaining, "10m"))
            (field("max_bytes", "Memory for keys", max_bytes, "64MiB"))
            button.primary { "Replay" }
        }
    }
}

fn report(advice: &Advice) -> Markup {
    let columns = [
        "Settings",
        "Hit rate",
        "Calls an hour",
        "Change",
        "Busiest minute",
        "Memory",
        "Lives on after revoke",
    ];
    let counted = figures(html! { b { "as counted" } }, &advice.counted, None);
    let row = |one: &Alternative| figures(html! { (one.settings) }, &one.figures, Some(one));
    let asked =
        |one: &Alternative| figures(html! { b { "asked: " (one.settings) } }, &one.figures, Some(one));
    let rows = [counted, row(&advice.present)]
        .into_iter()
        .chain(advice.alternatives.iter().map(row))
        .chain(advice.asked.iter().map(asked));
    let recorded = &advice.recorded;
    html! {
        h2 { (advice.advice) }
        (table(&columns, rows))
        p.soft.foot {
            "From " (count(recorded.requests)) " asks in " (quantity::span(recorded.span.0))
            @if recorded.of_one_key_in > 1 { ", all of one key in " (recorded.of_one_key_in) " and scaled up" }
            "; figures are of the last " (quantity::span(recorded.measured.0))
            ", before that memory fills. Hits here include those who waited for another's call. Memory is an estimate."
        }
    }
}

fn figures(settings: Markup, figures: &Figures, replayed: Option<&Alternative>) -> Vec<Markup> {
    let of = |cell: fn(&Alternative) -> String| html! { (replayed.map(cell).unwrap_or_default()) };
    let change =
        |one: &Alternative| one.calls_change.map(|by| format!("{:+.0} %", by * 100.0)).unwrap_or_default();
    vec![
        settings,
        html! { (percent(figures.hit_rate)) },
        html! { (number(figures.calls_per_hour)) },
        of(change),
        html! { (number(figures.busiest_calls_per_second)) " a second" },
        of(|one| Size(one.peak_bytes).rounded()),
        of(|one| quantity::span(one.outlives_revocation.0)),
    ]
}
