use proptest::prelude::*;

use super::*;
use runtime::clock::TestClock;

const SECOND: Duration = Duration::from_secs(1);

fn quota(per_second: u32) -> Quota {
    Quota::new(NonZeroU32::new(per_second).unwrap(), TestClock::at(0))
}

fn available(quota: &mut Quota) -> u32 {
    quota.status(0).available()
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// The first admission that is more than `limit` in one second, both of its ends included.
fn first_excess(times: &[Duration], limit: u32) -> Option<Duration> {
    times
        .windows(limit as usize + 1)
        .find(|window| window[limit as usize].checked_sub(window[0]).unwrap() <= SECOND)
        .map(|window| window[limit as usize])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_the_arrivals_and_the_throttling_no_second_exceeds_the_limit(
        per_second in 1u32..=200,
        steps in proptest::collection::vec((0u64..250, 0usize..60, proptest::bool::weighted(0.02)), 100..300),
    ) {
        paused().block_on(async {
            let mut quota = quota(per_second);
            let mut times: Vec<Duration> = Vec::new();
            for (millis, calls, throttled) in steps {
                if throttled {
                    quota.slow_down();
                }
                tokio::time::advance(Duration::from_millis(millis)).await;
                for _ in 0..calls {
                    if quota.try_acquire().is_ok() {
                        times.push(quota.clock.monotonic());
                    }
                }
            }
            prop_assert_eq!(first_excess(&times, per_second), None);
            Ok(())
        })?;
    }
}

#[test]
fn every_limit_leaves_31_ms_between_a_second_and_one_call_more() {
    for limit in 1..=600 {
        let pace = Pace::of(NonZeroU32::new(limit).unwrap());
        let cells = limit * CELLS_PER_CALL.get() - (pace.burst.get() - CELLS_PER_CALL.get());
        assert!(pace.cell_interval * cells >= Duration::from_millis(1031), "{limit}");
    }
}

#[test]
fn after_a_quiet_time_the_full_rate_is_back() {
    paused().block_on(async {
        let mut quota = quota(100);
        for _ in 0..4 {
            quota.slow_down();
            tokio::time::advance(SLOWDOWN_INTERVAL).await;
        }
        tokio::time::advance(RECOVERY_INTERVAL * 4).await;
        assert_eq!(quota.try_acquire(), Ok(()));
        assert_eq!(available(&mut quota), 99, "every step of the slowdown is undone at once");
    });
}

#[test]
fn throttling_halves_the_rate_and_time_restores_it() {
    paused().block_on(async {
        let mut quota = quota(100);
        quota.slow_down();
        quota.slow_down();
        assert_eq!(available(&mut quota), 50, "one burst of throttling halves once");
        tokio::time::advance(SLOWDOWN_INTERVAL).await;
        quota.slow_down();
        assert_eq!(available(&mut quota), 25);
        for recovered in [50, 100] {
            tokio::time::advance(RECOVERY_INTERVAL).await;
            assert_eq!(available(&mut quota), recovered);
        }
        tokio::time::advance(SECOND).await;
        assert_eq!(quota.try_acquire(), Ok(()));
    });
}

#[test]
fn throttling_slows_down_to_an_eighth_but_not_below_ten_calls_per_second() {
    for (per_second, slowest) in [(160, 20), (100, 12), (5, 5)] {
        paused().block_on(async {
            let mut quota = quota(per_second);
            for _ in 0..8 {
                quota.slow_down();
                tokio::time::advance(SLOWDOWN_INTERVAL).await;
            }
            assert_eq!(available(&mut quota), slowest);
        });
    }
}

#[test]
fn a_slower_rate_begins_without_a_burst() {
    paused().block_on(async {
        let mut quota = quota(100);
        quota.slow_down();
        assert_eq!((0..10).filter(|_| quota.try_acquire().is_ok()).count(), 0);
        // 96 % of 50 calls per second: one call in 20.8 ms.
        tokio::time::advance(Duration::from_millis(22)).await;
        assert_eq!((0..10).filter(|_| quota.try_acquire().is_ok()).count(), 1);
    });
    paused().block_on(async {
        let mut quota = quota(10);
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
