//! A probe: a request to COS, what must come of it, and whether it did.

use std::fmt;

use super::{
    request::{Answer, Request},
    synthetic_users::User,
};

/// A request to COS and what must come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    /// What the request tries, in words.
    pub(super) name: String,
    /// The user whose credential signs the request; `None` for an unsigned request.
    pub(super) by: Option<User>,
    pub(super) request: Request,
    pub(super) expected: Expected,
    /// Whether the request completes an upload, which is begun and gets its only part before.
    pub(super) completes_upload: bool,
}

/// What must come of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// Success: the request is about the user's own object.
    Allowed,
    /// A conflict with the user's own object, which is already there.
    AlreadyExists,
    /// A denial by the credential's policy: the request is about the other user's object.
    Denied,
    /// A refusal for any reason: no credential may do this.
    Refused,
    /// A refusal, or nothing found: only the other user has such an object.
    RefusedOrAbsent,
    /// A refusal, or a body that does not contain this text.
    NotShown(String),
    /// A refusal, or an object in the user's own folder. The other user then writes the object with this
    /// request, which fails if it is already there.
    NotInOtherHome(Box<Request>),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "success",
            Self::AlreadyExists => "409, it exists",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::RefusedOrAbsent => "refused, or not found",
            Self::NotShown(_) => "refused, or not shown",
            Self::NotInOtherHome(_) => "refused, or not in the other's folder",
        })
    }
}

/// What the answer to a probe shows about isolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The answer is as it must be.
    AsExpected,
    /// The other user's objects were reached.
    Reached,
    /// The user was denied in their own folder.
    FalseDeny,
    /// The answer shows nothing about isolation, for example a failure of COS.
    Inconclusive,
}

/// How far COS processed a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseClass {
    Success,
    /// The policy allowed the request, but no object was there, or one was.
    PassedPolicy,
    Denied,
    /// COS did not evaluate the policy: the signature is not of the request as COS reads it.
    BadSignature,
    /// COS knows no such request.
    Rejected,
    Inconclusive,
}

impl ResponseClass {
    fn of(answer: &Answer) -> Self {
        match answer.status {
            200..=299 => Self::Success,
            // COS evaluates the policy before it looks for the object.
            404 if has_code(answer, &["NoSuchKey", "NoSuchUpload", "NoSuchVersion"]) => Self::PassedPolicy,
            409 | 412 | 416 if answer.is_of_head || answer.code.is_some() => Self::PassedPolicy,
            403 if has_code(answer, &["AccessDenied"]) => Self::Denied,
            403 if answer.code.as_deref() == Some("SignatureDoesNotMatch") => Self::BadSignature,
            400 | 405 | 411 | 501 => Self::Rejected,
            _ => Self::Inconclusive,
        }
    }
}

/// Returns whether the answer has one of the codes. An answer without any code is not from COS but from a
/// gateway before it, unless it answers a `HEAD`.
fn has_code(answer: &Answer, codes: &[&str]) -> bool {
    answer.is_of_head || answer.code.as_deref().is_some_and(|code| codes.contains(&code))
}

impl Expected {
    /// Returns what an answer shows. For [`Expected::NotInOtherHome`], a success shows nothing yet.
    pub(super) fn verdict(&self, answer: &Answer) -> Verdict {
        use ResponseClass as Class;
        use Verdict::{AsExpected, FalseDeny, Inconclusive, Reached};
        match ResponseClass::of(answer) {
            Class::Success => match self {
                Self::Allowed => AsExpected,
                Self::NotShown(text) if !answer.body.contains(text) => AsExpected,
                Self::Denied | Self::Refused | Self::RefusedOrAbsent | Self::NotShown(_) => Reached,
                Self::AlreadyExists | Self::NotInOtherHome(_) => Inconclusive,
            },
            Class::PassedPolicy => match self {
                Self::AlreadyExists | Self::RefusedOrAbsent | Self::NotShown(_) => AsExpected,
                Self::Denied | Self::Refused | Self::NotInOtherHome(_) => Reached,
                Self::Allowed => Inconclusive,
            },
            Class::Denied => match self {
                Self::Allowed => FalseDeny,
                Self::AlreadyExists => Inconclusive,
                _ => AsExpected,
            },
            Class::Rejected => match self {
                Self::Allowed => FalseDeny,
                Self::AlreadyExists | Self::Denied => Inconclusive,
                _ => AsExpected,
            },
            Class::BadSignature => match self {
                Self::RefusedOrAbsent | Self::NotShown(_) | Self::NotInOtherHome(_) => AsExpected,
                _ => Inconclusive,
            },
            Class::Inconclusive => Inconclusive,
        }
    }
}

/// Returns what the answer to the request of [`Expected::NotInOtherHome`] shows.
pub(super) fn verdict_of_other_write(answer: &Answer) -> Verdict {
    match ResponseClass::of(answer) {
        ResponseClass::Success => Verdict::AsExpected,
        ResponseClass::PassedPolicy => Verdict::Reached,
        ResponseClass::Denied
        | ResponseClass::BadSignature
        | ResponseClass::Rejected
        | ResponseClass::Inconclusive => Verdict::Inconclusive,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The verdict for each expectation.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Verdicts {
        allowed: Verdict,
        already_exists: Verdict,
        denied: Verdict,
        refused: Verdict,
        refused_or_absent: Verdict,
        not_shown: Verdict,
        not_in_other_home: Verdict,
    }

    fn verdicts(answer: &Answer) -> Verdicts {
        let proof = Box::new(Request::of("PUT", "k"));
        Verdicts {
            allowed: Expected::Allowed.verdict(answer),
            already_exists: Expected::AlreadyExists.verdict(answer),
            denied: Expected::Denied.verdict(answer),
            refused: Expected::Refused.verdict(answer),
            refused_or_absent: Expected::RefusedOrAbsent.verdict(answer),
            not_shown: Expected::NotShown("theirs".to_owned()).verdict(answer),
            not_in_other_home: Expected::NotInOtherHome(proof).verdict(answer),
        }
    }

    #[test]
    fn the_verdict_depends_on_the_answer_and_the_expectation() {
        use Verdict::{AsExpected, FalseDeny, Inconclusive, Reached};
        let inconclusive = Verdicts {
            allowed: Inconclusive,
            already_exists: Inconclusive,
            denied: Inconclusive,
            refused: Inconclusive,
            refused_or_absent: Inconclusive,
            not_shown: Inconclusive,
            not_in_other_home: Inconclusive,
        };
        let success = Verdicts {
            allowed: AsExpected,
            already_exists: Inconclusive,
            denied: Reached,
            refused: Reached,
            refused_or_absent: Reached,
            not_shown: AsExpected,
            not_in_other_home: Inconclusive,
        };
        let success_with_text = Verdicts { not_shown: Reached, ..success };
        let denied = Verdicts {
            allowed: FalseDeny,
            already_exists: Inconclusive,
            denied: AsExpected,
            refused: AsExpected,
            refused_or_absent: AsExpected,
            not_shown: AsExpected,
            not_in_other_home: AsExpected,
        };
        let rejected = Verdicts { denied: Inconclusive, ..denied };
        let passed_policy = Verdicts {
            allowed: Inconclusive,
            already_exists: AsExpected,
            denied: Reached,
            refused: Reached,
            refused_or_absent: AsExpected,
            not_shown: AsExpected,
            not_in_other_home: Reached,
        };
        // A wrong signature shows nothing about a policy.
        let bad_signature = Verdicts {
            refused_or_absent: AsExpected,
            not_shown: AsExpected,
            not_in_other_home: AsExpected,
            ..inconclusive
        };
        for (method, status, body, expected) in [
            ("GET", 200, "", &success),
            ("GET", 200, "theirs", &success_with_text),
            ("GET", 204, "", &success),
            ("GET", 403, "<Code>AccessDenied</Code>", &denied),
            ("GET", 403, "<html>Forbidden</html>", &inconclusive),
            ("GET", 403, "<Code>SignatureDoesNotMatch</Code>", &bad_signature),
            ("GET", 403, "<Code>ExpiredToken</Code>", &inconclusive),
            ("GET", 404, "<Code>NoSuchKey</Code>", &passed_policy),
            ("GET", 404, "<Code>NoSuchBucket</Code>", &inconclusive),
            ("GET", 404, "<html>Not Found</html>", &inconclusive),
            ("GET", 409, "<Code>FileAlreadyExists</Code>", &passed_policy),
            ("GET", 409, "<html>Conflict</html>", &inconclusive),
            ("GET", 400, "", &rejected),
            ("GET", 301, "", &inconclusive),
            ("GET", 503, "<Code>AccessDenied</Code>", &inconclusive),
            ("HEAD", 403, "", &denied),
            ("HEAD", 404, "", &passed_policy),
        ] {
            let answer = Answer::new(method, status, body.to_owned(), Duration::ZERO);
            assert_eq!(verdicts(&answer), *expected, "{method} {status} {body}");
        }
    }
}
