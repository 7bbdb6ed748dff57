//! The commands: exit codes, and one clear line for each mistake.

use std::process::Output;

use crate::support::{Setup, cosbroker, repository, write_secret};

fn setup() -> Setup {
    Setup::new("127.0.0.1:1".parse().unwrap())
}

fn run(setup: &Setup, command: &str) -> (Option<i32>, String) {
    let dir = setup.write();
    let output = cosbroker(dir.path()).args([command, "--config", "config.toml"]).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn each_mistake_is_one_line_with_its_place_and_a_fix() {
    let broken = |from: &str, to: &str| {
        let mut setup = setup();
        setup.templates[0].1 = setup.templates[0].1.replace(from, to);
        setup
    };
    for (setup, place, message) in [
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
        (
            setup().with("dir = \"policies\"", "dir = \"config.toml\""),
            "config.toml",
            "name the folder of your templates",
        ),
        (broken("@upload", "@uplaod"), "policies/upload.toml:", "did you mean `@upload`?"),
        (broken("home =", "hmoe ="), "policies/upload.toml:", "did you mean `home`?"),
        (broken("${sub|escape}/\"", "${sub|escape}\""), "policies/upload.toml:", "does not end in `/`"),
        (broken("[[statement]]", "[[statement"), "policies/upload.toml:", "unclosed array table"),
    ] {
        for command in ["check", "serve"] {
            let (code, stderr) = run(&setup, command);
            let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("cosbroker: ")).collect();
            assert_eq!(code, Some(1), "{stderr}");
            assert_eq!(errors.len(), 1, "{stderr}");
            assert!(errors[0].contains(place) && errors[0].contains(message), "{place} {message}: {stderr}");
            assert!(!stderr.contains("panicked"), "{stderr}");
        }
    }
}

#[test]
fn a_private_key_in_the_place_of_a_public_key_is_refused() {
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
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("issuer `https://id.test/`") && message.contains("private key"), "{message}");
    assert!(!message.contains("MC4="), "{message}");
}

#[test]
fn check_prints_what_was_proved() {
    let dir = setup().write();
    let folder = cosbroker(dir.path()).args(["check", "--config", "policies"]).output().unwrap();
    assert_eq!(folder.stderr, b"cosbroker: policies: is a folder; name a file\n");
    let output = cosbroker(dir.path()).args(["check", "--config", "config.toml"]).output().unwrap();
    let message = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(
        message.contains("proved: upload: users/${sub|escape}/ in examplebucket-1250000000"),
        "{message}"
    );
    assert!(message.ends_with("ok: serve would start\n"), "{message}");
}

/// The figures of the line on memory: the total, and its parts in MiB.
fn memory_need(setup: &Setup) -> (u64, Vec<u64>) {
    let output = cosbroker(setup.write().path()).args(["check", "--config", "config.toml"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("memory: at most ")).unwrap();
    let figures = line.split(" MiB").filter_map(|part| part.rsplit(' ').next()?.parse().ok());
    let mut figures: Vec<u64> = figures.collect();
    (figures.remove(0), figures)
}

#[test]
fn check_adds_up_the_memory_that_the_process_needs() {
    let small = || {
        Setup::new("127.0.0.1:1".parse().unwrap())
            .with_section("cache", "max_bytes = \"100MiB\"\nadvice_bytes = \"off\"")
            .with_section("server", "max_connections = 64")
    };
    let (total, parts) = memory_need(&small());
    assert_eq!(total, parts.iter().sum::<u64>(), "{parts:?}");
    assert_eq!(parts[..3], [120, 0, 2], "a fifth more than max_bytes, and 20 KiB for each connection");
    for (name, lines, more) in [
        ("audit", "path = \"audit.jsonl\"", 8),
        ("tracing", "otlp_endpoint = \"http://127.0.0.1:1/v1/traces\"", 6),
    ] {
        assert_eq!(memory_need(&small().with_section(name, lines)).0, total + more, "{name}");
    }
    let key = tempfile::NamedTempFile::new().unwrap();
    write_secret(key.path(), &"5a".repeat(32));
    let snapshot = format!("file = \"keys.snapshot\"\nkey_file = {:?}", key.path());
    assert_eq!(memory_need(&small().with_section("snapshot", &snapshot)).0, total + 100, "snapshot");
}

#[test]
fn check_online_reports_that_sts_cannot_be_reached() {
    let dir = setup().write();
    let output =
        cosbroker(dir.path()).args(["check", "--online", "--config", "config.toml"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("STS cannot be reached"), "{message}");
}

#[test]
fn check_online_makes_one_real_call() {
    let (address, sts) = crate::support::emulator();
    let dir = Setup::new(address).write();
    let output =
        cosbroker(dir.path()).args(["check", "--online", "--config", "config.toml"]).output().unwrap();
    let message = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(message.contains("online: STS issued a key"), "{message}");
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
    for arguments in [&["serv"][..], &["serve", "--confg", "x"], &[]] {
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

#[test]
fn a_sandbox_that_cannot_start_names_the_option_to_fix() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("others")).unwrap();
    std::fs::write(dir.path().join("others/photos.toml"), "").unwrap();
    for (arguments, code, message) in [
        (&["--listen", "127.0.0.1:5001"][..], 1, "--listen and --admin-listen are both 127.0.0.1:5001"),
        (&["--cloud-listen", "127.0.0.1:5000"], 1, "--listen and --cloud-listen are both 127.0.0.1:5000"),
        (&["--listen", "0.0.0.0:0"], 1, "write --listen 127.0.0.1:0"),
        (&["--listen", "localhost:6000"], 2, "write a numeric address and a port, like 127.0.0.1:5000"),
        (&["--admin-listen", "6000"], 2, "write a numeric address and a port"),
        (&["--cloud-listen", "127.0.0.1:99999"], 2, "write a numeric address and a port"),
        (
            &["--templates", "others"],
            1,
            "--templates others: holds no upload.toml; the sandbox's default template is `upload`",
        ),
        (&["--data", "others/photos.toml"], 1, "is a file; give a folder"),
        (&["--cloud-listen", "127.0.0.1:0"], 1, "name an existing one in TMPDIR"),
    ] {
        let output =
            cosbroker(dir.path()).env("TMPDIR", "/nowhere").arg("sandbox").args(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(message), "{arguments:?}: {stderr}");
        assert!(code == 2 || stderr.lines().count() == 1, "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_misspelt_log_level_is_reported_and_the_default_used() {
    let setup = setup().with("region =", "regoin =");
    let dir = setup.write();
    for log in ["human", "json"] {
        let output = cosbroker(dir.path())
            .env("RUST_LOG", "debg")
            .args(["serve", "--config", "config.toml", "--log", log])
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let message = "RUST_LOG `debg`: not a level; use error, warn, info, debug, trace, off or target=level; info is used";
        assert!(stderr.lines().next().unwrap().contains(message), "{stderr}");
    }
}

#[test]
fn a_wrong_listener_is_distinguished_from_one_that_does_not_respond() {
    let (cloud, _) = crate::support::emulator();
    let cloud = format!("http://{cloud}");
    let tls = cloud.replace("http:", "https:");
    for (url, code, message) in [
        ("localhost:5001", 2, "write it with http://, like http://127.0.0.1:5001"),
        ("http://127.0.0.1:5001/metrics", 2, "without a path"),
        (&*cloud, 1, "not the operators' listener of a broker"),
        (&*tls, 1, "without admin.tls_cert_file, write http://"),
        ("http://127.0.0.1:1", 1, "start the broker"),
    ] {
        let output =
            cosbroker(&repository("")).args(["keys", "revoked", "--operators", url]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{url}: {stderr}");
        assert!(stderr.contains(message), "{url}: {stderr}");
    }
}

#[test]
fn an_unknown_template_and_one_without_keys_are_reported_on_stderr() {
    let dir = setup().write();
    let run = |template: &str| {
        let output = cosbroker(dir.path())
            .args(["verify-isolation", "--config", "config.toml", "--template", template])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(run("uplod"), "cosbroker: there is no template `uplod`; did you mean `upload`?\n");
    let stderr = run("upload");
    assert!(
        stderr.starts_with("cosbroker: template upload was not tried: no key for a synthetic user"),
        "{stderr}"
    );
    assert!(stderr.contains("no result: no template could be tried"), "{stderr}");
}
