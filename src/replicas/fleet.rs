//! The fleet as one replica knows it: who told what of itself, when that was, and who serves older templates.
//!
//! Knows neither Redis nor encryption. What comes from Redis may be old, so that only what changes is a sign of life.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// After this time without a sign of life a replica counts as absent.
pub(super) const ABSENT_AFTER: Duration = Duration::from_secs(5);
/// After this time without a sign of life a replica is gone, and what it told is removed.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(30);
/// How long it is remembered what a replica told last: the same, played back, is no sign of life.
const REMEMBERED_FOR: Duration = Duration::from_hours(1);

/// A replica as it shows itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    /// A random name for the life of its process.
    pub id: String,
    /// The version of the program.
    pub version: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// Its state when it told of itself.
    #[serde(flatten)]
    pub state: ReplicaState,
}

/// The state of a replica at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicaState {
    /// The name of its machine, and the port of its public listener.
    pub name: String,
    /// The version of its templates.
    pub templates: String,
    /// Whether a user without a cached credential could be served.
    pub ready: bool,
    /// The share of hits in the last minute; none without requests.
    pub hit_rate: Option<f64>,
    /// Credentials that it issued and that have not expired.
    pub active_keys: u64,
    /// Calls to STS a second in the last minute; none right after the start.
    pub sts_calls_per_second: Option<f64>,
    /// Calls to STS a second that may be made now.
    pub sts_calls_allowed: u32,
    /// Whether that is for all replicas together; if not, for this one alone.
    pub quota_shared: bool,
    /// The state of the circuit to STS: `closed`, `open` or `half_open`.
    pub breaker: String,
    /// The severity of its most severe alarm: `critical` or `warning`; none without alarms.
    pub alarm: Option<String>,
}

/// What a replica tells at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Told {
    /// How often it has told of itself since its start.
    pub(super) beat: u64,
    /// Whether it stops, and tells no more.
    pub(super) has_left: bool,
    #[serde(flatten)]
    pub(super) replica: Replica,
}

/// A replica as another one sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// What it told last.
    pub replica: Replica,
    /// Whether it is the one that looks.
    pub is_this: bool,
    /// The time since its last sign of life.
    pub unheard_for: Duration,
    /// Whether another one that is present serves a later version of the templates.
    pub is_outdated: bool,
}

impl Member {
    /// Whether there was a sign of life lately.
    pub fn is_present(&self) -> bool {
        self.unheard_for < ABSENT_AFTER
    }
}

/// What replicas told last, by their ids.
#[derive(Debug, Default)]
pub(super) struct Members(HashMap<String, Known>);

/// What one replica told last. Times are on the monotonic clock.
#[derive(Debug)]
struct Known {
    told: Told,
    told_at: Duration,
    /// Whether it has told something new since it was first looked at. What was there before may be left behind.
    is_alive: bool,
}

impl Members {
    /// Takes over what a replica tells, if it is new. `is_this` says that it is the one that looks.
    pub(super) fn take(&mut self, told: Told, is_this: bool, now: Duration) {
        match self.0.get_mut(&told.replica.id) {
            Some(known) if told.beat > known.told.beat => {
                *known = Known { told, told_at: now, is_alive: true };
            }
            Some(_) => {}
            None => {
                let id = told.replica.id.clone();
                self.0.insert(id, Known { told, told_at: now, is_alive: is_this });
            }
        }
        self.0.retain(|_, known| now.saturating_sub(known.told_at) < REMEMBERED_FOR);
    }

    /// Returns those that have not left and are not gone, the first that started first. `versions` are those of the templates, the latest
    /// last.
    pub(super) fn list(&self, own_id: &str, versions: &[Vec<u8>], now: Duration) -> Vec<Member> {
        let age = |templates: &str| versions.iter().position(|version| version == templates.as_bytes());
        let mut members: Vec<Member> = self
            .0
            .values()
            .filter(|known| known.is_alive && !known.told.has_left)
            .map(|known| Member {
                replica: known.told.replica.clone(),
                is_this: known.told.replica.id == own_id,
                unheard_for: now.saturating_sub(known.told_at),
                is_outdated: false,
            })
            .filter(|member| member.unheard_for < GONE_AFTER)
            .collect();
        let present = members.iter().filter(|member| member.is_present());
        let latest = present.filter_map(|member| age(&member.replica.state.templates)).max();
        for member in &mut members {
            member.is_outdated = age(&member.replica.state.templates) < latest;
        }
        members.sort_by(|a, b| order(a).cmp(&order(b)));
        members
    }
}

fn order(member: &Member) -> (Timestamp, &str) {
    (member.replica.started_at, &member.replica.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(id: &str, templates: &str, beat: u64) -> Told {
        let state = ReplicaState {
            name: format!("{id}.internal:5000"),
            templates: templates.to_owned(),
            ready: true,
            hit_rate: Some(0.5),
            active_keys: 7,
            sts_calls_per_second: None,
            sts_calls_allowed: 600,
            quota_shared: true,
            breaker: "closed".to_owned(),
            alarm: None,
        };
        let started_at = Timestamp::from_second(0).unwrap();
        let replica = Replica { id: id.to_owned(), version: "1.0.0".to_owned(), started_at, state };
        Told { beat, has_left: false, replica }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The ids of those shown, with the seconds since their last sign of life.
    fn shown(members: &Members, now: u64) -> Vec<(String, u64)> {
        let listed = members.list("a", &[], seconds(now));
        listed.into_iter().map(|member| (member.replica.id, member.unheard_for.as_secs())).collect()
    }

    #[test]
    fn a_replica_that_falls_silent_is_shown_for_half_a_minute_and_then_gone() {
        let mut members = Members::default();
        members.take(told("b", "v1", 1), false, seconds(0));
        members.take(told("b", "v1", 2), false, seconds(1));
        for second in 1..60 {
            members.take(told("a", "v1", second), true, seconds(second));
            members.take(told("b", "v1", 2), false, seconds(second));
        }
        assert_eq!(shown(&members, 6), [("a".to_owned(), 0), ("b".to_owned(), 5)]);
        assert_eq!(shown(&members, 30).len(), 2);
        assert_eq!(shown(&members, 31), [("a".to_owned(), 0)]);
        let member = &members.list("a", &[], seconds(6))[1];
        assert!(!member.is_present() && !member.is_this);
    }

    #[test]
    fn a_replica_that_stops_is_gone_at_once() {
        let mut members = Members::default();
        members.take(told("b", "v1", 1), false, seconds(0));
        members.take(told("b", "v1", 2), false, seconds(1));
        assert_eq!(shown(&members, 1).len(), 1);
        members.take(Told { has_left: true, ..told("b", "v1", 3) }, false, seconds(2));
        members.take(told("b", "v1", 2), false, seconds(3));
        assert_eq!(shown(&members, 3), [], "what it told before does not bring it back");
    }

    #[test]
    fn what_was_left_behind_or_is_played_back_is_no_sign_of_life() {
        let mut members = Members::default();
        for second in 0..10 {
            members.take(told("left behind", "v1", 9), false, seconds(second));
        }
        assert_eq!(shown(&members, 10), []);
        members.take(told("b", "v1", 4), false, seconds(10));
        members.take(told("b", "v1", 5), false, seconds(11));
        for second in 12..120 {
            members.take(told("b", "v1", second % 6), false, seconds(second));
        }
        assert_eq!(shown(&members, 13), [("b".to_owned(), 2)]);
        assert_eq!(shown(&members, 120), []);
    }

    #[test]
    fn who_serves_an_older_version_than_one_that_is_present_is_outdated() {
        let mut members = Members::default();
        for (id, templates) in [("a", "v1"), ("b", "v2"), ("c", "unknown")] {
            members.take(told(id, templates, 1), false, seconds(0));
            members.take(told(id, templates, 2), false, seconds(1));
        }
        let versions = ["v1", "v2"].map(|version| version.as_bytes().to_vec());
        let outdated = |members: &Members, now| -> Vec<bool> {
            let listed = members.list("a", &versions, seconds(now));
            listed.iter().map(|member| member.is_outdated).collect()
        };
        assert_eq!(outdated(&members, 1), [true, false, true]);
        members.take(told("a", "v1", 3), true, seconds(7));
        assert_eq!(outdated(&members, 7), [false, false, true], "the later version is there no more");
    }

    #[test]
    fn what_a_replica_tells_is_read_as_it_was_written_and_other_versions_may_tell_more() {
        let mut text = serde_json::to_value(told("a", "v1", 3)).unwrap();
        text["later"] = "member".into();
        let read: Told = serde_json::from_value(text).unwrap();
        assert_eq!((read.beat, read.replica), (3, told("a", "v1", 3).replica));
    }
}
