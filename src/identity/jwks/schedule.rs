//! When a key set may be fetched again.

use std::time::Duration;

/// The time in which one fetch is allowed on average.
const FETCH_PERIOD: Duration = Duration::from_secs(30);

/// The fetches that may follow each other after a quiet time: one that a forged token caused leaves another for a
/// rotation.
const MAX_FETCH_BURST: u32 = 2;

/// The minimum time between two fetches. Tokens that arrive together share one.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(1);

/// The fetches that were made, on the monotonic clock. Successful or not, each counts: a failing source is read no more
/// often than a good one.
#[derive(Debug, Default)]
pub(super) struct FetchSchedule {
    last: Option<Duration>,
    /// The time at which all fetches so far are one in each period (the theoretical arrival time of GCRA).
    conforming_at: Duration,
}

impl FetchSchedule {
    /// Returns how long no fetch is allowed; zero if one is allowed now.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        let spaced = self.last.map_or(Duration::ZERO, |last| last + MIN_FETCH_INTERVAL);
        let in_budget = self.conforming_at.saturating_sub(FETCH_PERIOD * (MAX_FETCH_BURST - 1));
        spaced.max(in_budget).saturating_sub(now)
    }

    /// Returns whether the last fetch is a whole period ago.
    pub(super) fn is_rested(&self, now: Duration) -> bool {
        self.last.is_none_or(|last| now.saturating_sub(last) >= FETCH_PERIOD)
    }

    /// Counts a fetch that starts now.
    pub(super) fn record(&mut self, now: Duration) {
        self.last = Some(now);
        self.conforming_at = self.conforming_at.max(now) + FETCH_PERIOD;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds at which fetches start, where one is wanted all the time.
    fn fetches(seconds: u64) -> Vec<u64> {
        let mut schedule = FetchSchedule::default();
        let mut at = Vec::new();
        for second in 0..seconds {
            let now = Duration::from_secs(1000 + second);
            if schedule.wait(now).is_zero() {
                schedule.record(now);
                at.push(second);
            }
        }
        at
    }

    #[test]
    fn a_flood_of_unknown_keys_causes_two_fetches_a_minute_and_one_more_at_its_start() {
        assert_eq!(fetches(121), [0, 1, 30, 60, 90, 120]);
    }

    #[test]
    fn a_fetch_leaves_another_for_a_rotation_that_follows_it() {
        let mut schedule = FetchSchedule::default();
        let start = Duration::from_secs(5);
        assert_eq!(schedule.wait(start), Duration::ZERO);
        schedule.record(start);
        assert_eq!(schedule.wait(start), Duration::from_secs(1));
        assert!(!schedule.is_rested(start + Duration::from_secs(29)));
        schedule.record(start + Duration::from_secs(1));
        assert_eq!(schedule.wait(start + Duration::from_secs(2)), Duration::from_secs(28));
        assert!(schedule.wait(start + Duration::from_secs(30)).is_zero());
    }
}
