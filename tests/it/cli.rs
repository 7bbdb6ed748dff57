//! The commands: exit codes, and one clear line for every mistake.

use std::process::Output;

use crate::support::{Setup, cosbroker, repository};

fn setup() -> Setup {
    Setup::new("127.0.0.1:1".parse().unwrap())
}

fn run(setup: &Setup, command: &str) -> (Option<i32>, String) {
    let dir = setup.write();
    let output = cosbroker(dir.path()).args([command, "--config", "config.toml"]).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn every_mistake_gets_one_line_that_names_what_and_where() {
    let broken = |from: &str, to: &str| {
        let mut setup = setup();
        setup.templates[0].1 = setup.templates[0].1.replace(from, to);
        setup
    };
    for (setup, place, said) in [
        (setup().with("region =", "regoin ="), "config.toml:17:1", "did you mean `region`?"),
        (
            setup().with("dir = \"policies\"", "dir = \"nowhere\""),
            "nowhere",
            "name the folder of your templates",
        ),
        (setup().with("\"upload\"", "\"uplaod\""), "policies", "did you mean `upload`?"),
        (
            setup()
                .with("[\"HS256\"]", "[\"RS256\"]")
                .with("secret_env = \"JWT_SECRET\"", "public_key_file = \"key.pem\""),
            "config.toml:11:19",
            "key.pem cannot be read",
        ),
        (
            setup().with("secret_env = \"JWT_SECRET\"", "secret_env = \"UNSET\""),
            "config.toml:11:14",
            "UNSET is not set",
        ),
        (broken("@upload", "@uplaod"), "policies/upload.toml:", "did you mean `@upload`?"),
        (broken("home =", "hmoe ="), "policies/upload.toml:", "did you mean `home`?"),
        (broken("${sub}/\"", "${sub}\""), "policies/upload.toml:", "does not end in `/`"),
        (broken("[[statement]]", "[[statement"), "policies/upload.toml:", "unclosed array table"),
    ] {
        for command in ["check", "serve"] {
            let (code, stderr) = run(&setup, command);
            let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("cosbroker: ")).collect();
            assert_eq!(code, Some(1), "{stderr}");
            assert_eq!(errors.len(), 1, "{stderr}");
            assert!(errors[0].contains(place) && errors[0].contains(said), "{place} {said}: {stderr}");
            assert!(!stderr.contains("panicked"), "{stderr}");
        }
    }
}

#[test]
fn a_key_of_the_wrong_kind_is_told_from_a_good_one() {
    let setup = setup()
        .with("[\"HS256\"]", "[\"RS256\"]")
        .with("secret_env = \"JWT_SECRET\"", "public_key_file = \"key.pem\"");
    let dir = setup.write();
    std::fs::write(
        dir.path().join("key.pem"),
        "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----",
    )
    .unwrap();
    let output = cosbroker(dir.path()).args(["check", "--config", "config.toml"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("issuer `https://id.test/`") && said.contains("private key"), "{said}");
    assert!(!said.contains("MC4="), "{said}");
}

#[test]
fn check_says_what_was_proved() {
    let dir = setup().write();
    let output = cosbroker(dir.path()).args(["check", "--config", "config.toml"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(said.contains("proved: upload: users/${sub}/ in examplebucket-1250000000"), "{said}");
    assert!(said.ends_with("ok: serve would start\n"), "{said}");
}

#[test]
fn check_online_says_when_sts_cannot_be_reached() {
    let dir = setup().write();
    let output =
        cosbroker(dir.path()).args(["check", "--online", "--config", "config.toml"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("STS cannot be reached"), "{said}");
}

#[test]
fn check_online_makes_one_real_call() {
    let (address, sts) = crate::support::emulator();
    let dir = Setup::new(address).write();
    let output =
        cosbroker(dir.path()).args(["check", "--online", "--config", "config.toml"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("online: STS made a key"), "{said}");
    assert_eq!(sts.calls(), 1);
}

#[test]
fn the_example_configuration_checks() {
    let output = cosbroker(&repository(""))
        .env("APP_JWT_SECRET", crate::support::JWT_SECRET)
        .env("TENCENTCLOUD_SECRET_ID", "id")
        .env("TENCENTCLOUD_SECRET_KEY", "key")
        .args(["check", "--config", "config.example.toml"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn bad_usage_exits_2_and_help_shows_examples() {
    let run = |arguments: &[&str]| -> Output { cosbroker(&repository("")).args(arguments).output().unwrap() };
    for arguments in [&["serv"][..], &["serve"], &["serve", "--confg", "x"], &[]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
    for command in ["serve", "sandbox", "check"] {
        let output = run(&[command, "--help"]);
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains("Example:"), "{command}");
    }
    assert_eq!(run(&["sandbox", "--listen", "0.0.0.0:0"]).status.code(), Some(1));
}
