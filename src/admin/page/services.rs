//! Panels on the parts of the service: STS, memory, issuers, canary and audit log.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    language::Language,
    layout::{badge, code, none},
    quantity::{ago, count, span},
};
use crate::{
    admin::status::{Issuer, KeySet, StaleCoverage, Status, Sts},
    audit, canary,
    sts::BreakerState,
};
use diagnostics::{Size, printable};
use jiff::Timestamp;

fn facts(language: Language, rows: Vec<(&'static str, Markup)>) -> Markup {
    html! { dl { @for (name, fact) in rows { div { dt { (language.text(name)) } dd { (fact) } } } } }
}

pub(super) fn sts_panel(language: Language, status: &Status) -> Markup {
    let Sts { quota_limit, quota_allowed, quota_used, waiting, calls, failed, .. } = status.sts;
    let numbers = |numbers: &[u32]| numbers.iter().map(|number| html! { (number) }).collect::<Vec<_>>();
    html! {
        section {
            h2 { "STS" }
            (facts(language, vec![
                ("Circuit", circuit(language, status.sts.breaker)),
                ("Quota", html! {
                    (language.sentence("{} used of {} per second", &numbers(&[quota_used, quota_allowed])))
                    @if quota_allowed < quota_limit {
                        (language.sentence(", throttled from {}", &numbers(&[quota_limit])))
                    }
                }),
                ("Queue", html! { (count(waiting as u64)) }),
                ("Calls", language.sentence(
                    "{}, {} failed",
                    &[html! { (count(calls)) }, html! { (count(failed)) }],
                )),
                ("Source credentials", source_credentials(language, &status.sts)),
            ]))
            h3 { (language.text("Without STS")) }
            (stale_coverage(language, &status.stale_coverage))
        }
    }
}

fn circuit(language: Language, breaker: BreakerState) -> Markup {
    match breaker {
        BreakerState::Closed => badge("good", language.text("closed")),
        BreakerState::Open => badge("bad", language.text("open")),
        BreakerState::HalfOpen => badge("bad", language.text("half open")),
    }
}

fn source_credentials(language: Language, sts: &Sts) -> Markup {
    html! {
        (sts.source_credentials_origin.replace('_', " "))
        @match sts.source_credentials_age_seconds {
            Some(seconds) => (language.sentence(
                ", read {} ago",
                &[html! { (span(language, Duration::from_secs(seconds))) }],
            )),
            None => (language.text(", not read yet")),
        }
    }
}

fn stale_coverage(language: Language, coverage: &StaleCoverage) -> Markup {
    facts(
        language,
        vec![
            ("Active users", html! { (count(coverage.active_users as u64)) }),
            ("Covered", html! { (count(coverage.covered as u64)) }),
            (
                "9 in 10 users",
                match coverage.seconds {
                    Some(seconds) => {
                        let covered = span(language, Duration::from_secs(seconds));
                        language.sentence("are served for {}", &[html! { (covered) }])
                    }
                    None => none(),
                },
            ),
        ],
    )
}

pub(super) fn memory_panel(language: Language, status: &Status) -> Markup {
    let cache = &status.cache;
    let sizes = [cache.bytes, cache.max_bytes].map(|bytes| html! { (Size(bytes).rounded()) });
    html! {
        section {
            h2 { (language.text("Memory")) }
            (facts(language, vec![
                ("Cached keys", html! { (count(cache.entries)) }),
                ("Size", language.sentence("{} of {}", &sizes)),
                ("Evicted", html! { (count(cache.evictions)) }),
            ]))
            h3 { (language.text("Issuers")) }
            ul.plain { @for issuer in &status.issuers { li { (issuer_state(language, issuer)) } } }
            h3 { (language.text("Isolation canary")) }
            @match &status.canary {
                None => p.soft { (language.text("off; see [canary]")) },
                Some(canary) => p { (canary_state(language, canary, status.now)) },
            }
            h3 { (language.text("Audit log")) }
            @match status.audit {
                None => p.soft { (language.text("off")) },
                Some(audit) => p { (audit_state(language, audit)) },
            }
        }
    }
}

fn issuer_state(language: Language, issuer: &Issuer) -> Markup {
    html! {
        @if issuer.ready { (badge("good", language.text("ready"))) }
        @else { (badge("bad", language.text("no keys"))) }
        " " (code(&printable(&issuer.name)))
        small {
            @match &issuer.key_set {
                Some(key_set) => (key_set_state(language, key_set)),
                None => (language.text("keys from the configuration")),
            }
        }
        @for warning in &issuer.warnings {
            small { (badge("warning", language.text("warning"))) " " (language.cause(warning)) }
        }
    }
}

fn key_set_state(language: Language, key_set: &KeySet) -> Markup {
    html! {
        @match key_set.age_seconds {
            Some(age) => (language.sentence(
                "key set fetched {} ago",
                &[html! { (span(language, Duration::from_secs(age))) }],
            )),
            None => (language.text("key set never fetched")),
        }
        @if key_set.failures > 0 {
            (language.sentence(", {} attempts failed", &[html! { (count(key_set.failures)) }]))
        }
        @if let Some(failure) = &key_set.last_failure {
            (language.sentence(", the last: {}", &[html! { (printable(failure)) }]))
        }
        @for key in &key_set.dropped_keys {
            br;
            (language.sentence("the key {} is not used: {}", &[
                key.kid.as_ref().map_or_else(
                    || html! { (language.text("without kid")) },
                    |kid| code(&printable(kid)),
                ),
                html! { (printable(&key.reason)) },
            ]))
        }
    }
}

fn canary_state(language: Language, canary: &canary::Snapshot, now: Timestamp) -> Markup {
    html! {
        @match canary.isolated {
            Some(true) => (badge("good", language.text("isolated"))),
            Some(false) => (badge("bad", language.text("broken"))),
            None => (badge("", language.text("not known yet"))),
        }
        @if let Some(run) = &canary.last {
            " " (run.outcome.name().replace('_', " ")) " " (ago(language, run.at, now))
            @if let Some(cause) = &run.why { small { (printable(cause)) } }
            @if let Some(slowest) = run.slowest_millis {
                small { (language.sentence("slowest request {} ms", &[html! { (slowest) }])) }
            }
        }
    }
}

fn audit_state(language: Language, audit: audit::Status) -> Markup {
    html! {
        @if audit.failing { (badge("bad", language.text("cannot be written"))) }
        @else { (badge("good", language.text("on"))) }
        " " (language.sentence("{} lines", &[html! { (count(audit.written)) }]))
        @if audit.lost > 0 { (language.sentence(", {} lost", &[html! { (count(audit.lost)) }])) }
    }
}
