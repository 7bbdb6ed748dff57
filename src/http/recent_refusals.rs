//! The latest refusals, with causes that callers are not told: for operators.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::BuildHasher,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use foldhash::fast::{FixedState, RandomState};
use jiff::Timestamp;
use serde::Serialize;

use crate::identity::Comparison;
use runtime::clock::time_until;

/// Refusals kept of each kind, so that many of one kind do not displace the others.
const MAX_PER_KIND: usize = 20;
/// Causes counted of each kind. Some name what a caller sent, so there is no end of them.
const MAX_CAUSES_PER_KIND: usize = 50;

/// The time for which a user who got no key counts as failing.
const FAILING_WINDOW: Duration = Duration::from_mins(1);
/// Failing users that are counted; further ones are not.
const MAX_FAILING_USERS: usize = 10_000;

/// The latest refusals of each kind.
#[derive(Debug, Clone, Default)]
pub struct RecentRefusals(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    kinds: BTreeMap<&'static str, Kind>,
    failing: FailingUsers,
}

/// The users who got no key through no fault of theirs.
#[derive(Debug, Default)]
struct FailingUsers {
    /// When each got none the last time, by the hash of issuer and subject.
    latest: HashMap<u64, Timestamp, RandomState>,
    removed_at: Option<Timestamp>,
}

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

impl RecentRefusal {
    /// Whether it is not the caller's fault.
    pub fn is_server_error(&self) -> bool {
        self.status >= 500
    }

    /// Whether it was answered in the last minute.
    pub fn is_recent(&self, now: Timestamp) -> bool {
        is_recent(self.at, now)
    }
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

impl FailingUsers {
    fn add(&mut self, issuer: &str, subject: &str, at: Timestamp) {
        let is_due = self.removed_at.is_none_or(|removed_at| time_until(at, removed_at) >= FAILING_WINDOW);
        if is_due {
            self.latest.retain(|_, latest| is_recent(*latest, at));
            self.removed_at = Some(at);
        }
        let user = FixedState::default().hash_one((issuer, subject));
        if self.latest.len() < MAX_FAILING_USERS || self.latest.contains_key(&user) {
            self.latest.insert(user, at);
        }
    }

    fn count(&self, now: Timestamp) -> usize {
        self.latest.values().filter(|latest| is_recent(**latest, now)).count()
    }
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    time_until(now, at) < FAILING_WINDOW
}

impl RecentRefusals {
    pub(super) fn note(&self, mut refused: RecentRefusal) {
        let State { kinds, failing } = &mut *self.state();
        if refused.is_server_error()
            && let (Some(issuer), Some(subject)) = (&refused.issuer, &refused.subject)
        {
            failing.add(issuer, subject, refused.at);
        }
        let kind = kinds.entry(refused.outcome).or_default();
        refused.count = kind.count(&refused);
        kind.latest.truncate(MAX_PER_KIND - 1);
        kind.latest.push_front(refused);
    }

    /// The refusal of a request, if it is kept.
    pub fn of_request(&self, request_id: &str) -> Option<RecentRefusal> {
        let State { kinds, .. } = &*self.state();
        kinds.values().flat_map(|kind| &kind.latest).find(|refused| refused.request_id == request_id).cloned()
    }

    /// The kept refusals, the latest first.
    pub fn list(&self) -> Vec<RecentRefusal> {
        let mut all: Vec<_> = self.state().kinds.values().flat_map(|kind| &kind.latest).cloned().collect();
        all.sort_by_key(|refused| std::cmp::Reverse(refused.at));
        all
    }

    /// Returns how many users got no key in the last minute through no fault of theirs, up to 10,000. Requests whose user is
    /// not known, because the token could not be verified, are not among them.
    pub fn failing_users(&self, now: Timestamp) -> usize {
        self.state().failing.count(now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let kinds = &recent.state().kinds;
        assert_eq!(kinds["no-such-template"].counts.len(), MAX_CAUSES_PER_KIND);
        let known = ("no template 900".to_owned(), None);
        assert_eq!(kinds["no-such-template"].counts[&known], 901, "what is counted goes on being counted");
    }

    #[test]
    fn a_user_is_failing_for_a_minute_after_each_request_that_got_no_key_through_no_fault_of_theirs() {
        let recent = RecentRefusals::default();
        let of = |second, subject: &str, status| RecentRefusal {
            issuer: Some("i".to_owned()),
            subject: Some(subject.to_owned()),
            status,
            ..refused(second, "credentials-unavailable")
        };
        for refusal in [of(0, "alice", 503), of(1, "alice", 503), of(30, "bob", 500), of(31, "carol", 403)] {
            recent.note(refusal);
        }
        recent.note(RecentRefusal { status: 503, ..refused(31, "identity-unavailable") });
        let failing = |second| recent.failing_users(Timestamp::from_second(second).unwrap());
        assert_eq!([31, 60, 61, 90].map(failing), [2, 2, 1, 0]);
    }

    #[test]
    fn the_failing_users_that_are_counted_are_bounded_and_make_room_for_later_ones() {
        let recent = RecentRefusals::default();
        let fail = |second, user: usize| {
            recent.note(RecentRefusal {
                status: 503,
                issuer: Some("i".to_owned()),
                subject: Some(user.to_string()),
                ..refused(second, "credentials-unavailable")
            });
        };
        (0..MAX_FAILING_USERS + 5).for_each(|user| fail(0, user));
        let failing = |second| recent.failing_users(Timestamp::from_second(second).unwrap());
        assert_eq!(failing(1), MAX_FAILING_USERS);
        fail(60, MAX_FAILING_USERS + 9);
        assert_eq!((failing(60), recent.state().failing.latest.len()), (1, 1));
    }
}
