//! Time as an argument, so that a test can move it.
//!
//! Wall time is for times that others state, such as a token's `exp`. Monotonic time is for durations. Neither
//! is ever derived from the other.

#[cfg(any(test, feature = "test-util"))]
use std::sync::Arc;
use std::{fmt::Debug, time::Duration};

#[cfg(any(test, feature = "test-util"))]
use jiff::SignedDuration;
use jiff::Timestamp;

/// A source of wall time and monotonic time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Returns the wall time in UTC.
    fn now(&self) -> Timestamp;

    /// Returns the time since a fixed start; it never goes back.
    fn monotonic(&self) -> Duration;
}

/// Returns the time from `now` until `then`, or zero if `then` has passed.
pub fn time_until(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// The clocks of the machine.
#[derive(Debug)]
pub struct SystemClock {
    start: tokio::time::Instant,
}

impl SystemClock {
    /// Returns a clock whose monotonic time starts at zero now.
    pub fn start() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock for tests. Both times follow tokio's clock, which `start_paused` stops and `tokio::time::advance`
/// moves.
#[cfg(any(test, feature = "test-util"))]
#[derive(Debug)]
pub struct TestClock {
    start: tokio::time::Instant,
    epoch: Timestamp,
}

#[cfg(any(test, feature = "test-util"))]
impl TestClock {
    /// Returns a clock that starts at a Unix time.
    pub fn at(unix_seconds: i64) -> Arc<Self> {
        Arc::new(Self {
            start: tokio::time::Instant::now(),
            epoch: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(unix_seconds),
        })
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.epoch + self.start.elapsed()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_test_clock_moves_both_times_together() {
        let clock = TestClock::at(1_800_000_000);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!((clock.now().as_second(), clock.monotonic().as_secs()), (1_800_000_090, 90));
    }

    #[test]
    fn the_time_until_a_past_moment_is_zero() {
        let (past, future) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        assert_eq!(time_until(past, future), Duration::ZERO);
        assert_eq!(time_until(Timestamp::from_second(60).unwrap(), past), Duration::from_mins(1));
    }
}
