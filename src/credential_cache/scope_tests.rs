use super::{
    CredentialError, Outcome,
    tests::{LIFE, harness, unavailable},
};

#[tokio::test(start_paused = true)]
async fn a_person_holds_so_many_scopes_at_once_and_no_more() {
    let harness = harness();
    let ask = async |subject: &str, prefix: &str| harness.ask_for(subject, prefix, None).await;
    assert_eq!(ask("alice", "a/*").await, Ok(Outcome::Fetched));
    assert_eq!(ask("alice", "b/*").await, Ok(Outcome::Fetched));
    let Err(CredentialError::TooManyScopes { retry_after }) = ask("alice", "c/*").await else {
        panic!("a third")
    };
    assert!(retry_after <= LIFE && retry_after > LIFE / 2, "{retry_after:?}");
    assert_eq!(ask("alice", "a/*").await, Ok(Outcome::Hit), "what is held stays");
    assert_eq!(ask("bob", "a/*").await, Ok(Outcome::Fetched), "others have their own");
    assert_eq!(harness.ask("alice").await.unwrap().outcome, Outcome::Fetched, "the whole grant is no scope");
    tokio::time::advance(retry_after).await;
    assert_eq!(ask("alice", "c/*").await, Ok(Outcome::Fetched));
}

#[tokio::test(start_paused = true)]
async fn a_scope_makes_room_when_its_key_ends_and_is_renewed_without_room() {
    let harness = harness();
    let ask = async |prefix: &str, wanted| harness.ask_for("alice", prefix, wanted).await;
    assert_eq!(ask("a/*", None).await, Ok(Outcome::Fetched));
    tokio::time::advance(LIFE / 4).await;
    assert_eq!(ask("b/*", None).await, Ok(Outcome::Fetched));
    let Err(CredentialError::TooManyScopes { retry_after }) = ask("c/*", None).await else {
        panic!("a third")
    };
    assert!(retry_after <= LIFE * 3 / 4, "the first key to end makes room: {retry_after:?}");
    tokio::time::advance(retry_after).await;
    assert_eq!(ask("c/*", None).await, Ok(Outcome::Fetched));
    assert_eq!(ask("b/*", Some(LIFE / 2)).await, Ok(Outcome::Fetched), "one of the two, with more life");
    assert!(matches!(ask("d/*", None).await, Err(CredentialError::TooManyScopes { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_got_no_key_does_not_count() {
    let harness = harness();
    harness.fail(Some(unavailable()));
    for n in 0..5 {
        let refused = harness.ask_for("alice", &format!("{n}/*"), None).await.unwrap_err();
        assert!(matches!(refused, CredentialError::Sts(_)), "{refused}");
    }
}
