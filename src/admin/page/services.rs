//! Panels on the parts of the service: STS, memory, issuers, canary and audit log.

use std::time::Duration;

use maud::{Markup, html};

use super::{
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

fn facts(rows: Vec<(&str, Markup)>) -> Markup {
    html! { dl { @for (name, fact) in rows { div { dt { (name) } dd { (fact) } } } } }
}

pub(super) fn sts_panel(status: &Status) -> Markup {
    let Sts { quota_limit, quota_allowed, quota_used, waiting, calls, failed, .. } = status.sts;
    html! {
        section {
            h2 { "STS" }
            (facts(vec![
                ("Circuit", circuit(status.sts.breaker)),
                ("Quota", html! {
                    (quota_used) " used of " (quota_allowed) " per second"
                    @if quota_allowed < quota_limit { ", throttled from " (quota_limit) }
                }),
                ("Queue", html! { (count(waiting as u64)) }),
                ("Calls", html! { (count(calls)) ", " (count(failed)) " failed" }),
                ("Source credentials", source_credentials(&status.sts)),
            ]))
            h3 { "Without STS" }
            (stale_coverage(&status.stale_coverage))
        }
    }
}

fn circuit(breaker: BreakerState) -> Markup {
    match breaker {
        BreakerState::Closed => badge("good", "closed"),
        BreakerState::Open => badge("bad", "open"),
        BreakerState::HalfOpen => badge("bad", "half open"),
    }
}

fn source_credentials(sts: &Sts) -> Markup {
    html! {
        (sts.source_credentials_origin.replace('_', " "))
        @match sts.source_credentials_age_seconds {
            Some(seconds) => { ", read " (span(Duration::from_secs(seconds))) " ago" }
            None => ", not read yet",
        }
    }
}

fn stale_coverage(coverage: &StaleCoverage) -> Markup {
    facts(vec![
        ("Active users", html! { (count(coverage.active_users as u64)) }),
        ("Covered", html! { (count(coverage.covered as u64)) }),
        (
            "9 in 10 users",
            match coverage.seconds {
                Some(seconds) => html! { "are served for " (span(Duration::from_secs(seconds))) },
                None => none(),
            },
        ),
    ])
}

pub(super) fn memory_panel(status: &Status) -> Markup {
    let cache = &status.cache;
    html! {
        section {
            h2 { "Memory" }
            (facts(vec![
                ("Cached keys", html! { (count(cache.entries)) }),
                ("Size", html! { (Size(cache.bytes).rounded()) " of " (Size(cache.max_bytes).rounded()) }),
                ("Evicted", html! { (count(cache.evictions)) }),
            ]))
            h3 { "Issuers" }
            ul.plain { @for issuer in &status.issuers { li { (issuer_state(issuer)) } } }
            h3 { "Isolation canary" }
            @match &status.canary {
                None => p.soft { "off; see [canary]" },
                Some(canary) => p { (canary_state(canary, status.now)) },
            }
            h3 { "Audit log" }
            @match status.audit {
                None => p.soft { "off" },
                Some(audit) => p { (audit_state(audit)) },
            }
        }
    }
}

fn issuer_state(issuer: &Issuer) -> Markup {
    html! {
        @if issuer.ready { (badge("good", "ready")) } @else { (badge("bad", "no keys")) }
        " " (code(&printable(&issuer.name)))
        small {
            @match &issuer.key_set {
                Some(key_set) => (key_set_state(key_set)),
                None => "keys from the configuration",
            }
        }
        @for warning in &issuer.warnings { small { (badge("bad", "warning")) " " (printable(warning)) } }
    }
}

fn key_set_state(key_set: &KeySet) -> Markup {
    html! {
        @match key_set.age_seconds {
            Some(age) => { "key set fetched " (span(Duration::from_secs(age))) " ago" }
            None => "key set never fetched",
        }
        @if key_set.failures > 0 { ", " (count(key_set.failures)) " attempts failed" }
        @if let Some(failure) = &key_set.last_failure { ", the last: " (printable(failure)) }
        @for key in &key_set.dropped_keys {
            br;
            @match &key.kid {
                Some(kid) => { "key " (code(&printable(kid))) }
                None => { "a key without " (code("kid")) }
            }
            " is not used: " (printable(&key.reason))
        }
    }
}

fn canary_state(canary: &canary::Snapshot, now: Timestamp) -> Markup {
    html! {
        @match canary.isolated {
            Some(true) => (badge("good", "isolated")),
            Some(false) => (badge("bad", "broken")),
            None => (badge("", "not known yet")),
        }
        @if let Some(run) = &canary.last {
            " " (run.outcome.name().replace('_', " ")) " " (ago(run.at, now))
            @if let Some(cause) = &run.why { small { (printable(cause)) } }
            @if let Some(slowest) = run.slowest_millis { small { "slowest request " (slowest) " ms" } }
        }
    }
}

fn audit_state(audit: audit::Status) -> Markup {
    html! {
        @if audit.failing { (badge("bad", "cannot be written")) } @else { (badge("good", "on")) }
        " " (count(audit.written)) " lines"
        @if audit.lost > 0 { ", " (count(audit.lost)) " lost" }
    }
}
