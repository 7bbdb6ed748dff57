//! Tencent's own SDKs at the sandbox: apps that get a key from the broker and work with it. `make test` installs
//! them.
//!
//! The programs in `tests/sdks/programs` do the same steps with each SDK and tell how each went; what it must come to stands
//! here, for all of them at once.

use std::{collections::BTreeMap, path::Path, process::Command};

use serde_json::Value;

use crate::support::{repository, sandbox::Sandbox};

/// What a step comes to.
#[derive(Debug, Clone, Copy)]
enum Comes {
    /// It succeeds, and there is nothing to tell.
    Well,
    /// It succeeds, and this is told.
    To(&'static str),
    /// Refused: the status, and the code of the SDK's error.
    Refused(u16, &'static str),
    /// Refused by the status alone: an answer to HEAD has no body to hold a code.
    RefusedHead(u16),
}
use Comes::{Refused, RefusedHead, To, Well};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sdk {
    Node,
    Browser,
    Python,
}

/// The broker's routes that give keys.
const ROUTES: [&str; 4] = ["/v1", "/sts", "/sign", "/getKeyAndCredentials"];

/// What a key of each route does in its own home.
const OWN_HOME: [(&str, Comes); 9] = [
    ("put", Well),
    ("head", To("15")),
    ("get", To("hello from home")),
    ("list", To("1")),
    ("multipart", Well),
    ("multipart comes back", To("the same bytes")),
    ("delete", Well),
    ("get what is gone", Refused(404, "NoSuchKey")),
    ("head what is gone", RefusedHead(404)),
];

/// What else each SDK sees with Alice's key.
const CONTRACT: [(&str, Comes); 18] = [
    ("list in pages", To("1.txt , 2.txt | 3 +&.txt , dir/")),
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
    ("a key refreshed in mid upload", To("asked again, 2 keys, the same bytes")),
];

/// Keys that are not what the broker gave, or no longer: the code that every call is refused with.
const BAD_KEYS: [(&str, &str); 5] = [
    ("a tampered policy", "InvalidAccessKeyId"),
    ("the token of bob's key", "InvalidAccessKeyId"),
    ("a wrong secret", "SignatureDoesNotMatch"),
    ("an unknown secret id", "InvalidAccessKeyId"),
    ("an expired key", "ExpiredToken"),
];
const CALLS: [&str; 6] = ["put", "get", "head", "list", "multipart", "delete"];

impl Sdk {
    /// How it is led to the sandbox.
    fn ways(self) -> [&'static str; 3] {
        match self {
            Self::Node | Self::Python => ["proxy", "address", "path"],
            Self::Browser => ["resolver", "localhost", "path"],
        }
    }

    /// Whether it mends a wrong clock by the server's.
    fn mends_clocks(self) -> bool {
        self != Self::Python
    }

    /// The code it makes up for an answer to HEAD.
    fn head_code(self, status: u16) -> String {
        match (self, status) {
            (Self::Node, _) => status.to_string(),
            (Self::Browser, _) => "Error".to_owned(),
            (Self::Python, 404) => "NoSuchResource".to_owned(),
            (Self::Python, _) => "Unknown".to_owned(),
        }
    }

    fn contract(self) -> BTreeMap<String, Comes> {
        let ways = self.ways().map(|way| (format!("pointed by {way}"), To("there and back")));
        let own =
            ROUTES.iter().flat_map(|route| OWN_HOME.map(|(step, comes)| (format!("{route}: {step}"), comes)));
        let bad = BAD_KEYS.iter().flat_map(|(name, code)| {
            CALLS.map(|call| {
                let comes = if call == "head" { RefusedHead(403) } else { Refused(403, code) };
                (format!("{name}: {call}"), comes)
            })
        });
        let rest = CONTRACT.map(|(step, comes)| (step.to_owned(), comes));
        let clocks = ["a clock 20 minutes off", "a clock -20 minutes off"]
            .into_iter()
            .filter(|_| self.mends_clocks())
            .map(|step| (step.to_owned(), To("mended")));
        ways.into_iter().chain(own).chain(bad).chain(rest).chain(clocks).collect()
    }

    /// What is wrong with how its steps went.
    fn breaches(self, told: &[Value]) -> Vec<String> {
        let mut due = self.contract();
        let mut breaches = Vec::new();
        for line in told {
            let step = line["step"].as_str().unwrap();
            let Some(comes) = due.remove(step) else {
                breaches.push(format!("{step}: not in the contract, or told twice"));
                continue;
            };
            if !self.keeps(comes, line) {
                breaches.push(format!("{step}: should come to {comes:?}, and came to {line}"));
            }
        }
        breaches.extend(due.into_keys().map(|step| format!("{step}: never done")));
        breaches
    }

    fn keeps(self, comes: Comes, line: &Value) -> bool {
        let ok = line["ok"] == true;
        match comes {
            Well => ok && line["value"].is_null(),
            To(value) => ok && line["value"] == value,
            Refused(status, code) => !ok && line["status"] == status && line["code"] == code,
            RefusedHead(status) => !ok && line["status"] == status && line["code"] == self.head_code(status),
        }
    }
}

#[test]
fn the_node_sdk_works_in_its_own_home_and_is_refused_elsewhere() {
    let (_sandbox, places, _templates) = sandbox();
    let told = told(node("node.mjs").args(&places));
    let breaches = Sdk::Node.breaches(&told);
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn the_javascript_sdk_in_a_browser_works_in_its_own_home_and_is_refused_elsewhere() {
    let (_sandbox, places, _templates) = sandbox();
    let told = told(node("browser.mjs").args(&places).arg(CHROMIUM));
    let breaches = Sdk::Browser.breaches(&told);
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn the_python_sdk_works_in_its_own_home_and_is_refused_elsewhere() {
    let (_sandbox, places, _templates) = sandbox();
    let told = told(python("python_sdk.py").args(&places));
    let breaches = Sdk::Python.breaches(&told);
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn the_sts_packages_get_keys_and_tencents_own_codes_from_the_emulator() {
    let sandbox = Sandbox::start();
    let cloud = sandbox.url("");
    let account = [&cloud, &sandbox.secret_id, &sandbox.secret_key];
    let both = [
        ("a key", "ok"),
        ("a key of a role", "ok"),
        ("put where the key allows", "ok"),
        ("put elsewhere", "AccessDenied"),
        ("a wrong secret", "AuthFailure.SignatureFailure"),
        ("an unknown secret id", "AuthFailure.SecretIdNotFound"),
        ("too long a life", "InvalidParameter.OverTimeError"),
        ("no statement", "InvalidParameter.StrategyFormatError"),
    ];
    let python_only = [("a key of scopes", "ok"), ("a key signed for the host that the package knows", "ok")];
    let node = told(node("node_sts.mjs").args(account));
    assert_eq!(outcomes(&node), both.into());
    let python = told(python("python_sts.py").args(account));
    assert_eq!(outcomes(&python), both.into_iter().chain(python_only).collect());
    for line in node.iter().chain(&python).filter(|line| line["step"].as_str().unwrap().starts_with("a key"))
    {
        let answer = &line["answer"];
        let names: Vec<&String> = answer["credentials"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["sessionToken", "tmpSecretId", "tmpSecretKey"], "{line}");
        assert_eq!(answer["expiredTime"].as_i64().unwrap() - answer["startTime"].as_i64().unwrap(), 1800);
    }
}

/// Each step, and `ok` or the package's error code.
fn outcomes(told: &[Value]) -> BTreeMap<&str, &str> {
    let told = told.iter().map(|line| {
        let code = line["code"].as_str().unwrap_or("no code");
        (line["step"].as_str().unwrap(), if line["ok"] == true { "ok" } else { code })
    });
    told.collect()
}

/// Its default template, which the drop-in routes serve, is the shipped one for everything in one's own home;
/// the shipped upload template stands beside it as `capped`.
fn sandbox() -> (Sandbox, [String; 2], tempfile::TempDir) {
    let templates = tempfile::tempdir().unwrap();
    for (name, shipped) in [("upload", "files"), ("files", "files"), ("capped", "upload")] {
        let shipped = repository(&format!("policies/{shipped}.toml"));
        std::fs::copy(shipped, templates.path().join(format!("{name}.toml"))).unwrap();
    }
    let sandbox = Sandbox::with(&["--templates", templates.path().to_str().unwrap()]);
    let places = [sandbox.broker, sandbox.cloud].map(|address| format!("http://{address}"));
    (sandbox, places, templates)
}

/// Where Debian puts it.
pub(crate) const CHROMIUM: &str = "/usr/bin/chromium";

/// A program of `tests/sdks/programs`, with the JavaScript SDKs.
pub(crate) fn node(program: &str) -> Command {
    let modules = repository("target/sdk/node_modules");
    assert!(modules.exists(), "run `make sdk` first: Tencent's JavaScript SDKs are not installed");
    let mut command = bounded(Path::new("node"), program);
    command.env("NODE_PATH", modules);
    command
}

fn python(program: &str) -> Command {
    let python = repository("target/oracle/bin/python");
    assert!(python.exists(), "run `make oracle` first: Tencent's Python SDKs are not installed");
    bounded(&python, program)
}

/// A program of `tests/sdks/programs` that ends by itself, or is ended.
fn bounded(interpreter: &Path, program: &str) -> Command {
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

/// The lines that a program tells, when it has ended well.
pub(crate) fn told(program: &mut Command) -> Vec<Value> {
    let output = program.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let lines = said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
    let lines = lines.collect();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    lines
}
