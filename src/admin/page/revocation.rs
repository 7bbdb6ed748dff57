//! The pages that revoke and restore a user: the form that asks for confirmation, and the result.

use maud::{Markup, html};

use super::{
    keys::{name, user_link},
    language::Language,
    layout::{self, Place, badge},
    quantity::{count, future},
};
use crate::credential_cache::{ActiveCredentials, Revocation};
use diagnostics::printable;

/// Renders the form that asks for confirmation.
pub(super) fn confirmation(
    language: Language,
    action: RevocationAction,
    issuer: &str,
    subject: &str,
    active: &ActiveCredentials,
) -> Markup {
    let expires = active.expires_last_at.map(|at| future(language, at, active.coverage.now));
    layout::page(
        language,
        Place::Elsewhere,
        action.title(language),
        &html! {
            section.principal {
                h2 { (action.title(language)) " " (name(subject)) "?" }
                p.soft { (printable(issuer)) }
                @match action {
                    RevocationAction::Revoke => {
                        p { (language.text("Every request of this user will be refused with 403, even with a valid token.")) }
                        (still_active(language, active.active, expires))
                    }
                    RevocationAction::Restore => p { (language.text("The next request of this user will get a key again.")) },
                }
                form method="post" action=(action.path()) {
                    input type="hidden" name="issuer" value=(issuer);
                    input type="hidden" name="subject" value=(subject);
                    div.buttons {
                        button class=(action.button_class()) { (action.title(language)) " " (name(subject)) }
                        a.button href=(user_link(issuer, subject)) { (language.text("Cancel")) }
                    }
                }
            }
        },
    )
}

/// Renders the result of an action.
pub(super) fn result(language: Language, action: RevocationAction, revocation: &Revocation) -> Markup {
    let (issuer, subject) = (&revocation.issuer, &revocation.subject);
    let expires = revocation.expires_last_at.map(|at| future(language, at, revocation.coverage.now));
    let user = html! { (name(subject)) };
    layout::page(
        language,
        Place::Elsewhere,
        action.title(language),
        &html! {
            section.principal {
                h2 {
                    @match action {
                        RevocationAction::Revoke => (language.sentence("{} is revoked", &[user])),
                        RevocationAction::Restore => (language.sentence("{} is restored", &[user])),
                    }
                }
                p.soft { (printable(issuer)) }
                @if let RevocationAction::Revoke = action { (still_active(language, revocation.active, expires)) }
                @if let Some(problem) = &revocation.problem {
                    p {
                        (badge("bad", language.text("not saved"))) " "
                        (language.sentence("This ends with the process: {}", &[html! { (printable(problem)) }]))
                    }
                } @else if !revocation.lasting {
                    p.soft { (language.text("This ends with the process: set limits.revoked_file to save it.")) }
                }
                p { a href=(user_link(issuer, subject)) { (language.text("Keys of this user")) } }
            }
        },
    )
}

/// Renders the warning that issued keys cannot be withdrawn: COS has no request for it.
fn still_active(language: Language, active: usize, expires: Option<Markup>) -> Markup {
    let number = html! { (count(active as u64)) };
    html! {
        @match expires {
            Some(expires) => p {
                (badge("bad", language.text("still active"))) " "
                @if active == 1 {
                    (language.sentence(
                        "{} key that is already issued cannot be withdrawn. It expires {}.",
                        &[number, expires],
                    ))
                } @else {
                    (language.sentence(
                        "{} keys that are already issued cannot be withdrawn. The last expires {}.",
                        &[number, expires],
                    ))
                }
            },
            None => p { (language.text("This broker issued no key to this user that is still active.")) },
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
    fn title(self, language: Language) -> &'static str {
        match self {
            Self::Revoke => language.text("Revoke"),
            Self::Restore => language.text("Restore"),
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
