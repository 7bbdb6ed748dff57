//! The clients of `clients/`: JavaScript with Tencent's SDKs in a browser and in the mini-program runtime, Kotlin with Java,
//! Swift by its syntax. `make test` installs what they need.
//!
//! The programs in `tests/sdks/programs` do the same steps with each. The expected results are here.

use std::{collections::BTreeMap, net::TcpListener, process::Command};

use crate::{
    sdks::{CHROMIUM, node, output_lines, python, sandbox},
    support::repository,
};

/// The largest size of the minified client.
const MAX_BYTES: u64 = 3 * 1024;

/// What an app sees at each step.
const EXPECTED: [(&str, &str); 12] = [
    ("100 parallel uploads", "100 uploads, 1 request"),
    ("the key expires during an upload", "2 requests, the same bytes"),
    ("a clock ten minutes ahead", "1, 1, 2 requests"),
    ("a clock ten minutes behind", "1, 1, 2 requests"),
    ("another user after forget", "users/alice/ users/bob/"),
    (
        "the broker cannot be reached when the key should be renewed",
        "the same key, 1 attempt, then Unreachable",
    ),
    ("an expired login", "SignInAgain 401 unauthenticated with a request id"),
    ("an expired login during an upload", "SignInAgain 401 unauthenticated with a request id"),
    ("a template that does not exist", "Refused 404 no-such-template with a request id"),
    ("nothing listens", "Unreachable"),
    ("something else answers", "Unreachable 200"),
    (
        "STS fails",
        "RetryLater 503 credentials-unavailable with seconds with a request id; \
         RetryLater 503 credentials-unavailable with seconds with a request id; 1 request",
    ),
];

/// Returns what the app sees at each step.
fn seen(program: &mut Command) -> BTreeMap<String, String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    output_lines(program).iter().map(|line| (text(&line["step"]), text(&line["seen"]))).collect()
}

fn expected(only_here: (&str, &str)) -> BTreeMap<String, String> {
    EXPECTED.iter().chain([&only_here]).map(|(step, seen)| ((*step).to_owned(), (*seen).to_owned())).collect()
}

/// Returns an address where nothing listens.
fn closed() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

#[test]
fn in_a_browser_uploads_share_one_request_and_every_failure_arrives_as_itself() {
    let (_sandbox, addresses, _templates) = sandbox();
    let seen = seen(node("client_browser.mjs").args(&addresses).args([&closed(), CHROMIUM]));
    assert_eq!(seen, expected(("CORS refuses the page", "CallerNotAllowed")));
}

#[test]
fn in_a_mini_program_uploads_share_one_request_and_every_failure_arrives_as_itself() {
    let (_sandbox, addresses, _templates) = sandbox();
    let seen = seen(node("client_mini_program.mjs").args(&addresses).arg(closed()));
    assert_eq!(seen, expected(("the broker's domain is not listed", "CallerNotAllowed")));
}

#[test]
fn the_client_is_small_and_has_the_brokers_version() {
    let output = node("minify.mjs").output().unwrap();
    let bytes: u64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    assert!(bytes <= MAX_BYTES, "{bytes} bytes when minified, of {MAX_BYTES}");
    let package = std::fs::read_to_string(repository("clients/js/package.json")).unwrap();
    let package: serde_json::Value = serde_json::from_str(&package).unwrap();
    assert_eq!(package["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(package["dependencies"], serde_json::Value::Null);
}

#[test]
fn on_android_threads_share_one_request_and_every_failure_arrives_as_itself() {
    let (_sandbox, addresses, _templates) = sandbox();
    let dir = tempfile::tempdir().unwrap();
    let compiled = java(&installed("node_modules/kotlin-compiler/lib/kotlin-compiler.jar"))
        .args(["org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-Werror", "-no-reflect", "-no-stdlib"])
        .args(["-classpath", &libraries(), "-d"])
        .arg(dir.path())
        .args(["clients/kotlin/Cosbroker.kt", "tests/sdks/programs/client.kt"].map(repository))
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let class_path = format!("{}:{}", dir.path().display(), libraries());
    let seen = seen(java(&class_path).arg("ClientKt").args(&addresses).arg(closed()));
    let only_here = [
        ("100 threads", "1 key, 1 request"),
        ("COS says that the key has expired", "users/alice/, 2 requests"),
        ("nothing listens", "Unreachable"),
    ];
    let same = ["an expired login", "a template that does not exist", "something else answers", "STS fails"];
    let same = EXPECTED.into_iter().filter(|(step, _)| same.contains(step));
    let expected = only_here.into_iter().chain(same);
    assert_eq!(seen, expected.map(|(step, seen)| (step.to_owned(), seen.to_owned())).collect());
}

#[test]
fn the_swift_client_is_swift() {
    let output = python("swift_syntax.py").arg(repository("clients/swift/Cosbroker.swift")).output().unwrap();
    assert_eq!((String::from_utf8_lossy(&output.stdout).as_ref(), output.status.success()), ("", true));
}

/// Returns a command that runs a class of Java.
fn java(class_path: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "200", "java", "-cp", class_path]);
    command
}

/// What the client for Android needs besides Java: Kotlin's library, and Android's JSON.
fn libraries() -> String {
    ["node_modules/kotlin-compiler/lib/kotlin-stdlib.jar", "usr/share/java/com.android.json.jar"]
        .map(installed)
        .join(":")
}

/// Returns where a file of Kotlin's is installed.
fn installed(path: &str) -> String {
    let file = repository(&format!("target/kotlin/{path}"));
    assert!(file.exists(), "run `make kotlin` first: the Kotlin compiler is not installed");
    file.display().to_string()
}
