//! The last refusals, those together that say the same.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    layout::{code, table},
    people,
    quantity::ago,
};
use crate::http::Refused;
use diagnostics::printable;

/// Kinds shown.
const SHOWN: usize = 15;
/// People named of each.
const NAMED: usize = 3;

/// Refusals for the same reason.
struct Alike<'a> {
    last: &'a Refused,
    times: usize,
    /// Who, as far as is known: issuer and subject.
    people: Vec<(&'a str, &'a str)>,
}

pub(super) fn section(refusals: &[Refused], now: Timestamp) -> Markup {
    html! {
        section {
            h2 { "Recent refusals" }
            @if refusals.is_empty() {
                p.soft { "None since the start." }
            } @else {
                p.soft { "The last twenty of each kind; " code { "cosbroker_refusals_total" } " counts them all." }
                (table(
                    &["Last", "Refused", "Times", "Who", "Why", "Last request"],
                    alike(refusals).iter().take(SHOWN).map(|alike| row(alike, now)),
                ))
            }
        }
    }
}

fn row(Alike { last, times, people }: &Alike<'_>, now: Timestamp) -> Vec<Markup> {
    let who = html! {
        @for (issuer, subject) in people.iter().take(NAMED) {
            a href=(people::link(issuer, subject)) { (printable(subject)) } " "
        }
        @if people.is_empty() { span.soft { "not known" } }
        @if people.len() > NAMED { "and " (people.len() - NAMED) " more" }
        @if let Some(client) = last.client { small { "last from " (client) } }
    };
    vec![
        ago(last.at, now),
        html! { (last.status) " " b { (last.outcome) } @if let Some(template) = &last.template { small { (template) } } },
        html! { (times) },
        who,
        html! { (printable(&last.cause)) },
        code(&last.request_id),
    ]
}

fn alike(refusals: &[Refused]) -> Vec<Alike<'_>> {
    let mut kinds: Vec<Alike<'_>> = Vec::new();
    for refused in refusals {
        let says = |refused: &Refused| (refused.outcome, refused.cause.clone(), refused.template.clone());
        let known = kinds.iter().position(|kind| says(kind.last) == says(refused));
        let principal = refused.issuer.as_deref().zip(refused.subject.as_deref());
        match known.and_then(|at| kinds.get_mut(at)) {
            Some(kind) => {
                kind.times += 1;
                kind.people.extend(principal.filter(|principal| !kind.people.contains(principal)));
            }
            None => kinds.push(Alike { last: refused, times: 1, people: principal.into_iter().collect() }),
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_the_same_is_one_row_with_those_it_happened_to() {
        let refused = |second, cause: &str, subject: &str| Refused {
            at: Timestamp::from_second(second).unwrap(),
            status: 403,
            outcome: "requirement-not-met",
            cause: cause.to_owned(),
            request_id: "r".to_owned(),
            client: None,
            issuer: Some("i".to_owned()),
            subject: Some(subject.to_owned()),
            template: None,
        };
        let all = [
            refused(9, "no role", "bob"),
            refused(8, "no team", "bob"),
            refused(7, "no role", "<b>"),
            refused(6, "no role", "bob"),
        ];
        let kinds = alike(&all);
        let told: Vec<_> =
            kinds.iter().map(|kind| (kind.last.cause.as_str(), kind.times, kind.people.len())).collect();
        assert_eq!(told, [("no role", 3, 2), ("no team", 1, 1)]);
        let shown = section(&all, Timestamp::from_second(9).unwrap()).into_string();
        assert!(shown.contains("&lt;b&gt;") && !shown.contains("<b>&lt;"), "{shown}");
    }
}
