//! Adapters for the rate limiter `governor`.

use std::sync::Arc;

use diagnostics::Rate;
use governor::{Quota, nanos::Nanos};

use crate::clock::Clock;

/// A [`Clock`] that a rate limiter reads, so that tests can move its time.
#[derive(Debug, Clone)]
pub struct QuotaClock(pub Arc<dyn Clock>);

impl governor::clock::Clock for QuotaClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.monotonic())
    }
}

/// Returns the quota of a rate limiter, or `None` if the rate is [`Rate::Off`].
pub fn quota(rate: Rate) -> Option<Quota> {
    match rate {
        Rate::Off => None,
        Rate::Per { count, period } => {
            Quota::with_period(period / count.get()).map(|quota| quota.allow_burst(count))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::RateLimiter;

    use super::*;
    use crate::clock::TestClock;

    #[tokio::test(start_paused = true)]
    async fn a_rate_allows_its_count_at_once_and_as_many_again_in_a_period() {
        let quota = quota("2/minute".parse().unwrap()).unwrap();
        let limiter = RateLimiter::direct_with_clock(quota, QuotaClock(TestClock::at(0)));
        assert!(limiter.check().is_ok() && limiter.check().is_ok() && limiter.check().is_err());
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(limiter.check().is_ok() && limiter.check().is_err());
    }

    #[test]
    fn a_rate_that_is_off_has_no_quota() {
        assert!(quota(Rate::Off).is_none());
    }
}
