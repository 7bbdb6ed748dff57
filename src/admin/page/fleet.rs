//! The replicas that share a Redis with this one, as each told of itself.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    language::Language,
    layout::{Column, badge, code, none, table},
    quantity::{ago, count, number, percent, span},
};
use crate::admin::{
    fleet::{FleetMember, Replicas},
    status::Status,
};
use diagnostics::printable;

/// Renders the replicas; nothing if this one shares nothing.
pub(super) fn section(language: Language, status: &Status) -> Markup {
    let Some(replicas) = &status.replicas else { return html! {} };
    let present = replicas.fleet.iter().filter(|member| member.present).count();
    let columns = [
        Column::plain("Replica"),
        Column::plain("State"),
        Column::plain("Templates"),
        Column::plain("Hit rate"),
        Column::plain("Active keys"),
        Column::plain("STS calls per second"),
        Column::plain("Started"),
    ];
    html! {
        section #replicas {
            h2 {
                (language.text("Replicas"))
                @if replicas.fleet_unknown_since.is_none() { " " span.soft { (count(present as u64)) } }
            }
            @if let Some(since) = replicas.fleet_unknown_since {
                (unknown(language, replicas, since, status.now))
            } @else {
                @if present as u64 > u64::from(replicas.expected) {
                    p {
                        (badge("warning", language.text("warning"))) " "
                        (language.sentence(
                            "There are more replicas than redis.replicas says, which is {}: raise it, because each takes its part of the quota by it when Redis is not used.",
                            &[html! { (replicas.expected) }],
                        ))
                    }
                }
                (table(language, &columns, replicas.fleet.iter().map(|member| row(language, member, status.now))))
            }
        }
    }
}

fn unknown(language: Language, replicas: &Replicas, since: Timestamp, now: Timestamp) -> Markup {
    let since = [ago(language, since, now)];
    html! {
        p {
            (badge("warning", language.text("unknown"))) " "
            @if replicas.redis_up {
                (language.sentence("The other replicas are unknown since {}: Redis refuses what replicas tell of themselves.", &since))
            } @else {
                (language.sentence("The other replicas are unknown since {}: Redis is not used.", &since))
            }
            @if let Some(problem) = &replicas.problem { small { (printable(problem)) } }
        }
    }
}

fn row(language: Language, member: &FleetMember, now: Timestamp) -> Vec<Markup> {
    let (replica, state) = (&member.replica, &member.replica.state);
    let figure = |value: Option<String>| value.map_or_else(none, |value| html! { (value) });
    vec![
        html! {
            b { (printable(&state.name)) }
            @if member.this { " " (badge("", language.text("this one"))) }
            small { (printable(&replica.id)) }
        },
        condition(language, member),
        html! {
            (code(&printable(&state.templates)))
            @if member.templates_outdated { " " (badge("warning", language.text("older"))) }
        },
        figure(state.hit_rate.map(percent)),
        html! { (count(state.active_keys)) },
        html! {
            (figure(state.sts_calls_per_second.map(number)))
            small {
                @let allowed = [html! { (count(state.sts_calls_allowed)) }];
                @if state.quota_shared { (language.sentence("of {} for all", &allowed)) }
                @else { (language.sentence("of {} for it alone", &allowed)) }
            }
        },
        html! {
            (ago(language, replica.started_at, now))
            small { "cosbroker " (printable(&replica.version)) }
        },
    ]
}

/// Renders whether a replica was heard of lately, and what it said of its state.
fn condition(language: Language, member: &FleetMember) -> Markup {
    let state = &member.replica.state;
    html! {
        @if !member.present {
            (badge("warning", language.text("not heard of")))
            small { (language.sentence("for {}; before:", &[html! { (span(language, member.unheard_for)) }])) }
        }
        @if state.ready { (badge("good", language.text("ready"))) }
        @else { (badge("bad", language.text("not ready"))) }
        @match state.alarm.as_deref() {
            Some("critical") => { " " (badge("bad", language.text("critical"))) }
            Some(_) => { " " (badge("warning", language.text("warning"))) }
            None => {}
        }
        @if state.breaker != "closed" { small { (language.text("the circuit to STS is open")) } }
    }
}
