//! Tencent's own SDKs with the sandbox: apps that request a key from the broker and use it. `make test` installs
//! the SDKs.
//!
//! The programs in `tests/sdks/programs` do the same steps with each SDK and print the result of each step. The expected
//! results are here, for all SDKs.

use std::{collections::BTreeMap, path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{repository, sandbox::Sandbox};

/// The expected result of a step.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// Success without a value.
    Done,
    /// Success with this value.
    Value(&'static str),
    /// Refused with this status and this code of the SDK's error.
    Refused(u16, &'static str),
    /// Refused with this status. A response to HEAD has no body with a code.
    RefusedHead(u16),
}
use Expected::{Done, Refused, RefusedHead, Value as ValueOf};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sdk {
    Node,
    Browser,
    MiniProgram,
    Python,
}

/// The broker's routes for keys.
const ROUTES: [&str; 4] = ["/v1", "/sts", "/sign", "/getKeyAndCredentials"];

/// The steps with a key of each route in its own home.
const OWN_HOME: [(&str, Expected); 9] = [
    ("put", Done),
    ("head", ValueOf("15")),
    ("get", ValueOf("hello from home")),
    ("list", ValueOf("1")),
    ("multipart", Done),
    ("multipart content", ValueOf("the same bytes")),
    ("delete", Done),
    ("get a deleted object", Refused(404, "NoSuchKey")),
    ("head a deleted object", RefusedHead(404)),
];

/// The other steps with Alice's key.
const OTHER_STEPS: [(&str, Expected); 18] = [
    ("list in pages", ValueOf("1.txt , 2.txt | 3 +&.txt , dir/")),
    ("put in bob's home", Refused(403, "AccessDenied")),
    ("get from bob's home", Refused(403, "AccessDenied")),
    ("head in bob's home", RefusedHead(403)),
    ("delete in bob's home", Refused(403, "AccessDenied")),
    ("multipart in bob's home", Refused(403, "AccessDenied")),
    ("upload of a large file to bob's home", Refused(403, "AccessDenied")),
    ("copy from bob's home", Refused(403, "AccessDenied")),
    ("copy into bob's home", Refused(403, "AccessDenied")),
    ("list bob's home", Refused(403, "AccessDenied")),
    ("list everything", Refused(403, "AccessDenied")),
    ("list users/", Refused(403, "AccessDenied")),
    ("list users/alic", Refused(403, "AccessDenied")),
    ("list users/alice2/", Refused(403, "AccessDenied")),
    ("put in users/alice2/", Refused(403, "AccessDenied")),
    ("put with a public ACL", Refused(403, "AccessDenied")),
    ("put of 11 MiB", Refused(403, "AccessDenied")),
    ("a key refreshed during an upload", ValueOf("requested again, 2 keys, the same bytes")),
];

/// What only the SDK for mini-programs does: it uploads with forms, and the runtime downloads.
const FORMS: [(&str, Expected); 4] = [
    ("upload with a form", Done),
    ("download of the form's file", ValueOf("200 from a form")),
    ("upload of an empty file with a form", Done),
    ("upload with a form to bob's home", Refused(403, "AccessDenied")),
];

/// Forged and expired keys, and the code that every call is refused with.
const BAD_KEYS: [(&str, &str); 5] = [
    ("a tampered policy", "InvalidAccessKeyId"),
    ("the token of bob's key", "InvalidAccessKeyId"),
    ("a wrong secret", "SignatureDoesNotMatch"),
    ("an unknown secret id", "InvalidAccessKeyId"),
    ("an expired key", "ExpiredToken"),
];
const CALLS: [&str; 6] = ["put", "get", "head", "list", "multipart", "delete"];

impl Sdk {
    /// The ways to point the SDK at the sandbox.
    fn ways(self) -> [&'static str; 3] {
        match self {
            Self::Node | Self::Python => ["proxy", "address", "path"],
            Self::Browser => ["resolver", "localhost", "path"],
            Self::MiniProgram => ["defaults", "http", "path"],
        }
    }

    /// Whether the SDK corrects a wrong clock by the server's.
    fn corrects_clocks(self) -> bool {
        self != Self::Python
    }

    /// The error code that the SDK makes up for a response to HEAD, if it does.
    fn head_code(self, status: u16) -> Value {
        match (self, status) {
            (Self::Node, _) => json!(status.to_string()),
            (Self::Browser, _) => json!("Error"),
            (Self::MiniProgram, _) => Value::Null,
            (Self::Python, 404) => json!("NoSuchResource"),
            (Self::Python, _) => json!("Unknown"),
        }
    }

    fn expected_results(self) -> BTreeMap<String, Expected> {
        let ways = self.ways().map(|way| (format!("reached by {way}"), ValueOf("the same content")));
        let own = ROUTES
            .iter()
            .flat_map(|route| OWN_HOME.map(|(step, expected)| (format!("{route}: {step}"), expected)));
        let bad = BAD_KEYS.iter().flat_map(|(name, code)| {
            CALLS.map(|call| {
                let expected = if call == "head" { RefusedHead(403) } else { Refused(403, code) };
                (format!("{name}: {call}"), expected)
            })
        });
        let forms = FORMS.into_iter().filter(|_| self == Self::MiniProgram);
        let rest = OTHER_STEPS.into_iter().chain(forms).map(|(step, expected)| (step.to_owned(), expected));
        let clocks = ["a clock 20 minutes off", "a clock -20 minutes off"]
            .into_iter()
            .filter(|_| self.corrects_clocks())
            .map(|step| (step.to_owned(), ValueOf("corrected")));
        ways.into_iter().chain(own).chain(bad).chain(rest).chain(clocks).collect()
    }

    /// Returns the differences between the results of the steps and the expected ones.
    fn differences(self, lines: &[Value]) -> Vec<String> {
        let mut missing = self.expected_results();
        let mut differences = Vec::new();
        for line in lines {
            let step = line["step"].as_str().unwrap();
            let Some(expected) = missing.remove(step) else {
                differences.push(format!("{step}: unknown step, or printed twice"));
                continue;
            };
            if !self.matches(expected, line) {
                differences.push(format!("{step}: expected {expected:?}, got {line}"));
            }
        }
        differences.extend(missing.into_keys().map(|step| format!("{step}: was not run")));
        differences
    }

    fn matches(self, expected: Expected, line: &Value) -> bool {
        let ok = line["ok"] == true;
        match expected {
            Done => ok && line["value"].is_null(),
            ValueOf(value) => ok && line["value"] == value,
            Refused(status, code) => !ok && line["status"] == status && line["code"] == code,
            RefusedHead(status) => !ok && line["status"] == status && line["code"] == self.head_code(status),
        }
    }
}

#[test]
fn the_node_sdk_works_in_its_own_home_and_is_refused_elsewhere() {
    let (_sandbox, addresses, _templates) = sandbox();
    let lines = output_lines(node("node.mjs").args(&addresses));
    let differences = Sdk::Node.differences(&lines);
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn the_javascript_sdk_in_a_browser_works_in_its_own_home_and_is_refused_elsewhere() {
    let (_sandbox, addresses, _templates) = sandbox();
    let lines = output_lines(node("browser.mjs").args(&addresses).arg(CHROMIUM));
    let differences = Sdk::Browser.differences(&lines);
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn the_mini_program_sdk_works_in_its_own_home_by_its_default_way_and_is_refused_elsewhere() {
    let (_sandbox, addresses, _templates) = sandbox();
    let lines = output_lines(node("mini_program.mjs").args(&addresses));
    let differences = Sdk::MiniProgram.differences(&lines);
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn the_python_sdk_works_in_its_own_home_and_is_refused_elsewhere() {
    let (_sandbox, addresses, _templates) = sandbox();
    let lines = output_lines(python("python_sdk.py").args(&addresses));
    let differences = Sdk::Python.differences(&lines);
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn the_sts_packages_get_keys_and_tencents_error_codes_from_the_emulator() {
    let sandbox = Sandbox::start();
    let cloud = sandbox.url("");
    let account = [&cloud, &sandbox.secret_id, &sandbox.secret_key];
    let common = [
        ("a key", "ok"),
        ("a key of a role", "ok"),
        ("put where the key allows", "ok"),
        ("put elsewhere", "AccessDenied"),
        ("a wrong secret", "AuthFailure.SignatureFailure"),
        ("an unknown secret id", "AuthFailure.SecretIdNotFound"),
        ("too long a duration", "InvalidParameter.OverTimeError"),
        ("no statement", "InvalidParameter.StrategyFormatError"),
    ];
    let python_only = [("a key of scopes", "ok"), ("a key signed for the host that the package knows", "ok")];
    let node = output_lines(node("node_sts.mjs").args(account));
    assert_eq!(outcomes(&node), common.into());
    let python = output_lines(python("python_sts.py").args(account));
    assert_eq!(outcomes(&python), common.into_iter().chain(python_only).collect());
    for line in node.iter().chain(&python).filter(|line| line["step"].as_str().unwrap().starts_with("a key"))
    {
        let answer = &line["answer"];
        let names: Vec<&String> = answer["credentials"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["sessionToken", "tmpSecretId", "tmpSecretKey"], "{line}");
        assert_eq!(answer["expiredTime"].as_i64().unwrap() - answer["startTime"].as_i64().unwrap(), 1800);
    }
}

#[test]
fn the_official_sdk_for_node_gets_keys_by_every_signature_and_method() {
    let sandbox = Sandbox::start();
    let account = [&sandbox.url(""), &sandbox.secret_id, &sandbox.secret_key];
    let lines = output_lines(node("node_tencentcloud.mjs").args(account));
    let said: Vec<String> = lines
        .iter()
        .map(|line| format!("{} {}", line["call"].as_str().unwrap(), line["outcome"].as_str().unwrap()))
        .collect();
    let mut expected = Vec::new();
    for signature in ["TC3-HMAC-SHA256", "HmacSHA1", "HmacSHA256"] {
        for method in ["POST", "GET"] {
            for call in ["federation", "role", "role without a policy", "tags", "a temporary key"] {
                expected.push(format!("{signature} {method}: {call} ok"));
            }
            expected.push(format!("{signature} {method}: a wrong secret AuthFailure.SignatureFailure"));
        }
    }
    assert_eq!(said, expected);
}

/// Returns each step with `ok` or the package's error code.
fn outcomes(lines: &[Value]) -> BTreeMap<&str, &str> {
    lines
        .iter()
        .map(|line| {
            let code = line["code"].as_str().unwrap_or("no code");
            (line["step"].as_str().unwrap(), if line["ok"] == true { "ok" } else { code })
        })
        .collect()
}

/// Starts a sandbox. Its default template, which the drop-in routes use, is the shipped `files` template; the
/// shipped `upload` template is there as `capped`.
pub(crate) fn sandbox() -> (Sandbox, [String; 2], tempfile::TempDir) {
    let templates = tempfile::tempdir().unwrap();
    for (name, shipped) in [("upload", "files"), ("files", "files"), ("capped", "upload")] {
        let shipped = repository(&format!("policies/{shipped}.toml"));
        std::fs::copy(shipped, templates.path().join(format!("{name}.toml"))).unwrap();
    }
    let sandbox = Sandbox::with(&["--templates", templates.path().to_str().unwrap()]);
    let addresses = [sandbox.broker, sandbox.cloud].map(|address| format!("http://{address}"));
    (sandbox, addresses, templates)
}

/// Where Debian installs Chromium.
pub(crate) const CHROMIUM: &str = "/usr/bin/chromium";

/// Returns a program of `tests/sdks/programs` that uses the JavaScript SDKs.
pub(crate) fn node(program: &str) -> Command {
    let modules = repository("target/sdk/node_modules");
    assert!(modules.exists(), "run `make sdk` first: Tencent's JavaScript SDKs are not installed");
    let mut command = with_time_limit(Path::new("node"), program);
    command.env("NODE_PATH", modules);
    command
}

/// Returns a program of `tests/sdks/programs` that uses the packages of `tests/sdks/oracle/requirements.txt`.
pub(crate) fn python(program: &str) -> Command {
    let python = repository("target/oracle/bin/python");
    assert!(python.exists(), "run `make oracle` first: Tencent's Python SDKs are not installed");
    with_time_limit(&python, program)
}

/// Returns a program of `tests/sdks/programs` that is stopped after a time limit.
fn with_time_limit(interpreter: &Path, program: &str) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", "100"])
        .arg(interpreter)
        .arg(repository("tests/sdks/programs").join(program));
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command
}

/// Returns the JSON lines that a program prints. The program must succeed.
pub(crate) fn output_lines(program: &mut Command) -> Vec<Value> {
    let output = program.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let lines = stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
    let lines = lines.collect();
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    lines
}
