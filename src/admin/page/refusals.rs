//! The latest refusals, grouped by what they have in common.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    keys,
    layout::{code, table},
    quantity::ago,
};
use crate::{http::RecentRefusal, identity::Comparison};
use diagnostics::printable;

/// The number of groups shown.
const MAX_GROUPS: usize = 15;
/// The number of users named for each group.
const MAX_USERS_PER_GROUP: usize = 3;

/// Refusals with the same outcome, cause and template.
struct Group<'a> {
    last: &'a RecentRefusal,
    count: usize,
    /// The users of verified tokens, as issuer and subject.
    users: Vec<(&'a str, &'a str)>,
}

impl Group<'_> {
    fn includes(&self, refused: &RecentRefusal) -> bool {
        self.last.outcome == refused.outcome
            && self.last.cause == refused.cause
            && self.last.template == refused.template
    }
}

pub(super) fn section(refusals: &[RecentRefusal], now: Timestamp) -> Markup {
    html! {
        section {
            h2 { "Recent refusals" }
            @if refusals.is_empty() {
                p.soft { "None since the start." }
            } @else {
                p.soft { "The last 20 of each kind; " code { "cosbroker_refusals_total" } " counts all." }
                (table(
                    &["Last", "Refusal", "Times", "Users", "Cause", "Last request"],
                    grouped(refusals).iter().take(MAX_GROUPS).map(|group| row(group, now)),
                ))
            }
        }
    }
}

fn row(Group { last, count, users }: &Group<'_>, now: Timestamp) -> Vec<Markup> {
    let named = html! {
        @for (issuer, subject) in users.iter().take(MAX_USERS_PER_GROUP) {
            a href=(keys::user_link(issuer, subject)) { (printable(subject)) } " "
        }
        @if users.is_empty() { span.soft { "unknown" } }
        @if users.len() > MAX_USERS_PER_GROUP { "and " (users.len() - MAX_USERS_PER_GROUP) " more" }
        @if let Some(client) = last.client { small { "last from " (client) } }
    };
    vec![
        ago(last.at, now),
        html! {
            (last.status) " " b { (last.outcome) }
            @if let Some(template) = &last.template { small { (template) } }
        },
        html! { (count) },
        named,
        html! {
            (printable(&last.cause))
            @if let Some(comparison) = &last.comparison { (compared(comparison)) }
        },
        code(&last.request_id),
    ]
}

/// What the token of the last request says, what is wanted, and what to do.
fn compared(comparison: &Comparison) -> Markup {
    html! {
        small { "token: " (printable(&comparison.token)) }
        small { "wanted: " (printable(&comparison.configured)) }
        small { (printable(&comparison.help)) }
    }
}

fn grouped(refusals: &[RecentRefusal]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for refused in refusals {
        let user = refused.issuer.as_deref().zip(refused.subject.as_deref());
        match groups.iter_mut().find(|group| group.includes(refused)) {
            Some(group) => {
                group.count += 1;
                group.users.extend(user.filter(|user| !group.users.contains(user)));
            }
            None => groups.push(Group { last: refused, count: 1, users: user.into_iter().collect() }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(second: i64, cause: &str, subject: &str) -> RecentRefusal {
        RecentRefusal {
            at: Timestamp::from_second(second).unwrap(),
            status: 403,
            outcome: "requirement-not-met",
            cause: cause.to_owned(),
            request_id: "r".to_owned(),
            client: None,
            issuer: Some("i".to_owned()),
            subject: Some(subject.to_owned()),
            template: None,
            comparison: None,
        }
    }

    #[test]
    fn refusals_with_the_same_cause_are_one_row_that_names_their_users() {
        let all = [
            refused(9, "no role", "bob"),
            refused(8, "no team", "bob"),
            refused(7, "no role", "<b>"),
            refused(6, "no role", "bob"),
        ];
        let groups = grouped(&all);
        let shown: Vec<_> =
            groups.iter().map(|group| (group.last.cause.as_str(), group.count, group.users.len())).collect();
        assert_eq!(shown, [("no role", 3, 2), ("no team", 1, 1)]);
        let shown = section(&all, Timestamp::from_second(9).unwrap()).into_string();
        assert!(shown.contains("&lt;b&gt;") && !shown.contains("<b>&lt;"), "{shown}");
    }
}
