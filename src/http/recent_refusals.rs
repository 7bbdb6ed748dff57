//! The latest refusals, with causes that callers are not told: for operators.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;

use crate::identity::Comparison;

/// Refusals kept of each kind, so that many of one kind do not displace the others.
const MAX_PER_KIND: usize = 20;

/// The latest refusals of each kind.
#[derive(Debug, Clone, Default)]
pub struct RecentRefusals(Arc<Mutex<BTreeMap<&'static str, VecDeque<RecentRefusal>>>>);

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecentRefusal {
    /// When it was answered.
    pub at: Timestamp,
    /// HTTP status of the answer.
    pub status: u16,
    /// The last part of the problem's `type`.
    pub outcome: &'static str,
    /// Cause, in one line.
    pub cause: String,
    /// The answer's `X-Request-Id`.
    pub request_id: String,
    /// Address of the client.
    pub client: Option<IpAddr>,
    /// The verified token's `iss`.
    pub issuer: Option<String>,
    /// The verified token's `sub`.
    pub subject: Option<String>,
    /// The requested template, if it exists.
    pub template: Option<String>,
    /// What an invalid token says, and what the configuration wants.
    pub comparison: Option<Comparison>,
}

impl RecentRefusals {
    pub(super) fn note(&self, refused: RecentRefusal) {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.entry(refused.outcome).or_default();
        kind.truncate(MAX_PER_KIND - 1);
        kind.push_front(refused);
    }

    /// The refusal of a request, if it is kept.
    pub fn of_request(&self, request_id: &str) -> Option<RecentRefusal> {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.values().flatten().find(|refused| refused.request_id == request_id).cloned()
    }

    /// The kept refusals, the latest first.
    pub fn list(&self) -> Vec<RecentRefusal> {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = kinds.values().flatten().cloned().collect();
        all.sort_by_key(|refused| std::cmp::Reverse(refused.at));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(second: i64, outcome: &'static str) -> RecentRefusal {
        RecentRefusal {
            at: Timestamp::from_second(second).unwrap(),
            status: 401,
            outcome,
            cause: "no token".to_owned(),
            request_id: "r".into(),
            client: None,
            issuer: None,
            subject: None,
            template: None,
            comparison: None,
        }
    }

    #[test]
    fn many_refusals_of_one_kind_do_not_displace_the_others() {
        let recent = RecentRefusals::default();
        recent.note(refused(0, "not-permitted"));
        (1..=1000).for_each(|second| recent.note(refused(second, "unauthenticated")));
        let list = recent.list();
        assert_eq!(list.len(), MAX_PER_KIND + 1);
        assert_eq!(list.first(), Some(&refused(1000, "unauthenticated")), "the latest is first");
        assert_eq!(list.last(), Some(&refused(0, "not-permitted")));
    }
}
