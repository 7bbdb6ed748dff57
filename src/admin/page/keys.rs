//! The page of active keys.

use jiff::Timestamp;
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{
    language::Language,
    layout::{self, Column, Place, badge, code, plain_columns, table},
    quantity::{ago, count, future},
};
use crate::{
    config::RevokedPrincipal,
    credential_cache::{
        ActiveCredential, ActiveCredentials, CredentialCache, CredentialPage, Cursor, KeyFilter, KeyOrder,
    },
};
use diagnostics::printable;

/// The number of revoked users that are shown.
const MAX_REVOKED_ROWS: usize = 200;
/// The number of keys on one page.
const MAX_ROWS_PER_PAGE: usize = 25;

/// The search form; empty fields match everything.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Search {
    issuer: String,
    subject: String,
    prefix: String,
    sort: String,
    /// Where the page begins; empty for the first one.
    after: String,
}

/// What `sort` says if the first to expire come first.
const FIRST_TO_EXPIRE: &str = "first";

impl Search {
    fn filter(&self) -> KeyFilter {
        KeyFilter {
            issuer: non_empty(&self.issuer),
            subject: non_empty(&self.subject),
            prefix: non_empty(self.prefix.trim()),
            limit: None,
        }
    }

    fn order(&self) -> KeyOrder {
        if self.sort == FIRST_TO_EXPIRE { KeyOrder::FirstToExpire } else { KeyOrder::LastToExpire }
    }

    /// Returns where the page begins. What is no place of a key is as the beginning.
    fn after(&self) -> Option<Cursor> {
        self.after.parse().ok()
    }

    fn has_filter(&self) -> bool {
        [&self.issuer, &self.subject, &self.prefix].into_iter().any(|text| !text.is_empty())
    }

    /// Returns the address of this search in an order, from a place on.
    fn link(&self, order: KeyOrder, after: Option<Cursor>) -> String {
        let [issuer, subject, prefix] = [&self.issuer, &self.subject, &self.prefix]
            .map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
        let sort = match order {
            KeyOrder::LastToExpire => "last",
            KeyOrder::FirstToExpire => FIRST_TO_EXPIRE,
        };
        let after = after.map(|after| after.to_string()).unwrap_or_default();
        format!("/keys?issuer={issuer}&subject={subject}&prefix={prefix}&sort={sort}&after={after}")
    }

    /// Returns the users that the form names, one per matching issuer, whether or not they have active keys.
    fn users<'a>(&'a self, issuers: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
        issuers
            .iter()
            .filter(|issuer| !self.subject.is_empty() && (self.issuer.is_empty() || self.issuer == **issuer))
            .map(|issuer| (issuer.as_str(), self.subject.as_str()))
    }
}

/// Renders the name of a user; in quotes if it begins or ends with a space, which makes it another user.
pub(super) fn name(subject: &str) -> String {
    let shown = printable(subject);
    if subject.trim() == subject { shown } else { format!("“{shown}”") }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns a filter that counts the keys of one user and lists none.
pub(super) fn count_of_user(issuer: &str, subject: &str) -> KeyFilter {
    KeyFilter {
        issuer: Some(issuer.to_owned()),
        subject: Some(subject.to_owned()),
        limit: Some(0),
        ..KeyFilter::default()
    }
}

/// Returns the address of a user's keys.
pub(super) fn user_link(issuer: &str, subject: &str) -> String {
    link("/keys", issuer, subject)
}

fn link(path: &str, issuer: &str, subject: &str) -> String {
    let [issuer, subject] = [issuer, subject].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
    format!("{path}?issuer={issuer}&subject={subject}")
}

pub(super) fn search_form(language: Language, issuers: &[String], search: &Search) -> Markup {
    html! {
        form.search action="/keys" {
            label { span { (language.sentence("User, the {} of their tokens", &[code("sub")])) }
                input name="subject" value=(search.subject) autocomplete="off" autocapitalize="none" spellcheck="false";
            }
            @if issuers.len() > 1 {
                label { (language.text("Issuer"))
                    select name="issuer" {
                        option value="" { (language.text("any")) }
                        @for issuer in issuers { option selected[*issuer == search.issuer] { (issuer) } }
                    }
                }
            }
            label { (language.text("Folder prefix"))
                input name="prefix" value=(search.prefix) autocomplete="off" autocapitalize="none" spellcheck="false";
            }
            button.primary { (language.text("Find keys")) }
        }
    }
}

pub(super) fn page(
    language: Language,
    issuers: &[String],
    search: &Search,
    cache: &CredentialCache,
) -> Markup {
    let revoked = cache.revoked();
    let keys = cache.credential_page(&search.filter(), search.order(), search.after(), MAX_ROWS_PER_PAGE);
    let now = keys.coverage.now;
    layout::page(
        language,
        Place::Keys,
        language.text("Keys"),
        &html! {
            section {
                h2 { (language.text("Active keys")) }
                (search_form(language, issuers, search))
            }
            @for (issuer, subject) in search.users(issuers) {
                @let active = cache.active_credentials(&count_of_user(issuer, subject));
                (user(language, issuer, subject, &revoked, &active))
            }
            section {
                p { (summary(language, search, &keys)) }
                @if !keys.keys.is_empty() { (list(language, search, &keys)) }
                (pager(language, search, &keys))
            }
            @if !revoked.is_empty() { (revoked_users(language, &revoked, now)) }
        },
    )
}

fn list(language: Language, search: &Search, page: &CredentialPage) -> Markup {
    let other_order = match search.order() {
        KeyOrder::LastToExpire => KeyOrder::FirstToExpire,
        KeyOrder::FirstToExpire => KeyOrder::LastToExpire,
    };
    let [user, template, folder, issued, key_id] =
        plain_columns(["User", "Template", "Folder", "Issued", "Key id"]);
    let expires = Column { name: "Expires", order: Some(search.link(other_order, None)) };
    let columns = [user, template, folder, issued, expires, key_id];
    table(language, &columns, page.keys.iter().map(|key| row(language, key, page.coverage.now)))
}

/// Renders the links to the first page and to the next one.
fn pager(language: Language, search: &Search, page: &CredentialPage) -> Markup {
    let order = search.order();
    html! {
        @if page.is_unfinished {
            p.soft { (language.text("Enough keys were compared for one page; there may be more.")) }
        }
        @if page.next.is_some() || search.after().is_some() {
            p.pager {
                @if search.after().is_some() {
                    a.button href=(search.link(order, None)) { (language.text("First page")) }
                }
                @if page.next.is_some() {
                    a.button rel="next" href=(search.link(order, page.next)) {
                        (language.text(if page.is_unfinished { "Continue the search" } else { "Next" }))
                    }
                }
            }
        }
    }
}

fn user(
    language: Language,
    issuer: &str,
    subject: &str,
    revoked: &[RevokedPrincipal],
    active: &ActiveCredentials,
) -> Markup {
    let revoked = revoked.iter().find(|principal| principal.issuer == issuer && principal.subject == subject);
    let now = active.coverage.now;
    html! {
        section.principal {
            h2 { (name(subject)) " " span.soft { (printable(issuer)) } }
            p { (count_and_expiry(language, active.active, active.expires_last_at, now)) (language.text(".")) }
            @match revoked {
                Some(principal) => {
                    p {
                        (badge("bad", language.text("revoked"))) " "
                        (language.sentence("{}: gets no key.", &[ago(language, principal.since, now)]))
                    }
                    p { a.button href=(link("/restore", issuer, subject)) { (language.text("Restore")) "…" } }
                }
                None => p {
                    a.button.danger href=(link("/revoke", issuer, subject)) { (language.text("Revoke")) "…" }
                },
            }
        }
    }
}

/// Renders how many keys there are, and what is not known of them.
fn summary(language: Language, search: &Search, page: &CredentialPage) -> Markup {
    let coverage = &page.coverage;
    html! {
        @if search.has_filter() {
            @if page.keys.is_empty() { (language.text("No key on this page")) }
            @else { (language.sentence("{} keys on this page", &[html! { b { (page.keys.len()) } }])) }
            (language.sentence(", of {} active keys", &[html! { (count(page.active as u64)) }]))
        } @else {
            (count_and_expiry(language, page.active, page.expires_last_at, coverage.now))
        }
        (language.sentence(
            ". Only keys that this broker issued since its start {} are known",
            &[ago(language, coverage.known_since, coverage.now)],
        ))
        @if coverage.forgotten > 0 {
            (language.sentence(", without {} for lack of memory", &[html! { (count(coverage.forgotten)) }]))
        }
        (language.text("."))
    }
}

fn count_and_expiry(
    language: Language,
    active: usize,
    expires_last_at: Option<Timestamp>,
    now: Timestamp,
) -> Markup {
    let number = html! { b { (count(active as u64)) } };
    match expires_last_at.map(|at| future(language, at, now)) {
        None => language.sentence("{} active keys", &[number]),
        Some(at) if active == 1 => language.sentence("{} active key, expires {}", &[number, at]),
        Some(at) => language.sentence("{} active keys, the last expires {}", &[number, at]),
    }
}

fn row(language: Language, key: &ActiveCredential, now: Timestamp) -> Vec<Markup> {
    vec![
        html! {
            a href=(user_link(&key.issuer, &key.subject)) { (name(&key.subject)) }
            small { (printable(&key.issuer)) }
        },
        html! { (key.template) @if key.narrowed { " " (badge("", language.text("narrowed"))) } },
        html! { (code(&printable(&key.prefix))) small { (key.bucket) } },
        ago(language, key.issued_at, now),
        future(language, key.expires_at, now),
        html! {
            (code(&key.key_id))
            small { (language.sentence("grant {}", &[html! { (key.grant_id) }])) }
        },
    ]
}

fn revoked_users(language: Language, revoked: &[RevokedPrincipal], now: Timestamp) -> Markup {
    let rows = revoked.iter().take(MAX_REVOKED_ROWS).map(|principal| {
        vec![
            html! {
                a href=(user_link(&principal.issuer, &principal.subject)) { (name(&principal.subject)) }
            },
            html! { (printable(&principal.issuer)) },
            ago(language, principal.since, now),
        ]
    });
    html! {
        section {
            h2 { (language.text("Revoked users")) " " span.soft { (count(revoked.len() as u64)) } }
            (table(language, &plain_columns(["User", "Issuer", "Since"]), rows))
        }
    }
}
