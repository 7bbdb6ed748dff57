use std::time::Duration;

use super::{
    Outage, Outcome,
    tests::{CALL, Harness, LIFE, harness, pass, unavailable},
};

const MINUTE: Duration = Duration::from_mins(1);

fn outage(harness: &Harness) -> Outage {
    harness.broker.snapshot().outage
}

fn survivable_minutes(harness: &Harness) -> u64 {
    (outage(harness).survivable.unwrap().as_secs() + 30) / 60
}

/// Twenty users, the first at once and each a minute after the one before.
async fn twenty_users() -> Harness {
    let harness = harness();
    for user in 0..20 {
        harness.ask(&format!("user{user}")).await.unwrap();
        pass(MINUTE).await;
    }
    harness
}

#[tokio::test(start_paused = true)]
async fn every_ask_has_one_outcome_and_every_miss_one_reason() {
    let harness = harness();
    for subject in ["a", "b", "a", "c", "a"] {
        harness.ask(subject).await.unwrap();
    }
    harness.fail(Some(unavailable()));
    assert!(harness.ask("d").await.is_err());
    harness.broker.count_refused("upload");
    assert_eq!(harness.figure("cosbroker_credential_requests_total"), 6);
    assert_eq!(harness.figure("cosbroker_cache_hits_total"), 2);
    assert_eq!(harness.figure("cosbroker_cache_misses_total"), 4);
    assert_eq!(harness.figure("reason=\"cold\""), 4);
    assert_eq!(harness.figure("cosbroker_sts_calls_saved_total"), 2);
    assert_eq!(harness.figure("cosbroker_credential_ttl_seconds_count"), 5, "refused asks have no life");
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_before_sts_answers_is_counted_once_and_seen_to_be_without() {
    let harness = harness();
    harness.fail(Some(unavailable()));
    for user in 0..10 {
        let user = format!("user{user}");
        let gave_up = tokio::time::timeout(CALL / 2, harness.ask(&user)).await;
        assert!(gave_up.is_err());
    }
    assert_eq!(
        (harness.figure("outcome=\"refused\""), harness.figure("cosbroker_credential_requests_total")),
        (10, 10)
    );
    assert_eq!(harness.figure("cosbroker_cache_misses_total"), 10);
    assert_eq!((outage(&harness).active, outage(&harness).covered), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_and_comes_back_finds_the_key_that_was_made_meanwhile() {
    let harness = harness();
    assert!(tokio::time::timeout(CALL / 2, harness.ask("alice")).await.is_err());
    pass(CALL).await;
    assert_eq!(harness.ask("alice").await.unwrap().outcome, Outcome::Hit);
    assert_eq!((outage(&harness).active, outage(&harness).covered), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_template_shows_its_outcomes_before_anybody_asks() {
    let harness = harness();
    harness.broker.expect(["upload"].into_iter());
    let shown = harness.written();
    for outcome in Outcome::ALL {
        let line = format!(
            "cosbroker_credential_requests_total{{template=\"upload\",outcome=\"{}\"}} 0",
            outcome.name()
        );
        assert!(shown.contains(&line), "{line} in {shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_life_of_a_key_is_counted_as_it_is_when_handed_out() {
    let harness = harness();
    harness.ask("alice").await.unwrap();
    pass(LIFE.mul_f64(0.75)).await;
    harness.ask("alice").await.unwrap();
    let shown = harness.written();
    for line in [
        "cosbroker_credential_ttl_seconds_bucket{le=\"300.0\"} 0",
        "cosbroker_credential_ttl_seconds_bucket{le=\"600.0\"} 1",
        "cosbroker_credential_ttl_seconds_bucket{le=\"1800.0\"} 2",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_survived_until_a_tenth_of_the_users_would_be_without() {
    let harness = twenty_users().await;
    // The oldest keys have 10, 11 and 12 minutes to live; a key is of use until its last minute.
    assert_eq!(
        (outage(&harness).active, outage(&harness).covered, survivable_minutes(&harness)),
        (20, 20, 11)
    );
    harness.fail(Some(unavailable()));
    for (seconds, covered) in [(570, 19), (60, 18), (60, 17)] {
        pass(Duration::from_secs(seconds)).await;
        for user in 0..20 {
            let _ = harness.ask(&format!("user{user}")).await;
        }
        assert_eq!((outage(&harness).active, outage(&harness).covered), (20, covered));
    }
    assert_eq!(survivable_minutes(&harness), 0);
    harness.fail(None);
    pass(MINUTE).await;
    harness.ask("user0").await.unwrap();
    assert_eq!(outage(&harness).covered, 17, "one is back, and one more key has ended");
}

#[tokio::test(start_paused = true)]
async fn who_went_away_leaves_with_their_key_and_who_was_refused_counts_for_a_keys_life() {
    let harness = twenty_users().await;
    pass(MINUTE.mul_f64(13.5)).await;
    assert_eq!((outage(&harness).active, outage(&harness).covered), (15, 15));
    harness.fail(Some(unavailable()));
    assert!(harness.ask("somebody").await.is_err());
    assert_eq!((outage(&harness).active, outage(&harness).covered), (16, 15));
    pass(LIFE).await;
    let nobody = outage(&harness);
    assert_eq!((nobody.active, nobody.survivable), (0, None));
}

#[tokio::test(start_paused = true)]
async fn whose_key_made_room_for_others_would_be_without() {
    let harness = Harness::new(LIFE, 32 << 10);
    for user in 0..20 {
        harness.ask(&format!("user{user}")).await.unwrap();
    }
    let snapshot = harness.broker.snapshot();
    assert!(snapshot.entries < 20);
    let covered = usize::try_from(snapshot.entries).unwrap();
    assert_eq!((snapshot.outage.active, snapshot.outage.covered), (20, covered));
}

#[tokio::test(start_paused = true)]
async fn a_user_with_two_keys_is_one_user() {
    let harness = harness();
    harness.ask("alice").await.unwrap();
    harness.ask_for("alice", "photos/*", None).await.unwrap();
    assert_eq!((outage(&harness).active, outage(&harness).covered), (1, 1));
}
