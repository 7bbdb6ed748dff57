use proptest::prelude::*;

use super::*;
use runtime::clock::TestClock;

const SECOND: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);

fn scheduler(per_second: u32) -> Arc<Scheduler> {
    Arc::new(Scheduler::new(NonZeroU32::new(per_second).unwrap(), TIMEOUT, TestClock::at(0)))
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

fn caller(number: u32) -> Fingerprint {
    Fingerprint::of(&[number.to_string()])
}

async fn acquire(scheduler: &Scheduler, number: u32, priority: Priority) -> Result<Duration, StsError> {
    scheduler.acquire(caller(number), priority).await.map(|_| scheduler.clock.monotonic())
}

/// A user without a key who comes back whenever told to. Returns when the turn came, and the number of tries.
async fn persistent_user(scheduler: Arc<Scheduler>, number: u32) -> (Duration, u32) {
    let mut tries = 1;
    loop {
        match acquire(&scheduler, number, Priority::NoActiveKey).await {
            Ok(at) => return (at, tries),
            Err(error) => tokio::time::sleep(error.retry_after()).await,
        }
        tries += 1;
    }
}

/// The first turn that is more than `limit` in one second, both of its ends included.
fn first_excess(times: &[Duration], limit: u32) -> Option<Duration> {
    times
        .windows(limit as usize + 1)
        .find(|window| window[limit as usize].checked_sub(window[0]).unwrap() <= SECOND)
        .map(|window| window[limit as usize])
}

#[test]
fn after_a_restart_everybody_is_served_at_95_percent_of_the_quota_and_with_two_tries() {
    for (per_second, users) in [(100, 5000), (10, 300), (600, 6000)] {
        paused().block_on(async {
            let scheduler = scheduler(per_second);
            let users: Vec<_> = (0..users)
                .map(|number| tokio::spawn(persistent_user(Arc::clone(&scheduler), number)))
                .collect();
            let count = users.len();
            let (mut times, mut tries) = (Vec::new(), Vec::new());
            for user in users {
                let (at, attempts) = user.await.unwrap();
                times.push(at);
                tries.push(attempts);
            }
            times.sort_unstable();
            assert_eq!(first_excess(&times, per_second), None);
            let took = times.last().unwrap().as_secs_f64();
            let ideal = f64::from(u32::try_from(count).unwrap()) / f64::from(per_second);
            assert!(took <= ideal / 0.95 + 1.0, "{per_second} calls a second: {took} s, ideally {ideal} s");
            let served_when_told = tries.iter().filter(|tries| **tries <= 2).count();
            assert!(served_when_told * 100 >= count * 95, "{served_when_told} of {count}");
        });
    }
}

#[test]
fn newcomers_do_not_take_the_turns_of_those_who_were_told_to_come_back() {
    paused().block_on(async {
        let scheduler = scheduler(100);
        let (mut told, mut served) = (0, 0);
        let mut users = Vec::new();
        // 150 new users a second for 20 seconds.
        for number in 0..3000 {
            tokio::time::advance(SECOND / 150).await;
            users.push(tokio::spawn(persistent_user(Arc::clone(&scheduler), number)));
        }
        for user in users {
            let (_, tries) = user.await.unwrap();
            told += u32::from(tries > 1);
            served += u32::from(tries == 2);
        }
        assert!(told > 500, "{told}");
        assert!(served * 100 >= told * 95, "{served} of {told} were served when they came back");
    });
}

#[test]
fn who_cannot_be_served_in_time_is_refused_at_once() {
    paused().block_on(async {
        let scheduler = scheduler(10);
        let requests =
            (0..100).map(|number| {
                let scheduler = &scheduler;
                async move {
                    (acquire(scheduler, number, Priority::NoActiveKey).await, scheduler.clock.monotonic())
                }
            });
        let outcomes = futures::future::join_all(requests).await;
        let at_once = outcomes.iter().filter(|(result, at)| result.is_err() && at.is_zero()).count();
        let served = outcomes.iter().filter(|(result, _)| result.is_ok()).count();
        assert_eq!(at_once + served, 100, "nobody waits in vain");
        assert!((9..=11).contains(&served), "{served}");
    });
}

#[test]
fn a_refresh_waits_for_users_without_a_key() {
    paused().block_on(async {
        let scheduler = scheduler(10);
        acquire(&scheduler, 0, Priority::NoActiveKey).await.unwrap();
        let refresh = tokio::spawn({
            let scheduler = Arc::clone(&scheduler);
            async move { acquire(&scheduler, 1, Priority::Refresh).await }
        });
        tokio::task::yield_now().await;
        let user = acquire(&scheduler, 2, Priority::NoActiveKey).await.unwrap();
        assert!(refresh.await.unwrap().unwrap() > user);
    });
}

#[test]
fn an_open_circuit_keeps_callers_waiting_and_an_answer_lets_them_through_at_once() {
    paused().block_on(async {
        let scheduler = scheduler(100);
        for _ in 0..20 {
            scheduler.record_failure(0.5);
        }
        assert_eq!(scheduler.breaker(), BreakerState::Open);
        let probe = acquire(&scheduler, 0, Priority::NoActiveKey).await.unwrap();
        assert_eq!(probe.as_millis(), 250);
        let others: Vec<_> = (1..20)
            .map(|number| {
                let scheduler = Arc::clone(&scheduler);
                tokio::spawn(async move { acquire(&scheduler, number, Priority::NoActiveKey).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        scheduler.record_answer(probe);
        for other in others {
            let at = other.await.unwrap().unwrap();
            assert!(at < Duration::from_millis(550), "{at:?}");
        }
    });
}

#[test]
fn while_sts_is_dead_callers_are_refused_within_their_time_and_told_when_to_come_back() {
    paused().block_on(async {
        let scheduler = scheduler(100);
        for _ in 0..30 {
            scheduler.record_failure(0.5);
        }
        let callers = (0..300).map(|number| {
            let scheduler = &scheduler;
            async move {
                let result = acquire(scheduler, number, Priority::NoActiveKey).await;
                scheduler.record_failure(0.5);
                (result, scheduler.clock.monotonic())
            }
        });
        let outcomes = futures::future::join_all(callers).await;
        assert!(outcomes.iter().all(|(_, at)| *at <= TIMEOUT));
        let refused: Vec<_> = outcomes.iter().filter_map(|(result, _)| result.as_ref().err()).collect();
        assert!((295..300).contains(&refused.len()), "all but the probes: {}", refused.len());
        for error in refused {
            assert!(
                matches!(error, StsError::CircuitOpen { retry_after } if *retry_after >= SECOND),
                "{error:?}"
            );
        }
    });
}

/// A user who comes back whenever told to, while STS is dead until then. Returns when the key came.
async fn user_in_outage(scheduler: Arc<Scheduler>, number: u32, until: Duration) -> Duration {
    loop {
        let told = match scheduler.acquire(caller(number), Priority::NoActiveKey).await {
            Ok(_) if scheduler.clock.monotonic() >= until => {
                scheduler.record_success(scheduler.clock.monotonic());
                return scheduler.clock.monotonic();
            }
            Ok(_) => {
                scheduler.record_failure(f64::from(number % 10) / 10.0);
                scheduler.retry_after(caller(number), Priority::NoActiveKey)
            }
            Err(error) => error.retry_after(),
        };
        tokio::time::sleep(Duration::from_secs_f64(told.as_secs_f64().ceil().max(1.0))).await;
    }
}

#[test]
fn after_an_outage_everybody_is_served_within_two_seconds_and_what_the_quota_needs() {
    const OUTAGE: Duration = Duration::from_secs(30);
    for (per_second, users) in [(600, 500), (100, 200), (100, 1000)] {
        paused().block_on(async {
            let scheduler = scheduler(per_second);
            let mut waiting = Vec::new();
            for number in 0..users {
                tokio::time::advance(SECOND / 100).await;
                waiting.push(tokio::spawn(user_in_outage(Arc::clone(&scheduler), number, OUTAGE)));
            }
            let mut last = Duration::ZERO;
            for user in waiting {
                last = last.max(user.await.unwrap());
            }
            // Who is told more than one second is told a whole number of them.
            let rounding = if users > per_second { 1.0 } else { 0.0 };
            let goal = 2.0 + rounding + f64::from(users) / f64::from(per_second) / 0.95;
            let took = last.saturating_sub(OUTAGE).as_secs_f64();
            assert!(took <= goal, "{users} users at {per_second} a second: {took} s, not {goal} s");
        });
    }
}

#[test]
fn a_caller_who_leaves_the_queue_keeps_nobody_waiting() {
    paused().block_on(async {
        let scheduler = scheduler(1);
        acquire(&scheduler, 0, Priority::NoActiveKey).await.unwrap();
        tokio::time::advance(Duration::from_millis(200)).await;
        let leaving =
            tokio::time::timeout(Duration::from_millis(100), acquire(&scheduler, 1, Priority::NoActiveKey));
        assert!(leaving.await.is_err());
        assert_eq!(scheduler.quota().waiting, 0);
        assert!(acquire(&scheduler, 2, Priority::NoActiveKey).await.is_ok());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn under_full_load_no_second_exceeds_the_limit_and_95_percent_of_it_are_used(
        per_second in 1u32..=600,
        seconds in 2u32..6,
    ) {
        let times = paused().block_on(async {
            let scheduler = scheduler(per_second);
            let users: Vec<_> = (0..per_second * seconds)
                .map(|number| tokio::spawn(persistent_user(Arc::clone(&scheduler), number)))
                .collect();
            let mut times = Vec::new();
            for user in users {
                times.push(user.await.unwrap().0);
            }
            times
        });
        let mut times = times;
        times.sort_unstable();
        prop_assert_eq!(first_excess(&times, per_second), None);
        let took = times.last().unwrap().as_secs_f64();
        prop_assert!(took <= f64::from(seconds) / 0.95 + 1.1, "too slow: {took} for {seconds}");
    }
}
