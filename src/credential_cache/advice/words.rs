//! Settings in a few words, and advice in a sentence. A longer life always says what it costs: a key cannot be called back.

use std::fmt;

use super::{Alternative, WhatIf};

/// Share of the calls that must be saved for a change to be worth it.
const WORTH_IT: f64 = 0.1;

/// About what was asked, or else the smallest change that would save enough calls.
pub(super) fn advice(present: &Alternative, others: &[Alternative], asked: Option<&Alternative>) -> String {
    let saves = |one: &&Alternative| one.calls_change.is_some_and(|change| change <= -WORTH_IT);
    // A larger cache costs memory alone, so it comes before a longer life.
    let by_cost = |is_size: bool| {
        let of_kind = move |one: &&Alternative| one.settings.max_bytes.is_some() == is_size;
        others.iter().filter(of_kind).find(saves)
    };
    match asked.or_else(|| by_cost(true)).or_else(|| by_cost(false)) {
        Some(one) => sentence(one, present),
        None => "No other setting tried here would save a tenth of the calls to STS.".to_owned(),
    }
}

fn sentence(one: &Alternative, present: &Alternative) -> String {
    let (lifetime, present_lifetime) = (one.outlives_revocation, present.outlives_revocation);
    let more_refused = one.figures.refused.saturating_sub(present.figures.refused);
    let parts = [
        Some(format!("{} would {}", subject(&one.settings), effect(one.calls_change))),
        (lifetime != present_lifetime).then(|| {
            format!("a key would then live up to {lifetime} after a revocation, not {present_lifetime}")
        }),
        (more_refused > 0)
            .then(|| format!("{more_refused} asks would be refused, as they want more life than that")),
        one.settings
            .min_remaining
            .map(|least| format!("a key would have {least} or more left when handed out")),
    ];
    format!("{}.", parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

impl fmt::Display for WhatIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lifetime, min_remaining, max_bytes } = self;
        let parts = [
            lifetime.map(|life| format!("lifetime {life}")),
            min_remaining.map(|least| format!("min_remaining {least}")),
            max_bytes.map(|bytes| format!("max_bytes {bytes}")),
        ];
        let told = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        f.write_str(if told.is_empty() { "as set, replayed" } else { &told })
    }
}

fn subject(settings: &WhatIf) -> String {
    let WhatIf { lifetime, min_remaining, max_bytes } = settings;
    let parts = [
        lifetime.map(|life| format!("keys of {life}")),
        min_remaining.map(|least| format!("min_remaining of {least}")),
        max_bytes.map(|bytes| format!("a cache of {bytes}")),
    ];
    let told = parts.into_iter().flatten().collect::<Vec<_>>().join(" with ");
    let mut letters = told.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn effect(calls_change: Option<f64>) -> String {
    let Some(change) = calls_change else { return "still need no call to STS".to_owned() };
    let percent = (change.abs() * 100.0).round();
    match change {
        _ if percent < 1.0 => "hardly change the calls to STS".to_owned(),
        ..0.0 => format!("save {percent} % of the calls to STS"),
        _ => format!("cost {percent} % more calls to STS"),
    }
}
