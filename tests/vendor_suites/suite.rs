//! A suite of the vendor's: runs its tests, and compares their results with the list of those that are left out.

use std::{collections::BTreeSet, path::Path, process::Command};

use serde::Deserialize;
use serde_json::Value;

use crate::support::{repository, sandbox::Sandbox};

/// The least part of the tests that need only objects and buckets.
const MIN_PASSED_PERCENT: usize = 90;
/// The page with the numbers.
const PAGE: &str = "docs/reference/vendor-suites.md";

/// The tests of an SDK of the vendor's.
pub(crate) struct Suite {
    /// The name of its repository.
    pub(crate) sdk: &'static str,
    pub(crate) interpreter: &'static str,
    /// The program in `tests/vendor_suites/programs` that runs them.
    pub(crate) program: &'static str,
    pub(crate) arguments: &'static [&'static str],
}

/// The tests that are left out of a suite: `tests/vendor_suites/left_out/<SDK>.toml`.
#[derive(Deserialize)]
struct LeftOut {
    group: Vec<Group>,
}

/// Tests that are left out for the same reason.
#[derive(Deserialize)]
struct Group {
    why: String,
    needs: Needs,
    /// Names; one that ends in `*` stands for all that begin so.
    tests: Vec<String>,
}

/// What the sandbox would need for the tests of a group.
#[derive(Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Needs {
    /// Only objects and buckets, which the sandbox has.
    ObjectsAndBuckets,
    /// Another service, or a configuration of a bucket.
    Other,
}

impl Group {
    fn has(&self, name: &str) -> bool {
        self.tests.iter().any(|pattern| matches(pattern, name))
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |beginning| name.starts_with(beginning))
}

/// What a run printed.
#[derive(Default)]
struct Results {
    passed: usize,
    failed: Vec<String>,
    left_out: BTreeSet<String>,
}

impl Results {
    fn of(lines: &[Value]) -> Self {
        let mut results = Self::default();
        for line in lines {
            let name = line["test"].as_str().unwrap().to_owned();
            if line["left_out"] == true {
                results.left_out.insert(name);
            } else if line["ok"] == true {
                results.passed += 1;
            } else {
                results.failed.push(format!("{name}: {}", line["why"]));
            }
        }
        results
    }
}

impl Suite {
    /// Runs the tests, if `make vendor-suites` was given a checkout of them, and prints the numbers.
    pub(crate) fn run(&self) {
        let checkout = repository("target/vendor-suites").join(self.sdk);
        if !checkout.exists() {
            println!("{}: not run, because `make vendor-suites` was given no checkout of it", self.sdk);
            return;
        }
        let list = repository(&format!("tests/vendor_suites/left_out/{}.toml", self.sdk));
        let LeftOut { group: groups } = toml::from_str(&std::fs::read_to_string(list).unwrap()).unwrap();
        let results = Results::of(&self.results(&checkout, &groups));
        assert!(results.failed.is_empty(), "{}: {:#?}", self.sdk, results.failed);
        for pattern in groups.iter().flat_map(|group| &group.tests) {
            let is_used = results.left_out.iter().any(|name| matches(pattern, name));
            assert!(is_used, "{}: no test is called {pattern}, which is listed as left out", self.sdk);
        }
        let rows = self.rows(&results, &groups);
        println!("{}", rows.join("\n"));
        let page = std::fs::read_to_string(repository(PAGE)).unwrap();
        let missing: Vec<_> = rows.iter().filter(|row| !page.contains(*row)).collect();
        assert!(missing.is_empty(), "{PAGE} has other rows for {}; write: {missing:#?}", self.sdk);
    }

    /// Returns the suite's rows in the tables of the page: the numbers, and then a row for each group.
    fn rows(&self, results: &Results, groups: &[Group]) -> Vec<String> {
        let count = |group: &Group| results.left_out.iter().filter(|name| group.has(name)).count();
        let needs_only_objects = |group: &&Group| group.needs == Needs::ObjectsAndBuckets;
        let failing: usize = groups.iter().filter(needs_only_objects).map(count).sum();
        let other = results.left_out.len() - failing;
        let (passed, wanted) = (results.passed, results.passed + failing);
        let percent = passed * 100 / wanted;
        assert!(percent >= MIN_PASSED_PERCENT, "{}: {passed} of {wanted} pass", self.sdk);
        let all = wanted + other;
        let numbers = format!("| `{}` | {all} | {other} | {wanted} | {passed} | {percent} % |", self.sdk);
        let reasons =
            groups.iter().map(|group| format!("| `{}` | {} | {} |", self.sdk, count(group), group.why));
        [numbers].into_iter().chain(reasons).collect()
    }

    /// Runs the program of the suite, which must end by itself, and returns the lines that it printed.
    fn results(&self, checkout: &Path, groups: &[Group]) -> Vec<Value> {
        let sandbox = Sandbox::start();
        let patterns: Vec<&String> = groups.iter().flat_map(|group| &group.tests).collect();
        let left_out = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(left_out.path(), serde_json::to_string(&patterns).unwrap()).unwrap();
        let interpreter = match Path::new(self.interpreter).components().count() {
            1 => self.interpreter.into(),
            _ => repository(self.interpreter),
        };
        let output = Command::new("timeout")
            .args(["--kill-after=5", "900"])
            .arg(interpreter)
            .arg(repository("tests/vendor_suites/programs").join(self.program))
            .arg(checkout)
            .args([&sandbox.url(""), &sandbox.secret_id, &sandbox.secret_key])
            .arg(left_out.path())
            .args(self.arguments)
            .env("NODE_PATH", repository("target/sdk/node_modules"))
            .env_remove("HTTP_PROXY")
            .env_remove("http_proxy")
            .output()
            .unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
