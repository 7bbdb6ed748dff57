use std::{fs, path::Path};

use super::{
    tests::{Harness, LIFE, harness, pass},
    *,
};
use crate::config::Snapshot;

const BINDING: &str = "configuration";

fn binding(name: &str) -> Fingerprint {
    Fingerprint::of(&[name])
}

fn snapshot(dir: &Path) -> Snapshot {
    Snapshot::for_tests(dir.join("keys.snapshot"), 7)
}

/// A broker whose three users have a key, stopped; and the next one.
async fn restarted(dir: &Path) -> Harness {
    let before = harness();
    for user in ["alice", "bob", "carol"] {
        before.request(user).await.unwrap();
    }
    before.cache.revoke("i", "carol", None).unwrap();
    assert_eq!(before.cache.write_snapshot(&snapshot(dir), binding(BINDING)).unwrap(), 2);
    harness()
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_users_get_their_keys_without_a_call() {
    let dir = tempfile::tempdir().unwrap();
    let after = restarted(dir.path()).await;
    assert_eq!(after.cache.read_snapshot(&snapshot(dir.path()), binding(BINDING)).unwrap(), 2);
    for user in ["alice", "bob"] {
        let served = after.request(user).await.unwrap();
        assert_eq!(served.how, CacheOutcome::Hit);
        assert_eq!(served.credential.grant().principal().subject(), user);
    }
    assert_eq!(after.calls(), 0);
    assert_eq!(
        after.request("carol").await.unwrap().how,
        CacheOutcome::Fetched,
        "a revoked user's key is gone"
    );
    assert!(!dir.path().join("keys.snapshot").exists(), "it is not read twice");
}

#[tokio::test(start_paused = true)]
async fn a_restored_key_is_refreshed_as_late_in_its_lifetime_as_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let after = restarted(dir.path()).await;
    pass(LIFE.mul_f64(0.75)).await;
    after.cache.read_snapshot(&snapshot(dir.path()), binding(BINDING)).unwrap();
    assert_eq!(after.request("alice").await.unwrap().how, CacheOutcome::Refreshed);
}

#[tokio::test(start_paused = true)]
async fn an_expired_key_is_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    let after = restarted(dir.path()).await;
    pass(LIFE * 2).await;
    assert_eq!(after.cache.read_snapshot(&snapshot(dir.path()), binding(BINDING)).unwrap(), 0);
    assert_eq!(after.request("alice").await.unwrap().how, CacheOutcome::Fetched);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_another_key_or_configuration_and_a_changed_one_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let after = restarted(dir.path()).await;
    let (good, other_key) = (snapshot(dir.path()), Snapshot::for_tests(dir.path().join("keys.snapshot"), 8));
    for (snapshot, name) in [(&other_key, BINDING), (&good, "another")] {
        let refused = after.cache.read_snapshot(snapshot, binding(name));
        assert!(matches!(refused, Err(SnapshotError::Foreign(_))), "{refused:?}");
    }
    let mut bytes = fs::read(good.file()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(good.file(), bytes).unwrap();
    assert!(matches!(after.cache.read_snapshot(&good, binding(BINDING)), Err(SnapshotError::Foreign(_))));
    assert_eq!(after.request("alice").await.unwrap().how, CacheOutcome::Fetched);
}

#[tokio::test(start_paused = true)]
async fn no_secret_of_a_key_can_be_read_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    restarted(dir.path()).await;
    let bytes = fs::read(dir.path().join("keys.snapshot")).unwrap();
    for secret in ["AKID0", "tttttttttttttttt", "secret_key", "alice"] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
}
