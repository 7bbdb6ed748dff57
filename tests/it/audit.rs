//! The audit log, compared with what clients and operators saw.

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
    Setup::new(sts.address).with_section("audit", section)
}

/// Stops the broker and returns the lines of the log and its rotated files, the oldest first; each must be whole.
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
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn of<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

fn events(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["event"].as_str().unwrap()).collect()
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// The fields of a line without the time, which only has to be valid.
fn without_time(line: &Value) -> Value {
    let mut fields = line.as_object().unwrap().clone();
    let time: jiff::Timestamp = fields.remove("time").unwrap().as_str().unwrap().parse().unwrap();
    assert!(time > jiff::Timestamp::UNIX_EPOCH);
    Value::Object(fields)
}

/// The fields of a refusal's line that the response shows as well.
fn refusal(answer: &Answer, client: &str, more: &Value) -> Value {
    let name = answer.json()["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let line = json!({"event": "refusal", "outcome": name, "status": answer.status,
        "request_id": answer.header("x-request-id"), "client": client});
    merged(line, more)
}

fn merged(mut line: Value, more: &Value) -> Value {
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line
}

fn alice() -> Value {
    json!({"issuer": "https://id.test/", "subject": "alice"})
}

const TRUSTED_PROXY: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

/// Sends a request for a client behind the trusted proxy.
async fn get_as_proxy(broker: &Broker, path: &str, token: &str) -> Answer {
    let request = broker.http.get(broker.url(path)).bearer_auth(token);
    Answer::of(request.header("x-forwarded-for", "203.0.113.7")).await
}

/// The policy that the template `upload` renders for alice, as it is sent to STS.
fn rendered_policy() -> String {
    let render = ["policy", "render", "upload", "--claims", r#"{"sub":"alice"}"#, "--wire"];
    let output = cosbroker(&repository(".")).args(render).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn template(name: &str) -> String {
    std::fs::read_to_string(repository("policies").join(name)).unwrap()
}

#[tokio::test]
async fn the_log_begins_with_a_start_line_and_ends_with_a_stop_line() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = audited(&sts, "path = \"audit.jsonl\"").start();
    let file = broker.dir().join("audit.jsonl");
    let lines = lines_after(broker, &file).await;
    let [start, stop] = lines.as_slice() else { panic!("{lines:?}") };
    let versions =
        json!({"files": sha256(&template("files.toml")), "upload": sha256(&template("upload.toml"))});
    assert_eq!((&start["event"], &start["templates"]), (&json!("start"), &versions));
    assert_eq!(without_time(stop), json!({"event": "stop"}));
}

#[tokio::test]
async fn an_issue_line_has_what_the_client_got_and_a_hit_has_no_line() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = audited(&sts, "path = \"audit.jsonl\"").with_section("server", TRUSTED_PROXY).start();
    let issued = get_as_proxy(&broker, "/v1/credentials", &token("alice")).await;
    let hit = get_as_proxy(&broker, "/v1/credentials", &token("alice")).await;
    assert_eq!((issued.status, hit.status), (200, 200));
    let file = broker.dir().join("audit.jsonl");
    let lines = lines_after(broker, &file).await;
    let key = issued.json();
    let expires_at = jiff::Timestamp::from_second(key["expiredTime"].as_i64().unwrap()).unwrap();
    let issue = json!({
        "event": "issue", "outcome": "fetched",
        "request_id": issued.header("x-request-id"), "client": "203.0.113.7",
        "issuer": "https://id.test/", "subject": "alice",
        "template": "upload", "template_version": sha256(&template("upload.toml")),
        "grant_id": key["grantId"], "policy_sha256": sha256(&rendered_policy()),
        "bucket": key["bucket"], "region": key["region"], "prefix": key["prefix"], "scoped": false,
        "key_id": key["credentials"]["tmpSecretId"], "sts_request_id": key["requestId"],
        "expires_at": expires_at.to_string(),
    });
    assert_eq!(events(&lines), ["start", "issue", "stop"]);
    assert_eq!(without_time(&lines[1]), issue);
}

#[tokio::test]
async fn a_refusal_line_has_what_the_client_got_and_the_cause() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = audited(&sts, "path = \"audit.jsonl\"").with_section("server", TRUSTED_PROXY).start();
    let malformed = token("mallory").replace('.', "x.");
    let stranger = get_as_proxy(&broker, "/v1/credentials/upload", &malformed).await;
    let unknown = get_as_proxy(&broker, "/v1/explain/no-such?action=a&key=b", &token("alice")).await;
    let scope = json!({"scope": [{"action": "name/cos:PutObject", "bucket": "examplebucket-1250000000",
        "region": "ap-guangzhou", "prefix": "users/bob/*"}]});
    let outside = broker.post("/v1/credentials", &token("alice"), scope.to_string()).await;
    assert_eq!([&stranger, &unknown, &outside].map(|answer| answer.status), [401, 404, 403]);
    let file = broker.dir().join("audit.jsonl");
    let lines = lines_after(broker, &file).await;
    assert_eq!(events(&lines), ["start", "refusal", "refusal", "refusal", "stop"]);
    let [stranger_line, unknown_line, mut outside_line] = [1, 2, 3].map(|at| without_time(&lines[at]));
    let expected = refusal(&stranger, "203.0.113.7", &json!({"cause": MALFORMED, "template": "upload"}));
    assert_eq!(stranger_line, expected);
    let cause = json!({"cause": "there is no template `no-such`"});
    assert_eq!(unknown_line, refusal(&unknown, "203.0.113.7", &merged(alice(), &cause)));
    let cause = outside_line.as_object_mut().unwrap().remove("cause").unwrap();
    assert!(cause.as_str().unwrap().contains("scope item 0 is refused"), "{cause}");
    let expected = refusal(&outside, "127.0.0.1", &merged(alice(), &json!({"template": "upload"})));
    assert_eq!(outside_line, expected);
}

#[tokio::test]
async fn a_reload_line_has_what_the_operator_got() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = audited(&sts, "path = \"audit.jsonl\"").start();
    assert_eq!(broker.reload().await.1["outcome"], "unchanged");
    let changed = template("upload.toml").replace("10485760", "1");
    broker.put_template("upload.toml", &changed);
    broker.reload().await;
    broker.put_template("upload.toml", "broken");
    let refused = broker.reload().await.1;
    let file = broker.dir().join("audit.jsonl");
    let lines = lines_after(broker, &file).await;
    let (start, reloads) = (&lines[0], of(&lines, "reload"));
    let by_api: Vec<&Value> = reloads.iter().copied().filter(|line| line["by"] == "api").collect();
    assert!(by_api.iter().all(|line| line["client"] == "127.0.0.1"), "{by_api:?}");
    assert_eq!(by_api[0]["outcome"], "unchanged");
    assert_eq!(by_api[0]["template_set"], start["template_set"]);
    let loaded = reloads.iter().find(|line| line["outcome"] == "loaded").unwrap();
    assert_eq!(loaded["templates"]["upload"], sha256(&changed));
    assert_ne!(loaded["template_set"], start["template_set"]);
    assert!(loaded["changes"]["upload"].as_str().is_some_and(|change| !change.is_empty()), "{loaded}");
    let unloadable = reloads.iter().find(|line| line["outcome"] == "refused").unwrap();
    assert_eq!(unloadable["problems"], refused["problems"]);
    assert_eq!(unloadable["templates"], loaded["templates"], "the last good set stays active");
}

#[tokio::test]
async fn a_stop_right_after_five_hundred_requests_loses_no_line_and_rotation_tears_none() {
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
        let lines = of(&all, event);
        assert!(lines.iter().all(|line| line["outcome"] == outcome), "{lines:?}");
        let mut subjects: Vec<&str> = lines.iter().map(|line| line["subject"].as_str().unwrap()).collect();
        subjects.sort_unstable();
        let mut expected: Vec<&str> = users.iter().map(String::as_str).collect();
        expected.sort_unstable();
        assert_eq!(subjects, expected, "{event}");
    }
}

#[tokio::test]
async fn revocations_and_the_requests_they_refuse_are_in_the_log() {
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
    let in_order = ["start", "issue", "revoke", "refusal", "revoke", "revoke", "issue", "stop"];
    assert_eq!(events(&lines), in_order, "a restored user gets another key");
    for (line, outcome) in of(&lines, "revoke").into_iter().zip(["revoked", "already_revoked", "restored"]) {
        let expected = json!({"event": "revoke", "outcome": outcome, "client": "127.0.0.1",
            "issuer": "https://id.test/", "subject": "alice", "expires_last_at": revoked["expires_last_at"]});
        assert_eq!(without_time(line), expected);
    }
    let refusal = json!({"event": "refusal", "outcome": "revoked", "status": 403,
        "cause": "this user is revoked", "request_id": refused.header("x-request-id"),
        "client": "127.0.0.1", "issuer": "https://id.test/", "subject": "alice", "template": "upload"});
    assert_eq!(without_time(of(&lines, "refusal")[0]), refusal);
}

#[tokio::test]
async fn a_full_disk_refuses_no_request_and_its_lines_are_written_once_it_has_space() {
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
async fn a_file_size_limit_is_treated_like_a_full_disk() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = audited(&sts, "path = \"audit.jsonl\"").start();
    // As `ulimit -f` and systemd's LimitFSIZE= do: above it the kernel sends a signal that ends a process.
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

/// A client that disconnects cancels its request, but not the call to STS.
#[tokio::test]
async fn a_key_that_is_being_issued_while_the_broker_stops_has_a_line() {
    let sts = CannedSts::start(Answers::WhenReleased);
    let broker = audited(&sts, "path = \"audit.jsonl\"").with_section("sts", "timeout = \"20s\"").start();
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
    broker.signal(Signal::TERM);
    broker.says("stopping");
    sts.release();
    let file = broker.dir().join("audit.jsonl");
    let lines = lines_after(broker, &file).await;
    assert_eq!(events(&lines), ["start", "issue", "stop"]);
}

#[tokio::test]
async fn a_flood_of_bad_tokens_is_counted_and_hides_no_other_refusal() {
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
    let [suppressed] = of(&lines, "suppressed")[..] else { panic!("{lines:?}") };
    assert_eq!((&suppressed["kind"], &suppressed["refusals"]), (&json!(MALFORMED), &json!(195)));
}

#[tokio::test]
async fn no_secret_and_no_token_is_in_the_log() {
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
    assert_eq!(events(&lines), ["start", "issue", "stop"]);
}

#[test]
fn check_and_serve_report_a_log_that_cannot_be_opened() {
    let sts = CannedSts::start(Answers::Key(1800));
    let dir = audited(&sts, "path = \"no/audit.jsonl\"").write();
    for command in ["check", "serve"] {
        let output = cosbroker(dir.path()).args([command, "--config", "config.toml"]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}: {stderr}");
        assert!(stderr.contains("config.toml:25:8: no/audit.jsonl cannot be written"), "{command}: {stderr}");
    }
    let dir = audited(&sts, "path = \"audit.jsonl\"").write();
    let output = cosbroker(dir.path()).args(["check", "--config", "config.toml"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!dir.path().join("audit.jsonl").exists(), "a check creates no file");
}
