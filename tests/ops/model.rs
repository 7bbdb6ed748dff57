//! The protocol between replicas in a model checker, spin: every order in which replicas, Redis and faults can act.
//! `make test` installs it. docs/understand/replicas-model.md explains the models in `model/`.

use std::{fs, path::Path, process::Command};

use crate::support::repository;

/// Steps of the longest path that is followed. The search says so if one is longer.
const MAX_DEPTH: &str = "-m1000000";

/// Searches all states of a model; `defined` are names for its preprocessor. Returns what the search reports.
fn search(model: &str, defined: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = format!("{model}.pml");
    fs::copy(repository("tests/ops/model").join(&file), dir.path().join(&file)).unwrap();
    let mut spin = Command::new("spin");
    spin.arg("-a").args(defined.iter().map(|name| format!("-D{name}"))).arg(&file);
    run(&mut spin, dir.path());
    // Unoptimised, because to optimise takes longer than the search.
    run(Command::new("cc").args(["-DSAFETY", "-o", "pan", "pan.c"]), dir.path());
    let report = run(Command::new("./pan").args([MAX_DEPTH, "-w20"]), dir.path());
    assert!(!report.contains("max search depth too small"), "{model} {defined:?}: {report}");
    report
}

fn run(program: &mut Command, dir: &Path) -> String {
    let output = program.current_dir(dir).output();
    let output = output.unwrap_or_else(|error| panic!("{program:?}: {error}; run `make spin` once"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{program:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn no_order_of_events_breaks_the_protocol() {
    for (model, states) in [("lease", 100_000), ("quota", 50_000), ("revocation", 1_000)] {
        let report = search(model, &[]);
        assert!(report.contains("errors: 0"), "{model}: {report}");
        let stored = report.lines().find_map(|line| line.trim().strip_suffix(" states, stored")).unwrap();
        let stored: u64 = stored.parse().unwrap();
        assert!(stored > states, "{model} has {stored} states only: does anything happen in it?");
    }
    assert!(search("quota", &["WHOLE_REDIS"]).contains("errors: 0"));
}

/// Each mistake, and the assertion that it breaks.
#[test]
fn each_mistake_that_is_put_in_is_found() {
    for (model, defined, broken) in [
        ("lease", &["PLANT_FREE_ANY"][..], "holds[other]==0"),
        ("lease", &["PLANT_STORE_ANY"], "shared_key==stored_key"),
        ("lease", &["PLANT_STORE_IF_NONE"], "shared_key==stored_key"),
        ("lease", &["PLANT_GET_THEN_SET"], "shared_key==stored_key"),
        ("lease", &["PLANT_NO_EXPIRY"], "waited["),
        ("lease", &["PLANT_NO_POLL"], "waited["),
        ("quota", &["PLANT_GET_THEN_SET", "WHOLE_REDIS"], "<=4)"),
        ("quota", &["PLANT_NO_LAPSE", "WHOLE_REDIS"], "<=4)"),
        ("quota", &["PLANT_WHOLE_QUOTA_ALONE"], "<=(2*4))"),
        ("quota", &["PLANT_EMPTY_GRANTS"], "<=(2*4))"),
        ("revocation", &["PLANT_NO_POLL"], "known_for>1"),
        ("revocation", &["PLANT_NO_SECOND_LOOK"], "(known[0]==1)&&(known_for>1)"),
        ("revocation", &["PLANT_UNION"], "unwritten_for<=1"),
    ] {
        let report = search(model, defined);
        let found = report.lines().find(|line| line.contains("assertion violated"));
        assert!(found.is_some_and(|line| line.contains(broken)), "{model} {defined:?}: {report}");
    }
}
