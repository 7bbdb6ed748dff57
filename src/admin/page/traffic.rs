//! Charts of the last hour, and the requests since the start.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    chart::{Chart, Line},
    quantity::{count, latency, number, percent},
};
use crate::{
    admin::{history::Rates, status::Status},
    credential_cache::{CacheOutcome, MissReason},
    http::OutcomeLabel,
};

pub(super) fn charts(hour: &[Rates]) -> Markup {
    html! {
        div.charts {
            (hit_rate_chart(hour).draw())
            (request_chart(hour).draw())
            (latency_chart(hour).draw())
            (sts_chart(hour).draw())
        }
    }
}

fn hit_rate_chart(hour: &[Rates]) -> Chart<'static> {
    Chart {
        title: "Hit rate",
        unit: percent,
        top: Some(1.0),
        lines: vec![line(hour, "from the cache", "filled", |rates| rates.hit_rate)],
    }
}

fn request_chart(hour: &[Rates]) -> Chart<'static> {
    Chart {
        title: "Requests per second",
        unit: number,
        top: None,
        lines: vec![
            line(hour, "all", "filled", |rates| Some(rates.requests_per_second)),
            line(hour, "refused", "bad", |rates| Some(rates.refused_per_second)),
        ],
    }
}

fn latency_chart(hour: &[Rates]) -> Chart<'static> {
    Chart {
        title: "Latency",
        unit: latency,
        top: None,
        lines: vec![
            line(hour, "cache, median", "filled", |rates| rates.cache_latency_seconds.p50),
            line(hour, "cache, 99 %", "second", |rates| rates.cache_latency_seconds.p99),
            line(hour, "STS, median", "third", |rates| rates.sts_latency_seconds.p50),
        ],
    }
}

fn sts_chart(hour: &[Rates]) -> Chart<'static> {
    Chart {
        title: "STS calls per second",
        unit: number,
        top: None,
        lines: vec![
            line(hour, "all", "filled", |rates| Some(rates.sts_calls_per_second)),
            line(hour, "failed", "bad", |rates| Some(rates.sts_failures_per_second)),
        ],
    }
}

fn line(
    hour: &[Rates],
    name: &'static str,
    class: &'static str,
    value: fn(&Rates) -> Option<f64>,
) -> Line<'static> {
    let now = hour.last().map_or(Duration::ZERO, |rates| rates.monotonic);
    let points = hour.iter().map(|rates| (now.saturating_sub(rates.monotonic), value(rates))).collect();
    Line { name, class, points }
}

pub(super) fn request_panel(status: &Status) -> Markup {
    let requests: u64 = status.requests.iter().map(|(_, count)| count).sum();
    let misses: u64 = status.misses.iter().map(|(_, count)| count).sum();
    html! {
        section {
            h2 { "Requests since the start " span.soft { (count(requests)) } }
            table.shares { tbody {
                @for (outcome, part) in &status.requests {
                    (share(outcome.name(), outcome_meaning(*outcome), *part, requests))
                }
            } }
            h3 { "Misses " span.soft { (count(misses)) } }
            table.shares { tbody {
                @for (reason, part) in &status.misses {
                    (share(reason.name(), reason_meaning(*reason), *part, misses))
                }
            } }
        }
    }
}

fn share(name: &str, meaning: &str, part: u64, whole: u64) -> Markup {
    html! {
        tr {
            th scope="row" title=(meaning) { (name.replace('_', " ")) }
            td { meter min="0" max=(whole.max(1)) value=(part) { (part) } }
            td.figure { (count(part)) }
        }
    }
}

fn outcome_meaning(outcome: OutcomeLabel) -> &'static str {
    match outcome {
        OutcomeLabel::Served(CacheOutcome::Hit) => "from the cache",
        OutcomeLabel::Served(CacheOutcome::Refreshed) => "from the cache, and renewed for later requests",
        OutcomeLabel::Served(CacheOutcome::Coalesced) => "from an STS call that another request had started",
        OutcomeLabel::Served(CacheOutcome::Shared) => "from another replica, through Redis",
        OutcomeLabel::Served(CacheOutcome::Fetched) => "from an STS call of its own",
        OutcomeLabel::Served(CacheOutcome::Stale) => "an older key, because STS failed",
        OutcomeLabel::Refused => "no key",
    }
}

fn reason_meaning(reason: MissReason) -> &'static str {
    match reason {
        MissReason::Cold => "never requested before",
        MissReason::Expired => "too little time left",
        MissReason::Evicted => "removed to make space for other keys",
        MissReason::PolicyChanged => "the template changed",
        MissReason::SourceCredentialsRotated => "the source credentials were rotated",
        MissReason::MinRemaining => "the request needs more time than is left",
        MissReason::Revoked => "the user was revoked and restored",
    }
}
