//! Advice on cache settings: requests of several hours in a sandbox, and its advice compared with its metrics.

use serde_json::{Value, json};

use crate::support::{Answer, Answers, CannedSts, Setup, cosbroker, repository, sandbox::Sandbox, token};

const USERS: u64 = 16;

/// Runs `cosbroker advise` against a sandbox: the exit code, stdout and stderr.
fn advise(sandbox: &Sandbox, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = cosbroker(&repository(""))
        .arg("advise")
        .args(arguments)
        .args(["--operators", &format!("http://{}", sandbox.operators)])
        .output()
        .unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code(), stdout, stderr)
}

async fn api(sandbox: &Sandbox, query: &str) -> Answer {
    Answer::of(sandbox.http.get(format!("http://{}/api/advise{query}", sandbox.operators))).await
}

async fn all_users_request(sandbox: &Sandbox) {
    for user in 0..USERS {
        assert_eq!(sandbox.get("/v1/credentials", &format!("alice{user}")).await.status, 200);
    }
}

/// Requests, hits and calls so far, from the metrics.
async fn counted(sandbox: &Sandbox) -> [u64; 3] {
    [
        sandbox.figure(&["cosbroker_credential_requests_total"]).await,
        sandbox.figure(&["cosbroker_cache_hits_total"]).await,
        sandbox.figure(&["cosbroker_sts_calls_total", "ok"]).await,
    ]
}

/// Requests, hits and calls in a row of the advice.
fn figures(row: &Value) -> [u64; 3] {
    ["requests", "hits", "calls"].map(|name| row[name].as_u64().unwrap())
}

fn hits(row: &Value) -> u64 {
    figures(row)[1]
}

/// A sandbox whose users have sent a request every ten minutes for three and a half hours.
struct Recorded {
    sandbox: Sandbox,
    /// Requests, hits and calls in the time that the advice measures: what is before fills the cache.
    measured: [u64; 3],
    /// All requests.
    requests: u64,
}

async fn recorded() -> Recorded {
    let sandbox = Sandbox::start();
    all_users_request(&sandbox).await;
    // A key's lifetime is half an hour: of three requests ten minutes apart, one makes a call.
    let mut before = [0; 3];
    for turn in 1..=21 {
        assert_eq!(sandbox.put_clock(&format!("{}m", turn * 10)).await.status, 200);
        if turn == 6 {
            before = counted(&sandbox).await;
        }
        all_users_request(&sandbox).await;
    }
    let after = counted(&sandbox).await;
    Recorded { sandbox, measured: [0, 1, 2].map(|index| after[index] - before[index]), requests: after[0] }
}

#[tokio::test]
async fn too_few_requests_give_no_advice() {
    let sandbox = Sandbox::start();
    all_users_request(&sandbox).await;
    let early = api(&sandbox, "").await;
    assert_eq!(early.status, 409, "{early:?}");
    let (code, _, stderr) = advise(&sandbox, &[]);
    assert!(code == Some(1) && stderr.contains("again later"), "{stderr}");
}

#[tokio::test]
async fn advice_agrees_with_the_metrics_and_names_the_better_lifetime() {
    let Recorded { sandbox, measured, requests } = recorded().await;
    let answer = api(&sandbox, "").await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    let advice = answer.json();
    assert_eq!(advice["recorded"]["requests"], requests);
    assert_eq!(advice["recorded"]["of_one_key_in"], 1);
    assert_eq!(figures(&advice["counted"]), measured, "{advice}");
    assert_eq!(figures(&advice["present"]), measured, "{advice}");
    assert!(!advice.to_string().contains("alice"), "{advice}");
    let sentence = advice["advice"].as_str().unwrap();
    assert!(sentence.starts_with("Keys of 1h would save "), "{sentence}");
    assert!(sentence.contains("after a revocation"), "{sentence}");
    let alternatives = advice["alternatives"].as_array().unwrap().iter();
    let lifetimes = alternatives.map(|one| &one["settings"]["lifetime"]).filter(|life| life.is_string());
    assert_eq!(lifetimes.collect::<Vec<_>>(), [&json!("15m"), &json!("1h")]);
}

#[tokio::test]
async fn other_settings_can_be_compared_over_the_api_on_the_page_and_on_the_command_line() {
    let Recorded { sandbox, measured, requests } = recorded().await;
    let [_, present_hits, _] = measured;
    let shorter = api(&sandbox, "?lifetime=15m").await.json()["asked"].clone();
    let longer = api(&sandbox, "?lifetime=1h").await.json()["asked"].clone();
    let small = api(&sandbox, "?max_bytes=32KiB").await.json()["asked"].clone();
    assert!(hits(&shorter) < present_hits && present_hits < hits(&longer), "{shorter} {longer}");
    assert_eq!(longer["outlives_revocation"], "1h");
    assert!(hits(&small) < present_hits && small["peak_bytes"].as_u64() <= Some(32 << 10), "{small}");

    let page = sandbox.http.get(format!("http://{}/advise?lifetime=1h", sandbox.operators));
    let page = Answer::of(page).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.body.contains("your settings: lifetime 1h"), "{}", page.body);
    assert!(page.body.contains("would save"), "{}", page.body);

    let (code, table, notes) = advise(&sandbox, &["--lifetime", "1h", "--min-remaining", "10m"]);
    assert_eq!(code, Some(0), "{notes}");
    let beginnings = [
        "Keys of 1h with min_remaining of 10m would save ",
        "",
        "SETTINGS ",
        "as counted ",
        "as set, replayed ",
        "lifetime 15m ",
    ];
    for (line, beginning) in table.lines().zip(beginnings) {
        assert!(line.starts_with(beginning), "{table}");
    }
    let last = table.lines().last().unwrap();
    assert!(
        last.starts_with("your settings: lifetime 1h, min_remaining 10m ") && last.ends_with(" 1h"),
        "{table}"
    );
    assert!(notes.contains(&format!("from {requests} requests in 3h 30m")), "{notes}");
    let (_, json, _) = advise(&sandbox, &["--lifetime", "1h", "--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["asked"]["settings"], json!({"lifetime": "1h"}));
}

#[tokio::test]
async fn settings_that_cannot_be_compared_are_refused_with_the_reason() {
    let Recorded { sandbox, .. } = recorded().await;
    for (flag, value, status, problem) in [
        ("--lifetime", "soon", 400, "`soon` is not a duration; write it like \"30m\""),
        ("--lifetime", "40h", 400, "STS issues keys of 36h at most, not of 40h"),
        ("--lifetime", "3h", 409, "keys of 3h can be judged from requests of 6h"),
        ("--min-remaining", "30m", 400, "keys of 30m never have a TTL of min_remaining, 30m"),
        ("--max-bytes", "64", 400, "`64` is not a size; write it like \"256MiB\""),
    ] {
        let query = format!("?{}={value}", flag.trim_start_matches('-').replace('-', "_"));
        let refused = api(&sandbox, &query).await;
        assert_eq!(refused.status, status, "{refused:?}");
        let (code, stdout, stderr) = advise(&sandbox, &[flag, value]);
        // A malformed value is refused by the command itself, which names the flag.
        let is_malformed = problem.contains("write it like");
        assert_eq!((code, stdout.as_str()), (Some(if is_malformed { 2 } else { 1 }), ""), "{stderr}");
        assert!(stderr.contains(problem), "{stderr}");
        assert!(!is_malformed || stderr.contains(flag), "{stderr}");
    }
    let unknown = api(&sandbox, "?liftime=1h").await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.body.contains("the query cannot be read: unknown field"), "{unknown:?}");
}

#[tokio::test]
async fn without_recording_the_advisor_names_the_setting_that_turns_it_on() {
    let sts = CannedSts::start(Answers::Key(1800));
    let setup = Setup::new(sts.address).with_section("cache", "advice_bytes = \"off\"");
    let broker = setup.start();
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    let answer = broker.operators_get("/api/advise").await;
    assert!(answer.status == 409 && answer.body.contains("cache.advice_bytes"), "{answer:?}");
}
