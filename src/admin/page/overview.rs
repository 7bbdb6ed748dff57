//! The overview: the whole state of the service on one page.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    keys::{self, Search},
    layout::{self, badge},
    quantity::{ago, count, future, latency, number, percent, span},
    refusals, services, templates, traffic,
};
use crate::admin::{
    alarms::Alarm,
    status::{Keys, Status},
};
use diagnostics::printable;

/// Renders the overview; `logout_path` is set where a browser is logged in.
pub(super) fn page(status: &Status, issuers: &[String], logout_path: Option<&str>) -> Markup {
    layout::page(
        layout::OVERVIEW_TITLE,
        true,
        &html! {
            (alarms(&status.alarms))
            (tiles(status))
            (traffic::charts(&status.hour))
            div.columns {
                (traffic::request_panel(status))
                (services::sts_panel(status))
                (services::memory_panel(status))
            }
            (templates::section(&status.templates, status.now))
            (refusals::section(&status.refusals, status.now))
            (active_keys(status, issuers))
            p.soft.foot {
                "cosbroker " (status.version) ", started " (ago(status.started_at, status.now))
                ". Each replica shows its own figures."
            }
            @if let Some(path) = logout_path { form method="post" action=(path) { button { "Sign out" } } }
        },
    )
}

fn alarms(alarms: &[Alarm]) -> Markup {
    html! {
        @if alarms.is_empty() {
            p.calm { (badge("good", "ok")) " No active alarms." }
        } @else {
            ul.alarms {
                @for alarm in alarms { li { b { (printable(&alarm.what)) } ". " (printable(alarm.help)) "." } }
            }
        }
    }
}

fn tiles(status: &Status) -> Markup {
    let rates = status.current_rates();
    let coverage = status.stale_coverage.seconds.map(|seconds| span(Duration::from_secs(seconds)));
    html! {
        ul.tiles aria-label="Now" {
            (tile("Hit rate", rates.and_then(|rates| rates.hit_rate).map(percent), "in the last minute"))
            (tile("Requests", rates.map(|rates| number(rates.requests_per_second)), "per second"))
            (tile(
                "Cache latency",
                rates.and_then(|rates| rates.cache_latency_seconds.p99).map(latency),
                "99th percentile of hits",
            ))
            (tile(
                "STS calls",
                rates.map(|rates| number(rates.sts_calls_per_second)),
                &format!("per second, of {}", status.sts.quota_allowed),
            ))
            (tile("Active keys", Some(count(status.keys.active as u64)), "issued by this broker"))
            (tile("Stale coverage", coverage, "if STS fails now"))
        }
    }
}

fn tile(name: &str, figure: Option<String>, note: &str) -> Markup {
    html! {
        li {
            span { (name) }
            b { (figure.unwrap_or_else(|| "–".to_owned())) }
            small { (note) }
        }
    }
}

fn active_keys(status: &Status, issuers: &[String]) -> Markup {
    let Keys { active, expires_last_at, forgotten, revoked, .. } = status.keys;
    html! {
        section {
            h2 { "Active keys" }
            p {
                b { (count(active as u64)) } " known"
                @if let Some(at) = expires_last_at { ", the last expires " (future(at, status.now)) }
                @if forgotten > 0 { "; " (count(forgotten)) " more are not listed, for lack of memory" }
                ". "
                @match revoked {
                    0 => "No user is revoked.",
                    1 => a href="/keys" { "1 user is revoked." },
                    more => a href="/keys" { (count(more as u64)) " users are revoked." },
                }
            }
            (keys::search_form(issuers, &Search::default()))
        }
    }
}
