//! Dependency rules that Cargo does not enforce: between the modules of `src/`, and for the crates that do no I/O.

use std::{collections::BTreeSet, path::Path, process::Command};

use crate::support::repository;

/// The modules of `src/`, and which of the others each may use. A module uses only modules above it, so there are no
/// cycles. `ARCHITECTURE.md` says what each is for.
const MODULES: [(&str, &str); 19] = [
    ("config", ""),
    ("metrics", ""),
    ("systemd", ""),
    ("network", "config"),
    ("telemetry", "config metrics network"),
    ("request", "telemetry"),
    ("connections", "metrics"),
    ("identity", "config metrics network"),
    ("replicas", "config metrics network"),
    ("sts", "config metrics network replicas telemetry"),
    ("audit", "config identity metrics request sts"),
    ("reload", "audit config identity metrics systemd"),
    ("credential_cache", "audit config identity metrics replicas request sts telemetry"),
    ("canary", "audit config metrics network reload sts"),
    ("http", "audit config connections credential_cache identity metrics reload request sts telemetry"),
    (
        "admin",
        "audit canary config connections credential_cache http identity metrics reload replicas request sts",
    ),
    (
        "app",
        "admin audit canary config connections credential_cache http identity metrics reload replicas request sts systemd telemetry",
    ),
    ("simulation", "audit config credential_cache reload request sts"),
    ("cli", "app audit canary config credential_cache http identity network reload replicas sts telemetry"),
];

/// The crates that do no input or output, and what would give it to them.
const PURE_CRATES: [&str; 5] = ["cam", "diagnostics", "strict-json", "templates", "tencent-sign"];
const IO_CRATES: [&str; 4] = ["actix", "hyper", "reqwest", "tokio"];

#[test]
fn each_module_uses_only_the_modules_that_the_table_allows() {
    let mut above = BTreeSet::new();
    for (module, allowed) in MODULES {
        let allowed: BTreeSet<&str> = allowed.split_whitespace().collect();
        assert!(allowed.is_subset(&above), "{module} may use only modules above it");
        above.insert(module);
        let mut used = BTreeSet::new();
        read_uses(&repository("src").join(module), &mut used);
        read_uses(&repository("src").join(format!("{module}.rs")), &mut used);
        used.retain(|name| name != module && !allowed.contains(name.as_str()));
        assert!(
            used.is_empty(),
            "{module} uses {used:?}: move the value, or change the table and ARCHITECTURE.md"
        );
    }
    let declared = std::fs::read_to_string(repository("src/lib.rs")).unwrap();
    for name in declared.lines().filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';')) {
        assert!(above.contains(name), "{name} is not in the table");
    }
}

/// Collects the names that stand directly after `crate::` in a file or in all files of a folder, unit tests left out.
fn read_uses(path: &Path, used: &mut BTreeSet<String>) {
    if path.file_stem().is_some_and(|name| name.to_str().unwrap().ends_with("tests")) {
        return;
    }
    for entry in std::fs::read_dir(path).into_iter().flatten() {
        read_uses(&entry.unwrap().path(), used);
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let code: String = text.lines().flat_map(|line| [line.split("//").next().unwrap(), "\n"]).collect();
    for rest in code.split("crate::").skip(1) {
        let mut depth = 0;
        for part in rest.split_inclusive([',', '{', '}', ';']) {
            let name: String = part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            // Without braces, the name itself; with braces, what stands directly in the outer pair.
            used.extend(Some(name).filter(|name| !name.is_empty() && depth <= 1));
            depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
            if depth == 0 || !rest.starts_with('{') {
                break;
            }
        }
    }
}

/// The crates that a package is built from, without those that only its tests use.
fn dependencies(arguments: &[&str]) -> String {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "no-dev", "--prefix", "none", "--format", "{p}"])
        .args(arguments)
        .current_dir(repository(""))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    String::from_utf8(tree.stdout).unwrap()
}

#[test]
fn the_pure_crates_depend_on_nothing_that_does_input_or_output() {
    for package in PURE_CRATES {
        let tree = dependencies(&["--package", package]);
        for line in tree.lines() {
            assert!(!IO_CRATES.iter().any(|name| line.starts_with(name)), "{package} depends on {line}");
        }
    }
}

#[test]
fn a_build_without_the_sandbox_has_no_token_issuer() {
    let package = ["--package", "cosbroker"];
    assert!(dependencies(&package).contains("cloud-emulator v"), "the default build has the sandbox");
    let without = dependencies(&[&package[..], &["--no-default-features"]].concat());
    assert!(!without.contains("cloud-emulator v"), "{without}");
}
