use super::{
    tests::{CALL, House, LIFE, ORIGIN, house, pass, unavailable},
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
    let house = house();
    let first = house.ask("alice").await.unwrap().key;
    house.ask("bob").await.unwrap();
    pass(LIFE.mul_f64(0.75)).await;
    house.ask("alice").await.unwrap();
    pass(CALL * 2).await;
    house.ask_for("alice", "a/*", None).await.unwrap();
    let alices = house.broker.living_keys(&of("alice"));
    assert_eq!(alices.alive, 3, "the one replaced ahead still lives");
    let oldest = alices.keys.last().unwrap();
    assert_eq!(oldest.key_id, first.credential().secret_id);
    assert_eq!((oldest.issuer.as_str(), oldest.subject.as_str()), ("i", "alice"));
    assert_eq!((oldest.template.as_str(), oldest.prefix.as_str()), ("upload", "users/alice/"));
    assert_eq!((oldest.grant_id.clone(), oldest.narrowed), (first.grant().id().to_string(), false));
    assert_eq!(oldest.expires_at.duration_since(oldest.issued_at).as_secs(), 1800);
    assert_eq!(alices.keys.iter().filter(|key| key.narrowed).count(), 1);
    pass(LIFE / 4).await;
    assert_eq!(house.broker.living_keys(&of("alice")).alive, 2);
    assert_eq!(house.broker.living_keys(&of("bob")).alive, 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_made_room_for_others_is_listed_too() {
    let house = House::new(LIFE, 20 << 10);
    for user in 0..50 {
        house.ask(&format!("u{user}")).await.unwrap();
    }
    let cached = house.broker.snapshot().entries;
    assert!(cached < 10, "{cached} keys");
    let listed = house.broker.living_keys(&all());
    assert_eq!((listed.alive, listed.unknown.forgotten), (50, 0));
}

#[tokio::test(start_paused = true)]
async fn who_is_revoked_gets_nothing_from_that_moment_and_nobody_else_notices() {
    let house = house();
    for subject in ["alice", "bob"] {
        house.ask(subject).await.unwrap();
    }
    house.ask_for("alice", "a/*", None).await.unwrap();
    let told = house.broker.revoke("i", "alice", None).unwrap();
    assert_eq!((told.alive, told.already, told.lasting, told.problem), (2, false, false, None));
    assert_eq!(runtime::clock::until(told.alive_until.unwrap(), told.unknown.now), LIFE);
    assert_eq!(house.ask("alice").await.unwrap_err(), AskError::Revoked, "not even from memory");
    assert_eq!(house.ask_for("alice", "a/*", None).await.unwrap_err(), AskError::Revoked);
    assert_eq!(house.ask_for("alice", "b/*", None).await.unwrap_err(), AskError::Revoked);
    let admit = |issuer: &str, subject: &str| house.broker.admit(&Identity::for_tests(issuer, subject, &[]));
    assert_eq!(admit("i", "alice"), Err(AskError::Revoked));
    assert_eq!((admit("another", "alice"), admit("i", "bob")), (Ok(()), Ok(())));
    assert_eq!(house.outcome("bob").await, Outcome::Hit);
    assert_eq!(house.calls(), 3, "STS is not asked for who is revoked");
    assert!(house.broker.revoke("i", "alice", None).unwrap().already);
    assert_eq!(house.broker.revoked().len(), 1);
    assert!(
        house.broker.unrevoke("i", "alice", None).is_some()
            && house.broker.unrevoke("i", "alice", None).is_none()
    );
    assert_eq!(
        house.outcome("alice").await,
        Outcome::Fetched,
        "the key at hand may be why they were revoked"
    );
    assert_eq!(house.outcome("alice").await, Outcome::Hit);
    assert_eq!((house.figure("reason=\"forced\""), house.outcome("bob").await), (1, Outcome::Hit));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_on_its_way_reaches_nobody_who_was_revoked_meanwhile() {
    let house = house();
    let grant = house.grant("alice");
    let asks = futures::future::join_all((0..20).map(|_| house.broker.key_for(&grant, None, &ORIGIN)));
    let (served, told) = futures::join!(asks, async {
        pass(CALL / 2).await;
        house.broker.revoke("i", "alice", None).unwrap()
    });
    assert!(served.iter().all(|one| matches!(one, Err(AskError::Revoked))), "{served:?}");
    assert_eq!(told.alive, 0);
    assert_eq!(house.broker.living_keys(&of("alice")).alive, 1, "it was made, so it is listed");
}

#[tokio::test(start_paused = true)]
async fn who_is_revoked_is_neither_refreshed_ahead_nor_served_stale() {
    let house = house();
    house.ask("alice").await.unwrap();
    pass(LIFE.mul_f64(0.75)).await;
    house.broker.revoke("i", "alice", None).unwrap();
    assert_eq!(house.ask("alice").await.unwrap_err(), AskError::Revoked);
    pass(CALL * 2).await;
    assert_eq!(house.calls(), 1);
    house.broker.unrevoke("i", "alice", None);
    house.fail(Some(unavailable()));
    pass(LIFE.mul_f64(0.25).checked_sub(Duration::from_mins(4)).unwrap()).await;
    assert_eq!(house.outcome("alice").await, Outcome::Stale);
    let grant = house.grant("alice");
    let (served, _) = futures::join!(house.broker.key_for(&grant, None, &ORIGIN), async {
        pass(CALL / 2).await;
        house.broker.revoke("i", "alice", None)
    });
    assert_eq!(served.unwrap_err(), AskError::Revoked);
}

/// Whatever the order in which an ask and a revocation meet: a key that was handed out was counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_still_gets_a_key_is_told_of_by_the_revocation() {
    let house = Arc::new(House::quick());
    let rounds = (0..2000).map(|round| {
        let (asker, revoker) = (Arc::clone(&house), Arc::clone(&house));
        let subject = format!("u{round}");
        let grant = house.grant(&subject);
        let ask = tokio::spawn(async move { asker.broker.key_for(&grant, None, &ORIGIN).await.is_ok() });
        let revoke = tokio::spawn(async move {
            for _ in 0..round % 7 {
                tokio::task::yield_now().await;
            }
            revoker.broker.revoke("i", &subject, None).unwrap().alive
        });
        async { (ask.await.unwrap(), revoke.await.unwrap()) }
    });
    let met = futures::future::join_all(rounds).await;
    assert!(met.iter().all(|(served, alive)| !served || *alive == 1), "{met:?}");
}
