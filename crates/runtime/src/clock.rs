//! Time, as the rest of the house sees it: handed in, so that a test can move it.
//!
//! Wall time is for what others tell us (a key's `expiredTime`, a token's `exp`); monotonic time is
//! for how long things take. Neither is ever derived from the other.

use std::{fmt::Debug, sync::Arc, time::Duration};

use governor::{Quota, nanos::Nanos};
use jiff::Timestamp;

use diagnostics::Rate;

/// A source of both kinds of time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The wall clock, UTC.
    fn now(&self) -> Timestamp;

    /// Time since some fixed start; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: tokio::time::Instant,
}

impl SystemClock {
    /// Starts counting monotonic time.
    pub fn start() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Our monotonic clock as governor reads it, so that moving ours moves its quotas.
#[derive(Debug, Clone)]
pub struct QuotaClock(pub Arc<dyn Clock>);

impl governor::clock::Clock for QuotaClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.monotonic())
    }
}

/// A rate as governor reads it; none where there is no bound.
pub fn quota(rate: Rate) -> Option<Quota> {
    match rate {
        Rate::Off => None,
        Rate::Per { count, period } => {
            Quota::with_period(period / count.get()).map(|quota| quota.allow_burst(count))
        }
    }
}

/// Seconds from `now` until `then`; zero when `then` has passed.
pub fn until(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// A clock a test moves: wall and monotonic time follow tokio's, which `start_paused` stops and
/// `tokio::time::advance` moves.
#[cfg(any(test, feature = "test-util"))]
#[derive(Debug)]
pub struct TestClock {
    start: tokio::time::Instant,
    epoch: Timestamp,
}

#[cfg(any(test, feature = "test-util"))]
impl TestClock {
    /// A clock that shows this Unix time at first.
    pub fn at(epoch: i64) -> Arc<Self> {
        Arc::new(Self {
            start: tokio::time::Instant::now(),
            epoch: Timestamp::from_second(epoch).expect("a time in range"),
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
