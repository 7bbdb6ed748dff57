//! How many new users get a key while STS fails for a share of all calls: the model behind the numbers of `queue`,
//! `retry` and `breaker` (`docs/understand/failures.md`).

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{
    machine::{SeededEntropy, SimulatedClock},
    world::{TIMEOUT, grants},
};
use crate::sts::{
    IssueRequest, Priority, Sts, TencentSts,
    simulated::{Faults, SimulatedSts},
};

const CALLS_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(599);
const USERS: usize = 2000;

/// Before an STS is known to leave calls unanswered, some must have waited for half of their time.
const DETECTION_TIME: Duration = TIMEOUT;

/// What came of one kind of fault.
#[derive(Debug)]
struct Outcome {
    /// Users who had a key within `TIMEOUT`, of all.
    served: usize,
    /// Users without one after `DETECTION_TIME`.
    later_unserved: usize,
    calls: usize,
    slowest: Duration,
}

/// So many new users a second, one after the other, while calls go wrong.
fn new_users(users_per_second: u32, faults: Faults) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock = Arc::new(SimulatedClock::start());
        let cloud = SimulatedSts::new(1, Arc::clone(&clock) as Arc<_>);
        let sts = Arc::new(cloud.client(CALLS_PER_SECOND, TIMEOUT, Arc::new(SeededEntropy::new(2))));
        cloud.set_faults(faults);
        let mut requests = Vec::new();
        for grant in grants("upload", USERS) {
            requests.push(tokio::spawn(served_after(Arc::clone(&sts), grant)));
            sleep(Duration::from_secs(1) / users_per_second).await;
        }
        let (mut served, mut later_unserved, mut slowest) = (0, 0, Duration::ZERO);
        let detected_after = DETECTION_TIME.as_secs() * u64::from(users_per_second);
        for (user, request) in (0..).zip(requests) {
            match request.await.unwrap() {
                Some(took) => {
                    served += 1;
                    slowest = slowest.max(took);
                }
                None => later_unserved += usize::from(user >= detected_after),
            }
        }
        Outcome { served, later_unserved, calls: cloud.call_count(), slowest }
    })
}

/// How long a new user waited for the key. `None` without one.
async fn served_after(sts: Arc<TencentSts>, grant: Arc<templates::Grant>) -> Option<Duration> {
    let began = Instant::now();
    let issued = timeout(TIMEOUT, sts.issue(IssueRequest::new(grant, Priority::NoActiveKey))).await;
    issued.is_ok_and(|issued| issued.is_ok()).then(|| began.elapsed())
}

#[test]
fn while_half_of_all_calls_fail_999_of_1000_new_users_have_a_key_within_two_seconds() {
    let half = [
        ("failing", Faults { failing: 0.5, ..Faults::NONE }),
        ("throttled", Faults { throttled: 0.5, ..Faults::NONE }),
        ("unanswered", Faults { unanswered: 0.5, ..Faults::NONE }),
        (
            "failing after 200 ms",
            Faults { failing: 0.5, max_latency: Duration::from_millis(200), ..Faults::NONE },
        ),
    ];
    for (name, faults) in half {
        for users_per_second in [5, 20] {
            let outcome = new_users(users_per_second, faults);
            println!("{name}, {users_per_second} users a second: {outcome:?} of {USERS}");
            assert!(outcome.later_unserved * 1000 <= USERS, "{name}, {users_per_second}: {outcome:?}");
            assert!(outcome.served * 1000 >= USERS * 995, "{name}, {users_per_second}: {outcome:?}");
        }
    }
}

#[test]
fn while_nothing_fails_each_user_costs_one_call() {
    let outcome = new_users(100, Faults::NONE);
    assert_eq!((outcome.served, outcome.calls), (USERS, USERS));
    assert!(outcome.slowest < Duration::from_millis(100), "{outcome:?}");
}
