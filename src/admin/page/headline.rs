//! The first thing on the overview: whether users fail now, how many, and why.

use maud::{Markup, html};

use super::{
    language::Language,
    quantity::{count, number, percent},
};
use crate::admin::{alarms::Severity, history::Rates, status::Status};

/// What an engineer on call must know first.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Headline {
    /// Requests fail through no fault of the callers.
    Failing {
        users: usize,
        failing: Option<(f64, f64)>,
    },
    /// None fail, but an alarm says that some do as soon as they come.
    Critical,
    /// No requests in the last minute.
    Quiet,
    Good,
}

impl Headline {
    fn of(status: &Status) -> Self {
        let rates = status.current_rates().filter(|rates| rates.requests_per_second > 0.0);
        let failing = rates.filter(|rates| rates.server_errors_per_second > 0.0);
        let is_critical = status.alarms.iter().any(|alarm| alarm.severity == Severity::Critical);
        match rates {
            _ if status.failing_users > 0 || failing.is_some() => Self::Failing {
                users: status.failing_users,
                failing: failing.map(|rates| (failing_share(rates), rates.server_errors_per_second)),
            },
            _ if is_critical => Self::Critical,
            None => Self::Quiet,
            Some(_) => Self::Good,
        }
    }
}

/// Returns the share of requests that get no key through no fault of the caller.
fn failing_share(rates: &Rates) -> f64 {
    (rates.server_errors_per_second / rates.requests_per_second).min(1.0)
}

pub(super) fn section(language: Language, status: &Status) -> Markup {
    html! {
        @match Headline::of(status) {
            Headline::Failing { users, failing } => div.now.failing {
                p { b { (how_many(language, users, failing)) } " " (share(language, users, failing)) }
                (cause(language, status))
            },
            Headline::Critical => p.now.critical {
                b { (language.text("No request failed in the last minute, but an alarm is critical.")) }
            },
            Headline::Quiet => p.now { b { (language.text("No requests in the last minute.")) } },
            Headline::Good => p.now.good { b { (language.text("Every user who may have a key gets one.")) } },
        }
    }
}

/// Renders how many users fail; where their tokens cannot be verified, how many requests.
fn how_many(language: Language, users: usize, failing: Option<(f64, f64)>) -> Markup {
    match (users, failing) {
        (0, Some((share, _))) => {
            language.sentence("{} of all requests get no key", &[html! { (percent(share)) }])
        }
        (1, _) => html! { (language.text("1 user gets no key")) },
        _ => language.sentence("{} users get no key", &[html! { (count(users as u64)) }]),
    }
}

fn share(language: Language, users: usize, failing: Option<(f64, f64)>) -> Markup {
    match (users, failing) {
        (_, None) => html! { (language.text("in the last minute, through no fault of theirs.")) },
        (0, Some((_, rate))) => {
            language.sentence("{} per second, through no fault of the callers.", &[html! { (number(rate)) }])
        }
        (_, Some((share, rate))) => language.sentence(
            "through no fault of theirs: {} of all requests of the last minute, {} per second.",
            &[html! { (percent(share)) }, html! { (number(rate)) }],
        ),
    }
}

/// Renders the latest cause.
fn cause(language: Language, status: &Status) -> Markup {
    let latest = status.refusals.iter().find(|refused| refused.is_server_error());
    html! {
        p {
            @if let Some(latest) = latest {
                (language.text("The latest cause: "))
                b.cause { (language.cause(&latest.cause)) }
                (language.text(". "))
            }
            a href="#refusals" { (language.text("All refusals by cause")) }
        }
    }
}
