//! Stale coverage: how long the cache could serve the active users if STS failed now.
//!
//! Users are tracked beside the cached credentials, and counted by the second in which they can no longer be served: a
//! scrape looks at the seconds of a credential's lifetime, however many users there are.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use runtime::clock::time_until;
use templates::fingerprint::Fingerprint;

/// An outage counts as felt once one active user in this many has no credential.
const TOLERATED_ONE_IN: usize = 10;
/// Users tracked: some 6 MiB. With more, the first so many stand for all.
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
    /// Coverage, from how many active users cannot be served, and how many still can for how long, the shortest first.
    fn of(uncovered: usize, servable: &[(Duration, usize)]) -> Self {
        let covered = servable.iter().map(|(_, users)| users).sum();
        let active_users = uncovered + covered;
        // A tenth may end before: the first end after those is felt.
        let first_felt = active_users / TOLERATED_ONE_IN;
        let mut ended = 0;
        let mut ends = [(Duration::ZERO, uncovered)].into_iter().chain(servable.iter().copied());
        let felt = ends.find(|(_, users)| {
            ended += users;
            ended > first_felt
        });
        Self { active_users, covered, duration: felt.map(|(duration, _)| duration) }
    }

    /// Share of the active users whom the cache can serve; NaN without active users.
    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^52 users")]
    pub fn covered_ratio(&self) -> f64 {
        self.covered as f64 / self.active_users as f64
    }
}

/// The active users.
#[derive(Debug, Default)]
pub(super) struct Users(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// By the first bits of their fingerprint: should two users have the same, they count as one.
    users: HashMap<u64, UserCoverage>,
    /// Number of active users by the second from which on they are no longer active.
    ends: BTreeMap<i64, Ending>,
    next_sweep: Timestamp,
}

/// Whether the cache can serve a user, and the second from which on they are no longer active.
#[derive(Debug, Clone, Copy)]
struct UserCoverage {
    is_covered: bool,
    end: i64,
}

/// How many users are no longer active from a second on.
#[derive(Debug, Clone, Copy, Default)]
struct Ending {
    covered: usize,
    uncovered: usize,
}

impl Ending {
    fn users(&mut self, is_covered: bool) -> &mut usize {
        if is_covered { &mut self.covered } else { &mut self.uncovered }
    }
}

impl Users {
    /// Records a new credential that can be served until then.
    pub(super) fn record_covered(&self, principal: Fingerprint, until: Timestamp, now: Timestamp) {
        let mut table = self.table();
        let before = table.users.get(&principal.first_bits()).filter(|before| before.is_covered);
        let end = until.as_second().max(before.map_or(i64::MIN, |before| before.end));
        table.set(principal.first_bits(), UserCoverage { is_covered: true, end }, now);
    }

    /// Records that a user got no credential, or that one was evicted. Whatever other credentials they hold, the
    /// user counts as uncovered until then, or until they get one.
    pub(super) fn record_uncovered(&self, principal: Fingerprint, until: Timestamp, now: Timestamp) {
        let coverage = UserCoverage { is_covered: false, end: until.as_second() };
        self.table().set(principal.first_bits(), coverage, now);
    }

    /// Coverage of all tracked users.
    pub(super) fn stale_coverage(&self, now: Timestamp) -> StaleCoverage {
        self.table().coverage(now)
    }

    /// A poisoned lock is usable: the table is consistent after each call.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn set(&mut self, principal: u64, coverage: UserCoverage, now: Timestamp) {
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
        if let Some(before) = self.users.insert(principal, coverage)
            && let Some(ending) = self.ends.get_mut(&before.end)
        {
            let users = ending.users(before.is_covered);
            *users = users.saturating_sub(1);
        }
        *self.ends.entry(coverage.end).or_default().users(coverage.is_covered) += 1;
    }

    fn coverage(&mut self, now: Timestamp) -> StaleCoverage {
        self.ends = self.ends.split_off(&(now.as_second() + 1));
        let uncovered = self.ends.values().map(|ending| ending.uncovered).sum();
        let servable: Vec<_> = self
            .ends
            .iter()
            .filter_map(|(end, ending)| {
                Some((time_until(Timestamp::from_second(*end).ok()?, now), ending.covered))
            })
            .collect();
        let coverage = StaleCoverage::of(uncovered, &servable);
        // Not at every scrape, which would each pay for the whole table.
        if self.users.len() / 2 > coverage.active_users {
            self.remove_inactive(now);
        }
        coverage
    }

    fn remove_inactive(&mut self, now: Timestamp) {
        self.users.retain(|_, user| user.end > now.as_second());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(minutes: &[u64]) -> (usize, usize, Option<u64>) {
        let mut minutes = minutes.to_vec();
        minutes.sort_unstable();
        let uncovered = minutes.iter().filter(|minutes| **minutes == 0).count();
        let servable = minutes.iter().filter(|minutes| **minutes > 0);
        let servable: Vec<_> = servable.map(|minutes| (Duration::from_mins(*minutes), 1)).collect();
        let coverage = StaleCoverage::of(uncovered, &servable);
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
        assert!(StaleCoverage::of(0, &[]).covered_ratio().is_nan());
        let half = StaleCoverage::of(1, &[(Duration::from_secs(1), 1)]);
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
