//! Living keys, whose they are, and the word that someone is to get none.

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{
    layout::{self, badge, code, table},
    quantity::{ago, count, to_come},
};
use crate::{
    config::RevokedPrincipal,
    credential_cache::{ActiveCredential, ActiveCredentials, KeyFilter, Revocation},
};
use diagnostics::printable;

/// Keys shown at once.
const SHOWN: usize = 200;

/// Whom or what to look for, as typed into the form: empty is all.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Search {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) prefix: String,
}

impl Search {
    pub(super) fn filter(&self) -> KeyFilter {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        KeyFilter {
            issuer: given(&self.issuer),
            subject: given(self.subject.trim()),
            prefix: given(self.prefix.trim()),
            limit: Some(SHOWN),
        }
    }

    fn is_of(&self, issuer: &str, subject: &str) -> bool {
        self.subject.trim() == subject && (self.issuer.is_empty() || self.issuer == issuer)
    }
}

/// All keys of one person, of which only the number is wanted.
pub(super) fn theirs(issuer: &str, subject: &str) -> KeyFilter {
    KeyFilter {
        issuer: Some(issuer.to_owned()),
        subject: Some(subject.to_owned()),
        limit: Some(0),
        ..KeyFilter::default()
    }
}

/// Where somebody's keys are shown.
pub(super) fn link(issuer: &str, subject: &str) -> String {
    at("/keys", issuer, subject)
}

fn at(path: &str, issuer: &str, subject: &str) -> String {
    let [issuer, subject] = [issuer, subject].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
    format!("{path}?issuer={issuer}&subject={subject}")
}

pub(super) fn search(issuers: &[String], search: &Search) -> Markup {
    html! {
        form.search action="/keys" {
            label { span { "User, as " code { "sub" } " in their tokens" }
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
            label { "Folder, from its beginning"
                input name="prefix" value=(search.prefix) autocomplete="off" autocapitalize="none" spellcheck="false";
            }
            button.primary { "Find keys" }
        }
    }
}

pub(super) fn keys(
    issuers: &[String],
    sought: &Search,
    living: &ActiveCredentials,
    revoked: &[RevokedPrincipal],
) -> Markup {
    let now = living.coverage.now;
    // Somebody is to be revoked though no key of theirs is known here, too.
    let named: Vec<(&str, &str)> = issuers
        .iter()
        .filter(|issuer| sought.is_of(issuer, sought.subject.trim()) && !sought.subject.trim().is_empty())
        .map(|issuer| (issuer.as_str(), sought.subject.trim()))
        .collect();
    let is_revoked = |issuer: &str, subject: &str| {
        revoked.iter().find(|principal| principal.issuer == issuer && principal.subject == subject)
    };
    layout::page(
        layout::KEYS,
        false,
        &html! {
            section {
                h2 { "Living keys" }
                (search(issuers, sought))
            }
            @for (issuer, subject) in named {
                section.principal {
                    h2 { (printable(subject)) " " span.soft { (printable(issuer)) } }
                    @match is_revoked(issuer, subject) {
                        Some(principal) => {
                            p { (badge("bad", "revoked")) " " (ago(principal.since, now)) ": gets no key here." }
                            p { a.button href=(at("/restore", issuer, subject)) { "Serve again…" } }
                        }
                        None => p { a.button.danger href=(at("/revoke", issuer, subject)) { "Revoke…" } },
                    }
                }
            }
            section {
                p {
                    b { (count(living.active as u64)) } (if living.active == 1 { " key lives" } else { " keys live" })
                    @if let Some(until) = living.expires_last_at { ", the last ends " (to_come(until, now)) }
                    @if living.listed < living.active { ". Shown are the " (living.listed) " that live longest" }
                    ". Known are those that this broker made since it started " (ago(living.coverage.known_since, now))
                    @if living.coverage.forgotten > 0 { ", less " (count(living.coverage.forgotten)) " there was no room for" }
                    "."
                }
                @if !living.keys.is_empty() { (list(living)) }
            }
            @if !revoked.is_empty() {
                section {
                    h2 { "Revoked people " span.soft { (count(revoked.len() as u64)) } }
                    (table(&["User", "Issuer", "Since"], revoked.iter().take(SHOWN).map(|principal| vec![
                        html! { a href=(link(&principal.issuer, &principal.subject)) { (printable(&principal.subject)) } },
                        html! { (printable(&principal.issuer)) },
                        ago(principal.since, now),
                    ])))
                }
            }
        },
    )
}

fn list(living: &ActiveCredentials) -> Markup {
    let now = living.coverage.now;
    let row = |key: &ActiveCredential| {
        vec![
            html! { a href=(link(&key.issuer, &key.subject)) { (printable(&key.subject)) } small { (printable(&key.issuer)) } },
            html! { (key.template) @if key.narrowed { " " (badge("", "narrowed")) } },
            html! { (code(&printable(&key.prefix))) small { (key.bucket) } },
            ago(key.issued_at, now),
            to_come(key.expires_at, now),
            html! { (code(&key.key_id)) small { "grant " (key.grant_id) } },
        ]
    };
    table(&["User", "Template", "Folder", "Made", "Ends", "Key id"], living.keys.iter().map(row))
}

/// What is about to be done to somebody, and the button that does it.
pub(super) fn confirm(act: Act, issuer: &str, subject: &str, living: &ActiveCredentials) -> Markup {
    let now = living.coverage.now;
    layout::page(
        act.title(),
        false,
        &html! {
            section.principal {
                h2 { (act.title()) " " (printable(subject)) "?" }
                p.soft { (printable(issuer)) }
                @match act {
                    Act::Revoke => {
                        p { "From then on every ask of theirs is refused with 403, whatever their token says." }
                        (out(living.active, living.expires_last_at.map(|until| to_come(until, now))))
                    }
                    Act::Restore => p { "Their next ask is answered with a key again." },
                }
                form method="post" action=(act.path()) {
                    input type="hidden" name="issuer" value=(issuer);
                    input type="hidden" name="subject" value=(subject);
                    div.buttons {
                        button class=(act.class()) { (act.title()) " " (printable(subject)) }
                        a.button href=(link(issuer, subject)) { "Cancel" }
                    }
                }
            }
        },
    )
}

/// What became of it.
pub(super) fn done(act: Act, revocation: &Revocation) -> Markup {
    let now = revocation.coverage.now;
    let (issuer, subject) = (&revocation.issuer, &revocation.subject);
    layout::page(
        act.title(),
        false,
        &html! {
            section.principal {
                @match act {
                    Act::Revoke => {
                        h2 { (printable(subject)) " gets no key any more" }
                        p.soft { (printable(issuer)) }
                        (out(revocation.active, revocation.expires_last_at.map(|until| to_come(until, now))))
                    }
                    Act::Restore => {
                        h2 { (printable(subject)) " is served again" }
                        p.soft { (printable(issuer)) }
                    }
                }
                @if let Some(problem) = &revocation.problem {
                    p { (badge("bad", "not kept")) " This ends with the process: " (printable(problem)) }
                } @else if !revocation.lasting {
                    p.soft { "This ends with the process: set limits.revoked_file to keep it." }
                }
                p { a href=(link(issuer, subject)) { "Their keys" } }
            }
        },
    )
}

/// COS cannot be told: what is out lives on.
fn out(active: usize, until: Option<Markup>) -> Markup {
    html! {
        @match until {
            Some(until) => p {
                (badge("bad", "still open")) " "
                (count(active as u64)) (if active == 1 { " key" } else { " keys" }) " of theirs, already out, cannot be called back. The last ends "
                (until) "."
            },
            None => p { "No key of theirs that this broker made is alive." },
        }
    }
}

/// What an operator does to somebody.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Revoke,
    Restore,
}

impl Act {
    fn title(self) -> &'static str {
        match self {
            Self::Revoke => "Revoke",
            Self::Restore => "Serve again",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Revoke => "/revoke",
            Self::Restore => "/restore",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Revoke => "danger",
            Self::Restore => "primary",
        }
    }
}
