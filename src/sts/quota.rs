//! The share of the account's quota this process may use: never above it in any second, first come first
//! served for users who wait, background work only when nobody does.

use std::{
    collections::VecDeque,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota as Cells, RateLimiter, clock::Reference, middleware::NoOpMiddleware, nanos::Nanos, state,
};

use super::{StsError, Urgency};
use runtime::{clock::Clock, rate_limit::QuotaClock};

/// The smallest share of the quota that throttling slows us to is one part in 2^this.
const SLOWEST: u32 = 4;
/// Without throttling for this long, the rate doubles back.
const RECOVERY: Duration = Duration::from_secs(5);
/// One burst of throttled answers halves the rate once.
const SLOWDOWN_PAUSE: Duration = Duration::from_secs(1);

type Limiter = RateLimiter<state::NotKeyed, state::InMemoryState, QuotaClock, NoOpMiddleware<Nanos>>;

/// The quota of one process.
#[derive(Debug)]
pub(super) struct Quota {
    per_second: NonZeroU32,
    clock: Arc<dyn Clock>,
    pace: Mutex<Pace>,
    turn: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
}

/// The quota at one moment, in calls a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaStatus {
    /// What the configuration allows.
    pub limit: u32,
    /// The present rate: less than the limit for a while after STS throttled.
    pub allowed: u32,
    /// Let through in the last second.
    pub used: u32,
    /// Asks that wait for their turn.
    pub waiting: usize,
}

impl QuotaStatus {
    /// Calls that may still be made in the present second.
    pub fn available(&self) -> u32 {
        self.allowed.saturating_sub(self.used)
    }
}

/// The present rate, and the calls of the last second.
#[derive(Debug)]
struct Pace {
    limiter: Limiter,
    slowdown: u32,
    changed: Duration,
    recent: VecDeque<Duration>,
}

impl Quota {
    pub(super) fn new(per_second: NonZeroU32, clock: Arc<dyn Clock>) -> Self {
        let pace = Pace {
            limiter: limiter(per_second, 0, &clock),
            slowdown: 0,
            changed: clock.monotonic(),
            recent: VecDeque::new(),
        };
        Self {
            per_second,
            clock,
            pace: Mutex::new(pace),
            turn: tokio::sync::Mutex::new(()),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for leave to make one call, until `deadline` on the monotonic clock.
    pub(super) async fn acquire(&self, urgency: Urgency, deadline: Duration) -> Result<(), StsError> {
        match urgency {
            Urgency::Background => {
                let _turn = self.turn.try_lock().map_err(|_| self.busy())?;
                self.take().map_err(|_| self.busy())
            }
            Urgency::UserWaits => {
                let _place = Place::in_line(&self.waiting);
                let left = deadline.saturating_sub(self.clock.monotonic());
                if self.expected_wait() > left {
                    return Err(self.busy());
                }
                let _turn = tokio::time::timeout(left, self.turn.lock()).await.map_err(|_| self.busy())?;
                while let Err(wait) = self.take() {
                    if self.clock.monotonic() + wait > deadline {
                        return Err(self.busy());
                    }
                    tokio::time::sleep(wait).await;
                }
                Ok(())
            }
        }
    }

    /// Takes a cell, or says how long until there is one.
    fn take(&self) -> Result<(), Duration> {
        let mut pace = self.pace();
        let now = self.clock.monotonic();
        self.recover(&mut pace, now);
        pace.limiter.check().map_err(|not_until| {
            Duration::from(not_until.earliest_possible().duration_since(Nanos::from(now)))
                .max(Duration::from_millis(1))
        })?;
        pace.recent.push_back(now);
        pace.forget_before(now);
        Ok(())
    }

    /// STS throttled a call: half the rate, for a while.
    pub(super) fn slow_down(&self) {
        let mut pace = self.pace();
        let now = self.clock.monotonic();
        if pace.slowdown == 0 || now.saturating_sub(pace.changed) >= SLOWDOWN_PAUSE {
            let slowdown = SLOWEST.min(pace.slowdown + 1);
            self.set_slowdown(&mut pace, slowdown, now);
            // STS has had too much already: no burst comes with the new rate.
            while pace.limiter.check().is_ok() {}
            tracing::warn!(
                rate = self.per_second.get() >> slowdown,
                "STS throttles; calls per second halved"
            );
        }
    }

    /// Doubles the rate for each quiet spell that has passed.
    fn recover(&self, pace: &mut Pace, now: Duration) {
        let spells = now.saturating_sub(pace.changed).as_nanos() / RECOVERY.as_nanos();
        let spells = u32::try_from(spells).unwrap_or(u32::MAX).min(pace.slowdown);
        if spells == 0 {
            return;
        }
        self.set_slowdown(pace, pace.slowdown - spells, now);
        // A new limiter starts with all its cells, as if nothing had been called in the last second.
        pace.forget_before(now);
        for _ in 0..pace.recent.len() {
            if pace.limiter.check().is_err() {
                break;
            }
        }
    }

    fn set_slowdown(&self, pace: &mut Pace, slowdown: u32, now: Duration) {
        pace.limiter = limiter(self.per_second, slowdown, &self.clock);
        pace.slowdown = slowdown;
        pace.changed = now;
    }

    /// How it stands.
    pub(super) fn status(&self) -> QuotaStatus {
        let mut pace = self.pace();
        let now = self.clock.monotonic();
        self.recover(&mut pace, now);
        pace.forget_before(now);
        QuotaStatus {
            limit: self.per_second.get(),
            allowed: (self.per_second.get() >> pace.slowdown).max(1),
            used: u32::try_from(pace.recent.len()).unwrap_or(u32::MAX),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    fn expected_wait(&self) -> Duration {
        let ahead = self.waiting.load(Ordering::Relaxed).saturating_sub(1);
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        let rate = (self.per_second.get() >> self.pace().slowdown).max(1);
        Duration::from_secs_f64(f64::from(ahead) / f64::from(rate))
    }

    fn busy(&self) -> StsError {
        StsError::Busy { retry_after: self.expected_wait().max(Duration::from_secs(1)) }
    }

    /// A panic while holding the lock cannot leave the pace half-changed, so a poisoned one is good.
    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    fn forget_before(&mut self, now: Duration) {
        while self.recent.front().is_some_and(|at| now.saturating_sub(*at) >= Duration::from_secs(1)) {
            self.recent.pop_front();
        }
    }
}

/// Cells such that no second holds more than the quota: a burst of b and a refill of r give at most
/// b + r - 1 in any second, so r is what b leaves.
fn limiter(per_second: NonZeroU32, slowdown: u32, clock: &Arc<dyn Clock>) -> Limiter {
    let rate = NonZeroU32::new(per_second.get() >> slowdown).unwrap_or(NonZeroU32::MIN);
    let burst = NonZeroU32::new(rate.get() / 10).filter(|_| slowdown == 0).unwrap_or(NonZeroU32::MIN);
    let refill = NonZeroU32::new(rate.get() - burst.get() + 1).unwrap_or(NonZeroU32::MIN);
    RateLimiter::direct_with_clock(
        Cells::per_second(refill).allow_burst(burst),
        QuotaClock(Arc::clone(clock)),
    )
}

/// One asker in line.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn in_line(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use runtime::clock::TestClock;

    fn quota(per_second: u32) -> Arc<Quota> {
        Arc::new(Quota::new(NonZeroU32::new(per_second).unwrap(), TestClock::at(0)))
    }

    fn paused() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    }

    /// When each of so many calls was let through, all asked at once.
    fn times(per_second: u32, calls: u32) -> Vec<Duration> {
        paused().block_on(async {
            let quota = quota(per_second);
            let deadline = Duration::from_hours(1);
            let tasks: Vec<_> = (0..calls)
                .map(|_| {
                    let quota = Arc::clone(&quota);
                    tokio::spawn(async move {
                        quota.acquire(Urgency::UserWaits, deadline).await.unwrap();
                        quota.clock.monotonic()
                    })
                })
                .collect();
            let mut times = Vec::new();
            for task in tasks {
                times.push(task.await.unwrap());
            }
            times
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn no_second_holds_more_calls_than_the_quota(per_second in 1u32..=600, calls in 1u32..1500) {
            let times = times(per_second, calls);
            for (index, start) in times.iter().enumerate() {
                let window = times[index..].iter().take_while(|at| (**at).checked_sub(*start).unwrap() < Duration::from_secs(1));
                prop_assert!(window.count() <= per_second as usize);
            }
            let took = times.last().unwrap().as_secs_f64();
            prop_assert!(took <= f64::from(calls) / f64::from(per_second) * 1.2 + 0.1, "too slow: {took}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn no_second_holds_more_calls_than_the_quota_while_the_rate_recovers(
            per_second in 1u32..=200,
            steps in proptest::collection::vec((0u64..250, 0usize..60, proptest::bool::weighted(0.02)), 100..300),
        ) {
            paused().block_on(async {
                let quota = quota(per_second);
                let mut times: Vec<Duration> = Vec::new();
                for (millis, calls, throttled) in steps {
                    if throttled {
                        quota.slow_down();
                    }
                    tokio::time::advance(Duration::from_millis(millis)).await;
                    times.extend((0..calls).filter(|_| quota.take().is_ok()).map(|_| quota.clock.monotonic()));
                }
                for (index, start) in times.iter().enumerate() {
                    let within = |at: &&Duration| (**at).checked_sub(*start).unwrap() < Duration::from_secs(1);
                    let window = times[index..].iter().take_while(within).count();
                    prop_assert!(window <= per_second as usize, "{window} of {per_second}");
                }
                Ok(())
            })?;
        }
    }

    #[test]
    fn after_a_quiet_spell_even_background_work_finds_the_whole_rate() {
        paused().block_on(async {
            let quota = quota(100);
            for _ in 0..4 {
                quota.slow_down();
                tokio::time::advance(SLOWDOWN_PAUSE).await;
            }
            tokio::time::advance(RECOVERY * 4).await;
            assert_eq!(quota.acquire(Urgency::Background, Duration::MAX).await, Ok(()));
            assert_eq!(quota.status().available(), 99, "every step is made up for at once");
        });
    }

    #[test]
    fn who_cannot_be_served_in_time_is_told_at_once_when_to_come_back() {
        paused().block_on(async {
            let quota = quota(10);
            let deadline = Duration::from_secs(2);
            let tasks: Vec<_> = (0..100)
                .map(|_| {
                    let quota = Arc::clone(&quota);
                    tokio::spawn(async move { quota.acquire(Urgency::UserWaits, deadline).await })
                })
                .collect();
            let mut served = 0;
            for task in tasks {
                match task.await.unwrap() {
                    Ok(()) => served += 1,
                    Err(StsError::Busy { retry_after }) => {
                        assert!(retry_after >= Duration::from_secs(1));
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            assert!((18..=21).contains(&served), "{served}");
            assert!(quota.clock.monotonic() <= deadline);
        });
    }

    #[test]
    fn background_work_never_waits_and_never_goes_before_a_user() {
        paused().block_on(async {
            let quota = quota(1);
            let deadline = Duration::from_secs(10);
            quota.acquire(Urgency::Background, deadline).await.unwrap();
            assert!(quota.acquire(Urgency::Background, deadline).await.is_err());
            let user = Arc::clone(&quota);
            let user = tokio::spawn(async move { user.acquire(Urgency::UserWaits, deadline).await });
            tokio::time::advance(Duration::from_millis(500)).await;
            assert!(quota.acquire(Urgency::Background, deadline).await.is_err());
            assert_eq!(user.await.unwrap(), Ok(()));
        });
    }

    #[test]
    fn throttling_halves_the_rate_and_time_gives_it_back() {
        paused().block_on(async {
            let quota = quota(100);
            quota.slow_down();
            quota.slow_down();
            assert_eq!(quota.status().available(), 50, "one burst of throttling halves once");
            tokio::time::advance(SLOWDOWN_PAUSE).await;
            quota.slow_down();
            assert_eq!(quota.status().available(), 25);
            tokio::time::advance(RECOVERY).await;
            quota.acquire(Urgency::UserWaits, Duration::MAX).await.unwrap();
            assert_eq!(quota.status().available(), 49);
            tokio::time::advance(RECOVERY).await;
            quota.acquire(Urgency::UserWaits, Duration::MAX).await.unwrap();
            assert_eq!(quota.status().available(), 99);
        });
    }

    #[test]
    fn who_stands_first_waits_only_for_a_cell_and_never_past_the_deadline() {
        paused().block_on(async {
            let quota = quota(1);
            assert_eq!(quota.acquire(Urgency::UserWaits, Duration::from_millis(500)).await, Ok(()));
            assert!(quota.acquire(Urgency::UserWaits, Duration::from_millis(500)).await.is_err());
            assert_eq!(quota.clock.monotonic(), Duration::ZERO, "told at once");
        });
    }

    #[test]
    fn a_line_too_long_is_told_at_once() {
        paused().block_on(async {
            let quota = quota(10);
            let asks = (0..100).map(|_| async {
                let outcome = quota.acquire(Urgency::UserWaits, Duration::from_secs(2)).await;
                (outcome.is_err(), quota.clock.monotonic())
            });
            let outcomes = futures::future::join_all(asks).await;
            let at_once = outcomes.iter().filter(|(refused, at)| *refused && at.is_zero()).count();
            assert!(at_once >= 75, "{at_once}");
        });
    }

    #[test]
    fn background_work_gives_way_to_a_user_in_line() {
        paused().block_on(async {
            let quota = quota(1);
            let deadline = Duration::from_secs(10);
            quota.acquire(Urgency::UserWaits, deadline).await.unwrap();
            let user = Arc::clone(&quota);
            let user = tokio::spawn(async move { user.acquire(Urgency::UserWaits, deadline).await });
            tokio::task::yield_now().await;
            // The cell is there, and the user has not been woken for it yet.
            quota.pace().limiter = limiter(NonZeroU32::MIN, 0, &quota.clock);
            assert!(quota.acquire(Urgency::Background, deadline).await.is_err());
            assert_eq!(user.await.unwrap(), Ok(()));
        });
    }

    #[test]
    fn throttling_slows_to_a_sixteenth_and_no_burst_comes_with_it() {
        paused().block_on(async {
            let quota = quota(160);
            for _ in 0..8 {
                quota.slow_down();
                tokio::time::advance(SLOWDOWN_PAUSE).await;
            }
            assert_eq!(quota.status().available(), 10);
        });
        paused().block_on(async {
            let quota = quota(100);
            quota.slow_down();
            assert_eq!((0..10).filter(|_| quota.take().is_ok()).count(), 0);
            tokio::time::advance(Duration::from_millis(20)).await;
            assert_eq!((0..10).filter(|_| quota.take().is_ok()).count(), 1);
        });
        paused().block_on(async {
            let quota = quota(10);
            let mut taken = 0;
            for _ in 0..99 {
                taken += u32::from(quota.take().is_ok());
                tokio::time::advance(Duration::from_millis(10)).await;
            }
            quota.slow_down();
            taken += u32::from(quota.take().is_ok());
            assert!(taken <= 10, "{taken} calls within one second");
        });
    }
}
