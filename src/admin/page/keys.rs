//! The page of active keys, and of revoking and restoring a user.

use jiff::Timestamp;
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{
    layout::{self, badge, code, table},
    quantity::{ago, count, future},
};
use crate::{
    config::RevokedPrincipal,
    credential_cache::{ActiveCredential, ActiveCredentials, KeyFilter, Revocation},
};
use diagnostics::printable;

/// The number of keys, and of revoked users, shown at once.
const MAX_ROWS: usize = 200;

/// The search form; empty fields match everything.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Search {
    issuer: String,
    subject: String,
    prefix: String,
}

impl Search {
    pub(super) fn filter(&self) -> KeyFilter {
        KeyFilter {
            issuer: non_empty(&self.issuer),
            subject: non_empty(&self.subject),
            prefix: non_empty(self.prefix.trim()),
            limit: Some(MAX_ROWS),
        }
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
fn name(subject: &str) -> String {
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

pub(super) fn search_form(issuers: &[String], search: &Search) -> Markup {
    html! {
        form.search action="/keys" {
            label { span { "User, the " code { "sub" } " of their tokens" }
                input name="subject" value=(search.subject) autocomplete="off" autocapitalize="none" spellcheck="false";
            }
            @if issuers.len() > 1 {
                label { "Issuer"
                    select name="issuer" {
                        option value="" { "any" }
                        @for issuer in issuers { option selected[*issuer == search.issuer] { (issuer) } }
                    }
                }
            }
            label { "Folder prefix"
                input name="prefix" value=(search.prefix) autocomplete="off" autocapitalize="none" spellcheck="false";
            }
            button.primary { "Find keys" }
        }
    }
}

pub(super) fn page(
    issuers: &[String],
    search: &Search,
    active: &ActiveCredentials,
    revoked: &[RevokedPrincipal],
) -> Markup {
    let now = active.coverage.now;
    layout::page(
        layout::KEYS_TITLE,
        false,
        &html! {
            section {
                h2 { "Active keys" }
                (search_form(issuers, search))
            }
            @for (issuer, subject) in search.users(issuers) { (user(issuer, subject, revoked, now)) }
            section {
                (summary(active))
                @if !active.keys.is_empty() {
                    (table(
                        &["User", "Template", "Folder", "Issued", "Expires", "Key id"],
                        active.keys.iter().map(|key| row(key, now)),
                    ))
                }
            }
            @if !revoked.is_empty() { (revoked_users(revoked, now)) }
        },
    )
}

fn user(issuer: &str, subject: &str, revoked: &[RevokedPrincipal], now: Timestamp) -> Markup {
    let revoked = revoked.iter().find(|principal| principal.issuer == issuer && principal.subject == subject);
    html! {
        section.principal {
            h2 { (name(subject)) " " span.soft { (printable(issuer)) } }
            @match revoked {
                Some(principal) => {
                    p { (badge("bad", "revoked")) " " (ago(principal.since, now)) ": gets no key." }
                    p { a.button href=(link("/restore", issuer, subject)) { "Restore…" } }
                }
                None => p { a.button.danger href=(link("/revoke", issuer, subject)) { "Revoke…" } },
            }
        }
    }
}

fn summary(active: &ActiveCredentials) -> Markup {
    let now = active.coverage.now;
    html! {
        p {
            b { (count(active.active as u64)) }
            (if active.active == 1 { " active key, expires " } else { " active keys" })
            @if let Some(at) = active.expires_last_at {
                @if active.active > 1 { ", the last expires " }
                (future(at, now))
            }
            @if active.listed < active.active { ". The list shows the " (active.listed) " that expire last" }
            ". Only keys that this broker issued since its start " (ago(active.coverage.known_since, now)) " are known"
            @if active.coverage.forgotten > 0 {
                ", without " (count(active.coverage.forgotten)) " for lack of memory"
            }
            "."
        }
    }
}

fn row(key: &ActiveCredential, now: Timestamp) -> Vec<Markup> {
    vec![
        html! {
            a href=(user_link(&key.issuer, &key.subject)) { (name(&key.subject)) }
            small { (printable(&key.issuer)) }
        },
        html! { (key.template) @if key.narrowed { " " (badge("", "narrowed")) } },
        html! { (code(&printable(&key.prefix))) small { (key.bucket) } },
        ago(key.issued_at, now),
        future(key.expires_at, now),
        html! { (code(&key.key_id)) small { "grant " (key.grant_id) } },
    ]
}

fn revoked_users(revoked: &[RevokedPrincipal], now: Timestamp) -> Markup {
    let rows = revoked.iter().take(MAX_ROWS).map(|principal| {
        vec![
            html! {
                a href=(user_link(&principal.issuer, &principal.subject)) { (name(&principal.subject)) }
            },
            html! { (printable(&principal.issuer)) },
            ago(principal.since, now),
        ]
    });
    html! {
        section {
            h2 { "Revoked users " span.soft { (count(revoked.len() as u64)) } }
            (table(&["User", "Issuer", "Since"], rows))
        }
    }
}

/// Renders the form that asks for confirmation.
pub(super) fn confirmation(
    action: RevocationAction,
    issuer: &str,
    subject: &str,
    active: &ActiveCredentials,
) -> Markup {
    let expires = active.expires_last_at.map(|at| future(at, active.coverage.now));
    layout::page(
        action.title(),
        false,
        &html! {
            section.principal {
                h2 { (action.title()) " " (name(subject)) "?" }
                p.soft { (printable(issuer)) }
                @match action {
                    RevocationAction::Revoke => {
                        p { "Every request of this user will be refused with 403, even with a valid token." }
                        (still_active(active.active, expires))
                    }
                    RevocationAction::Restore => p { "The next request of this user will get a key again." },
                }
                form method="post" action=(action.path()) {
                    input type="hidden" name="issuer" value=(issuer);
                    input type="hidden" name="subject" value=(subject);
                    div.buttons {
                        button class=(action.button_class()) { (action.title()) " " (name(subject)) }
                        a.button href=(user_link(issuer, subject)) { "Cancel" }
                    }
                }
            }
        },
    )
}

/// Renders the result of an action.
pub(super) fn result(action: RevocationAction, revocation: &Revocation) -> Markup {
    let (issuer, subject) = (&revocation.issuer, &revocation.subject);
    let expires = revocation.expires_last_at.map(|at| future(at, revocation.coverage.now));
    layout::page(
        action.title(),
        false,
        &html! {
            section.principal {
                h2 {
                    (name(subject))
                    @match action {
                        RevocationAction::Revoke => " is revoked",
                        RevocationAction::Restore => " is restored",
                    }
                }
                p.soft { (printable(issuer)) }
                @if let RevocationAction::Revoke = action { (still_active(revocation.active, expires)) }
                @if let Some(problem) = &revocation.problem {
                    p { (badge("bad", "not saved")) " This ends with the process: " (printable(problem)) }
                } @else if !revocation.lasting {
                    p.soft { "This ends with the process: set limits.revoked_file to save it." }
                }
                p { a href=(user_link(issuer, subject)) { "Keys of this user" } }
            }
        },
    )
}

/// Renders the warning that issued keys cannot be withdrawn: COS has no request for it.
fn still_active(active: usize, expires: Option<Markup>) -> Markup {
    html! {
        @match expires {
            Some(expires) => p {
                (badge("bad", "still active")) " "
                (count(active as u64))
                (if active == 1 { " key that is already issued cannot be withdrawn. It expires " }
                 else { " keys that are already issued cannot be withdrawn. The last expires " })
                (expires) "."
            },
            None => p { "This broker issued no key to this user that is still active." },
        }
    }
}

/// An operator's action on a user.
#[derive(Debug, Clone, Copy)]
pub(super) enum RevocationAction {
    Revoke,
    Restore,
}

impl RevocationAction {
    fn title(self) -> &'static str {
        match self {
            Self::Revoke => "Revoke",
            Self::Restore => "Restore",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Revoke => "/revoke",
            Self::Restore => "/restore",
        }
    }

    fn button_class(self) -> &'static str {
        match self {
            Self::Revoke => "danger",
            Self::Restore => "primary",
        }
    }
}
