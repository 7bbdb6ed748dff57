use super::{
    CacheOutcome, CredentialError,
    tests::{Harness, LIFE, harness, unavailable},
};

#[tokio::test(start_paused = true)]
async fn the_number_of_scopes_of_a_user_is_bounded() {
    let harness = harness();
    let ask = async |subject: &str, prefix: &str| harness.request_scope(subject, prefix, None).await;
    assert_eq!(ask("alice", "a/*").await, Ok(CacheOutcome::Fetched));
    assert_eq!(ask("alice", "b/*").await, Ok(CacheOutcome::Fetched));
    let Err(CredentialError::TooManyScopes { retry_after }) = ask("alice", "c/*").await else {
        panic!("a third")
    };
    assert!(retry_after <= LIFE && retry_after > LIFE / 2, "{retry_after:?}");
    assert_eq!(ask("alice", "a/*").await, Ok(CacheOutcome::Hit), "what is held stays");
    assert_eq!(ask("bob", "a/*").await, Ok(CacheOutcome::Fetched), "others have their own");
    assert_eq!(
        harness.request("alice").await.unwrap().how,
        CacheOutcome::Fetched,
        "the whole grant is not a scope"
    );
    tokio::time::advance(retry_after).await;
    assert_eq!(ask("alice", "c/*").await, Ok(CacheOutcome::Fetched));
}

#[tokio::test(start_paused = true)]
async fn a_scope_is_released_when_its_credential_expires_and_is_renewed_at_the_limit() {
    let harness = harness();
    let ask = async |prefix: &str, requested_ttl| harness.request_scope("alice", prefix, requested_ttl).await;
    assert_eq!(ask("a/*", None).await, Ok(CacheOutcome::Fetched));
    tokio::time::advance(LIFE / 4).await;
    assert_eq!(ask("b/*", None).await, Ok(CacheOutcome::Fetched));
    let Err(CredentialError::TooManyScopes { retry_after }) = ask("c/*", None).await else {
        panic!("a third")
    };
    assert!(retry_after <= LIFE * 3 / 4, "the first to expire makes room: {retry_after:?}");
    tokio::time::advance(retry_after).await;
    assert_eq!(ask("c/*", None).await, Ok(CacheOutcome::Fetched));
    assert_eq!(
        ask("b/*", Some(LIFE / 2)).await,
        Ok(CacheOutcome::Fetched),
        "one of the two, with a longer TTL"
    );
    assert!(matches!(ask("d/*", None).await, Err(CredentialError::TooManyScopes { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_scope_without_a_credential_does_not_count() {
    let harness = harness();
    harness.fail(Some(unavailable()));
    for n in 0..5 {
        let refused = harness.request_scope("alice", &format!("{n}/*"), None).await.unwrap_err();
        assert!(matches!(refused, CredentialError::Sts(_)), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_scope_counts_no_longer_than_its_credential_lasts() {
    // As one that another replica fetched a while ago: shorter than the template says.
    let harness = Harness::new(LIFE / 2, 64 << 20);
    let ask = async |prefix: &str| harness.request_scope("alice", prefix, None).await;
    assert_eq!(ask("a/*").await, Ok(CacheOutcome::Fetched));
    assert_eq!(ask("b/*").await, Ok(CacheOutcome::Fetched));
    let Err(CredentialError::TooManyScopes { retry_after }) = ask("c/*").await else { panic!("a third") };
    assert!(retry_after <= LIFE / 2, "{retry_after:?}");
    tokio::time::advance(retry_after).await;
    assert_eq!(ask("c/*").await, Ok(CacheOutcome::Fetched));
}
