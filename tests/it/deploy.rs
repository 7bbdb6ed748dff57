//! The files in `deploy/` for systemd and Kubernetes, as far as they can be checked without either.

use std::process::Command;

use crate::support::{cosbroker, repository};

#[test]
fn the_configuration_of_the_manifest_serves_the_shipped_templates() {
    let manifest = std::fs::read_to_string(repository("deploy/kubernetes/cosbroker.yaml")).unwrap();
    let (_, below) = manifest.split_once("  config.toml: |\n").unwrap();
    let config = below.lines().take_while(|line| *line != "---").map(|line| line.trim_start_matches("    "));
    let config = config.collect::<Vec<_>>().join("\n");
    let dir = tempfile::tempdir().unwrap();
    for secret in ["secret_id", "secret_key", "admin.token"] {
        assert!(config.contains(&format!("\"/secrets/{secret}\"")), "{config}");
        std::fs::write(dir.path().join(secret), "a-secret\n").unwrap();
    }
    let config = config
        .replace("/secrets/", &format!("{}/", dir.path().display()))
        .replace("\"/policies\"", &format!("\"{}\"", repository("policies").display()));
    std::fs::write(dir.path().join("config.toml"), config).unwrap();
    let checked = cosbroker(dir.path()).args(["check", "--config", "config.toml"]).output().unwrap();
    assert!(checked.status.success(), "{checked:#?}");
}

/// The exposure that the unit may have, in tenths. systemd-analyze counts from 0 (closed) to 10; a service without
/// hardening has 9.6.
const MAX_EXPOSURE: &str = "15";

#[test]
fn systemd_accepts_the_unit_and_finds_it_hardened() {
    let unit = std::fs::read_to_string(repository("deploy/systemd/cosbroker.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/local/bin/cosbroker serve "), "{unit}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cosbroker.service");
    // The binary under test, which is not installed.
    std::fs::write(&file, unit.replace("/usr/local/bin/cosbroker", env!("CARGO_BIN_EXE_cosbroker"))).unwrap();
    for arguments in [
        ["verify", "--man=no", "--recursive-errors=no"],
        ["security", "--offline=true", &format!("--threshold={MAX_EXPOSURE}")],
    ] {
        let message = Command::new("systemd-analyze").args(arguments).arg(&file).output();
        let message =
            message.unwrap_or_else(|error| panic!("systemd-analyze: {error}; install the package systemd"));
        assert!(message.status.success(), "{message:#?}");
        assert!(!String::from_utf8_lossy(&message.stderr).contains("cosbroker.service:"), "{message:#?}");
    }
}

#[test]
fn the_image_is_built_from_a_package_without_tests_and_benchmarks() {
    let dir = tempfile::tempdir().unwrap();
    let ignored = std::fs::read_to_string(repository(".dockerignore")).unwrap();
    for kept in ignored.lines().filter_map(|line| line.strip_prefix('!')) {
        let copied = Command::new("cp").arg("-r").arg(repository(kept)).arg(dir.path()).status().unwrap();
        assert!(copied.success(), "{kept}");
    }
    // Cargo checks the files that the manifest names before it looks for the target.
    let checked = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--locked", "--bin", "none"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let stdout = String::from_utf8(checked.stderr).unwrap();
    assert!(stdout.contains("no bin target named `none`") && stdout.contains("    cosbroker"), "{stdout}");
}
