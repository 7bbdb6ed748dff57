//! The last refusals, with what the asker may not have been told: for operators.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;

/// Refusals kept of each kind: a flood of one does not wash away the others.
const EACH: usize = 20;

/// The last of each kind.
#[derive(Debug, Clone, Default)]
pub struct RecentRefusals(Arc<Mutex<BTreeMap<&'static str, VecDeque<Refused>>>>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// When.
    pub at: Timestamp,
    /// The answer's status.
    pub status: u16,
    /// The last part of the problem's `type`.
    pub outcome: &'static str,
    /// Why, in one line.
    pub cause: String,
    /// The answer's `X-Request-Id`.
    pub request_id: String,
    /// Who sent it.
    pub client: Option<IpAddr>,
    /// The verified token's `iss`.
    pub issuer: Option<String>,
    /// The verified token's `sub`.
    pub subject: Option<String>,
    /// The template asked for, if there is one of that name.
    pub template: Option<String>,
}

impl RecentRefusals {
    pub(super) fn note(&self, refused: Refused) {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.entry(refused.outcome).or_default();
        kind.truncate(EACH - 1);
        kind.push_front(refused);
    }

    /// All that are kept, the latest first.
    pub fn list(&self) -> Vec<Refused> {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = kinds.values().flatten().cloned().collect();
        all.sort_by_key(|refused| std::cmp::Reverse(refused.at));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(second: i64, outcome: &'static str) -> Refused {
        Refused {
            at: Timestamp::from_second(second).unwrap(),
            status: 401,
            outcome,
            cause: "no token".to_owned(),
            request_id: "r".into(),
            client: None,
            issuer: None,
            subject: None,
            template: None,
        }
    }

    #[test]
    fn a_flood_of_one_kind_leaves_the_others_to_be_seen() {
        let recent = RecentRefusals::default();
        recent.note(refused(0, "not-permitted"));
        (1..=1000).for_each(|second| recent.note(refused(second, "unauthenticated")));
        let list = recent.list();
        assert_eq!(list.len(), EACH + 1);
        assert_eq!(list.first(), Some(&refused(1000, "unauthenticated")), "the latest is first");
        assert_eq!(list.last(), Some(&refused(0, "not-permitted")));
    }
}
