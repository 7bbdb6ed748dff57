//! Users with a key that is about to expire, while STS throttles or does not answer.

use std::time::Duration;

use futures::future::join_all;

use crate::{
    random_errors::fault,
    report::{percentile, print},
    support::sandbox::Sandbox,
    user::ask,
};

const USERS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_still_be_served_is_served_at_once_whatever_sts_does() {
    print("| STS | stale answers | median, ms | slowest, ms |");
    let mut misses = Vec::new();
    for kind in ["throttle", "error", "reset", "hang"] {
        let sandbox = Sandbox::start();
        let tokens: Vec<String> =
            join_all((0..USERS).map(async |user| sandbox.token(&format!("user{user}")).await)).await;
        for token in &tokens {
            assert_eq!(ask(sandbox.broker, token).await.unwrap().status, 200);
        }
        sandbox.put_clock("25m 5s").await;
        let tokens: Vec<String> =
            join_all((0..USERS).map(async |user| sandbox.token(&format!("user{user}")).await)).await;
        sandbox.fault(fault(kind, 1.0)).await;
        let mut took = Vec::new();
        for token in &tokens {
            let answer = ask(sandbox.broker, token).await.unwrap();
            if answer.status == 200 && answer.cache_status.contains("fwd=stale") {
                took.push(answer.took);
            }
        }
        let stale = took.len();
        let (median, slowest) = (percentile(&mut took, 50), percentile(&mut took, 100));
        print(&format!("| {kind} | {stale} of {USERS} | {} | {} |", median.as_millis(), slowest.as_millis()));
        let patience = Duration::from_millis(if kind == "hang" { 600 } else { 100 });
        if stale < USERS || median > patience {
            misses.push(kind);
        }
    }
    assert!(misses.is_empty(), "missed: {misses:?}");
}
