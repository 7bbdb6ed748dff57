//! `cosbroker policy …`, as an operator runs it.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Setup, cosbroker, emulator, make_fifo, repository, token};

/// The exit code, stdout and stderr of a command run in a folder.
pub(crate) fn run(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = cosbroker(dir).arg("policy").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A folder with these templates.
pub(crate) fn folder(templates: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("policies")).unwrap();
    for (name, text) in templates {
        std::fs::write(dir.path().join("policies").join(name), text).unwrap();
    }
    dir
}

pub(crate) const UPLOAD: &str = include_str!("../../policies/upload.toml");

pub(crate) const DOWNLOADS: &str = r#"
bucket = "examplebucket-1250000000"
region = "ap-guangzhou"
home = "files/${sub|escape}/"
duration = "30m"
[[statement]]
effect = "allow"
action = "@download"
resource = "${home}*"
"#;

/// The shipped template with one more statement.
pub(crate) fn upload_and(statement: &str) -> String {
    format!("{UPLOAD}\n[[statement]]\n{statement}\n")
}

#[tokio::test]
async fn render_prints_what_sts_is_sent() {
    let (address, sts) = emulator();
    let broker = Setup::new(address).start();
    let answer = broker.get("/v1/credentials/upload", &token("alice")).await.json();
    let sent = sts.open(answer["credentials"]["sessionToken"].as_str().unwrap()).unwrap().policy;
    let by_claims = ["render", "upload", "--claims", r#"{"sub":"alice"}"#];
    let (code, stdout, _) = run(broker.dir(), &by_claims);
    assert_eq!((code, stdout.trim_end()), (0, sent.as_str()), "byte for byte");
    let by_token = run(broker.dir(), &["render", "policies/upload.toml", "--token", &token("alice")]);
    assert_eq!(by_token.1, stdout);
    let (_, wire, _) = run(broker.dir(), &[&by_claims[..], &["--wire"]].concat());
    assert!(wire.starts_with("%7B%22version%22") && !wire.contains('"'), "{wire}");
    std::fs::write(broker.dir().join("policies/bare.toml"), DOWNLOADS.replace("|escape", "")).unwrap();
    for (arguments, message) in [
        (vec!["render", "bare", "--claims", r#"{"sub":"a/b"}"#], "${sub|escape}"),
        (vec!["render", "upload", "--claims", "[]"], "not a JSON object"),
        (vec!["render", "upload", "--token", "x"], "not a token"),
        (vec!["render", "upload", "--claims", "alice.json"], "name a file with `@`"),
        (vec!["render", "upload", "--claims", "@config.toml"], "is not JSON"),
        (
            vec!["render", "nope", "--claims", r#"{"sub":"alice"}"#],
            "no template `nope` in policies; there are ",
        ),
        (vec!["render", "uplod", "--claims", r#"{"sub":"alice"}"#], "did you mean `upload`?"),
    ] {
        let (code, _, stderr) = run(broker.dir(), &arguments);
        assert!(
            code == 1 && stderr.contains(message) && stderr.lines().count() == 1,
            "{arguments:?}: {stderr}"
        );
    }
    assert_eq!(run(broker.dir(), &["render", "upload"]).0, 2);
}

#[tokio::test]
async fn explain_names_the_deciding_statement_and_condition_like_the_api() {
    let broker = Setup::new(emulator().0).start();
    let ask = |more: &[&str]| {
        let base = ["explain", "upload", "--claims", r#"{"sub":"alice"}"#, "--format", "json"];
        let (code, stdout, stderr) = run(broker.dir(), &[&base[..], more].concat());
        assert_eq!(code, 0, "{stderr}");
        serde_json::from_str::<Value>(&stdout).unwrap()
    };
    let put = ["--action", "name/cos:PutObject", "--key", "users/alice/a.jpg"];
    assert_eq!(
        ask(&[&put[..], &["--size", "5MB", "--content-type", "image/png", "--ip", "1.2.3.4"]].concat())["allowed"],
        true
    );
    let large = ask(&[&put[..], &["--size", "11MiB"]].concat());
    assert_eq!(large["allowed"], false);
    assert_eq!(
        large["condition"],
        json!({"operator": "numeric_less_than_equal", "key": "cos:content-length", "found": "11534336"})
    );
    let public = ask(&[&put[..], &["--size", "1", "--acl", "public-read"]].concat());
    assert_eq!(public["condition"]["key"], "cos:x-cos-acl");
    let granted = ask(&[&put[..], &["--size", "1", "--with", "cos:x-cos-grant-read=id=\"x\""]].concat());
    assert_eq!((&granted["allowed"], &granted["statement"]["effect"]), (&json!(false), &json!("deny")));
    assert_eq!(ask(&["--action", "GetObject", "--key", "users/alice/a.jpg"])["allowed"], false);
    let (_, stdout, _) = run(
        broker.dir(),
        &[
            "explain",
            "upload",
            "--claims",
            r#"{"sub":"alice"}"#,
            "--action",
            "PutObject",
            "--key",
            "users/bob/a.jpg",
        ],
    );
    assert!(stdout.starts_with("denied: no statement grants it on `users/bob/a.jpg`"), "{stdout}");
    let misspelt = ask(&["--action", "putobject", "--key", "users/alice/a.jpg"]);
    assert_eq!(misspelt["allowed"], false);
    assert!(
        misspelt["reason"].as_str().unwrap().ends_with("did you mean `name/cos:PutObject`?"),
        "{misspelt}"
    );
    let path = "/v1/explain?action=PutObject&key=users/alice/a.jpg&size=11534336";
    let api = broker.get(path, &token("alice")).await.json();
    for field in ["allowed", "reason", "statement", "condition"] {
        assert_eq!(api[field], large[field], "{field}");
    }
}

#[test]
fn diff_tells_whose_folders_a_change_of_filter_moves() {
    let with = |filter: &str| UPLOAD.replace("|escape", filter);
    let dir =
        folder(&[("bare.toml", &with("")), ("escape.toml", UPLOAD), ("base64url.toml", &with("|base64url"))]);
    let users = r#"[{"sub":"alice"},{"sub":"a|b"}]"#;
    std::fs::write(dir.path().join("users.json"), users).unwrap();
    let diff = |old: &str, new: &str| {
        run(dir.path(), &["diff", old, new, "--claims", "users.json", "--refuse-widening"])
    };
    let (code, stdout, _) = diff("policies/bare.toml", "policies/escape.toml");
    assert_eq!(code, 1, "some users get a key who got none");
    for part in [
        "folders: no user's folder moves",
        "such as `users/auth0!7C12/`",
        "gains a key where `sub` is not plain",
        "alice: nothing changes",
        "a|b:\n    gains a key at all",
    ] {
        assert!(stdout.contains(part), "{part}:\n{stdout}");
    }
    assert!(!stdout.contains("loses"), "{stdout}");
    let (_, stdout, _) = diff("policies/bare.toml", "policies/base64url.toml");
    for part in [
        "every user's folder moves, as from `users/alice/` to `users/_b64_YWxpY2U/`",
        "copy the objects",
        "its folder moves from `users/alice/` to `users/_b64_YWxpY2U/`",
    ] {
        assert!(stdout.contains(part), "{part}:\n{stdout}");
    }
    let (_, stdout, _) = diff("policies/escape.toml", "policies/bare.toml");
    assert!(stdout.contains("who has a folder such as `users/auth0!7C12/` gets no key"), "{stdout}");
}

#[test]
fn diff_prints_what_each_sample_user_gains_and_loses() {
    let wider = UPLOAD.replace("10485760", "20971520").replace("30m", "20m");
    let member = UPLOAD.replace("duration", "require = { role = \"member\" }\nduration");
    let dir = folder(&[("old.toml", UPLOAD), ("wider.toml", &wider), ("member.toml", &member)]);
    let users = r#"[{"sub":"alice","role":"member"},{"sub":"bob"},{"sub":"a|b"}]"#;
    std::fs::write(dir.path().join("users.json"), users).unwrap();
    let diff = |new: &str, more: &[&str]| {
        let paths = ["diff", "policies/old.toml", new, "--claims", "users.json"];
        run(dir.path(), &[&paths[..], more].concat())
    };
    let (code, stdout, _) = diff("policies/wider.toml", &[]);
    assert_eq!(code, 0);
    for part in [
        "all users:\n    gains PutObject, PostObject on `users/${sub|escape}/*` where cos:content-length",
        "loses keys are valid for 20m, 30m before",
        "alice (role member):\n    gains PutObject, PostObject on `users/alice/*`",
        "a|b:\n    gains PutObject, PostObject on `users/a!7Cb/*`",
    ] {
        assert!(stdout.contains(part), "{part}:\n{stdout}");
    }
    let marked = ["diff", "policies/old.toml", "policies/wider.toml", "--claims", "@users.json"];
    assert_eq!(run(dir.path(), &marked).1, stdout, "with `@`, as for the other commands");
    let (code, _, stderr) = run(dir.path(), &["diff", "policies", "policies", "--claims", r#"{"sub":"a"}"#]);
    assert!(code == 2 && stderr.contains("--claims") && stderr.contains("@users.json"), "{stderr}");
    assert_eq!(diff("policies/wider.toml", &["--refuse-widening"]).0, 1);
    let (code, stdout, _) = diff("policies/member.toml", &["--refuse-widening"]);
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.contains("alice (role member): nothing changes"), "{stdout}");
    assert!(
        stdout.contains("all users:\n    loses the key where the claim `role` is not \"member\""),
        "{stdout}"
    );
    assert!(
        stdout.contains("bob:\n    loses every key: this template requires the claim `role`"),
        "{stdout}"
    );
    let (_, stdout, _) = run(dir.path(), &["diff", "policies", "policies"]);
    assert_eq!(stdout.matches("nothing changes").count(), 3);
}

/// Policies of the vendor's documents: each becomes a template that `lint` proves, or is refused because it contains
/// nothing that a template may grant.
#[test]
fn a_policy_from_the_vendors_documents_becomes_a_template_that_is_proved() {
    let dir = folder(&[]);
    let examples = std::fs::read_dir(repository("tests/data/cam/examples")).unwrap();
    let (mut made, mut refused) = (0, 0);
    for path in examples.map(|entry| entry.unwrap().path()).filter(|path| path.extension().unwrap() == "json")
    {
        let (code, template, notes) = run(dir.path(), &["import", path.to_str().unwrap()]);
        if code == 1 {
            assert!(notes.starts_with("cosbroker: ") && template.is_empty(), "{path:?}: {notes}");
            refused += 1;
            continue;
        }
        assert!(notes.lines().all(|line| line.starts_with("note: ")), "{notes}");
        std::fs::write(dir.path().join("policies/made.toml"), &template).unwrap();
        let (code, stdout, _) = run(dir.path(), &["lint"]);
        assert!(code == 0 && stdout.contains("proved: made"), "{path:?}: {stdout}\n{template}");
        made += 1;
    }
    assert!(made >= 10 && refused >= 1, "{made} made, {refused} refused");
    let cam = r#"{"version":"2.0","statement":{"effect":"allow","action":"name/cos:PutObject",// a comment
        "resource":"qcs::cos:ap-beijing:uid/1:b-1/doc/*",}}"#;
    std::fs::write(dir.path().join("cam.json"), cam).unwrap();
    let (_, template, notes) = run(dir.path(), &["import", "cam.json", "--home", "docs/${sub}/"]);
    assert!(
        template.contains("home = \"docs/${sub}/\"") && notes.contains("each user's own folder"),
        "{notes}"
    );
    let (_, _, notes) = run(dir.path(), &["import", "cam.json", "--home", "docs/"]);
    assert!(notes.contains("note: not proved: ") && notes.contains("does not hold the owner"), "{notes}");
}

#[test]
fn nothing_in_a_file_or_a_claim_reaches_the_terminal_unescaped() {
    let dir = folder(&[("a\u{1b}[31m.toml", UPLOAD), ("b\nproved: upload.toml", UPLOAD)]);
    let (_, stdout, stderr) = run(dir.path(), &["lint"]);
    assert!(!stdout.contains('\u{1b}') && !stdout.contains("\nproved: upload"), "{stdout}");
    assert!(!stderr.contains('\u{1b}'));
    let dir = folder(&[("old.toml", UPLOAD), ("new.toml", &UPLOAD.replace("10485760", "1"))]);
    let users = r#"[{"sub":"alice","name":"\u001b[2Jx\n  all users: nothing changes"}]"#;
    std::fs::write(dir.path().join("users.json"), users).unwrap();
    let (_, stdout, _) =
        run(dir.path(), &["diff", "policies/old.toml", "policies/new.toml", "--claims", "users.json"]);
    assert!(!stdout.contains('\u{1b}') && !stdout.contains("\n  all users: nothing"), "{stdout}");
    let ask = [
        "explain",
        "policies/old.toml",
        "--claims",
        r#"{"sub":"alice"}"#,
        "--action",
        "x:\u{1b}[2J",
        "--key",
        "a\nb",
    ];
    let (_, stdout, _) = run(dir.path(), &ask);
    assert!(!stdout.contains('\u{1b}') && stdout.lines().count() == 1, "{stdout}");
    for arguments in [&["promote", "x\u{1b}[2J", "--dir", "\u{1b}[2J"][..], &["lint", "\u{1b}[2J"]] {
        let (code, _, stderr) = run(dir.path(), arguments);
        assert!(code == 1 && !stderr.contains('\u{1b}'), "{stderr}");
    }
    let twice =
        run(dir.path(), &["render", "policies/old.toml", "--claims", r#"{"sub":"alice","sub":"bob"}"#]);
    assert!(twice.0 == 1 && twice.2.contains("is given twice"), "{}", twice.2);
}

#[test]
fn a_closed_stdout_is_not_an_error() {
    let mut child = cosbroker(&repository(""))
        .args(["policy", "render", "upload", "--pretty", "--claims", r#"{"sub":"alice"}"#])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn explain_names_the_condition_that_a_deny_depends_on() {
    let deny = format!(
        "{UPLOAD}[[statement]]\neffect = \"deny\"\naction = \"name/cos:*\"\nresource = \"*\"\n[statement.condition.ip_not_equal]\n\"qcs:ip\" = \"10.0.0.0/8\"\n"
    );
    let dir = folder(&[("upload.toml", &deny)]);
    let ask = |more: &[&str]| {
        let base = [
            "explain",
            "upload",
            "--claims",
            r#"{"sub":"alice"}"#,
            "--action",
            "UploadPart",
            "--key",
            "users/alice/x",
        ];
        run(dir.path(), &[&base[..], more].concat()).1
    };
    assert!(ask(&[]).contains("a deny depends on `qcs:ip`"), "{}", ask(&[]));
    assert!(ask(&["--ip", "1.2.3.4"]).starts_with("denied: "));
    assert!(ask(&["--ip", "10.2.3.4"]).starts_with("allowed: a statement allows it\n"));
}

#[test]
fn a_change_that_widens_any_template_or_any_user_is_refused_on_request() {
    let dir = folder(&[]);
    let diff = |old: &[(&str, &str)], new: &[(&str, &str)], users: &str| {
        for (name, files) in [("old", old), ("new", new)] {
            let path = dir.path().join(name);
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir(&path).unwrap();
            for (file, text) in files {
                std::fs::write(path.join(file), text).unwrap();
            }
        }
        std::fs::write(dir.path().join("users.json"), users).unwrap();
        let (code, stdout, stderr) =
            run(dir.path(), &["diff", "old", "new", "--claims", "users.json", "--refuse-widening"]);
        assert_eq!(code == 1, stderr.contains("--refuse-widening"), "{stderr}");
        (code, stdout)
    };
    let alice = r#"[{"sub":"alice"}]"#;
    let (upload, larger) = (("a.toml", UPLOAD), UPLOAD.replace("10485760", "20971520"));
    let downloads = ("b.toml", DOWNLOADS);
    assert_eq!(diff(&[upload, downloads], &[upload, downloads], alice).0, 0);
    let (code, stdout) = diff(&[upload], &[upload, downloads], alice);
    assert!(code == 1 && stdout.contains("b: new"), "{stdout}");
    let (code, stdout) = diff(&[upload, downloads], &[upload], alice);
    assert!(code == 0 && stdout.contains("b: removed"), "{stdout}");
    assert_eq!(diff(&[upload, downloads], &[("a.toml", &larger), downloads], alice).0, 1, "the first alone");
    // A user without a claim that only one statement names gets no key; without the statement, they get one.
    let team =
        upload_and("effect = \"allow\"\naction = \"@download\"\nresource = \"${home}${claim.team}/*\"");
    let (code, stdout) = diff(&[("a.toml", &team)], &[upload], alice);
    assert!(code == 1 && stdout.contains("alice:\n    gains a key at all"), "{stdout}");
    assert_eq!(diff(&[("a.toml", &team)], &[upload], r#"{"sub":"alice","team":"red"}"#).0, 0);
    // What a deny takes back can depend on the claims of a user.
    let shown = DOWNLOADS.replace("${home}*", "${home}${claim.shown}/*");
    let hidden = format!(
        "{shown}[[statement]]\neffect = \"deny\"\naction = \"@download\"\nresource = \"${{home}}${{claim.hidden}}/*\"\n"
    );
    let both = r#"{"sub":"alice","shown":"x","hidden":"x"}"#;
    let (code, stdout) = diff(&[("a.toml", &hidden)], &[("a.toml", &shown)], both);
    assert!(code == 1 && stdout.contains("on `files/alice/x/*`, denied before"), "{stdout}");
}

#[test]
fn a_file_must_satisfy_the_constraints_of_the_configuration() {
    let dir = Setup::new("127.0.0.1:1".parse().unwrap()).write();
    std::fs::write(dir.path().join("policies/upload.toml"), UPLOAD.replace("30m", "37h")).unwrap();
    let render = ["render", "upload", "--claims", r#"{"sub":"alice"}"#, "--config", "config.toml"];
    let (code, stdout, stderr) = run(dir.path(), &render);
    assert!(code == 1 && stdout.is_empty() && stderr.contains("129600 s at most"), "{stderr}");
}

#[test]
fn explain_uses_the_address_and_the_content_type() {
    let text = UPLOAD.replace(
        "10485760",
        "10485760\n[statement.condition.ip_equal]\n\"qcs:ip\" = \"10.0.0.0/8\"\n[statement.condition.string_like]\n\"cos:content-type\" = \"image/*\"",
    );
    let dir = folder(&[("upload.toml", &text)]);
    let ask = |more: &[&str]| {
        let base = ["explain", "upload", "--claims", r#"{"sub":"alice"}"#];
        run(dir.path(), &[&base[..], more].concat()).1
    };
    let put = |more: &[&str]| {
        ask(&[&["--action", "PutObject", "--key", "users/alice/a.jpg", "--size", "1"][..], more].concat())
    };
    let good = ["--ip", "10.1.2.3", "--content-type", "image/png"];
    assert!(put(&good).starts_with("allowed: "), "{}", put(&good));
    assert!(put(&["--ip", "11.1.2.3", "--content-type", "image/png"]).contains("`qcs:ip` is `11.1.2.3`"));
    assert!(put(&["--ip", "10.1.2.3", "--content-type", "text/html"]).contains("is `text/html`"));
    assert!(put(&good[2..]).contains("ask again with `ip`"));
    let other = ask(&["--action", "GetObject", "--key", "users/alice/a.jpg"]);
    assert!(other.starts_with("denied: the template does not grant `name/cos:GetObject`"), "{other}");
    let list = upload_and(
        "effect = \"allow\"\naction = \"@list\"\nresource = \"*\"\n[statement.condition.string_like]\n\"cos:prefix\" = \"${home}*\"",
    );
    std::fs::write(dir.path().join("policies/upload.toml"), list).unwrap();
    let list = ask(&["--action", "GetBucket", "--key", "users/alice/my photos/"]);
    assert!(list.starts_with("allowed: "), "{list}");
}

#[test]
fn import_reads_a_policy_from_a_pipe_and_names_the_nearest_condition_key() {
    let dir = folder(&[]);
    let pipe = dir.path().join("pipe");
    make_fifo(&pipe);
    let policy = r#"{"statement":{"effect":"allow","action":["PutObjct","cos:PutObject"],"resource":"*",
        "condition":{"numeric_less_than_equal":{"cos:content_length":5}}}}"#;
    // Opening a pipe waits for its other end (fifo(7)).
    let writing = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, policy)
    });
    let (code, _, notes) = run(dir.path(), &["import", pipe.to_str().unwrap()]);
    writing.join().unwrap().unwrap();
    assert!(!notes.contains("is not a file") && !notes.contains("is a pipe"), "{code} {notes}");
    assert!(notes.contains("did you mean `cos:content-length`?"), "{notes}");
}

#[test]
fn import_reads_a_policy_from_stdin() {
    use std::{io::Write, process::Stdio};
    let dir = folder(&[]);
    let mut child = cosbroker(dir.path())
        .args(["policy", "import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let policy = br#"{"statement":{"effect":"allow","action":"cos:PutObject","resource":"*"}}"#;
    child.stdin.take().unwrap().write_all(policy).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("home = \"users/${sub|escape}/\""));
}
