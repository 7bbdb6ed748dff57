use std::time::Duration;

use super::{
    CacheOutcome, StaleCoverage,
    tests::{CALL, Harness, LIFE, harness, pass, unavailable},
};

const MINUTE: Duration = Duration::from_mins(1);

fn coverage(harness: &Harness) -> StaleCoverage {
    harness.cache.snapshot().stale_coverage
}

fn covered_minutes(harness: &Harness) -> u64 {
    (coverage(harness).duration.unwrap().as_secs() + 30) / 60
}

/// Twenty users, each a minute after the one before.
async fn twenty_users() -> Harness {
    let harness = harness();
    for user in 0..20 {
        harness.request(&format!("user{user}")).await.unwrap();
        pass(MINUTE).await;
    }
    harness
}

#[tokio::test(start_paused = true)]
async fn every_miss_has_one_reason() {
    let harness = harness();
    for subject in ["a", "b", "a", "c", "a"] {
        harness.request(subject).await.unwrap();
    }
    harness.fail(Some(unavailable()));
    assert!(harness.request("d").await.is_err());
    assert_eq!(harness.figure("cosbroker_cache_misses_total"), 4);
    assert_eq!(harness.figure("reason=\"cold\""), 4);
}

#[tokio::test(start_paused = true)]
async fn a_user_whose_client_disconnects_before_sts_answers_is_uncovered() {
    let harness = harness();
    harness.fail(Some(unavailable()));
    for user in 0..10 {
        let user = format!("user{user}");
        let disconnected = tokio::time::timeout(CALL / 2, harness.request(&user)).await;
        assert!(disconnected.is_err());
    }
    assert_eq!(harness.figure("cosbroker_cache_misses_total"), 10);
    assert_eq!((coverage(&harness).active_users, coverage(&harness).covered), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reconnects_gets_the_credential_fetched_meanwhile() {
    let harness = harness();
    assert!(tokio::time::timeout(CALL / 2, harness.request("alice")).await.is_err());
    pass(CALL).await;
    assert_eq!(harness.request("alice").await.unwrap().how, CacheOutcome::Hit);
    assert_eq!((coverage(&harness).active_users, coverage(&harness).covered), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn coverage_lasts_until_a_tenth_of_the_users_would_be_uncovered() {
    let harness = twenty_users().await;
    // The oldest credentials expire in 10, 11 and 12 minutes.
    assert_eq!(
        (coverage(&harness).active_users, coverage(&harness).covered, covered_minutes(&harness)),
        (20, 20, 12)
    );
    harness.fail(Some(unavailable()));
    for (seconds, covered) in [(630, 19), (60, 18), (60, 17)] {
        pass(Duration::from_secs(seconds)).await;
        for user in 0..20 {
            let _ = harness.request(&format!("user{user}")).await;
        }
        assert_eq!((coverage(&harness).active_users, coverage(&harness).covered), (20, covered));
    }
    assert_eq!(covered_minutes(&harness), 0);
    harness.fail(None);
    pass(MINUTE).await;
    harness.request("user0").await.unwrap();
    assert_eq!(coverage(&harness).covered, 17, "one is covered again, and one more credential has expired");
}

#[tokio::test(start_paused = true)]
async fn inactive_users_leave_with_their_credential_and_refused_users_count_for_a_lifetime() {
    let harness = twenty_users().await;
    pass(MINUTE.mul_f64(14.5)).await;
    assert_eq!((coverage(&harness).active_users, coverage(&harness).covered), (15, 15));
    harness.fail(Some(unavailable()));
    assert!(harness.request("somebody").await.is_err());
    assert_eq!((coverage(&harness).active_users, coverage(&harness).covered), (16, 15));
    pass(LIFE).await;
    let none = coverage(&harness);
    assert_eq!((none.active_users, none.duration), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_user_whose_credential_was_evicted_is_uncovered() {
    let harness = Harness::new(LIFE, 32 << 10);
    for user in 0..20 {
        harness.request(&format!("user{user}")).await.unwrap();
    }
    let snapshot = harness.cache.snapshot();
    assert!(snapshot.entries < 20);
    let covered = usize::try_from(snapshot.entries).unwrap();
    assert_eq!((snapshot.stale_coverage.active_users, snapshot.stale_coverage.covered), (20, covered));
}

#[tokio::test(start_paused = true)]
async fn a_user_with_two_keys_is_one_user() {
    let harness = harness();
    harness.request("alice").await.unwrap();
    harness.request_scope("alice", "photos/*", None).await.unwrap();
    assert_eq!((coverage(&harness).active_users, coverage(&harness).covered), (1, 1));
}
