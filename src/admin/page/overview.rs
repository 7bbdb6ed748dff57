//! The service at a glance, drawn from its [`Status`].

use std::{collections::BTreeMap, time::Duration};

use maud::{Markup, html};

use super::{
    chart::{Chart, Line, Point},
    layout::{self, badge, code, none, table},
    people,
    quantity::{ago, count, latency, number, percent, span, to_come},
    refusals,
};
use crate::admin::{
    history::{Flow, Percentiles},
    status::{Alarm, Status},
};
use diagnostics::{Size, plain};
use templates::{ShadowReport, TemplateStatus};

/// `leave` is where a browser that was let in can be put out again.
pub(super) fn page(status: &Status, issuers: &[String], leave: Option<&str>) -> Markup {
    layout::page(
        layout::OVERVIEW,
        true,
        &html! {
            (alarms(&status.alarms))
            (tiles(status))
            (charts(&status.hour))
            div.columns {
                (requests(status))
                (sts(status))
                (house(status))
            }
            (templates(status))
            (refusals::section(&status.refusals, status.now))
            section {
                h2 { "Living keys" }
                p {
                    b { (count(status.keys.active as u64)) } " known"
                    @if let Some(until) = status.keys.expires_last_at { ", the last ends " (to_come(until, status.now)) }
                    @if status.keys.forgotten > 0 { "; " (count(status.keys.forgotten)) " more that there was no room to remember" }
                    ". "
                    @match status.keys.revoked {
                        0 => "Nobody is revoked.",
                        1 => a href="/keys" { "1 person is revoked." },
                        more => a href="/keys" { (count(more as u64)) " people are revoked." },
                    }
                }
                (people::search(issuers, &people::Search::default()))
            }
            p.soft.foot {
                "cosbroker " (status.version) ", started " (ago(status.started_at, status.now))
                ". Each replica shows its own figures."
            }
            @if let Some(leave) = leave { form method="post" action=(leave) { button { "Sign out" } } }
        },
    )
}

fn alarms(alarms: &[Alarm]) -> Markup {
    html! {
        @if alarms.is_empty() {
            p.calm { (badge("good", "ok")) " Nothing needs you." }
        } @else {
            ul.alarms {
                @for alarm in alarms { li { b { (plain(&alarm.what)) } ". " (plain(&alarm.help)) "." } }
            }
        }
    }
}

fn tiles(status: &Status) -> Markup {
    let lately = status.lately();
    let tile = |name: &str, figure: Option<String>, note: &str| {
        html! {
            li {
                span { (name) }
                b { (figure.unwrap_or_else(|| "–".to_owned())) }
                small { (note) }
            }
        }
    };
    let survives = status.outage.survivable_seconds.map(|seconds| span(Duration::from_secs(seconds)));
    html! {
        ul.tiles aria-label="Now" {
            (tile("Hit rate", lately.and_then(|flow| flow.hit_rate).map(percent), "in the last minute"))
            (tile("Asks", lately.map(|flow| number(flow.asks_per_second)), "a second"))
            (tile("Memory answers in", lately.and_then(|flow| flow.from_memory.p99).map(latency), "99 of 100 asks"))
            (tile(
                "Calls to STS",
                lately.map(|flow| number(flow.sts_calls_per_second)),
                &format!("a second, of {}", status.sts.quota_allowed),
            ))
            (tile("Living keys", Some(count(status.keys.active as u64)), "that this broker made"))
            (tile("Outage survived", survives, "if STS failed now"))
        }
    }
}

fn charts(hour: &[Flow]) -> Markup {
    let now = hour.last().map_or(Duration::ZERO, |flow| flow.monotonic);
    let line = |name: &'static str, class: &'static str, value: &dyn Fn(&Flow) -> Option<f64>| {
        let points: Vec<Point> =
            hour.iter().map(|flow| (now.saturating_sub(flow.monotonic), value(flow))).collect();
        Line { name, class, points }
    };
    let of = |pick: fn(&Flow) -> Percentiles, at: fn(Percentiles) -> Option<f64>| {
        move |flow: &Flow| at(pick(flow))
    };
    let memory = |flow: &Flow| flow.from_memory;
    let sts = |flow: &Flow| flow.from_sts;
    let charts = [
        Chart {
            title: "Hit rate",
            unit: percent,
            top: Some(1.0),
            lines: vec![line("from memory", "filled", &|flow| flow.hit_rate)],
        },
        Chart {
            title: "Asks a second",
            unit: number,
            top: None,
            lines: vec![
                line("all", "filled", &|flow| Some(flow.asks_per_second)),
                line("refused", "bad", &|flow| Some(flow.refused_per_second)),
            ],
        },
        Chart {
            title: "Time to answer",
            unit: latency,
            top: None,
            lines: vec![
                line("memory, median", "filled", &of(memory, |percentiles| percentiles.p50)),
                line("99 %", "second", &of(memory, |percentiles| percentiles.p99)),
                line("with STS, median", "third", &of(sts, |percentiles| percentiles.p50)),
            ],
        },
        Chart {
            title: "Calls to STS a second",
            unit: number,
            top: None,
            lines: vec![
                line("all", "filled", &|flow| Some(flow.sts_calls_per_second)),
                line("failed", "bad", &|flow| Some(flow.sts_failures_per_second)),
            ],
        },
    ];
    html! { div.charts { @for chart in charts { (chart.draw()) } } }
}

fn requests(status: &Status) -> Markup {
    let names = ["hit", "refreshed", "coalesced", "fetched", "stale", "refused"];
    let meanings = [
        "from memory",
        "from memory, and renewed for the next",
        "with a call another had started",
        "with a call of its own",
        "an older key, as STS failed",
        "no key",
    ];
    let of = |counts: &BTreeMap<&'static str, u64>, name: &str| counts.get(name).copied().unwrap_or_default();
    let all: u64 = status.requests.values().sum();
    let misses: u64 = status.misses.values().sum();
    html! {
        section {
            h2 { "Asks since the start " span.soft { (count(all)) } }
            (shares(names.into_iter().zip(meanings).map(|(name, meaning)| (name, meaning, of(&status.requests, name))), all))
            h3 { "Misses " span.soft { (count(misses)) } }
            (shares(status.misses.iter().map(|(name, of)| (*name, reason(name), *of)), misses))
        }
    }
}

/// Why a key was not in memory, in words.
fn reason(name: &str) -> &'static str {
    match name {
        "cold" => "never asked for before",
        "expired" => "too little life left",
        "evicted" => "had made room for others",
        "policy_changed" => "the template changed",
        "source_credentials_rotated" => "the operator's own key was rotated",
        "min_remaining" => "the asker wanted more life",
        "revoked" => "its holder was revoked, and is served again",
        _ => "",
    }
}

fn shares<'a>(rows: impl Iterator<Item = (&'a str, &'a str, u64)>, all: u64) -> Markup {
    html! {
        table.shares {
            tbody {
                @for (name, meaning, of) in rows {
                    tr {
                        th scope="row" title=(meaning) { (name.replace('_', " ")) }
                        td { meter min="0" max=(all.max(1)) value=(of) { (of) } }
                        td.figure { (count(of)) }
                    }
                }
            }
        }
    }
}

fn facts(rows: Vec<(&str, Markup)>) -> Markup {
    html! { dl { @for (name, fact) in rows { div { dt { (name) } dd { (fact) } } } } }
}

fn sts(status: &Status) -> Markup {
    let sts = &status.sts;
    let breaker = match sts.breaker {
        "closed" => badge("good", "calls go through"),
        "open" => badge("bad", "left alone"),
        _ => badge("bad", "being tried"),
    };
    let outage = &status.outage;
    html! {
        section {
            h2 { "STS" }
            (facts(vec![
                ("Breaker", breaker),
                ("Quota", html! {
                    (sts.quota_used) " used of " (sts.quota_allowed) " a second"
                    @if sts.quota_allowed < sts.quota_limit { ", throttled from " (sts.quota_limit) }
                }),
                ("Waiting", html! { (count(sts.waiting as u64)) }),
                ("Calls", html! { (count(sts.calls)) ", " (count(sts.failed)) " failed" }),
                ("Own key", html! {
                    (sts.source_credentials_origin.replace('_', " "))
                    @match sts.source_credentials_age_seconds {
                        Some(seconds) => { ", read " (span(Duration::from_secs(seconds))) " ago" }
                        None => ", not fetched yet",
                    }
                 }),
            ]))
            h3 { "If it failed now" }
            (facts(vec![
                ("Active", html! { (count(outage.active_users as u64)) " users" }),
                ("With a key", html! { (count(outage.covered as u64)) }),
                ("Nine in ten", match outage.survivable_seconds {
                    Some(seconds) => html! { "served for " (span(Duration::from_secs(seconds))) },
                    None => none(),
                }),
            ]))
        }
    }
}

fn house(status: &Status) -> Markup {
    let cache = &status.cache;
    html! {
        section {
            h2 { "Memory" }
            (facts(vec![
                ("Keys", html! { (count(cache.entries)) }),
                ("Takes", html! { (Size(cache.bytes).rounded()) " of " (Size(cache.max_bytes).rounded()) }),
                ("Evicted", html! { (count(cache.evictions)) }),
            ]))
            h3 { "Issuers" }
            ul.plain {
                @for issuer in &status.issuers {
                    li {
                        @if issuer.ready { (badge("good", "ready")) } @else { (badge("bad", "no keys")) }
                        " " (code(&plain(&issuer.name)))
                        @if let Some(set) = &issuer.key_set {
                            small {
                                @match set.age_seconds {
                                    Some(age) => { "key set read " (span(Duration::from_secs(age))) " ago" }
                                    None => "key set never read",
                                }
                                @if set.failures > 0 { ", " (count(set.failures)) " attempts failed" }
                            }
                        } @else { small { "keys from the configuration" } }
                    }
                }
            }
            h3 { "Isolation, tried out" }
            @match &status.canary {
                None => p.soft { "no; see [canary]" },
                Some(canary) => p {
                    @match canary.isolated {
                        Some(true) => (badge("good", "kept apart")),
                        Some(false) => (badge("bad", "broken")),
                        None => (badge("", "not known yet")),
                    }
                    @if let Some(run) = &canary.last {
                        " " (run.outcome.name().replace('_', " ")) " " (ago(run.at, status.now))
                        @if let Some(why) = &run.why { small { (plain(why)) } }
                        @if let Some(slowest) = run.slowest_millis { small { "slowest request " (slowest) " ms" } }
                    }
                },
            }
            h3 { "Audit log" }
            @match status.audit {
                None => p.soft { "not kept" },
                Some(audit) => p {
                    @if audit.failing { (badge("bad", "cannot be written")) } @else { (badge("good", "kept")) }
                    " " (count(audit.written)) " lines"
                    @if audit.lost > 0 { ", " (count(audit.lost)) " lost" }
                },
            }
        }
    }
}

fn templates(status: &Status) -> Markup {
    let store = &status.templates;
    let columns = ["Template", "Home", "Key lives", "Proof", "Version", "Since"];
    let row = |template: &TemplateStatus| {
        vec![
            html! {
                b { (template.name) } @if template.default { " " (badge("", "default")) }
                small { (plain(&template.description)) }
                @if let Some(shadow) = &template.shadow { (shadowed(shadow)) }
            },
            html! { (code(&template.home)) small { (template.bucket) ", " (template.region) } },
            html! { (span(Duration::from_secs(template.duration_seconds))) },
            badge("good", "confined"),
            code(&template.version.chars().take(12).collect::<String>()),
            ago(template.loaded_at, status.now),
        ]
    };
    html! {
        section {
            h2 { "Templates" }
            p {
                @if store.problems.is_empty() {
                    "The folder serves. Last read " (ago(store.last_attempt_at, status.now)) "."
                } @else {
                    (badge("bad", "not loaded")) " The folder changed " (ago(store.last_attempt_at, status.now))
                    " and cannot serve; what was loaded " (ago(store.loaded_at, status.now)) " goes on:"
                }
            }
            @if !store.problems.is_empty() { ul.problems { @for problem in &store.problems { li { (plain(problem)) } } } }
            @for orphan in &store.orphans { p.soft { (code(&plain(orphan))) " follows no template, and does nothing." } }
            (table(&columns, store.templates.iter().map(row)))
        }
    }
}

fn shadowed(shadow: &ShadowReport) -> Markup {
    html! {
        small.shadow {
            @if shadow.problems.is_empty() {
                "next version, tried on " (count(shadow.users as u64)) " users: "
                (count(shadow.widened as u64)) " could do more, " (count(shadow.narrowed as u64)) " less, "
                (count(shadow.failed as u64)) " would get none"
            } @else {
                "next version cannot serve: " (plain(&shadow.problems.join("; ")))
            }
        }
    }
}
