//! Credentials that are replaced before they expire: by a refresh, or after a rotation of the source
//! credentials.

use std::sync::atomic::Ordering;

use super::{
    tests::{CALL, CONTEXT, Harness, LIFE, RULES, harness, pass, unavailable},
    *,
};

#[tokio::test(start_paused = true)]
async fn after_the_refresh_point_a_hit_starts_one_refresh_and_no_request_waits() {
    let harness = harness();
    let first = harness.request("alice").await.unwrap().credential;
    pass(LIFE.mul_f64(0.69)).await;
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Hit);
    pass(LIFE.mul_f64(0.02)).await;
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Refreshed);
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Hit, "one refresh is enough");
    pass(CALL * 2).await;
    let second = harness.request("alice").await.unwrap();
    assert_eq!(second.how, CacheOutcome::Hit);
    assert_ne!(second.credential.credential().secret_id, first.credential().secret_id);
    assert_eq!(harness.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failing_refresh_affects_no_request_and_is_not_repeated_at_every_hit() {
    let harness = harness();
    harness.request("alice").await.unwrap();
    harness.fail(Some(unavailable()));
    pass(LIFE.mul_f64(0.75)).await;
    for _ in 0..100 {
        assert!(matches!(harness.outcome("alice").await, CacheOutcome::Hit | CacheOutcome::Refreshed));
        pass(Duration::from_millis(50)).await;
    }
    assert_eq!(harness.calls(), 2, "one attempt in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_failing_refresh_is_retried_after_ten_seconds() {
    let harness = harness();
    harness.request("alice").await.unwrap();
    harness.fail(Some(unavailable()));
    pass(LIFE.mul_f64(0.75)).await;
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Refreshed);
    pass(Duration::from_secs(9)).await;
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Hit);
    pass(Duration::from_secs(1)).await;
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Refreshed);
}

#[tokio::test(start_paused = true)]
async fn a_hit_whose_refresh_joins_a_fetch_in_flight_is_a_hit() {
    let harness = harness();
    harness.request("alice").await.unwrap();
    pass(LIFE.mul_f64(0.75)).await;
    let grant = harness.grant("alice");
    let (more, hit) = futures::join!(
        harness.cache.credential_for(&grant, Some(Duration::from_mins(20)), &CONTEXT),
        harness.cache.credential_for(&grant, None, &CONTEXT)
    );
    assert_eq!((more.unwrap().how, hit.unwrap().how), (CacheOutcome::Fetched, CacheOutcome::Hit));
    assert_eq!(harness.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_never_due_for_refresh_when_it_is_issued() {
    let harness = Harness::with(LIFE, config::Cache { refresh_at: 0.99, ..RULES }, CALL);
    harness.request("alice").await.unwrap();
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Hit);
    pass(LIFE.mul_f64(0.06)).await;
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Refreshed);
}

#[tokio::test(start_paused = true)]
async fn after_a_rotation_of_the_source_credentials_each_users_next_request_fetches() {
    let harness = harness();
    for user in ["alice", "bob"] {
        harness.request(user).await.unwrap();
    }
    harness.sts.source_credentials_version.fetch_add(1, Ordering::Relaxed);
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Fetched);
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Hit, "once is enough");
    harness.fail(Some(unavailable()));
    assert_eq!(harness.outcome("bob").await, CacheOutcome::Stale, "the older credential is better than none");
    harness.fail(None);
    assert_eq!(harness.outcome("bob").await, CacheOutcome::Fetched);
    assert_eq!(harness.figure("reason=\"source_credentials_rotated\""), 3);
}

#[tokio::test(start_paused = true)]
async fn a_credential_fetched_during_a_rotation_is_fetched_again() {
    let harness = harness();
    let grant = harness.grant("alice");
    let (served, ()) = futures::join!(harness.cache.credential_for(&grant, None, &CONTEXT), async {
        pass(CALL / 2).await;
        harness.sts.source_credentials_version.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(served.unwrap().how, CacheOutcome::Fetched);
    assert_eq!(
        harness.outcome("alice").await,
        CacheOutcome::Fetched,
        "it is unknown which of the two it was issued with"
    );
    assert_eq!(harness.calls(), 2);
}
