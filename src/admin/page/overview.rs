//! The overview: the whole state of the service on one page, what is wrong first.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    fleet, headline,
    keys::{self, Search},
    language::Language,
    layout::{self, Place, badge},
    quantity::{ago, count, future, latency, number, percent, span},
    refusals, services,
    template::ClaimsOf,
    templates, traffic,
    view::View,
};
use crate::admin::{
    alarms::{Alarm, AlarmKind, Severity},
    status::{Keys, Status},
};

/// Renders the overview; `logout_path` is set where a browser is logged in.
pub(super) fn page(
    language: Language,
    view: View,
    status: &Status,
    issuers: &[String],
    claims_of: ClaimsOf<'_>,
    logout_path: Option<&str>,
) -> Markup {
    layout::page(
        language,
        Place::Overview,
        language.text("Overview"),
        &html! {
            (headline::section(language, status))
            (alarms(language, status))
            (tiles(language, status))
            (traffic::charts(language, view, status))
            (refusals::section(language, &status.refusals, claims_of, status.now))
            (fleet::section(language, status))
            (templates::section(language, view, status))
            div.columns {
                (traffic::request_panel(language, status))
                (services::sts_panel(language, status))
                (services::memory_panel(language, status))
            }
            (active_keys(language, status, issuers))
            p.soft.foot {
                (language.sentence(
                    "cosbroker {}, started {}. Each replica shows its own figures.",
                    &[html! { (status.version) }, ago(language, status.started_at, status.now)],
                ))
            }
            @if let Some(path) = logout_path {
                form method="post" action=(path) { button { (language.text("Sign out")) } }
            }
        },
    )
}

fn alarms(language: Language, status: &Status) -> Markup {
    html! {
        @if status.alarms.is_empty() {
            p.calm { (badge("good", "ok")) " " (language.text("No active alarms.")) }
        } @else {
            ul.alarms {
                @for alarm in &status.alarms {
                    li.(severity_class(alarm.severity)) {
                        p {
                            (badge(severity_class(alarm.severity), language.text(alarm.severity.name())))
                            " " b { (language.cause(&alarm.what)) }
                        }
                        p.help {
                            (language.cause(alarm.help)) (language.text(". "))
                            @if let Some(since) = alarm.since {
                                span.soft { (language.sentence("Since {}.", &[ago(language, since, status.now)])) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn severity_class(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "bad",
        Severity::Warning => "warning",
    }
}

fn tiles(language: Language, status: &Status) -> Markup {
    use AlarmKind::{
        AuditFailing, AuditLost, Circuit, Failing, Isolation, Issuer, OwnAccess, Quota, Revocations,
        StsFailures, Templates, Throttling,
    };
    let rates = status.current_rates();
    let coverage = status.stale_coverage.seconds.map(|seconds| span(language, Duration::from_secs(seconds)));
    let refused =
        rates.map(|rates| (rates.refused_per_second - rates.server_errors_per_second).max(0.0)).map(number);
    let quota = status.sts.quota_allowed.to_string();
    let tile = |name, figure: Option<String>, note: &str, kinds: &[AlarmKind]| {
        let alarm = status.alarms.iter().find(|alarm| kinds.contains(&alarm.kind));
        tile(language, language.text(name), figure, note, alarm, status)
    };
    let per_second = language.text("per second");
    html! {
        ul.tiles aria-label=(language.text("now")) {
            (tile("Failing", rates.map(|rates| number(rates.server_errors_per_second)), per_second, &[Failing, Issuer]))
            (tile("Refused", refused, language.text("per second, the caller's fault"), &[]))
            (tile("Requests", rates.map(|rates| number(rates.requests_per_second)), per_second, &[]))
            (tile("Hit rate", rates.and_then(|rates| rates.hit_rate).map(percent), language.text("in the last minute"), &[Templates]))
            (tile(
                "Cache latency",
                rates.and_then(|rates| rates.cache_latency_seconds.p99).map(latency),
                language.text("99th percentile of hits"),
                &[],
            ))
            (tile(
                "STS calls",
                rates.map(|rates| number(rates.sts_calls_per_second)),
                &language.format("per second, of {}", &[&quota]),
                &[Circuit, StsFailures, Throttling, Quota],
            ))
            (tile(
                "Active keys",
                Some(count(status.keys.active as u64)),
                language.text("issued by this broker"),
                &[Isolation, OwnAccess, Revocations, AuditFailing, AuditLost],
            ))
            (tile("Stale coverage", coverage, language.text("if STS fails now"), &[]))
        }
    }
}

/// Renders a figure, in the colour of its alarm.
fn tile(
    language: Language,
    name: &str,
    figure: Option<String>,
    note: &str,
    alarm: Option<&Alarm>,
    status: &Status,
) -> Markup {
    let class = alarm.map_or("", |alarm| severity_class(alarm.severity));
    html! {
        li.(class) {
            span { (name) }
            b { (figure.unwrap_or_else(|| "–".to_owned())) }
            small { (note) }
            @if let Some(alarm) = alarm {
                small.alarm {
                    (language.text(alarm.severity.name()))
                    @if let Some(since) = alarm.since {
                        ", " (language.sentence("since {}", &[ago(language, since, status.now)]))
                    }
                }
            }
        }
    }
}

fn active_keys(language: Language, status: &Status, issuers: &[String]) -> Markup {
    let Keys { active, expires_last_at, forgotten, revoked, .. } = status.keys;
    html! {
        section {
            h2 { (language.text("Active keys")) }
            p {
                (language.sentence("{} known", &[html! { b { (count(active as u64)) } }]))
                @if let Some(at) = expires_last_at {
                    (language.sentence(", the last expires {}", &[future(language, at, status.now)]))
                }
                @if forgotten > 0 {
                    (language.sentence("; {} more are not listed, for lack of memory", &[html! { (count(forgotten)) }]))
                }
                (language.text(". "))
                @match revoked {
                    0 => (language.text("No user is revoked.")),
                    1 => a href="/keys" { (language.text("1 user is revoked.")) },
                    more => a href="/keys" {
                        (language.sentence("{} users are revoked.", &[html! { (count(more as u64)) }]))
                    },
                }
            }
            (keys::search_form(language, issuers, &Search::default()))
        }
    }
}
