//! The latest refusals, grouped by what they have in common.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    keys,
    language::Language,
    layout::{badge, code, plain_columns, table},
    quantity::{ago, count},
    template::{ClaimsOf, grant_button},
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
    /// How many there were since the start, if they are counted; else how many are kept.
    count: u64,
    /// The users of verified tokens, as issuer and subject.
    users: Vec<(&'a str, &'a str)>,
}

impl Group<'_> {
    fn includes(&self, refused: &RecentRefusal) -> bool {
        self.last.outcome == refused.outcome
            && self.last.cause == refused.cause
            && self.last.template == refused.template
    }

    fn is_server_error(&self) -> bool {
        self.last.is_server_error()
    }
}

pub(super) fn section(
    language: Language,
    refusals: &[RecentRefusal],
    claims_of: ClaimsOf<'_>,
    now: Timestamp,
) -> Markup {
    let mut groups = grouped(refusals);
    // Stable: within both, the latest first.
    groups.sort_by_key(|group| !group.is_server_error());
    let columns = plain_columns(["Last", "Refusal", "Times", "Users", "Cause", "Last request"]);
    html! {
        section #refusals {
            h2 { (language.text("Recent refusals")) }
            @if groups.is_empty() {
                p.soft { (language.text("None since the start.")) }
            } @else {
                p.soft { (language.text("By cause, those that are not the caller's fault first. Times are since the start.")) }
                (table(language, &columns, groups.iter().take(MAX_GROUPS).map(|group| row(language, group, claims_of, now))))
            }
        }
    }
}

fn row(language: Language, group: &Group<'_>, claims_of: ClaimsOf<'_>, now: Timestamp) -> Vec<Markup> {
    let Group { last, count: times, users } = group;
    vec![
        ago(language, last.at, now),
        html! {
            (badge(if group.is_server_error() { "bad" } else { "" }, &last.status.to_string()))
            " " b { (last.outcome) }
            @if let Some(template) = &last.template { small { (template) } }
        },
        html! { (count(*times)) },
        html! {
            @for (issuer, subject) in users.iter().take(MAX_USERS_PER_GROUP) {
                a href=(keys::user_link(issuer, subject)) { (printable(subject)) } " "
                @if let Some(template) = &last.template {
                    "(" (grant_button(language, claims_of, template, issuer, subject)) ") "
                }
            }
            @if users.is_empty() { span.soft { (language.text("unknown")) } }
            @if users.len() > MAX_USERS_PER_GROUP {
                (language.sentence("and {} more", &[html! { (users.len() - MAX_USERS_PER_GROUP) }]))
            }
            @if let Some(client) = last.client {
                small { (language.sentence("last from {}", &[html! { (client) }])) }
            }
        },
        html! {
            (language.cause(&last.cause))
            @if let Some(comparison) = &last.comparison { (compared(language, comparison)) }
        },
        html! {
            a href={ "/api/refusals/" (last.request_id) } { (code(&last.request_id)) }
            small { (language.text("the log has a line with this id")) }
        },
    ]
}

/// What the token of the last request says, what is wanted, and what to do.
fn compared(language: Language, comparison: &Comparison) -> Markup {
    html! {
        small { (language.sentence("token: {}", &[html! { (language.cause(&comparison.token)) }])) }
        small { (language.sentence("wanted: {}", &[html! { (language.cause(&comparison.configured)) }])) }
        small { (language.cause(&comparison.help)) }
    }
}

fn grouped(refusals: &[RecentRefusal]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for refused in refusals {
        let user = refused.issuer.as_deref().zip(refused.subject.as_deref());
        match groups.iter_mut().find(|group| group.includes(refused)) {
            Some(group) => {
                // The latest has counted them all, unless there are too many causes to count.
                group.count += u64::from(group.last.count == 0);
                group.users.extend(user.filter(|user| !group.users.contains(user)));
            }
            None => groups.push(Group {
                last: refused,
                count: refused.count.max(1),
                users: user.into_iter().collect(),
            }),
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
            count: 0,
        }
    }

    fn claims_of(_: &str, _: &str) -> serde_json::Value {
        serde_json::Value::Null
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
        let shown =
            section(Language::English, &all, &claims_of, Timestamp::from_second(9).unwrap()).into_string();
        assert!(shown.contains("&lt;b&gt;") && !shown.contains("<b>&lt;"), "{shown}");
    }

    #[test]
    fn a_row_has_the_true_count_and_server_faults_are_first() {
        let all = [
            RecentRefusal { count: 252, ..refused(9, "no role", "bob") },
            RecentRefusal { count: 251, ..refused(8, "no role", "bob") },
            RecentRefusal { status: 503, count: 3, ..refused(7, "STS fails", "bob") },
        ];
        let shown =
            section(Language::English, &all, &claims_of, Timestamp::from_second(9).unwrap()).into_string();
        assert!(shown.contains("<div>252</div>") && shown.contains("<div>3</div>"), "{shown}");
        assert!(shown.find("STS fails") < shown.find("no role"), "{shown}");
    }
}
