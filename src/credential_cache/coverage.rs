//! Stale coverage: how long the cache could serve the active users if STS failed now.
//!
//! Users are tracked beside the cached credentials. To iterate over 36,000 of those took 80 ms of a scrape;
//! this takes less than one.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use runtime::clock::time_until;
use templates::fingerprint::Fingerprint;

/// An outage counts as felt once one active user in this many has no credential.
const TOLERATED_ONE_IN: usize = 10;
/// Users tracked: some 16 MiB. With more, the first so many stand for all.
const MAX_TRACKED_USERS: usize = 200_000;
/// Pause between two searches of a full table for users that left.
const FULL_TABLE_SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// How many users are active, and for how long the cache alone could serve them.
///
/// A user is active who has a servable credential, or was refused one less than a credential's lifetime ago, or
/// whose credential was evicted and has not expired. A user who stops sending requests leaves with their
/// credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaleCoverage {
    /// Users who hold a credential or want one.
    pub active_users: usize,
    /// Active users whom the cache can serve.
    pub covered: usize,
    /// How long nine in ten of the active users can be served; none without active users.
    pub duration: Option<Duration>,
}

impl StaleCoverage {
    /// Coverage, from how long each active user can still be served; zero for those who cannot.
    fn of(mut servable: Vec<Duration>) -> Self {
        let active_users = servable.len();
        let covered = servable.iter().filter(|duration| !duration.is_zero()).count();
        // A tenth may end before: the first end after those is felt.
        let first_felt = active_users / TOLERATED_ONE_IN;
        let duration = (first_felt < active_users).then(|| *servable.select_nth_unstable(first_felt).1);
        Self { active_users, covered, duration }
    }

    /// Share of the active users whom the cache can serve; NaN without active users.
    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^52 users")]
    pub fn covered_ratio(&self) -> f64 {
        self.covered as f64 / self.active_users as f64
    }
}

/// The active users, by the fingerprint of their principal.
#[derive(Debug, Default)]
pub(super) struct Users(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    users: HashMap<Fingerprint, UserCoverage>,
    next_sweep: Timestamp,
}

/// Whether the cache can serve a user.
#[derive(Debug, Clone, Copy)]
enum UserCoverage {
    /// It can until then.
    Until(Timestamp),
    /// It cannot; the user counts as active until then.
    Uncovered(Timestamp),
}

impl UserCoverage {
    fn active_until(self) -> Timestamp {
        match self {
            Self::Until(end) | Self::Uncovered(end) => end,
        }
    }

    fn servable(self, now: Timestamp) -> Duration {
        match self {
            Self::Until(end) => time_until(end, now),
            Self::Uncovered(_) => Duration::ZERO,
        }
    }
}

impl Users {
    /// Records a new credential that can be served until then.
    pub(super) fn record_covered(&self, principal: Fingerprint, until: Timestamp, now: Timestamp) {
        let mut table = self.table();
        let until = match table.users.get(&principal) {
            Some(UserCoverage::Until(before)) => until.max(*before),
            Some(UserCoverage::Uncovered(_)) | None => until,
        };
        table.set(principal, UserCoverage::Until(until), now);
    }

    /// Records that a user got no credential, or that one was evicted. Whatever other credentials they hold, the
    /// user counts as uncovered until then, or until they get one.
    pub(super) fn record_uncovered(&self, principal: Fingerprint, until: Timestamp, now: Timestamp) {
        self.table().set(principal, UserCoverage::Uncovered(until), now);
    }

    /// Coverage of all tracked users. Iterates over them: for scrapes, not for requests.
    pub(super) fn stale_coverage(&self, now: Timestamp) -> StaleCoverage {
        let mut table = self.table();
        table.remove_inactive(now);
        let servable = table.users.values().map(|user| user.servable(now)).collect();
        drop(table);
        StaleCoverage::of(servable)
    }

    /// A poisoned lock is usable: the table is consistent after each call.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn set(&mut self, principal: Fingerprint, coverage: UserCoverage, now: Timestamp) {
        if self.users.len() >= MAX_TRACKED_USERS {
            // Not at every request, which would each pay for the whole table.
            if now >= self.next_sweep {
                self.remove_inactive(now);
                self.next_sweep = now.checked_add(FULL_TABLE_SWEEP_INTERVAL).unwrap_or(now);
            }
            if self.users.len() >= MAX_TRACKED_USERS && !self.users.contains_key(&principal) {
                return;
            }
        }
        self.users.insert(principal, coverage);
    }

    fn remove_inactive(&mut self, now: Timestamp) {
        self.users.retain(|_, user| user.active_until() > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(minutes: &[u64]) -> (usize, usize, Option<u64>) {
        let coverage =
            StaleCoverage::of(minutes.iter().map(|minutes| Duration::from_mins(*minutes)).collect());
        (coverage.active_users, coverage.covered, coverage.duration.map(|duration| duration.as_secs() / 60))
    }

    #[test]
    fn coverage_lasts_until_less_than_nine_in_ten_users_can_be_served() {
        for (minutes, expected) in [
            (&[][..], (0, 0, None)),
            (&[7], (1, 1, Some(7))),
            (&[7, 30, 30, 30, 30, 30, 30, 30, 30], (9, 9, Some(7))),
            (&[7, 30, 30, 30, 30, 30, 30, 30, 30, 9], (10, 10, Some(9))),
            (&[0, 30, 30, 30, 30, 30, 30, 30, 30, 9], (10, 9, Some(9))),
            (&[0, 30, 30, 30, 30, 30, 30, 30, 30, 0], (10, 8, Some(0))),
        ] {
            assert_eq!(of(minutes), expected, "{minutes:?}");
        }
    }

    #[test]
    fn without_active_users_there_is_no_ratio() {
        assert!(StaleCoverage::of(Vec::new()).covered_ratio().is_nan());
        let half = StaleCoverage::of(vec![Duration::ZERO, Duration::from_secs(1)]);
        assert!((half.covered_ratio() - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn the_table_is_bounded_and_inactive_users_are_removed() {
        let users = Users::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let principal = |number: usize| Fingerprint::of(&[number.to_string()]);
        for number in 0..=MAX_TRACKED_USERS {
            users.record_covered(principal(number), at(100), at(0));
        }
        assert_eq!(users.stale_coverage(at(0)).active_users, MAX_TRACKED_USERS);
        users.record_covered(principal(MAX_TRACKED_USERS + 1), at(300), at(120));
        assert_eq!(users.stale_coverage(at(120)).active_users, 1);
    }
}
