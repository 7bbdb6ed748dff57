//! Keys that are replaced before they end: ahead of time, and because the operator's own key was rotated.

use std::sync::atomic::Ordering;

use super::{
    tests::{CALL, House, LIFE, ORIGIN, RULES, house, pass, unavailable},
    *,
};

#[tokio::test(start_paused = true)]
async fn from_its_refresh_point_a_hit_sends_for_one_successor_and_nobody_waits() {
    let house = house();
    let first = house.ask("alice").await.unwrap().key;
    pass(LIFE.mul_f64(0.69)).await;
    assert_eq!(house.outcome("alice").await, Outcome::Hit);
    pass(LIFE.mul_f64(0.02)).await;
    assert_eq!(house.outcome("alice").await, Outcome::Refreshed);
    assert_eq!(house.outcome("alice").await, Outcome::Hit, "one refresh is enough");
    pass(CALL * 2).await;
    let second = house.ask("alice").await.unwrap();
    assert_eq!(second.outcome, Outcome::Hit);
    assert_ne!(second.key.credential().secret_id, first.credential().secret_id);
    assert_eq!(house.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failing_refresh_costs_no_user_anything_and_is_not_repeated_at_every_hit() {
    let house = house();
    house.ask("alice").await.unwrap();
    house.fail(Some(unavailable()));
    pass(LIFE.mul_f64(0.75)).await;
    for _ in 0..100 {
        assert!(matches!(house.outcome("alice").await, Outcome::Hit | Outcome::Refreshed));
        pass(Duration::from_millis(50)).await;
    }
    assert_eq!(house.calls(), 2, "one attempt in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_failing_refresh_is_tried_again_after_ten_seconds() {
    let house = house();
    house.ask("alice").await.unwrap();
    house.fail(Some(unavailable()));
    pass(LIFE.mul_f64(0.75)).await;
    assert_eq!(house.outcome("alice").await, Outcome::Refreshed);
    pass(Duration::from_secs(9)).await;
    assert_eq!(house.outcome("alice").await, Outcome::Hit);
    pass(Duration::from_secs(1)).await;
    assert_eq!(house.outcome("alice").await, Outcome::Refreshed);
}

#[tokio::test(start_paused = true)]
async fn a_hit_whose_refresh_joins_a_flight_is_a_hit() {
    let house = house();
    house.ask("alice").await.unwrap();
    pass(LIFE.mul_f64(0.75)).await;
    let grant = house.grant("alice");
    let (more, hit) = futures::join!(
        house.broker.key_for(&grant, Some(Duration::from_mins(20)), &ORIGIN),
        house.broker.key_for(&grant, None, &ORIGIN)
    );
    assert_eq!((more.unwrap().outcome, hit.unwrap().outcome), (Outcome::Fetched, Outcome::Hit));
    assert_eq!(house.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_never_due_to_be_replaced_when_it_is_made() {
    let house = House::with(LIFE, config::Cache { refresh_at: 0.99, ..RULES }, CALL);
    house.ask("alice").await.unwrap();
    assert_eq!(house.outcome("alice").await, Outcome::Hit);
    pass(LIFE.mul_f64(0.06)).await;
    assert_eq!(house.outcome("alice").await, Outcome::Refreshed);
}

#[tokio::test(start_paused = true)]
async fn once_the_operators_own_key_is_rotated_each_user_gets_another_key_at_their_next_ask() {
    let house = house();
    for user in ["alice", "bob"] {
        house.ask(user).await.unwrap();
    }
    house.sts.own_key.fetch_add(1, Ordering::Relaxed);
    assert_eq!(house.outcome("alice").await, Outcome::Fetched);
    assert_eq!(house.outcome("alice").await, Outcome::Hit, "once is enough");
    house.fail(Some(unavailable()));
    assert_eq!(house.outcome("bob").await, Outcome::Stale, "the older key is better than none");
    house.fail(None);
    assert_eq!(house.outcome("bob").await, Outcome::Fetched);
    assert_eq!(house.figure("reason=\"own_key_rotated\""), 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_on_its_way_while_the_own_key_was_rotated_is_made_anew() {
    let house = house();
    let grant = house.grant("alice");
    let (served, ()) = futures::join!(house.broker.key_for(&grant, None, &ORIGIN), async {
        pass(CALL / 2).await;
        house.sts.own_key.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(served.unwrap().outcome, Outcome::Fetched);
    assert_eq!(house.outcome("alice").await, Outcome::Fetched, "with which of the two, nobody knows");
    assert_eq!(house.calls(), 2);
}
