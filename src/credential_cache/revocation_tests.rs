use super::{
    tests::{CALL, CONTEXT, Harness, LIFE, harness, pass, unavailable},
    *,
};

fn all() -> KeyFilter {
    KeyFilter::default()
}

fn of(subject: &str) -> KeyFilter {
    KeyFilter { subject: Some(subject.to_owned()), ..all() }
}

#[tokio::test(start_paused = true)]
async fn every_issued_credential_is_listed_until_it_expires() {
    let harness = harness();
    let first = harness.request("alice").await.unwrap().credential;
    harness.request("bob").await.unwrap();
    pass(LIFE.mul_f64(0.75)).await;
    harness.request("alice").await.unwrap();
    pass(CALL * 2).await;
    harness.request_scope("alice", "a/*", None).await.unwrap();
    let alices = harness.cache.active_credentials(&of("alice"));
    assert_eq!(alices.active, 3, "the one that was refreshed is still active");
    let oldest = alices.keys.last().unwrap();
    assert_eq!(oldest.key_id, first.credential().secret_id);
    assert_eq!((oldest.issuer.as_str(), oldest.subject.as_str()), ("i", "alice"));
    assert_eq!((oldest.template.as_str(), oldest.prefix.as_str()), ("upload", "users/alice/"));
    assert_eq!((oldest.grant_id.clone(), oldest.narrowed), (first.grant().id().to_string(), false));
    assert_eq!(oldest.expires_at.duration_since(oldest.issued_at).as_secs(), 1800);
    assert_eq!(alices.keys.iter().filter(|key| key.narrowed).count(), 1);
    pass(LIFE / 4).await;
    assert_eq!(harness.cache.active_credentials(&of("alice")).active, 2);
    assert_eq!(harness.cache.active_credentials(&of("bob")).active, 0);
}

#[tokio::test(start_paused = true)]
async fn an_evicted_credential_is_listed_too() {
    let harness = Harness::new(LIFE, 20 << 10);
    for user in 0..50 {
        harness.request(&format!("u{user}")).await.unwrap();
    }
    let cached = harness.cache.snapshot().entries;
    assert!(cached < 10, "{cached} keys");
    let listed = harness.cache.active_credentials(&all());
    assert_eq!((listed.active, listed.coverage.forgotten), (50, 0));
}

#[tokio::test(start_paused = true)]
async fn a_revoked_user_gets_nothing_at_once_and_other_users_are_unaffected() {
    let harness = harness();
    for subject in ["alice", "bob"] {
        harness.request(subject).await.unwrap();
    }
    harness.request_scope("alice", "a/*", None).await.unwrap();
    let revocation = harness.cache.revoke("i", "alice", None).unwrap();
    assert_eq!(
        (revocation.active, revocation.already, revocation.lasting, revocation.problem),
        (2, false, false, None)
    );
    assert_eq!(
        runtime::clock::time_until(revocation.expires_last_at.unwrap(), revocation.coverage.now),
        LIFE
    );
    assert_eq!(
        harness.request("alice").await.unwrap_err(),
        CredentialError::Revoked,
        "not even from the cache"
    );
    assert_eq!(harness.request_scope("alice", "a/*", None).await.unwrap_err(), CredentialError::Revoked);
    assert_eq!(harness.request_scope("alice", "b/*", None).await.unwrap_err(), CredentialError::Revoked);
    let admit = |issuer: &str, subject: &str| harness.cache.admit(&Identity::for_tests(issuer, subject, &[]));
    assert_eq!(admit("i", "alice"), Err(CredentialError::Revoked));
    assert_eq!((admit("another", "alice"), admit("i", "bob")), (Ok(()), Ok(())));
    assert_eq!(harness.outcome("bob").await, CacheOutcome::Hit);
    assert_eq!(harness.calls(), 3, "no STS call for a revoked user");
    assert!(harness.cache.revoke("i", "alice", None).unwrap().already);
    assert_eq!(harness.cache.revoked().len(), 1);
    assert!(
        harness.cache.restore("i", "alice", None).is_some()
            && harness.cache.restore("i", "alice", None).is_none()
    );
    assert_eq!(
        harness.outcome("alice").await,
        CacheOutcome::Fetched,
        "the cached credential may be why the user was revoked"
    );
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Hit);
    assert_eq!((harness.figure("reason=\"revoked\""), harness.outcome("bob").await), (1, CacheOutcome::Hit));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_in_flight_does_not_serve_a_user_who_is_revoked_meanwhile() {
    let harness = harness();
    let grant = harness.grant("alice");
    let requests =
        futures::future::join_all((0..20).map(|_| harness.cache.credential_for(&grant, None, &CONTEXT)));
    let (served, revocation) = futures::join!(requests, async {
        pass(CALL / 2).await;
        harness.cache.revoke("i", "alice", None).unwrap()
    });
    assert!(served.iter().all(|one| matches!(one, Err(CredentialError::Revoked))), "{served:?}");
    assert_eq!(revocation.active, 0);
    assert_eq!(harness.cache.active_credentials(&of("alice")).active, 1, "it was issued, so it is listed");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_user_is_neither_refreshed_nor_served_stale() {
    let harness = harness();
    harness.request("alice").await.unwrap();
    pass(LIFE.mul_f64(0.75)).await;
    harness.cache.revoke("i", "alice", None).unwrap();
    assert_eq!(harness.request("alice").await.unwrap_err(), CredentialError::Revoked);
    pass(CALL * 2).await;
    assert_eq!(harness.calls(), 1);
    harness.cache.restore("i", "alice", None);
    harness.fail(Some(unavailable()));
    pass(LIFE.mul_f64(0.25).checked_sub(Duration::from_mins(4)).unwrap()).await;
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Stale);
    let grant = harness.grant("alice");
    let (served, _) = futures::join!(harness.cache.credential_for(&grant, None, &CONTEXT), async {
        pass(CALL / 2).await;
        harness.cache.revoke("i", "alice", None)
    });
    assert_eq!(served.unwrap_err(), CredentialError::Revoked);
}

/// Whatever the order of a request and a revocation: a served credential was counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_counts_every_credential_that_is_still_served() {
    let harness = Arc::new(Harness::quick());
    let rounds = (0..2000).map(|round| {
        let (caller, revoker) = (Arc::clone(&harness), Arc::clone(&harness));
        let subject = format!("u{round}");
        let grant = harness.grant(&subject);
        let request =
            tokio::spawn(async move { caller.cache.credential_for(&grant, None, &CONTEXT).await.is_ok() });
        let revoke = tokio::spawn(async move {
            for _ in 0..round % 7 {
                tokio::task::yield_now().await;
            }
            revoker.cache.revoke("i", &subject, None).unwrap().active
        });
        async { (request.await.unwrap(), revoke.await.unwrap()) }
    });
    let met = futures::future::join_all(rounds).await;
    assert!(met.iter().all(|(served, active)| !served || *active == 1), "{met:?}");
}
