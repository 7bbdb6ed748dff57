//! The isolation canary and `verify-isolation`: they pass if users are isolated, and detect if they are not.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Output,
    sync::{Arc, Mutex},
};

use cam::{Policy, evaluate};
use cloud_emulator::{SessionKey, Weakness};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::support::{
    Answer, Answers, CannedSts, Setup, Signal, cosbroker, emulator, emulator_with, sandbox::Sandbox,
};

fn with_canary(sts: SocketAddr, cos: SocketAddr, template: &str) -> Setup {
    let section = format!("interval = \"1m\"\ntemplate = \"{template}\"\nendpoint = \"http://{cos}\"");
    Setup::new(sts).with_section("audit", "path = \"audit.jsonl\"").with_section("canary", &section)
}

#[tokio::test]
async fn each_run_finds_users_isolated_and_an_outage_is_inconclusive() {
    let sandbox = Sandbox::with(&["--canary"]);
    let runs = async |outcome: &str| {
        let outcome = format!("outcome=\"{outcome}\"");
        sandbox.figure(&["cosbroker_canary_runs_total", &outcome]).await
    };
    sandbox.says("isolation canary: passed");
    assert_eq!((runs("passed").await, sandbox.figure(&["cosbroker_canary_isolated"]).await), (1, 1));
    for step in ["own_write", "other_write"] {
        let step = format!("step=\"{step}\"");
        assert_eq!(
            sandbox.figure(&["cosbroker_canary_request_duration_seconds_count", &step]).await,
            2,
            "{step}"
        );
    }
    // The canary does not count as a user, and its credentials are not in the users' cache.
    assert_eq!(sandbox.figure(&["cosbroker_credential_requests_total"]).await, 0);
    for figure in ["cosbroker_active_users", "cosbroker_cache_entries"] {
        assert_eq!(sandbox.figure(&[figure]).await, 0, "{figure}");
    }
    sandbox.fault(json!({"on": "cos", "fault": "error"})).await;
    sandbox.put_clock("6m").await;
    sandbox.says("outcome=\"unreachable\"");
    sandbox.clear_faults().await;
    sandbox.fault(json!({"on": "sts", "fault": "error"})).await;
    sandbox.put_clock("12m").await;
    sandbox.says("outcome=\"no_credentials\"");
    assert_eq!((runs("unreachable").await, runs("no_credentials").await, runs("passed").await), (1, 1, 1));
    assert_eq!(
        sandbox.figure(&["cosbroker_canary_isolated"]).await,
        1,
        "no conclusive run has shown otherwise"
    );
}

#[tokio::test]
async fn without_the_section_there_is_no_canary() {
    let sandbox = Sandbox::start();
    sandbox.put_clock("1h").await;
    let metrics = Answer::of(sandbox.http.get(format!("http://{}/metrics", sandbox.operators))).await.body;
    assert!(metrics.contains("cosbroker_sts_calls_total") && !metrics.contains("canary"), "{metrics}");
    assert_eq!(sandbox.figure(&["cosbroker_sts_calls_total"]).await, 0);
}

fn always(status: &str, body: &str) -> Answers {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    Answers::Raw((head + body).into_bytes())
}

#[tokio::test]
async fn a_public_bucket_is_a_breach_and_a_bucket_that_denies_everything_is_not() {
    let denied = always("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>");
    for (cos, outcome, told, isolated) in [
        (always("200 OK", ""), "breached", "ISOLATION IS BROKEN", Some("cosbroker_canary_isolated 0")),
        (denied, "own_denied", "COS denies what the template grants", None),
        (Answers::Reset, "unreachable", "isolation canary: inconclusive", None),
    ] {
        let (sts, cos) = (CannedSts::start(Answers::Key(1800)), CannedSts::start(cos));
        let mut setup = with_canary(sts.address, cos.address, "upload");
        setup.log_level = "trace";
        let mut broker = setup.start();
        broker.says(told);
        let runs = ["cosbroker_canary_runs_total".to_owned(), format!("outcome=\"{outcome}\"")];
        assert_eq!(broker.figure(&runs.each_ref().map(String::as_str)).await, 1, "{outcome}");
        let metrics = broker.metrics().await;
        let shown = metrics.lines().find(|line| line.starts_with("cosbroker_canary_isolated"));
        assert_eq!(shown, isolated, "{outcome}");
        let page = broker.operators_get("/").await.body;
        assert_eq!(page.contains("ISOLATION IS BROKEN"), outcome == "breached", "{page}");
        assert!(page.contains(&outcome.replace('_', " ")), "{page}");
        let log = broker.log();
        for secret in ["temporary-key-canary", "token-canary", "q-signature"] {
            assert!(!log.contains(secret), "{secret}: {log}");
        }
        for request in cos.recorded() {
            let host = request.headers.iter().find(|(name, _)| name == "host").unwrap();
            assert_eq!(host.1, "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com");
        }
        broker.signal(Signal::TERM);
        assert_eq!(broker.ended(), Some(0));
        let audit = std::fs::read_to_string(broker.dir().join("audit.jsonl")).unwrap();
        let lines = audit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let issued: Vec<Value> = lines.filter(|line| line["event"] == "issue").collect();
        // They are made at the same time.
        let subjects: BTreeSet<_> = issued.iter().map(|line| line["subject"].as_str().unwrap()).collect();
        assert!(subjects.iter().eq(&["cosbroker-canary-1", "cosbroker-canary-10"]), "{audit}");
        assert!(issued.iter().all(|line| line["outcome"] == "canary"), "{audit}");
    }
}

fn run(setup: &Setup, arguments: &[&str]) -> (Output, String) {
    let dir = setup.write();
    let output = cosbroker(dir.path()).args(arguments).args(["--config", "config.toml"]).output().unwrap();
    let told = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
    (output, told)
}

#[test]
fn a_template_that_allows_no_write_is_refused_at_startup() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let mut setup = with_canary(nobody, nobody, "reading");
    let files = setup.templates.iter().find(|(name, _)| name == "files.toml").unwrap().1.clone();
    let reading =
        files.replace("\"@upload\", \"@multipart-upload\", \"@download\", \"@delete\"", "\"@download\"");
    setup.templates.push(("reading.toml".to_owned(), reading));
    for (setup, said) in [
        (setup, "`reading` lets synthetic users write nothing"),
        (with_canary(nobody, nobody, "uplaod"), "there is no template `uplaod`"),
        (with_canary(nobody, nobody, "upload").with("\"1m\"", "\"30s\""), "less than a minute"),
        (with_canary(nobody, nobody, "upload").with_section("canary", "evry = 1"), "unknown key `evry`"),
        (
            with_canary(nobody, nobody, "upload").with("http://127.0.0.1:9", "http://cos.example.com"),
            "not a safe URL",
        ),
    ] {
        let (output, told) = run(&setup, &["check"]);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(said) && told.contains("config.toml:"), "{said}: {told}");
    }
    let (output, told) = run(&with_canary(nobody, nobody, "upload"), &["check"]);
    assert!(output.status.success(), "{told}");
}

#[test]
fn a_cloud_that_evaluates_the_policy_refuses_every_attack() {
    let (cloud, _) = emulator();
    let mut setup = with_canary(cloud, cloud, "upload");
    for name in ["avatar.toml", "team.toml", "downloads.toml"] {
        let text = std::fs::read_to_string(crate::support::repository("policies").join(name)).unwrap();
        setup.templates.push((name.to_owned(), text));
    }
    let setup = setup.with("\"tenant\"", "\"tenant\", \"team\"");
    let (output, told) = run(&setup, &["verify-isolation"]);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("user 1 in teams/cosbroker-canary-1/, user 10 in teams/cosbroker-canary-10/"));
    assert!(
        told.contains("left in the bucket: /users/cosbroker-canary-1/"),
        "uploads cannot be deleted: {told}"
    );
    let (output, told) = run(&setup, &["verify-isolation", "--template", "files"]);
    assert!(output.status.success() && !told.contains("template upload"), "{told}");
    assert!(told.matches(" ok\n").count() > 80 && !told.contains("left in the bucket"), "{told}");
}

#[test]
fn a_cloud_that_resolves_paths_after_the_policy_check_is_detected() {
    let (sts, _) = emulator();
    let (output, told) =
        run(&with_canary(sts, Climbing::start(), "files"), &["verify-isolation", "--template", "files"]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let reached: Vec<&str> = told.lines().filter(|line| line.ends_with("REACHED")).collect();
    for tried in
        ["1: read by `../` ", "1: write by `../` ", "1: read by `%2e%2e%2f` ", "1: write by `..%2f` "]
    {
        assert!(reached.iter().any(|line| line.starts_with(tried)), "{tried}: {told}");
    }
    assert!(!reached.iter().any(|line| line.contains("the other's object")), "{told}");
    assert!(told.contains("ISOLATION IS BROKEN"), "{told}");
}

#[test]
fn a_bucket_that_checks_no_policy_is_detected() {
    let (sts, _) = emulator();
    let open = Climbing { asks: false, ..Climbing::default() }.serve();
    let (output, told) = run(&with_canary(sts, open, "files"), &["verify-isolation", "--template", "files"]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for tried in
        ["1: write the other's object ", "read the other's object, unsigned ", "10: delete the other's"]
    {
        let line = told.lines().find(|line| line.starts_with(tried)).unwrap();
        assert!(line.ends_with("REACHED"), "{line}");
    }
}

/// Returns the tries that reached what they must not, from the output of `verify-isolation`.
fn reached(told: &str) -> Vec<&str> {
    told.lines().filter(|line| line.ends_with("REACHED")).collect()
}

#[test]
fn data_processing_that_checks_no_key_is_detected_by_each_trick() {
    let (cloud, _) = emulator_with(Some(Weakness::UncheckedProcessing));
    let (output, told) =
        run(&with_canary(cloud, cloud, "files"), &["verify-isolation", "--template", "files"]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let reached = reached(&told);
    for tried in [
        "a rule that writes to the other's folder by `../` ",
        "a rule that writes to the other's folder by `%2e%2e/` ",
        "a rule that writes to the other's folder by `..%2f` ",
        "a rule that writes to the other's folder by `..%5c` ",
        "a rule that writes to the other's folder by its whole path ",
        "a rule that writes to the other's folder by `//` ",
        "a rule that writes to the other's folder by `.//../` ",
        "a rule that names the bucket ",
        "a rule that writes to another bucket ",
        "a rule at the end of an upload in parts ",
        "a rule in a form ",
        "a rule for a stored picture ",
        "a callback to the other's object ",
        "show the other's picture as a watermark ",
    ] {
        let tried = format!("1: {tried}");
        assert!(reached.iter().any(|line| line.starts_with(&tried)), "{tried}: {told}");
    }
    let others = ["rule", "callback", "watermark"];
    let wrong = reached.iter().find(|line| !others.iter().any(|word| line.contains(word)));
    assert_eq!(wrong, None, "{told}");
    assert!(told.contains("ISOLATION IS BROKEN"), "{told}");
}

#[test]
fn a_bucket_that_lists_itself_at_a_path_of_slashes_is_detected() {
    let (cloud, _) = emulator_with(Some(Weakness::UncheckedSlashes));
    let (output, told) =
        run(&with_canary(cloud, cloud, "upload"), &["verify-isolation", "--template", "upload"]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let reached = reached(&told);
    assert_eq!(reached.len(), 2, "{told}");
    for tried in ["1: list by a path of slashes ", "1: list the other's by a path of slashes "] {
        assert!(reached.iter().any(|line| line.starts_with(tried)), "{tried}: {told}");
    }
}

/// A COS with the mistake of many a file server: it asks the policy about the name as it came, and then
/// resolves `..` in it.
#[derive(Clone)]
struct Climbing {
    asks: bool,
    objects: Arc<Mutex<HashMap<String, String>>>,
}

impl Default for Climbing {
    fn default() -> Self {
        Self { asks: true, objects: Arc::default() }
    }
}

impl Climbing {
    fn start() -> SocketAddr {
        Self::default().serve()
    }

    fn serve(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                self.answer(stream);
            }
        });
        address
    }

    fn answer(&self, mut stream: TcpStream) {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let header = |name: &str| {
            let mut headers = head.lines().filter_map(|line| line.split_once(": "));
            headers.find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        let length = header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        let mut line = head.split(' ');
        let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let key = percent_decode_str(path.trim_start_matches('/')).decode_utf8_lossy().into_owned();
        let action = match method {
            _ if !query.is_empty() || key.is_empty() || header("x-cos-copy-source").is_some() => {
                "name/cos:Other"
            }
            "PUT" => "name/cos:PutObject",
            "DELETE" => "name/cos:DeleteObject",
            _ => "name/cos:GetObject",
        };
        let allowed = header("x-cos-security-token").is_some_and(|token| {
            let session = SessionKey::new([7; 32]).open(&token).unwrap();
            let policy = Policy::parse(session.policy.as_bytes()).unwrap();
            let resource = format!("{}{key}", crate::support::BUCKET);
            let acl = header("x-cos-acl").or(header("x-cos-grant-read"));
            let context = acl.map(|acl| ("cos:x-cos-acl", acl)).into_iter().collect::<BTreeMap<_, _>>();
            evaluate::evaluate(&policy, &evaluate::Request { action, resource: &resource, context })
                .is_allowed()
        });
        let mut objects = self.objects.lock().unwrap();
        let key = climbed(&key);
        let forbidden = header("x-cos-forbid-overwrite").is_some();
        let (status, told) = match (action, objects.get(&key)) {
            _ if self.asks && !allowed => ("403 Forbidden", "<Code>AccessDenied</Code>".to_owned()),
            ("name/cos:PutObject", Some(_)) if forbidden => {
                ("409 Conflict", "<Code>FileAlreadyExists</Code>".to_owned())
            }
            ("name/cos:PutObject", _) => {
                objects.insert(key, String::from_utf8(body).unwrap());
                ("200 OK", String::new())
            }
            ("name/cos:DeleteObject", _) => {
                objects.remove(&key);
                ("204 No Content", String::new())
            }
            (_, None) => ("404 Not Found", "<Code>NoSuchKey</Code>".to_owned()),
            (_, Some(object)) => ("200 OK", object.clone()),
        };
        let told = if method == "HEAD" { String::new() } else { told };
        let head =
            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", told.len());
        let _ = stream.write_all((head + &told).as_bytes());
    }
}

fn climbed(key: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in key.split('/') {
        match segment {
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    segments.join("/")
}
