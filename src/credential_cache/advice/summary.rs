//! Settings in a few words, and the advice in one sentence. Advice for a longer lifetime always says what it
//! costs: a credential cannot be called back.

use std::fmt;

use super::{Alternative, WhatIf};

/// Share of the STS calls that a change must save to be advised.
const MIN_SAVED_SHARE: f64 = 0.1;

/// Advice on `requested` settings, or else the smallest change that saves enough calls.
pub(super) fn summarize(
    present: &Alternative,
    others: &[Alternative],
    requested: Option<&Alternative>,
) -> String {
    let saving =
        others.iter().filter(|other| other.calls_change.is_some_and(|change| change <= -MIN_SAVED_SHARE));
    // A larger cache only costs memory, so it comes before a longer lifetime.
    let (sizes, other_settings): (Vec<_>, Vec<_>) =
        saving.partition(|other| other.settings.max_bytes.is_some());
    match requested.or_else(|| sizes.into_iter().chain(other_settings).next()) {
        Some(chosen) => sentence(chosen, present),
        None => "No other setting tried here would save a tenth of the calls to STS.".to_owned(),
    }
}

fn sentence(chosen: &Alternative, present: &Alternative) -> String {
    let mut parts = vec![format!("{} would {}", subject(&chosen.settings), effect(chosen.calls_change))];
    let (lifetime, present_lifetime) = (chosen.outlives_revocation, present.outlives_revocation);
    if lifetime != present_lifetime {
        parts.push(format!(
            "a key would then stay active up to {lifetime} after a revocation, not {present_lifetime}"
        ));
    }
    let more_refused = chosen.figures.refused.saturating_sub(present.figures.refused);
    if more_refused > 0 {
        parts.push(format!("{more_refused} requests would be refused, because they ask for a longer TTL"));
    }
    if let Some(least) = chosen.settings.min_remaining {
        parts.push(format!("a served key would have a TTL of {least} or more"));
    }
    format!("{}.", parts.join("; "))
}

impl fmt::Display for WhatIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lifetime, min_remaining, max_bytes } = self;
        let parts = [
            lifetime.map(|lifetime| format!("lifetime {lifetime}")),
            min_remaining.map(|least| format!("min_remaining {least}")),
            max_bytes.map(|bytes| format!("max_bytes {bytes}")),
        ];
        let changes = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        f.write_str(if changes.is_empty() { "as set, replayed" } else { &changes })
    }
}

fn subject(settings: &WhatIf) -> String {
    let WhatIf { lifetime, min_remaining, max_bytes } = settings;
    let parts = [
        lifetime.map(|lifetime| format!("keys of {lifetime}")),
        min_remaining.map(|least| format!("min_remaining of {least}")),
        max_bytes.map(|bytes| format!("a cache of {bytes}")),
    ];
    let changes = parts.into_iter().flatten().collect::<Vec<_>>().join(" with ");
    let mut letters = changes.chars();
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
