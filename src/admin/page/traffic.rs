//! Charts of the latest time, and the requests since the start.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    chart::{Chart, Line, Scale, event_class, event_name},
    language::Language,
    quantity::{count, latency, number, percent},
    view::{View, range_name},
};
use crate::{
    admin::{
        history::{Range, Rates},
        status::Status,
        template_history::MarkedEvent,
    },
    credential_cache::{CacheOutcome, MissReason},
    http::OutcomeLabel,
};

/// Rates, and what happened meanwhile.
struct Past<'a> {
    language: Language,
    range: Range,
    rates: &'a [Rates],
    marks: Vec<(Duration, MarkedEvent)>,
}

pub(super) fn charts(language: Language, view: View, status: &Status) -> Markup {
    let rates = match view.range {
        Range::QuarterHour | Range::Hour => &status.hour,
        Range::Day => &status.day,
    };
    let now = rates.last().map_or(Duration::ZERO, |rates| rates.monotonic);
    let marks = status.marks.iter().map(|mark| (now.saturating_sub(mark.at), mark.event)).collect();
    let past = Past { language, range: view.range, rates, marks };
    html! {
        div.range {
            @for range in Range::ALL {
                a href=(View { range, ..view }.link()) aria-current=[(range == view.range).then_some("true")] {
                    (language.text(range_name(range)))
                }
            }
            ul.legend {
                @for event in past.events() { li.(event_class(event)) { (language.text(event_name(event))) } }
            }
        }
        div.charts {
            (past.request_chart().draw())
            (past.hit_rate_chart().draw())
            (past.latency_chart().draw())
            (past.sts_chart().draw())
        }
    }
}

impl Past<'_> {
    fn request_chart(&self) -> Chart<'_> {
        self.chart(
            "Requests per second",
            number,
            Scale::Amount,
            vec![
                self.line("all", "filled", |rates| Some(rates.requests_per_second)),
                self.line("refused", "second", |rates| Some(rates.refused_per_second)),
                self.line("failing", "bad", |rates| Some(rates.server_errors_per_second)),
            ],
        )
    }

    fn hit_rate_chart(&self) -> Chart<'_> {
        let line = self.line("from the cache", "filled", |rates| rates.hit_rate);
        self.chart("Hit rate", percent, Scale::Share, vec![line])
    }

    fn latency_chart(&self) -> Chart<'_> {
        self.chart(
            "Latency",
            latency,
            Scale::Amount,
            vec![
                self.line("cache, median", "filled", |rates| rates.cache_latency_seconds.p50),
                self.line("cache, 99 %", "second", |rates| rates.cache_latency_seconds.p99),
                self.line("STS, median", "third", |rates| rates.sts_latency_seconds.p50),
            ],
        )
    }

    fn sts_chart(&self) -> Chart<'_> {
        self.chart(
            "STS calls per second",
            number,
            Scale::Amount,
            vec![
                self.line("all", "filled", |rates| Some(rates.sts_calls_per_second)),
                self.line("failed", "bad", |rates| Some(rates.sts_failures_per_second)),
            ],
        )
    }

    fn chart<'a>(
        &'a self,
        title: &'static str,
        unit: fn(f64) -> String,
        scale: Scale,
        lines: Vec<Line<'a>>,
    ) -> Chart<'a> {
        let Self { language, range, ref marks, .. } = *self;
        Chart { title: language.text(title), unit, scale, lines, marks, range, language }
    }

    fn line(
        &self,
        name: &'static str,
        class: &'static str,
        value: fn(&Rates) -> Option<f64>,
    ) -> Line<'static> {
        let now = self.rates.last().map_or(Duration::ZERO, |rates| rates.monotonic);
        let points = self.rates.iter().map(|rates| (now.saturating_sub(rates.monotonic), value(rates)));
        Line { name: self.language.text(name), class, points: points.collect() }
    }

    /// Returns what happened within the range, each event once.
    fn events(&self) -> impl Iterator<Item = MarkedEvent> {
        let seen = |event: &MarkedEvent| {
            self.marks.iter().any(|(age, marked)| marked == event && *age <= self.range.span())
        };
        [MarkedEvent::Started, MarkedEvent::Reloaded, MarkedEvent::Rotated].into_iter().filter(seen)
    }
}

pub(super) fn request_panel(language: Language, status: &Status) -> Markup {
    let requests: u64 = status.requests.iter().map(|(_, count)| count).sum();
    let misses: u64 = status.misses.iter().map(|(_, count)| count).sum();
    html! {
        section {
            h2 { (language.text("Requests since the start")) " " span.soft { (count(requests)) } }
            table.shares { tbody {
                @for (outcome, part) in &status.requests {
                    (share(outcome.name(), language.text(outcome_meaning(*outcome)), *part, requests))
                }
            } }
            h3 { (language.text("Misses")) " " span.soft { (count(misses)) } }
            table.shares { tbody {
                @for (reason, part) in &status.misses {
                    (share(reason.name(), language.text(reason_meaning(*reason)), *part, misses))
                }
            } }
        }
    }
}

/// Renders a share. Its name is that of the metric's label, in every language.
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
