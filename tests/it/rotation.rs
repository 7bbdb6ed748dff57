//! The source credentials, rotated while the broker serves.

use std::time::Duration;

use crate::support::{Answers, CannedSts, Setup, token, write_secret};

/// With the operator's key in two files.
fn setup(sts: &CannedSts) -> Setup {
    Setup::new(sts.address)
        .with("secret_id_env = \"SECRET_ID\"", "secret_id_file = \"own.id\"")
        .with("secret_key_env = \"SECRET_KEY\"", "secret_key_file = \"own.key\"")
}

/// Which key signed each call that STS had.
fn signers(sts: &CannedSts) -> Vec<String> {
    let signer = |headers: Vec<(String, String)>| {
        let (_, value) = headers.into_iter().find(|(name, _)| name == "authorization").unwrap();
        let (_, credential) = value.split_once("Credential=").unwrap();
        credential.split('/').next().unwrap().to_owned()
    };
    sts.recorded().into_iter().map(|request| signer(request.headers)).collect()
}

#[tokio::test]
async fn a_rotated_key_of_the_operators_serves_without_a_restart() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = setup(&sts).start_with(|dir| {
        write_secret(&dir.join("own.id"), "AKIDfirst\n");
        write_secret(&dir.join("own.key"), "first-canary\n");
    });
    let (alice, bob) = (token("alice"), token("bob"));
    let status = |answer: &crate::support::Answer| answer.header("cache-status").to_owned();
    for user in [&alice, &bob] {
        broker.get("/v1/credentials", user).await;
    }
    assert!(status(&broker.get("/v1/credentials", &alice).await).contains("hit"));

    write_secret(&broker.dir().join("own.id"), "AKIDsecond\n");
    write_secret(&broker.dir().join("own.key"), "second-canary\n");
    broker.says("the source credentials were rotated");
    assert!(status(&broker.get("/v1/credentials", &alice).await).contains("fwd=miss"));
    assert!(status(&broker.get("/v1/credentials", &alice).await).contains("hit"));
    assert_eq!(signers(&sts), ["AKIDfirst", "AKIDfirst", "AKIDsecond"]);
    assert_eq!(broker.figure(&["cosbroker_cache_misses_total", "source_credentials_rotated"]).await, 1);

    // While the new key is refused, whoever holds one of the old is served on.
    sts.answers(Answers::Body(
        r#"{"Response":{"Error":{"Code":"AuthFailure.SecretIdNotFound","Message":"m"},"RequestId":"r"}}"#
            .to_owned(),
    ));
    let stale = broker.get("/v1/credentials", &bob).await;
    assert_eq!((stale.status, status(&stale).contains("fwd=stale")), (200, true), "{}", status(&stale));

    std::fs::remove_file(broker.dir().join("own.key")).unwrap();
    broker.says("the source credentials cannot be read again");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    sts.answers(Answers::Key(1800));
    assert!(status(&broker.get("/v1/credentials", &bob).await).contains("fwd=miss"));
    assert_eq!(signers(&sts).last().unwrap(), "AKIDsecond", "the key at hand goes on");
    for secret in ["first-canary", "second-canary"] {
        assert!(!broker.log().contains(secret));
    }
}
