use super::{
    tests::{CALL, Harness, LIFE, ORIGIN, harness, pass, unavailable},
    *,
};

fn all() -> KeyFilter {
    KeyFilter::default()
}

fn of(subject: &str) -> KeyFilter {
    KeyFilter { subject: Some(subject.to_owned()), ..all() }
}

#[tokio::test(start_paused = true)]
async fn every_key_that_was_made_is_listed_until_it_ends() {
    let harness = harness();
    let first = harness.ask("alice").await.unwrap().key;
    harness.ask("bob").await.unwrap();
    pass(LIFE.mul_f64(0.75)).await;
    harness.ask("alice").await.unwrap();
    pass(CALL * 2).await;
    harness.ask_for("alice", "a/*", None).await.unwrap();
    let alices = harness.broker.active_credentials(&of("alice"));
    assert_eq!(alices.active, 3, "the one replaced ahead still lives");
    let oldest = alices.keys.last().unwrap();
    assert_eq!(oldest.key_id, first.credential().secret_id);
    assert_eq!((oldest.issuer.as_str(), oldest.subject.as_str()), ("i", "alice"));
    assert_eq!((oldest.template.as_str(), oldest.prefix.as_str()), ("upload", "users/alice/"));
    assert_eq!((oldest.grant_id.clone(), oldest.narrowed), (first.grant().id().to_string(), false));
    assert_eq!(oldest.expires_at.duration_since(oldest.issued_at).as_secs(), 1800);
    assert_eq!(alices.keys.iter().filter(|key| key.narrowed).count(), 1);
    pass(LIFE / 4).await;
    assert_eq!(harness.broker.active_credentials(&of("alice")).active, 2);
    assert_eq!(harness.broker.active_credentials(&of("bob")).active, 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_made_room_for_others_is_listed_too() {
    let harness = Harness::new(LIFE, 20 << 10);
    for user in 0..50 {
        harness.ask(&format!("u{user}")).await.unwrap();
    }
    let cached = harness.broker.snapshot().entries;
    assert!(cached < 10, "{cached} keys");
    let listed = harness.broker.active_credentials(&all());
    assert_eq!((listed.active, listed.coverage.forgotten), (50, 0));
}

#[tokio::test(start_paused = true)]
async fn who_is_revoked_gets_nothing_from_that_moment_and_nobody_else_notices() {
    let harness = harness();
    for subject in ["alice", "bob"] {
        harness.ask(subject).await.unwrap();
    }
    harness.ask_for("alice", "a/*", None).await.unwrap();
    let told = harness.broker.revoke("i", "alice", None).unwrap();
    assert_eq!((told.active, told.already, told.lasting, told.problem), (2, false, false, None));
    assert_eq!(runtime::clock::time_until(told.expires_last_at.unwrap(), told.coverage.now), LIFE);
    assert_eq!(harness.ask("alice").await.unwrap_err(), CredentialError::Revoked, "not even from memory");
    assert_eq!(harness.ask_for("alice", "a/*", None).await.unwrap_err(), CredentialError::Revoked);
    assert_eq!(harness.ask_for("alice", "b/*", None).await.unwrap_err(), CredentialError::Revoked);
    let admit =
        |issuer: &str, subject: &str| harness.broker.admit(&Identity::for_tests(issuer, subject, &[]));
    assert_eq!(admit("i", "alice"), Err(CredentialError::Revoked));
    assert_eq!((admit("another", "alice"), admit("i", "bob")), (Ok(()), Ok(())));
    assert_eq!(harness.outcome("bob").await, Outcome::Hit);
    assert_eq!(harness.calls(), 3, "STS is not asked for who is revoked");
    assert!(harness.broker.revoke("i", "alice", None).unwrap().already);
    assert_eq!(harness.broker.revoked().len(), 1);
    assert!(
        harness.broker.restore("i", "alice", None).is_some()
            && harness.broker.restore("i", "alice", None).is_none()
    );
    assert_eq!(
        harness.outcome("alice").await,
        Outcome::Fetched,
        "the key at hand may be why they were revoked"
    );
    assert_eq!(harness.outcome("alice").await, Outcome::Hit);
    assert_eq!((harness.figure("reason=\"forced\""), harness.outcome("bob").await), (1, Outcome::Hit));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_on_its_way_reaches_nobody_who_was_revoked_meanwhile() {
    let harness = harness();
    let grant = harness.grant("alice");
    let requests =
        futures::future::join_all((0..20).map(|_| harness.broker.credential_for(&grant, None, &ORIGIN)));
    let (served, told) = futures::join!(requests, async {
        pass(CALL / 2).await;
        harness.broker.revoke("i", "alice", None).unwrap()
    });
    assert!(served.iter().all(|one| matches!(one, Err(CredentialError::Revoked))), "{served:?}");
    assert_eq!(told.active, 0);
    assert_eq!(harness.broker.active_credentials(&of("alice")).active, 1, "it was made, so it is listed");
}

#[tokio::test(start_paused = true)]
async fn who_is_revoked_is_neither_refreshed_ahead_nor_served_stale() {
    let harness = harness();
    harness.ask("alice").await.unwrap();
    pass(LIFE.mul_f64(0.75)).await;
    harness.broker.revoke("i", "alice", None).unwrap();
    assert_eq!(harness.ask("alice").await.unwrap_err(), CredentialError::Revoked);
    pass(CALL * 2).await;
    assert_eq!(harness.calls(), 1);
    harness.broker.restore("i", "alice", None);
    harness.fail(Some(unavailable()));
    pass(LIFE.mul_f64(0.25).checked_sub(Duration::from_mins(4)).unwrap()).await;
    assert_eq!(harness.outcome("alice").await, Outcome::Stale);
    let grant = harness.grant("alice");
    let (served, _) = futures::join!(harness.broker.credential_for(&grant, None, &ORIGIN), async {
        pass(CALL / 2).await;
        harness.broker.revoke("i", "alice", None)
    });
    assert_eq!(served.unwrap_err(), CredentialError::Revoked);
}

/// Whatever the order in which an ask and a revocation meet: a key that was handed out was counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_still_gets_a_key_is_told_of_by_the_revocation() {
    let harness = Arc::new(Harness::quick());
    let rounds = (0..2000).map(|round| {
        let (caller, revoker) = (Arc::clone(&harness), Arc::clone(&harness));
        let subject = format!("u{round}");
        let grant = harness.grant(&subject);
        let ask =
            tokio::spawn(async move { caller.broker.credential_for(&grant, None, &ORIGIN).await.is_ok() });
        let revoke = tokio::spawn(async move {
            for _ in 0..round % 7 {
                tokio::task::yield_now().await;
            }
            revoker.broker.revoke("i", &subject, None).unwrap().active
        });
        async { (ask.await.unwrap(), revoke.await.unwrap()) }
    });
    let met = futures::future::join_all(rounds).await;
    assert!(met.iter().all(|(served, active)| !served || *active == 1), "{met:?}");
}
