//! What `deploy/` has for Kubernetes and Docker, as far as that can be tried without either.

use std::{path::Path, process::Command};

use crate::support::{cosbroker, repository, write_secret};

#[test]
fn the_configuration_of_the_manifest_serves_the_shipped_templates() {
    let manifest = std::fs::read_to_string(repository("deploy/kubernetes/cosbroker.yaml")).unwrap();
    let (_, below) = manifest.split_once("  config.toml: |\n").unwrap();
    let config = below.lines().take_while(|line| *line != "---").map(|line| line.trim_start_matches("    "));
    let config = config.collect::<Vec<_>>().join("\n");
    let dir = tempfile::tempdir().unwrap();
    for secret in ["secret_id", "secret_key", "admin.token"] {
        assert!(config.contains(&format!("\"/secrets/{secret}\"")), "{config}");
        write_secret(&dir.path().join(secret), "a-secret-of-more-than-thirty-two-bytes\n");
    }
    let config = config
        .replace("/secrets/", &format!("{}/", dir.path().display()))
        .replace("\"/policies\"", &format!("\"{}\"", repository("policies").display()));
    std::fs::write(dir.path().join("config.toml"), config).unwrap();
    let checked = cosbroker(dir.path()).args(["check", "--config", "config.toml"]).output().unwrap();
    assert!(checked.status.success(), "{checked:#?}");
}

#[test]
fn the_image_is_built_from_a_package_without_tests_and_benchmarks() {
    let dir = tempfile::tempdir().unwrap();
    let ignored = std::fs::read_to_string(repository(".dockerignore")).unwrap();
    for kept in ignored.lines().filter_map(|line| line.strip_prefix('!')) {
        copy(&repository(kept), &dir.path().join(kept));
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

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    if from.is_file() {
        std::fs::copy(from, to).unwrap();
        return;
    }
    for entry in std::fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        copy(&from.join(&name), &to.join(&name));
    }
}
