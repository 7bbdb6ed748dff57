//! Keys that are replaced before they end: ahead of time, and because the operator's own key was rotated.

use std::sync::atomic::Ordering;

use super::{
    tests::{CALL, Harness, LIFE, ORIGIN, RULES, harness, pass, unavailable},
    *,
};

#[tokio::test(start_paused = true)]
async fn from_its_refresh_point_a_hit_sends_for_one_successor_and_nobody_waits() {
    let harness = harness();
    let first = harness.ask("alice").await.unwrap().key;
    pass(LIFE.mul_f64(0.69)).await;
    assert_eq!(harness.outcome("alice").await, Outcome::Hit);
    pass(LIFE.mul_f64(0.02)).await;
    assert_eq!(harness.outcome("alice").await, Outcome::Refreshed);
    assert_eq!(harness.outcome("alice").await, Outcome::Hit, "one refresh is enough");
    pass(CALL * 2).await;
    let second = harness.ask("alice").await.unwrap();
    assert_eq!(second.outcome, Outcome::Hit);
    assert_ne!(second.key.credential().secret_id, first.credential().secret_id);
    assert_eq!(harness.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failing_refresh_costs_no_user_anything_and_is_not_repeated_at_every_hit() {
    let harness = harness();
    harness.ask("alice").await.unwrap();
    harness.fail(Some(unavailable()));
    pass(LIFE.mul_f64(0.75)).await;
    for _ in 0..100 {
        assert!(matches!(harness.outcome("alice").await, Outcome::Hit | Outcome::Refreshed));
        pass(Duration::from_millis(50)).await;
    }
    assert_eq!(harness.calls(), 2, "one attempt in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_failing_refresh_is_tried_again_after_ten_seconds() {
    let harness = harness();
    harness.ask("alice").await.unwrap();
    harness.fail(Some(unavailable()));
    pass(LIFE.mul_f64(0.75)).await;
    assert_eq!(harness.outcome("alice").await, Outcome::Refreshed);
    pass(Duration::from_secs(9)).await;
    assert_eq!(harness.outcome("alice").await, Outcome::Hit);
    pass(Duration::from_secs(1)).await;
    assert_eq!(harness.outcome("alice").await, Outcome::Refreshed);
}

#[tokio::test(start_paused = true)]
async fn a_hit_whose_refresh_joins_a_flight_is_a_hit() {
    let harness = harness();
    harness.ask("alice").await.unwrap();
    pass(LIFE.mul_f64(0.75)).await;
    let grant = harness.grant("alice");
    let (more, hit) = futures::join!(
        harness.broker.credential_for(&grant, Some(Duration::from_mins(20)), &ORIGIN),
        harness.broker.credential_for(&grant, None, &ORIGIN)
    );
    assert_eq!((more.unwrap().outcome, hit.unwrap().outcome), (Outcome::Fetched, Outcome::Hit));
    assert_eq!(harness.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_never_due_to_be_replaced_when_it_is_made() {
    let harness = Harness::with(LIFE, config::Cache { refresh_at: 0.99, ..RULES }, CALL);
    harness.ask("alice").await.unwrap();
    assert_eq!(harness.outcome("alice").await, Outcome::Hit);
    pass(LIFE.mul_f64(0.06)).await;
    assert_eq!(harness.outcome("alice").await, Outcome::Refreshed);
}

#[tokio::test(start_paused = true)]
async fn once_the_operators_own_key_is_rotated_each_user_gets_another_key_at_their_next_ask() {
    let harness = harness();
    for user in ["alice", "bob"] {
        harness.ask(user).await.unwrap();
    }
    harness.sts.source_credentials_version.fetch_add(1, Ordering::Relaxed);
    assert_eq!(harness.outcome("alice").await, Outcome::Fetched);
    assert_eq!(harness.outcome("alice").await, Outcome::Hit, "once is enough");
    harness.fail(Some(unavailable()));
    assert_eq!(harness.outcome("bob").await, Outcome::Stale, "the older key is better than none");
    harness.fail(None);
    assert_eq!(harness.outcome("bob").await, Outcome::Fetched);
    assert_eq!(harness.figure("reason=\"source_credentials_rotated\""), 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_on_its_way_while_the_own_key_was_rotated_is_made_anew() {
    let harness = harness();
    let grant = harness.grant("alice");
    let (served, ()) = futures::join!(harness.broker.credential_for(&grant, None, &ORIGIN), async {
        pass(CALL / 2).await;
        harness.sts.source_credentials_version.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(served.unwrap().outcome, Outcome::Fetched);
    assert_eq!(harness.outcome("alice").await, Outcome::Fetched, "with which of the two, nobody knows");
    assert_eq!(harness.calls(), 2);
}
