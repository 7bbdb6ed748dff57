//! The latest refusals, with causes that callers are not told: for operators.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;

use crate::identity::Comparison;

/// Refusals kept of each kind, so that many of one kind do not displace the others.
const MAX_PER_KIND: usize = 20;
/// Causes counted of each kind. Some name what a caller sent, so there is no end of them.
const MAX_CAUSES_PER_KIND: usize = 50;

/// The latest refusals of each kind.
#[derive(Debug, Clone, Default)]
pub struct RecentRefusals(Arc<Mutex<BTreeMap<&'static str, Kind>>>);

/// The refusals of one kind.
#[derive(Debug, Default)]
struct Kind {
    /// The latest first.
    latest: VecDeque<RecentRefusal>,
    /// How many there were since the start, by cause and template.
    counts: HashMap<(String, Option<String>), u64>,
}

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
    /// How many refusals with this outcome, cause and template there were since the start, this one included; 0 if they
    /// have more causes than are counted.
    pub count: u64,
}

impl Kind {
    /// Counts a refusal. A cause that is not counted yet takes the place of none that is.
    fn count(&mut self, refused: &RecentRefusal) -> u64 {
        let key = (refused.cause.clone(), refused.template.clone());
        let is_full = self.counts.len() >= MAX_CAUSES_PER_KIND;
        if is_full && !self.counts.contains_key(&key) {
            return 0;
        }
        let count = self.counts.entry(key).or_default();
        *count += 1;
        *count
    }
}

impl RecentRefusals {
    pub(super) fn note(&self, mut refused: RecentRefusal) {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.entry(refused.outcome).or_default();
        refused.count = kind.count(&refused);
        kind.latest.truncate(MAX_PER_KIND - 1);
        kind.latest.push_front(refused);
    }

    /// The refusal of a request, if it is kept.
    pub fn of_request(&self, request_id: &str) -> Option<RecentRefusal> {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.values().flat_map(|kind| &kind.latest).find(|refused| refused.request_id == request_id).cloned()
    }

    /// The kept refusals, the latest first.
    pub fn list(&self) -> Vec<RecentRefusal> {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = kinds.values().flat_map(|kind| &kind.latest).cloned().collect();
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
            count: 0,
        }
    }

    #[test]
    fn many_refusals_of_one_kind_do_not_displace_the_others() {
        let recent = RecentRefusals::default();
        recent.note(refused(0, "not-permitted"));
        (1..=1000).for_each(|second| recent.note(refused(second, "unauthenticated")));
        let list = recent.list();
        assert_eq!(list.len(), MAX_PER_KIND + 1);
        let counted = |second, outcome, count| RecentRefusal { count, ..refused(second, outcome) };
        assert_eq!(list.first(), Some(&counted(1000, "unauthenticated", 1000)), "the latest is first");
        assert_eq!(list.last(), Some(&counted(0, "not-permitted", 1)));
    }

    #[test]
    fn causes_that_callers_make_up_do_not_fill_the_memory() {
        let recent = RecentRefusals::default();
        for second in 0..1000 {
            let cause = format!("no template {}", second.max(900));
            recent.note(RecentRefusal { cause, ..refused(second, "no-such-template") });
        }
        let kinds = recent.0.lock().unwrap();
        assert_eq!(kinds["no-such-template"].counts.len(), MAX_CAUSES_PER_KIND);
        let known = ("no template 900".to_owned(), None);
        assert_eq!(kinds["no-such-template"].counts[&known], 901, "what is counted goes on being counted");
    }
}
