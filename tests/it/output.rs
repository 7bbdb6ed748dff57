//! What commands print, as snapshots in `tests/it/snapshots`. Their help is in `docs/reference` (see `reference`).
//!
//! `INSTA_UPDATE=always cargo test --test it -- output` writes them anew.

use std::path::Path;

use crate::{
    policy::{UPLOAD, folder},
    support::{Setup, cosbroker, repository},
};

/// What a command prints, and its exit code. Nothing of it depends on the machine.
fn output(dir: &Path, arguments: &[&str]) -> String {
    let output = cosbroker(dir).args(arguments).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    let code = output.status.code().unwrap();
    assert!(!stdout.contains('\u{1b}') && !stderr.contains('\u{1b}'), "colours without a terminal");
    format!("$ cosbroker {}\n{stdout}--- stderr\n{stderr}--- exit code {code}", arguments.join(" "))
}

#[test]
fn check_prints_what_is_proved() {
    let dir = Setup::new("127.0.0.1:1".parse().unwrap()).write();
    insta::assert_snapshot!(output(dir.path(), &["check", "--config", "config.toml"]));
}

#[test]
fn check_prints_every_problem_with_its_place() {
    let setup = Setup::new("127.0.0.1:1".parse().unwrap())
        .with("region = \"ap-guangzhou\"", "region = \"\"")
        .with("secret_env = \"JWT_SECRET\"", "secret_env = \"UNSET\"");
    insta::assert_snapshot!(output(setup.write().path(), &["check", "--config", "config.toml"]));
}

#[test]
fn lint_prints_the_shipped_templates_as_proved() {
    insta::assert_snapshot!(output(&repository(""), &["policy", "lint", "--config", "config.example.toml"]));
}

#[test]
fn lint_underlines_an_error_and_prints_two_users_it_would_let_reach_one_object() {
    let dir = folder(&[("upload.toml", &UPLOAD.replace("users/${sub|escape}/\"", "users/${sub|escape}\""))]);
    insta::assert_snapshot!(output(dir.path(), &["policy", "lint"]));
}

#[test]
fn lint_prints_a_warning_and_the_nearest_action() {
    let dir = folder(&[("upload.toml", &UPLOAD.replace("\"@upload\"", "\"name/cos:PutObjct\""))]);
    insta::assert_snapshot!(output(dir.path(), &["policy", "lint", "--deny-warnings"]));
}

#[test]
fn lint_prints_json_for_programs() {
    let dir = folder(&[("upload.toml", &UPLOAD.replace("users/${sub|escape}/\"", "users/${sub|escape}\""))]);
    insta::assert_snapshot!(output(dir.path(), &["policy", "lint", "--format", "json"]));
}

const ALICE: &str = "{\"sub\":\"alice\",\"team\":\"red\",\"role\":\"member\"}";

#[test]
fn render_prints_the_policy_of_each_shipped_template() {
    for template in ["avatar", "downloads", "files", "team", "upload"] {
        let arguments =
            ["policy", "render", template, "--claims", ALICE, "--config", "config.example.toml", "--pretty"];
        insta::assert_snapshot!(format!("render_{template}"), output(&repository(""), &arguments));
    }
}

#[test]
fn explain_prints_what_allows_and_what_denies() {
    let upload = ["policy", "explain", "upload", "--claims", ALICE, "--action", "PutObject"];
    let small = ["--key", "users/alice/a.jpg", "--size", "5MiB"];
    insta::assert_snapshot!("explain_allowed", output(&repository(""), &[&upload[..], &small].concat()));
    let large = ["--key", "users/alice/a.jpg", "--size", "11MiB"];
    insta::assert_snapshot!("explain_too_large", output(&repository(""), &[&upload[..], &large].concat()));
    let other = ["--key", "users/bob/a.jpg"];
    insta::assert_snapshot!("explain_not_granted", output(&repository(""), &[&upload[..], &other].concat()));
}

#[test]
fn diff_prints_what_all_users_and_each_sample_user_gain_and_lose() {
    let bare = UPLOAD.replace("|escape", "");
    let wider = bare.replace("10485760", "20971520").replace("30m", "20m");
    let dir = folder(&[("old.toml", &bare), ("new.toml", &wider)]);
    let users = r#"[{"sub":"alice","role":"member"},{"sub":"a|b"}]"#;
    std::fs::write(dir.path().join("users.json"), users).unwrap();
    let arguments = ["policy", "diff", "policies/old.toml", "policies/new.toml", "--claims", "users.json"];
    insta::assert_snapshot!(output(dir.path(), &[&arguments[..], &["--refuse-widening"]].concat()));
    let same = ["policy", "diff", "policies/old.toml", "policies/old.toml"];
    insta::assert_snapshot!("diff_nothing", output(dir.path(), &same));
}
