use proptest::prelude::*;

use super::*;
use runtime::clock::TestClock;

const SECOND: Duration = Duration::from_secs(1);

fn quota(per_second: u32) -> Arc<Quota> {
    Arc::new(Quota::new(NonZeroU32::new(per_second).unwrap(), TestClock::at(0)))
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// The times at which so many simultaneous requests are admitted.
fn admissions(per_second: u32, calls: u32) -> Vec<Duration> {
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

/// The first admission that is more than `limit` in one second, both of its ends included.
fn first_excess(times: &[Duration], limit: u32) -> Option<Duration> {
    times
        .windows(limit as usize + 1)
        .find(|window| window[limit as usize].checked_sub(window[0]).unwrap() <= SECOND)
        .map(|window| window[limit as usize])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn under_full_load_no_second_exceeds_the_limit_and_95_percent_of_it_are_sustained(
        per_second in 1u32..=600,
        calls in 1u32..1500,
    ) {
        let times = admissions(per_second, calls);
        prop_assert_eq!(first_excess(&times, per_second), None);
        let took = times.last().unwrap().as_secs_f64();
        // A timer of tokio's fires up to a millisecond late.
        prop_assert!(took <= f64::from(calls) / (f64::from(per_second) * 0.95) * 1.0001 + 0.001, "too slow: {took}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_the_arrivals_and_the_throttling_no_second_exceeds_the_limit(
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
                times.extend(
                    (0..calls).filter(|_| quota.try_acquire().is_ok()).map(|_| quota.clock.monotonic()),
                );
            }
            prop_assert_eq!(first_excess(&times, per_second), None);
            Ok(())
        })?;
    }
}

#[test]
fn every_limit_leaves_40_ms_between_a_second_and_one_call_more() {
    for limit in 1..=600 {
        let pace = Pace::of(NonZeroU32::new(limit).unwrap());
        let cells = limit * CELLS_PER_CALL.get() - (pace.burst.get() - CELLS_PER_CALL.get());
        assert!(pace.cell_interval * cells >= Duration::from_millis(1040), "{limit}");
    }
}

#[test]
fn after_a_quiet_time_even_background_work_gets_the_full_rate() {
    paused().block_on(async {
        let quota = quota(100);
        for _ in 0..4 {
            quota.slow_down();
            tokio::time::advance(SLOWDOWN_INTERVAL).await;
        }
        tokio::time::advance(RECOVERY_INTERVAL * 4).await;
        assert_eq!(quota.acquire(Urgency::Background, Duration::MAX).await, Ok(()));
        assert_eq!(quota.status().available(), 99, "every step of the slowdown is undone at once");
    });
}

#[test]
fn a_request_that_cannot_be_admitted_in_time_is_refused_with_a_retry_after() {
    paused().block_on(async {
        let quota = quota(10);
        let deadline = Duration::from_secs(2);
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let quota = Arc::clone(&quota);
                tokio::spawn(async move { quota.acquire(Urgency::UserWaits, deadline).await })
            })
            .collect();
        let mut admitted = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(()) => admitted += 1,
                Err(StsError::QuotaExhausted { retry_after }) => {
                    assert!(retry_after >= Duration::from_secs(1));
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert!((18..=21).contains(&admitted), "{admitted}");
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
fn throttling_halves_the_rate_and_time_restores_it() {
    paused().block_on(async {
        let quota = quota(100);
        quota.slow_down();
        quota.slow_down();
        assert_eq!(quota.status().available(), 50, "one burst of throttling halves once");
        tokio::time::advance(SLOWDOWN_INTERVAL).await;
        quota.slow_down();
        assert_eq!(quota.status().available(), 25);
        tokio::time::advance(RECOVERY_INTERVAL).await;
        quota.acquire(Urgency::UserWaits, Duration::MAX).await.unwrap();
        assert_eq!(quota.status().available(), 49);
        tokio::time::advance(RECOVERY_INTERVAL).await;
        quota.acquire(Urgency::UserWaits, Duration::MAX).await.unwrap();
        assert_eq!(quota.status().available(), 99);
    });
}

#[test]
fn the_first_in_the_queue_never_waits_past_its_deadline() {
    paused().block_on(async {
        let quota = quota(1);
        assert_eq!(quota.acquire(Urgency::UserWaits, Duration::from_millis(500)).await, Ok(()));
        assert!(quota.acquire(Urgency::UserWaits, Duration::from_millis(500)).await.is_err());
        assert_eq!(quota.clock.monotonic(), Duration::ZERO, "refused at once");
    });
}

#[test]
fn requests_behind_too_long_a_queue_are_refused_at_once() {
    paused().block_on(async {
        let quota = quota(10);
        let requests = (0..100).map(|_| async {
            let outcome = quota.acquire(Urgency::UserWaits, Duration::from_secs(2)).await;
            (outcome.is_err(), quota.clock.monotonic())
        });
        let outcomes = futures::future::join_all(requests).await;
        let at_once = outcomes.iter().filter(|(refused, at)| *refused && at.is_zero()).count();
        assert!(at_once >= 75, "{at_once}");
    });
}

#[test]
fn background_work_gives_way_to_a_user_in_the_queue() {
    paused().block_on(async {
        let quota = quota(1);
        let deadline = Duration::from_secs(10);
        quota.acquire(Urgency::UserWaits, deadline).await.unwrap();
        let user = Arc::clone(&quota);
        let user = tokio::spawn(async move { user.acquire(Urgency::UserWaits, deadline).await });
        tokio::task::yield_now().await;
        // A call may be made, and the user has not been woken for it yet.
        quota.state().limiter = Pace::of(NonZeroU32::MIN).limiter(&quota.clock);
        assert!(quota.acquire(Urgency::Background, deadline).await.is_err());
        assert_eq!(user.await.unwrap(), Ok(()));
    });
}

#[test]
fn throttling_slows_down_to_a_sixteenth_without_a_burst() {
    paused().block_on(async {
        let quota = quota(160);
        for _ in 0..8 {
            quota.slow_down();
            tokio::time::advance(SLOWDOWN_INTERVAL).await;
        }
        assert_eq!(quota.status().available(), 10);
    });
    paused().block_on(async {
        let quota = quota(100);
        quota.slow_down();
        assert_eq!((0..10).filter(|_| quota.try_acquire().is_ok()).count(), 0);
        // 95 % of 50 calls per second: one call in 21 ms.
        tokio::time::advance(Duration::from_millis(22)).await;
        assert_eq!((0..10).filter(|_| quota.try_acquire().is_ok()).count(), 1);
    });
    paused().block_on(async {
        let quota = quota(10);
        let mut admitted = 0;
        for _ in 0..99 {
            admitted += u32::from(quota.try_acquire().is_ok());
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        quota.slow_down();
        admitted += u32::from(quota.try_acquire().is_ok());
        assert!(admitted <= 10, "{admitted} calls within one second");
    });
}
