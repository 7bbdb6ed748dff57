//! What other settings would have given: a sandbox is asked for hours, and its advice held against its metrics.

use serde_json::{Value, json};

use crate::support::{Answer, Answers, CannedSts, Setup, cosbroker, repository, sandbox::Sandbox, token};

const USERS: u64 = 16;

/// `cosbroker advise …` beside it: the exit code, what it said, and its notes.
fn advise(sandbox: &Sandbox, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = cosbroker(&repository(""))
        .arg("advise")
        .args(arguments)
        .args(["--operators", &format!("http://{}", sandbox.operators)])
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn api(sandbox: &Sandbox, query: &str) -> Answer {
    Answer::of(sandbox.http.get(format!("http://{}/api/advise{query}", sandbox.operators))).await
}

async fn everybody_asks(sandbox: &Sandbox) {
    for user in 0..USERS {
        assert_eq!(sandbox.get("/v1/credentials", &format!("alice{user}")).await.status, 200);
    }
}

/// Asks, hits and calls so far, as the metrics have them.
async fn counted(sandbox: &Sandbox) -> [u64; 3] {
    [
        sandbox.figure(&["cosbroker_credential_requests_total"]).await,
        sandbox.figure(&["cosbroker_cache_hits_total"]).await,
        sandbox.figure(&["cosbroker_sts_calls_total", "ok"]).await,
    ]
}

fn figures(of: &Value) -> [u64; 3] {
    ["asks", "hits", "calls"].map(|name| of[name].as_u64().unwrap())
}

#[tokio::test]
async fn advice_shows_what_the_metrics_counted_and_what_another_lifetime_would_have_given() {
    let sandbox = Sandbox::start();
    everybody_asks(&sandbox).await;
    let early = api(&sandbox, "").await;
    assert_eq!(early.status, 409, "{early:?}");
    let (code, _, notes) = advise(&sandbox, &[]);
    assert!(code == Some(1) && notes.contains("ask again"), "{notes}");

    // Keys live half an hour: of three asks ten minutes apart, one makes a call.
    let mut before = [0; 3];
    for turn in 1..=21 {
        assert_eq!(sandbox.put_clock(&format!("{}m", turn * 10)).await.status, 200);
        if turn == 6 {
            before = counted(&sandbox).await;
        }
        everybody_asks(&sandbox).await;
    }
    let after = counted(&sandbox).await;
    let told = api(&sandbox, "").await;
    assert_eq!((told.status, told.header("cache-control")), (200, "no-store"));
    let told = told.json();
    assert_eq!(told["recorded"]["asks"], after[0]);
    assert_eq!(told["recorded"]["of_one_key_in"], 1);
    let measured = [0, 1, 2].map(|at| after[at] - before[at]);
    assert_eq!(figures(&told["counted"]), measured, "{told}");
    assert_eq!(figures(&told["present"]), measured, "{told}");
    assert!(!told.to_string().contains("alice"), "{told}");
    let advice = told["advice"].as_str().unwrap();
    assert!(
        advice.starts_with("Keys of 1h would save ") && advice.contains("after a revocation"),
        "{advice}"
    );
    let tried = told["alternatives"].as_array().unwrap().iter().map(|one| &one["settings"]["lifetime"]);
    assert_eq!(tried.filter(|life| life.is_string()).collect::<Vec<_>>(), [&json!("15m"), &json!("1h")]);

    let asked = async |query: &str| api(&sandbox, query).await.json()["asked"].clone();
    let [shorter, longer] = [asked("?lifetime=15m").await, asked("?lifetime=1h").await];
    let hits = |of: &Value| figures(of)[1];
    assert!(hits(&shorter) < measured[1] && measured[1] < hits(&longer), "{shorter} {longer}");
    assert_eq!(longer["outlives_revocation"], "1h");
    let small = asked("?max_bytes=32KiB").await;
    assert!(hits(&small) < measured[1] && small["peak_bytes"].as_u64() <= Some(32 << 10), "{small}");

    let page = sandbox.http.get(format!("http://{}/advise?lifetime=1h", sandbox.operators));
    let page = Answer::of(page).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.body.contains("asked: lifetime 1h") && page.body.contains("would save"), "{}", page.body);

    let (code, said, notes) = advise(&sandbox, &["--lifetime", "1h", "--min-remaining", "10m"]);
    assert_eq!(code, Some(0), "{notes}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("Keys of 1h with min_remaining of 10m would save "), "{said}");
    assert!(lines[2].starts_with("SETTINGS ") && lines[3].starts_with("as counted "), "{said}");
    assert!(lines[4].starts_with("as set, replayed ") && lines[5].starts_with("lifetime 15m "), "{said}");
    assert!(lines.last().unwrap().starts_with("requested: lifetime 1h, min_remaining 10m "), "{said}");
    assert!(lines.last().unwrap().ends_with(" 1h"), "{said}");
    assert!(notes.contains(&format!("from {} requests in 3h 30m", after[0])), "{notes}");
    let (_, said, _) = advise(&sandbox, &["--lifetime", "1h", "--format", "json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["asked"]["settings"], json!({"lifetime": "1h"}));

    for (arguments, status, problem) in [
        (["--lifetime", "soon"], 400, "`soon` is not a duration; write it like \"30m\""),
        (["--lifetime", "40h"], 400, "STS gives keys of 36h at most, not of 40h"),
        (["--lifetime", "3h"], 409, "keys of 3h can be judged from asks of 6h"),
        (["--min-remaining", "30m"], 400, "keys of 30m never have min_remaining, 30m, left"),
        (["--max-bytes", "64"], 400, "`64` is not a size; write it like \"256MiB\""),
    ] {
        let [flag, value] = arguments;
        let query = format!("?{}={value}", flag.trim_start_matches('-').replace('-', "_"));
        let refused = api(&sandbox, &query).await;
        assert_eq!(refused.status, status, "{refused:?}");
        let (code, said, told) = advise(&sandbox, &arguments);
        // What is no duration or size at all is told before anybody is asked.
        let usage = problem.contains("write it like");
        assert_eq!((code, said.as_str()), (Some(if usage { 2 } else { 1 }), ""), "{told}");
        assert!(told.contains(problem) && told.contains(if usage { flag } else { "" }), "{told}");
    }
    let unknown = api(&sandbox, "?liftime=1h").await;
    assert!(
        unknown.status == 400 && unknown.body.contains("the query cannot be read: unknown field"),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn where_recording_is_off_the_advisor_says_how_to_have_it() {
    let sts = CannedSts::start(Answers::Key(1800));
    let setup = Setup::new(sts.address).with("[limits]", "[cache]\nadvice_bytes = \"off\"\n[limits]");
    let broker = setup.start();
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    let answer = broker.operators_get("/api/advise").await;
    assert!(answer.status == 409 && answer.body.contains("cache.advice_bytes"), "{answer:?}");
}
