//! STS fails at random for a share of its calls, while new users come.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    measured_sts::MeasuredSts,
    overload::broker,
    report::{number, percent, percentile, print},
    support::{raise_open_file_limit, token},
    user::ask,
};

/// How soon a user wants the key.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long new users come.
const ARRIVALS: Duration = Duration::from_secs(100);
const KINDS: [&str; 6] = ["error", "html", "reset", "truncated", "throttle", "hang"];

/// A fault for this share of calls. `hang` is a call without an answer.
pub(crate) fn fault(kind: &str, share: f64) -> Value {
    match kind {
        "hang" => json!({"on": "sts", "fault": "latency", "delay": "1m", "share": share}),
        kind => json!({"on": "sts", "fault": kind, "share": share}),
    }
}

struct Figures {
    kind: &'static str,
    asked: usize,
    in_time: usize,
    answered: usize,
    calls: usize,
    median: Duration,
    slowest: Duration,
}

/// New users at this rate, while STS fails like this for this share of calls.
async fn measure(kind: &'static str, share: f64, rate: u32) -> Figures {
    let sts = MeasuredSts::start(Duration::ZERO).await;
    let broker = broker(&sts, 600);
    // Some users before it begins, as in any running service.
    for user in 0..5 {
        ask(broker.public, &token(&format!("before{user}"))).await.unwrap();
    }
    sts.fault(&fault(kind, share)).await;
    let (calls_before, public, start) = (sts.calls(), broker.public, Instant::now());
    let users = (0..rate * 100).map(|user| {
        tokio::spawn(async move {
            tokio::time::sleep_until((start + Duration::from_secs(1) / rate * user).into()).await;
            ask(public, &token(&format!("user{user}"))).await
        })
    });
    let users: Vec<_> = users.collect();
    let answers: Vec<_> = join_all(users).await.into_iter().map(Result::unwrap).collect();
    let mut took: Vec<Duration> =
        answers.iter().flatten().filter(|answer| answer.status == 200).map(|answer| answer.took).collect();
    let in_time = took.iter().filter(|took| **took <= PATIENCE).count();
    let (median, slowest) = (percentile(&mut took, 50), percentile(&mut took, 100));
    Figures {
        kind,
        asked: answers.len(),
        in_time,
        answered: answers.iter().flatten().count(),
        calls: sts.calls() - calls_before,
        median,
        slowest,
    }
}

async fn measure_shares(rate: u32, shares: &[f64]) {
    raise_open_file_limit();
    let runs = shares
        .iter()
        .flat_map(|share| KINDS.map(|kind| async move { (*share, measure(kind, *share, rate).await) }));
    let figures = join_all(runs).await;
    print(
        "| fails | kind | new users/s | asked | with a key within 2 s | lost | calls per key | median, ms | slowest, ms |",
    );
    for (share, of) in &figures {
        print(&format!(
            "| {:.0} % | {} | {rate} | {} | {}: {:.2} % | {} | {:.2} | {} | {} |",
            share * 100.0,
            of.kind,
            of.asked,
            of.in_time,
            percent(of.in_time, of.asked),
            of.asked - of.answered,
            number(of.calls) / number(of.in_time.max(1)),
            of.median.as_millis(),
            of.slowest.as_millis(),
        ));
    }
    let missed = |of: &Figures| percent(of.in_time, of.asked) < 99.9;
    let below_goal: Vec<_> =
        figures.iter().filter(|(_, of)| missed(of)).map(|(share, of)| (of.kind, *share)).collect();
    assert!(below_goal.is_empty(), "missed: {below_goal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_users_do_not_notice_random_errors_of_a_tenth_to_half_of_all_calls() {
    assert_eq!(ARRIVALS, Duration::from_secs(100), "the number of users is a hundred times the rate");
    measure_shares(5, &[0.1, 0.2, 0.3, 0.5]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_new_users_a_second_do_not_notice_a_tenth_of_errors() {
    measure_shares(20, &[0.1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_new_users_a_second_do_not_notice_a_fifth_of_errors() {
    measure_shares(20, &[0.2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_new_users_a_second_do_not_notice_a_third_of_errors() {
    measure_shares(20, &[0.3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_new_users_a_second_do_not_notice_half_of_errors() {
    measure_shares(20, &[0.5]).await;
}
