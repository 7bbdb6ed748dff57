//! One thing that is tried, what it must come to, and whether it did. Pure.

use std::fmt;

use super::request::{Answer, Request};

/// One thing that is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trial {
    /// In words.
    pub(super) name: String,
    /// Who signs; nobody, if the request goes out unsigned.
    pub(super) by: Option<Side>,
    /// What is sent.
    pub(super) request: Request,
    /// What must come of it.
    pub(super) expected: Expected,
}

/// Which of the two made-up users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Whose name the other's begins with.
    Short,
    /// The other.
    Long,
}

impl Side {
    /// The other one.
    #[must_use]
    pub(super) fn other(self) -> Self {
        match self {
            Self::Short => Self::Long,
            Self::Long => Self::Short,
        }
    }
}

/// What must come of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// It succeeds: one's own.
    Allowed,
    /// It fails because the object is there: one's own, again.
    Exists,
    /// The key's policy refuses it: the other's.
    Denied,
    /// It is refused, for whatever reason: what no key is good for.
    Refused,
    /// It is refused, or finds nothing: only the other has such an object.
    Absent,
    /// It is refused, or what comes back does not hold this.
    NotShown(String),
    /// It is refused, or what was written does not lie where the other then writes with this request, which
    /// fails if anything is there.
    NotThere(Box<Request>),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "success",
            Self::Exists => "409, it exists",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Absent => "refused, or not found",
            Self::NotShown(_) => "refused, or not shown",
            Self::NotThere(_) => "refused, or not in the other's folder",
        })
    }
}

/// What a trial shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it must be.
    Good,
    /// The other's objects were reached.
    Reached,
    /// One's own were refused.
    Withheld,
    /// Neither, such as a failure of COS: it says nothing on isolation.
    Unclear,
}

/// How far a request came.
enum Came {
    Through,
    /// Through the policy, then nothing was there, or something was.
    ThroughInVain,
    Denied,
    /// Nobody looked at the policy: the signature does not hold for what COS takes the request for.
    Unsigned,
    /// COS takes no such request.
    Rejected,
    Nowhere,
}

fn came(answer: &Answer) -> Came {
    // Without a code of COS's it was something on the way that spoke, such as a gateway.
    let tells = |codes: &[&str]| answer.is_of_head || codes.contains(&answer.code.as_str());
    match answer.status {
        200..=299 => Came::Through,
        // The policy is asked before the object is looked for.
        404 if tells(&["NoSuchKey", "NoSuchUpload", "NoSuchVersion"]) => Came::ThroughInVain,
        409 | 412 | 416 if answer.is_of_head || !answer.code.is_empty() => Came::ThroughInVain,
        403 if tells(&["AccessDenied"]) => Came::Denied,
        403 if answer.code == "SignatureDoesNotMatch" => Came::Unsigned,
        400 | 405 | 411 | 501 => Came::Rejected,
        _ => Came::Nowhere,
    }
}

impl Expected {
    /// What an answer shows. Of [`Expected::NotThere`], a success shows nothing yet.
    pub(super) fn judge(&self, answer: &Answer) -> Verdict {
        use Verdict::{Good, Reached, Unclear, Withheld};
        match came(answer) {
            Came::Through => match self {
                Self::Allowed => Good,
                Self::NotShown(text) if !answer.body.contains(text) => Good,
                Self::Denied | Self::Refused | Self::Absent | Self::NotShown(_) => Reached,
                Self::Exists | Self::NotThere(_) => Unclear,
            },
            Came::ThroughInVain => match self {
                Self::Exists | Self::Absent | Self::NotShown(_) => Good,
                Self::Denied | Self::Refused | Self::NotThere(_) => Reached,
                Self::Allowed => Unclear,
            },
            Came::Denied | Came::Rejected if *self == Self::Allowed => Withheld,
            Came::Denied if *self != Self::Exists => Good,
            Came::Rejected if !matches!(self, Self::Exists | Self::Denied) => Good,
            Came::Unsigned if matches!(self, Self::Absent | Self::NotShown(_) | Self::NotThere(_)) => Good,
            Came::Denied | Came::Rejected | Came::Unsigned | Came::Nowhere => Unclear,
        }
    }

    /// What the answer shows to the other's own write, where it should find nothing.
    pub(super) fn judge_proof(answer: &Answer) -> Verdict {
        match came(answer) {
            Came::Through => Verdict::Good,
            Came::ThroughInVain => Verdict::Reached,
            Came::Denied | Came::Unsigned | Came::Rejected | Came::Nowhere => Verdict::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_an_answer_shows_depends_on_what_was_tried() {
        use Expected::{Absent, Allowed, Denied, Exists, NotShown, NotThere, Refused};
        use Verdict::{Good, Reached, Unclear, Withheld};
        let not_shown = || NotShown("theirs".to_owned());
        let not_there = || NotThere(Box::new(Request::of("PUT", "k")));
        let denied = [Withheld, Unclear, Good, Good, Good, Good, Good];
        let in_vain = [Unclear, Good, Reached, Reached, Good, Good, Reached];
        for (status, body, told) in [
            (200, "", [Good, Unclear, Reached, Reached, Reached, Good, Unclear]),
            (200, "theirs", [Good, Unclear, Reached, Reached, Reached, Reached, Unclear]),
            (204, "", [Good, Unclear, Reached, Reached, Reached, Good, Unclear]),
            (403, "<Code>AccessDenied</Code>", denied),
            (403, "<html>Forbidden</html>", [Unclear; 7]),
            // A wrong signature says nothing about a policy.
            (
                403,
                "<Code>SignatureDoesNotMatch</Code>",
                [Unclear, Unclear, Unclear, Unclear, Good, Good, Good],
            ),
            (403, "<Code>ExpiredToken</Code>", [Unclear; 7]),
            (404, "<Code>NoSuchKey</Code>", in_vain),
            (404, "<Code>NoSuchBucket</Code>", [Unclear; 7]),
            (404, "<html>Not Found</html>", [Unclear; 7]),
            (409, "<Code>FileAlreadyExists</Code>", in_vain),
            (409, "<html>Conflict</html>", [Unclear; 7]),
            (400, "", [Withheld, Unclear, Unclear, Good, Good, Good, Good]),
            (301, "", [Unclear; 7]),
            (503, "<Code>AccessDenied</Code>", [Unclear; 7]),
        ] {
            let answer = Answer::new("GET", status, body.to_owned(), Duration::ZERO);
            let tried = [Allowed, Exists, Denied, Refused, Absent, not_shown(), not_there()];
            assert_eq!(tried.map(|one| one.judge(&answer)), told, "{status} {body}");
        }
        for (status, told) in [(403, denied), (404, in_vain)] {
            let answer = Answer::new("HEAD", status, String::new(), Duration::ZERO);
            let tried = [Allowed, Exists, Denied, Refused, Absent, not_shown(), not_there()];
            assert_eq!(tried.map(|one| one.judge(&answer)), told, "HEAD {status}");
        }
    }
}
