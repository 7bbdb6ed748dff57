//! The audit log, held against what clients and operators saw.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::future::join_all;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{
    Answer, Answers, Broker, CannedSts, JWT_SECRET, SECRET_ID, SECRET_KEY, Setup, Signal, cosbroker,
    repository, token,
};

const MALFORMED: &str = "the token was rejected: malformed";

fn audited(sts: &CannedSts, section: &str) -> Setup {
    Setup::new(sts.address).with("[limits]", &format!("[audit]\n{section}\n[limits]"))
}

/// Ends the broker; the lines it had written to a file and its older ones, from the oldest on, each whole.
async fn lines_after(mut broker: Broker, file: &Path) -> Vec<Value> {
    broker.signal(Signal::TERM);
    let (code, broker) = tokio::task::spawn_blocking(move || (broker.ended(), broker)).await.unwrap();
    assert_eq!(code, Some(0), "{}", broker.log());
    let older = (1..).map(|number| file.with_extension(format!("jsonl.{number}")));
    let mut files: Vec<PathBuf> = older.take_while(|file| file.exists()).collect();
    files.reverse();
    files.push(file.to_owned());
    files.iter().flat_map(|file| lines(file)).collect()
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(read).collect()
}

fn of<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// A line's fields, save for the time, of which only the form is known.
fn without_time(line: &Value) -> Value {
    let mut fields = line.as_object().unwrap().clone();
    let time: jiff::Timestamp = fields.remove("time").unwrap().as_str().unwrap().parse().unwrap();
    assert!(time > jiff::Timestamp::UNIX_EPOCH);
    Value::Object(fields)
}

#[tokio::test]
async fn each_kind_of_line_says_what_client_and_operator_saw() {
    let sts = CannedSts::start(Answers::Key(1800));
    let setup = audited(&sts, "path = \"audit.jsonl\"")
        .with("[server]", "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]");
    let broker = setup.start();
    let (alice, bad) = (token("alice"), token("mallory").replace('.', "x."));
    let ask = |path: &str, token: &str| {
        let request = broker.http.get(broker.url(path)).bearer_auth(token);
        Answer::of(request.header("x-forwarded-for", "203.0.113.7"))
    };
    let issued = ask("/v1/credentials", &alice).await;
    let hit = ask("/v1/credentials", &alice).await;
    let stranger = ask("/v1/credentials/upload", &bad).await;
    let nothing = ask("/v1/explain/no-such?action=a&key=b", &alice).await;
    let outside = json!({"scope": [{"action": "name/cos:PutObject", "bucket": "examplebucket-1250000000",
        "region": "ap-guangzhou", "prefix": "users/bob/*"}]});
    let outside = broker.post("/v1/credentials", &alice, outside.to_string()).await;
    let statuses = [&issued, &hit, &stranger, &nothing, &outside].map(|answer| answer.status);
    assert_eq!(statuses, [200, 200, 401, 404, 403]);
    assert_eq!(broker.reload().await.1["outcome"], "unchanged");
    let template = std::fs::read_to_string(repository("policies/upload.toml")).unwrap();
    let changed = template.replace("10485760", "1");
    broker.put_template("upload.toml", &changed);
    broker.reload().await;
    broker.put_template("upload.toml", "broken");
    let refused = broker.reload().await.1;
    let files = sha256(&std::fs::read_to_string(repository("policies/files.toml")).unwrap());
    let render = ["policy", "render", "upload", "--claims", r#"{"sub":"alice"}"#, "--wire"];
    let rendered = cosbroker(&repository(".")).args(render).output().unwrap();
    let wire = String::from_utf8(rendered.stdout).unwrap();

    let file = broker.dir().join("audit.jsonl");
    let lines = lines_after(broker, &file).await;
    let [first, .., last] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(first["event"], "start");
    assert_eq!(first["templates"], json!({"files": files, "upload": sha256(&template)}));
    assert_eq!(without_time(last), json!({"event": "stop"}));

    let key = issued.json();
    let expires = jiff::Timestamp::from_second(key["expiredTime"].as_i64().unwrap()).unwrap();
    let lines_of = |event: &str| of(&lines, event).into_iter().map(without_time).collect::<Vec<_>>();
    let issue = json!({
        "event": "issue", "outcome": "fetched",
        "requestId": issued.header("x-request-id"), "client": "203.0.113.7",
        "issuer": "https://id.test/", "subject": "alice",
        "template": "upload", "templateVersion": sha256(&template),
        "grantId": key["grantId"], "policySha256": sha256(wire.trim_end()),
        "bucket": key["bucket"], "region": key["region"], "prefix": key["prefix"], "scoped": false,
        "keyId": key["credentials"]["tmpSecretId"], "stsRequestId": key["requestId"],
        "expires": expires.to_string(),
    });
    assert_eq!(lines_of("issue"), [issue], "and none for the hit");

    let refusal = |answer: &Answer, more: Value| {
        let name = answer.json()["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        let mut line = json!({"event": "refusal", "outcome": name, "status": answer.status,
            "requestId": answer.header("x-request-id"), "client": "203.0.113.7"});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let alice_is = |mut more: Value| {
        more["issuer"] = "https://id.test/".into();
        more["subject"] = "alice".into();
        more
    };
    let [stranger_line, nothing_line, mut outside_line] =
        <[Value; 3]>::try_from(lines_of("refusal")).unwrap();
    assert_eq!(stranger_line, refusal(&stranger, json!({"cause": MALFORMED, "template": "upload"})));
    assert_eq!(nothing_line, refusal(&nothing, alice_is(json!({"cause": "there is no template `no-such`"}))));
    let cause = outside_line.as_object_mut().unwrap().remove("cause").unwrap();
    assert!(cause.as_str().unwrap().contains("scope item 0 is refused"), "{cause}");
    let from_here = json!({"template": "upload", "client": "127.0.0.1"});
    assert_eq!(outside_line, refusal(&outside, alice_is(from_here)));

    let reloads: Vec<Value> = lines_of("reload");
    let by_api: Vec<&Value> = reloads.iter().filter(|line| line["by"] == "api").collect();
    assert!(by_api.iter().all(|line| line["client"] == "127.0.0.1"), "{by_api:?}");
    assert_eq!(by_api[0]["outcome"], "unchanged");
    assert_eq!(by_api[0]["templateSet"], first["templateSet"]);
    let loaded = reloads.iter().find(|line| line["outcome"] == "loaded").unwrap();
    assert_eq!(loaded["templates"]["upload"], sha256(&changed));
    assert_ne!(loaded["templateSet"], first["templateSet"]);
    assert!(loaded["changes"]["upload"].as_str().is_some_and(|change| !change.is_empty()), "{loaded}");
    let unloadable = reloads.iter().find(|line| line["outcome"] == "refused").unwrap();
    assert_eq!(unloadable["problems"], refused["problems"]);
    assert_eq!(unloadable["templates"], loaded["templates"], "the last good set goes on");
}

#[tokio::test]
async fn a_stop_right_after_five_hundred_asks_loses_none_and_turning_over_tears_none() {
    let sts = CannedSts::start(Answers::Key(1800));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.jsonl");
    let section = format!("path = {file:?}\nmax_bytes = \"16KiB\"\nkeep = 100\nhits = true");
    let broker = audited(&sts, &section).start();
    let users: Vec<String> = (0..250).map(|user| format!("user-{user}")).collect();
    for _ in 0..2 {
        for some in users.chunks(25) {
            let tokens: Vec<String> = some.iter().map(|user| token(user)).collect();
            let answers = join_all(tokens.iter().map(|token| broker.get("/v1/credentials", token))).await;
            assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        }
    }
    let all = lines_after(broker, &file).await;
    let sizes = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
    let files: Vec<u64> = sizes.filter(std::fs::Metadata::is_file).map(|file| file.len()).collect();
    assert!(files.len() > 10 && files.iter().all(|bytes| *bytes <= 16 << 10), "{files:?}");
    assert_eq!(all.last().unwrap()["event"], "stop");
    for (event, outcome) in [("issue", "fetched"), ("serve", "hit")] {
        let told = of(&all, event);
        assert!(told.iter().all(|line| line["outcome"] == outcome), "{told:?}");
        let mut subjects: Vec<&str> = told.iter().map(|line| line["subject"].as_str().unwrap()).collect();
        subjects.sort_unstable();
        let mut expected: Vec<&str> = users.iter().map(String::as_str).collect();
        expected.sort_unstable();
        assert_eq!(subjects, expected, "{event}");
    }
}

#[tokio::test]
async fn who_was_revoked_by_whom_and_what_that_refused_stands_in_the_log() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = audited(&sts, "path = \"audit.jsonl\"").start();
    let alice = token("alice");
    assert_eq!(broker.get("/v1/credentials", &alice).await.status, 200);
    let named = json!({"subject": "alice"});
    let revoked = broker.operators_post("/api/revoke", &named).await.json();
    let refused = broker.get("/sign", &alice).await;
    assert_eq!(refused.status, 403);
    for (path, status) in [("revoke", 200), ("restore", 200), ("restore", 404)] {
        assert_eq!(broker.operators_post(&format!("/api/{path}"), &named).await.status, status);
    }
    assert_eq!(broker.get("/sign", &alice).await.status, 200);
    let file = broker.dir().join("audit.jsonl");
    let lines = lines_after(broker, &file).await;
    let told = |outcome: &str| {
        json!({"event": "revoke", "outcome": outcome, "client": "127.0.0.1", "issuer": "https://id.test/",
            "subject": "alice", "keysLiveUntil": revoked["alive_until"]})
    };
    let lines_of = |event: &str| of(&lines, event).into_iter().map(without_time).collect::<Vec<_>>();
    let outcomes = ["revoked", "already_revoked", "restored"];
    assert_eq!(lines_of("revoke"), outcomes.map(told), "and none where there was nothing to take back");
    let refusal = json!({"event": "refusal", "outcome": "revoked", "status": 403,
        "cause": "this person is revoked", "requestId": refused.header("x-request-id"),
        "client": "127.0.0.1", "issuer": "https://id.test/", "subject": "alice", "template": "upload"});
    assert_eq!(lines_of("refusal"), [refusal]);
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let in_order = ["start", "issue", "revoke", "refusal", "revoke", "revoke", "issue", "stop"];
    assert_eq!(events, in_order, "who is served again gets another key");
}

#[tokio::test]
async fn a_full_disk_refuses_nobody_and_its_lines_are_written_once_there_is_room() {
    let sts = CannedSts::start(Answers::Key(1800));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.jsonl");
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    let broker = audited(&sts, &format!("path = {file:?}")).start();
    for user in 0..20 {
        assert_eq!(broker.get("/v1/credentials", &token(&format!("user-{user}"))).await.status, 200);
    }
    while broker.figure(&["cosbroker_audit_failing"]).await == 0 {
        tokio::task::yield_now().await;
    }
    assert!(broker.figure(&["cosbroker_audit_errors_total"]).await > 0);
    assert_eq!(broker.figure(&["cosbroker_audit_lost_total"]).await, 0);
    assert_eq!(Answer::of(broker.http.get(broker.url("/readyz"))).await.status, 200);
    broker.says("the audit log cannot be written");
    std::fs::remove_file(&file).unwrap();
    let lines = lines_after(broker, &file).await;
    assert_eq!(of(&lines, "issue").len(), 20);
    assert_eq!(of(&lines, "lost").len(), 0);
    assert_eq!(lines.last().unwrap()["event"], "stop");
}

#[tokio::test]
async fn a_file_that_may_grow_no_more_is_as_a_full_disk_and_not_the_end() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = audited(&sts, "path = \"audit.jsonl\"").start();
    // What `ulimit -f` and systemd's LimitFSIZE= set: beyond it the kernel sends a signal that ends a process.
    broker.may_write_files_of(2048);
    for user in 0..20 {
        assert_eq!(broker.get("/v1/credentials", &token(&format!("user-{user}"))).await.status, 200);
    }
    while broker.figure(&["cosbroker_audit_failing"]).await == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(broker.get("/v1/credentials", &token("another")).await.status, 200);
    broker.says("File too large");
    broker.may_write_files_of(1 << 20);
    let file = broker.dir().join("audit.jsonl");
    let lines = lines_after(broker, &file).await;
    assert_eq!((of(&lines, "issue").len(), of(&lines, "lost").len()), (21, 0));
}

/// An app that gave up ends its connection, and with it the ask; STS makes the key all the same.
#[tokio::test]
async fn a_key_that_is_on_its_way_while_the_broker_stops_has_its_line() {
    let sts = CannedSts::start(Answers::Late(Duration::from_millis(1500)));
    let broker = audited(&sts, "path = \"audit.jsonl\"").start();
    let mut app = std::net::TcpStream::connect(broker.public).unwrap();
    let bearer = token("alice");
    write!(app, "GET /v1/credentials HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\n\r\n").unwrap();
    while sts.calls() == 0 {
        tokio::task::yield_now().await;
    }
    socket2::SockRef::from(&app).set_linger(Some(Duration::ZERO)).unwrap();
    drop(app);
    while broker.figure(&["cosbroker_credential_requests_total", "outcome=\"refused\""]).await == 0 {
        tokio::task::yield_now().await;
    }
    let file = broker.dir().join("audit.jsonl");
    let lines = lines_after(broker, &file).await;
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["start", "issue", "stop"]);
}

#[tokio::test]
async fn a_flood_of_bad_tokens_is_told_by_its_number_and_hides_no_other_refusal() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = audited(&sts, "path = \"audit.jsonl\"\nrefusals = \"5/hour\"").start();
    for n in 0..200 {
        assert_eq!(broker.get("/v1/credentials", &format!("a{n}.b.c")).await.status, 401);
    }
    let late = crate::support::token_of(&json!({"sub": "alice", "exp": 1000}));
    assert_eq!(broker.get("/v1/credentials", &late).await.status, 401);
    assert_eq!(broker.get("/v1/credentials/none", &token("alice")).await.status, 404);
    assert_eq!(broker.figure(&["cosbroker_audit_suppressed_total"]).await, 195);
    let file = broker.dir().join("audit.jsonl");
    let lines = lines_after(broker, &file).await;
    let causes: Vec<&str> =
        of(&lines, "refusal").iter().map(|line| line["cause"].as_str().unwrap()).collect();
    assert_eq!(causes[..5], [MALFORMED; 5]);
    assert_eq!(causes[5..], ["the token was rejected: expired", "there is no template `none`"]);
    let suppressed = of(&lines, "suppressed");
    let told =
        |line: &&Value| (line["kind"].as_str().unwrap().to_owned(), line["refusals"].as_u64().unwrap());
    assert_eq!(suppressed.iter().map(told).collect::<Vec<_>>(), [(MALFORMED.to_owned(), 195)]);
}

#[tokio::test]
async fn no_secret_and_no_token_stands_in_the_log() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = audited(&sts, "path = \"audit.jsonl\"\nhits = true").start();
    let good = token("alice");
    let cut = good.split_at(good.len() - 1).0;
    for token in [good.as_str(), good.as_str(), cut] {
        for path in ["/v1/credentials", "/sign", "/sts", "/v1/explain?action=a&key=k"] {
            broker.get(path, token).await;
        }
    }
    sts.answers(Answers::Body(format!(
        r#"{{"Response":{{"Error":{{"Code":"AuthFailure.SignatureFailure","Message":"{SECRET_KEY}"}},"RequestId":"r"}}}}"#
    )));
    assert_eq!(broker.get("/v1/credentials", &token("bob")).await.status, 503);
    let file = broker.dir().join("audit.jsonl");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let lines = lines_after(broker, &file).await;
    let text = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    assert!(text.contains("AKIDtemporary0") && text.contains("AuthFailure.SignatureFailure"), "{text}");
    let parts: Vec<&str> = good.split('.').collect();
    let secrets =
        [JWT_SECRET, SECRET_KEY, SECRET_ID, parts[1], parts[2], "temporary-key-canary", "token-canary"];
    for secret in secrets {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test]
async fn a_log_to_stdout_is_lines_of_json_and_nothing_else() {
    let sts = CannedSts::start(Answers::Key(1800));
    let mut setup = audited(&sts, "path = \"-\"");
    let out = tempfile::NamedTempFile::new().unwrap();
    setup.stdout = Some(out.reopen().unwrap());
    let broker = setup.start();
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    let lines = lines_after(broker, out.path()).await;
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["start", "issue", "stop"]);
}

#[test]
fn a_log_that_cannot_be_kept_is_told_by_check_and_by_serve() {
    let sts = CannedSts::start(Answers::Key(1800));
    let dir = audited(&sts, "path = \"no/audit.jsonl\"").write();
    for command in ["check", "serve"] {
        let output = cosbroker(dir.path()).args([command, "--config", "config.toml"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        assert!(said.contains("config.toml:23:8: no/audit.jsonl cannot be written"), "{command}: {said}");
    }
    let dir = audited(&sts, "path = \"audit.jsonl\"").write();
    let output = cosbroker(dir.path()).args(["check", "--config", "config.toml"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!dir.path().join("audit.jsonl").exists(), "to check makes no file");
}
