//! What `deploy/` has for Kubernetes and Docker, and `.github/` for the forge, as far as that can be tried without them.

use std::{path::Path, process::Command};

use crate::support::{deployed::assert_serves, repository};

/// The `config.toml` in a manifest.
fn config_in(manifest: &str) -> String {
    let manifest = std::fs::read_to_string(repository(manifest)).unwrap();
    let (_, below) = manifest.split_once("  config.toml: |\n").unwrap();
    let config = below.lines().take_while(|line| *line != "---").map(|line| line.trim_start_matches("    "));
    config.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_configuration_of_the_manifest_serves_the_shipped_templates() {
    assert_serves(&config_in("deploy/kubernetes/cosbroker.yaml"));
}

#[test]
fn the_configurations_for_replicas_serve_the_shipped_templates() {
    assert_serves(&config_in("deploy/kubernetes-replicas/config.yaml"));
    assert_serves(&std::fs::read_to_string(repository("deploy/compose/cosbroker.toml")).unwrap());
}

/// Kustomize replaces the whole text, so what is in both must be written in both.
#[test]
fn the_configuration_for_replicas_differs_in_quota_and_redis_only() {
    let one = config_in("deploy/kubernetes/cosbroker.yaml");
    let replicas = config_in("deploy/kubernetes-replicas/config.yaml");
    let (replicas, _) = replicas.split_once("\n[redis]\n").unwrap();
    let [one, replicas] = [&one, replicas].map(|text| text.trim_end().lines().collect::<Vec<_>>());
    assert_eq!(one.len(), replicas.len());
    let differing: Vec<_> = one.into_iter().zip(replicas).filter(|(one, replicas)| one != replicas).collect();
    let [(one, replicas)] = differing.as_slice() else { panic!("{differing:#?}") };
    assert!(one.starts_with("calls_per_second = 100 "), "{one}");
    assert!(replicas.starts_with("calls_per_second = 600 "), "{replicas}");
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

#[test]
fn the_workflows_name_what_exists_and_build_with_the_oldest_supported_rust() {
    let makefile = std::fs::read_to_string(repository("Makefile")).unwrap();
    for (name, runs) in [("ci", ".ci/run"), ("release", "make package")] {
        let workflow = repository(&format!(".github/workflows/{name}.yml"));
        let workflow = std::fs::read_to_string(workflow).unwrap();
        assert!(workflow.contains(&format!("- run: {runs}\n")), "{workflow}");
        let image = format!("container: rust:{}-", env!("CARGO_PKG_RUST_VERSION"));
        assert!(workflow.contains(&image), "{image}: {workflow}");
        for action in workflow.split("uses: ").skip(1) {
            let action = action.lines().next().unwrap();
            assert!(action.contains("@v"), "{action} has no version");
        }
    }
    assert!(repository(".ci/run").exists());
    assert!(makefile.contains("\npackage: "), "{makefile}");
}

#[test]
fn a_report_of_a_bug_asks_for_the_version_and_for_no_secret() {
    let form = std::fs::read_to_string(repository(".github/ISSUE_TEMPLATE/bug.md")).unwrap();
    for words in
        ["`cosbroker --version`", "`cosbroker check --config config.toml`", "Paste no secret", "SECURITY.md"]
    {
        assert!(form.contains(words), "{words}: {form}");
    }
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
