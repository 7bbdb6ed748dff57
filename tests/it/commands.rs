//! What all commands have in common: the configuration they find, `--quiet`, colours, JSON, completions and manual pages;
//! and `cosbroker init`, from its flags to the first key.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Answer, Setup, cosbroker, sandbox::Sandbox, write_secret};

fn setup() -> Setup {
    Setup::new("127.0.0.1:1".parse().unwrap())
}

fn text(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn run(command: &mut Command, arguments: &[&str]) -> (Option<i32>, String, String) {
    text(&command.args(arguments).output().unwrap())
}

#[test]
fn the_configuration_is_found_in_the_folder_and_by_the_environment() {
    let dir = setup().write();
    let (code, said, failed) = run(&mut cosbroker(dir.path()), &["check"]);
    assert_eq!((code, said.contains("ok: serve would start")), (Some(0), true), "{failed}");
    let elsewhere = tempfile::tempdir().unwrap();
    let (code, _, failed) = run(&mut cosbroker(elsewhere.path()), &["check"]);
    assert_eq!(code, Some(1));
    assert!(
        failed.contains("no config.toml")
            && failed.contains("COSBROKER_CONFIG")
            && failed.contains("cosbroker init")
    );
    let mut command = cosbroker(elsewhere.path());
    let (code, _, failed) = run(command.env("COSBROKER_CONFIG", dir.path().join("config.toml")), &["check"]);
    assert_eq!(code, Some(0), "{failed}");
}

#[test]
fn quiet_leaves_only_warnings_and_errors() {
    let dir = setup().write();
    assert_eq!(
        run(&mut cosbroker(dir.path()), &["check", "--quiet"]),
        (Some(0), String::new(), String::new())
    );
    std::fs::write(dir.path().join("policies/photos.tml"), "").unwrap();
    let (code, said, _) = run(&mut cosbroker(dir.path()), &["-q", "check"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("warning: ") && said.contains("photos.tml is no template"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    std::fs::write(dir.path().join("policies/upload.toml"), "bucket = 1").unwrap();
    let (code, said, failed) = run(&mut cosbroker(dir.path()), &["check", "--quiet"]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(failed.contains("upload.toml:1:"), "{failed}");
}

#[test]
fn check_reports_in_json_what_it_found_and_what_is_wrong() {
    let dir = setup().write();
    let report = |arguments: &[&str]| {
        let (code, said, _) = run(&mut cosbroker(dir.path()), arguments);
        (code, serde_json::from_str::<Value>(&said).unwrap_or_else(|_| panic!("{said}")))
    };
    let (code, good) = report(&["check", "--format", "json"]);
    assert_eq!((code, &good["ok"]), (Some(0), &Value::Bool(true)), "{good}");
    let kinds: Vec<&str> =
        good["found"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"proved") && kinds.contains(&"memory") && kinds.contains(&"pages"), "{good}");
    let config = std::fs::read_to_string(dir.path().join("config.toml")).unwrap();
    std::fs::write(dir.path().join("config.toml"), config.replace("dir = \"policies\"", "dir = \"policy\""))
        .unwrap();
    let (code, bad) = report(&["check", "--format", "json"]);
    assert_eq!((code, &bad["ok"]), (Some(1), &Value::Bool(false)), "{bad}");
    let problem = &bad["problems"][0];
    assert_eq!(
        (&problem["file"], &problem["line"]),
        (&"config.toml".into(), &14.into()),
        "templates.dir: {bad}"
    );
    assert!(problem["help"].as_str().unwrap().contains("folder of your templates"), "{bad}");
}

#[test]
fn check_tells_which_origin_method_or_header_a_page_lacks() {
    let dir = setup().write();
    let check = |arguments: &[&str]| run(&mut cosbroker(dir.path()), &[&["check"], arguments].concat());
    let (code, said, _) = check(&["--page", "https://app.example.com"]);
    assert_eq!(
        (code, said.contains("https://app.example.com may send GET with authorization")),
        (Some(0), true),
        "{said}"
    );
    let page = ["--page", "https://other.example.com", "--page-method", "PUT", "--page-header", "x-mine"];
    let (code, _, failed) = check(&page);
    assert_eq!(code, Some(1));
    for missing in ["`https://other.example.com`", "PUT", "`x-mine`; server.cors_headers"] {
        assert!(failed.contains(missing), "{missing}: {failed}");
    }
    assert!(check(&[]).1.contains("pages: web pages of https://app.example.com may call"));
}

/// Runs a command under a terminal (script(1)), as a person does.
fn on_a_terminal(mut command: Command, arguments: &str) -> String {
    let binary = command.get_program().to_owned().into_string().unwrap();
    let mut script = Command::new("script");
    script.args(["-qec", &format!("{binary} {arguments}"), "/dev/null"]);
    script
        .current_dir(command.get_current_dir().unwrap())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm");
    for (name, value) in command.get_envs() {
        script.env(name, value.unwrap_or_default());
    }
    command.env_clear();
    String::from_utf8(script.output().unwrap().stdout).unwrap()
}

#[test]
fn a_terminal_shows_problems_at_their_place_and_in_colours_unless_no_color_is_set() {
    let setup = setup().with("region = \"ap-guangzhou\"", "region = \"\"");
    let setup = setup.with("secret_env = \"JWT_SECRET\"", "secret_env = \"hunter2hunter2\"");
    let dir = setup.write();
    let shown = on_a_terminal(cosbroker(dir.path()), "check");
    assert!(shown.contains("region = \"\"") && shown.contains('^'), "{shown}");
    assert!(shown.contains("\u{1b}["), "{shown}");
    assert!(shown.contains("cosbroker: 2 problems"), "{shown}");
    assert!(!shown.contains("hunter2"), "a pasted secret is not shown: {shown}");
    let mut command = cosbroker(dir.path());
    command.env("NO_COLOR", "1");
    let shown = on_a_terminal(command, "check");
    assert!(shown.contains('^') && !shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn shells_and_manuals_know_every_command() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let (code, said, _) = run(&mut cosbroker(dir.path()), &["completions", shell]);
        assert_eq!(code, Some(0), "{shell}");
        assert!(said.contains("verify-isolation") && said.contains("quiet"), "{shell}");
    }
    let (code, said, _) = run(&mut cosbroker(dir.path()), &["man"]);
    assert!(code == Some(0) && said.contains(".TH cosbroker 1") && said.contains("completions"), "{said}");
    let (code, ..) = run(&mut cosbroker(dir.path()), &["man", "--dir", "man1"]);
    assert_eq!(code, Some(0));
    let page = std::fs::read_to_string(dir.path().join("man1/cosbroker-policy-lint.1")).unwrap();
    assert!(page.contains("Prove that templates confine"), "{page}");
}

#[test]
fn a_change_of_templates_is_told_in_json() {
    let dir = setup().write();
    let upload = dir.path().join("policies/upload.toml");
    let wider = std::fs::read_to_string(&upload).unwrap().replace("10485760", "20971520");
    std::fs::write(dir.path().join("wider.toml"), wider).unwrap();
    let arguments = ["policy", "diff", "policies/upload.toml", "wider.toml", "--format", "json"];
    let (code, said, failed) = run(&mut cosbroker(dir.path()), &arguments);
    assert_eq!(code, Some(0), "{failed}");
    let changes: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(changes[0]["widens"], true, "{changes}");
    assert!(!changes[0]["users"][0]["gains"].as_array().unwrap().is_empty(), "{changes}");
}

#[tokio::test]
async fn init_writes_what_check_passes_and_what_gets_a_key_from_the_sandboxs_sts() {
    let sandbox = Sandbox::start();
    let cloud = format!("http://{}/", sandbox.cloud);
    let dir = tempfile::tempdir().unwrap();
    let (code, said, failed) = run(
        &mut cosbroker(dir.path()),
        &[
            "init",
            "--login",
            "auth0",
            "--issuer",
            &cloud,
            "--audience",
            "sandbox",
            "--bucket",
            "examplebucket-1250000000",
            "--region",
            "ap-guangzhou",
            "--page",
            "https://app.example.com",
            "--sts-endpoint",
            &cloud,
        ],
    );
    assert_eq!(code, Some(0), "{failed}");
    assert!(said.contains("cosbroker check"), "{said}");

    let account = |command: &mut Command| {
        command
            .env("TENCENTCLOUD_SECRET_ID", &sandbox.secret_id)
            .env("TENCENTCLOUD_SECRET_KEY", &sandbox.secret_key);
    };
    let mut check = cosbroker(dir.path());
    account(&mut check);
    let (code, said, failed) = run(&mut check, &["check", "--page", "https://app.example.com"]);
    assert_eq!((code, said.contains("ok: serve would start")), (Some(0), true), "{said}{failed}");

    // Tests run side by side, so the ports cannot be the usual ones.
    let mut setup = setup();
    setup.config = std::fs::read_to_string(dir.path().join("config.toml"))
        .unwrap()
        .replace("TENCENTCLOUD_SECRET_ID", "SECRET_ID")
        .replace("secret_key_env = \"TENCENTCLOUD_SECRET_KEY\"", "secret_key_file = \"account.secret\"")
        .replace("secret_id_env = \"SECRET_ID\"", "secret_id_file = \"account.id\"")
        + "\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    let setup = setup.with_section("server", "listen = \"127.0.0.1:0\"\ndrain_delay = \"0s\"");
    let broker = setup.start_with(|to| {
        write_secret(&to.join("account.id"), &sandbox.secret_id);
        write_secret(&to.join("account.secret"), &sandbox.secret_key);
        std::fs::copy(dir.path().join("policies/upload.toml"), to.join("policies/upload.toml")).unwrap();
    });
    let token = Answer::of(sandbox.http.get(sandbox.url("/token?sub=alice&alg=RS256"))).await.body;
    let answer = broker.get("/v1/credentials", &token).await;
    assert_eq!(answer.status, 200, "{answer:?} {}", broker.log());
    assert_eq!(answer.json()["prefix"], "users/alice/");
}
