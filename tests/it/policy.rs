//! `cosbroker policy …`, as an operator types it.

use std::{collections::BTreeMap, path::Path};

use cosbroker::policy::{
    cam::Policy,
    evaluate::{Reading, Request, evaluate_as},
};
use serde_json::{Value, json};

use crate::support::{Setup, cosbroker, emulator, repository, templates_of, token};

/// The exit code, stdout and stderr of a command run in a folder.
fn run(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = cosbroker(dir).arg("policy").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A folder with these templates.
fn folder(templates: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("policies")).unwrap();
    for (name, text) in templates {
        std::fs::write(dir.path().join("policies").join(name), text).unwrap();
    }
    dir
}

const UPLOAD: &str = include_str!("../../policies/upload.toml");

#[test]
fn the_shipped_templates_are_proved_without_a_word() {
    let (code, told, errors) =
        run(&repository(""), &["lint", "--config", "config.example.toml", "--deny-warnings"]);
    assert_eq!((code, errors.as_str()), (0, ""), "{told}");
    assert_eq!(told, "proved: avatar\nproved: downloads\nproved: files\nproved: team\nproved: upload\n");
}

#[test]
fn a_report_underlines_the_text_shows_two_people_and_says_the_mend() {
    let dir = folder(&[("upload.toml", &UPLOAD.replace("users/${sub}/\"", "users/${sub}\""))]);
    let (code, told, errors) = run(dir.path(), &["lint"]);
    assert_eq!((code, errors.trim()), (1, "cosbroker: not proved: 1 of 1"));
    for part in [
        "error[home]: home does not end in `/`",
        "policies/upload.toml:13:8",
        "home = \"users/${sub}\"",
        "       ^^^^^^^^^^^^^^",
        "for example: both sub \"alice\"",
        "can reach `users/alice0",
        "help: end it with `/`",
        "not proved: upload",
    ] {
        assert!(told.contains(part), "{part}:\n{told}");
    }
}

/// What `lint --format json` shows is true: the evaluator, asked anew, allows both sides.
#[test]
fn every_counter_example_that_is_shown_is_true() {
    let rows: Vec<Value> = serde_json::from_str(
        &std::fs::read_to_string(repository("tests/data/adversarial/homes.json")).unwrap(),
    )
    .unwrap();
    let mut shown = 0;
    for row in rows.iter().filter(|row| row["expect"] == "refused") {
        let templates = templates_of(row);
        let named: Vec<(&str, &str)> =
            templates.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let dir = folder(&named);
        let (code, told, _) = run(dir.path(), &["lint", "--format", "json"]);
        assert_eq!(code, 1, "{}", row["why"]);
        let report: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(report["proved"], false);
        for finding in report["findings"].as_array().unwrap() {
            assert!(finding["line"].is_u64() && finding["mend"].is_string(), "{finding}");
            let found = &finding["counterExample"];
            if found.is_null() {
                continue;
            }
            shown += 1;
            let reading =
                Reading::ALL.into_iter().find(|reading| json!(reading) == found["reading"]).unwrap();
            let holders = found["holders"].as_array().unwrap();
            assert_ne!(holders[0]["claims"], holders[1]["claims"], "{}", row["why"]);
            for holder in holders {
                let policy = Policy::parse(holder["policy"].to_string().as_bytes()).unwrap();
                let context: BTreeMap<String, String> =
                    serde_json::from_value(holder["context"].clone()).unwrap();
                let request = Request {
                    action: holder["action"].as_str().unwrap(),
                    resource: holder["resource"].as_str().unwrap(),
                    context: context.iter().map(|(name, value)| (name.as_str(), value.clone())).collect(),
                };
                assert!(evaluate_as(reading, &policy, &request).is_allowed(), "{}: {found:#}", row["why"]);
                assert!(request.resource.ends_with(found["key"].as_str().unwrap()));
            }
        }
    }
    assert!(shown >= 8, "only {shown} counter-examples");
}

#[test]
fn sarif_names_rule_file_and_line() {
    let dir = folder(&[("upload.toml", &UPLOAD.replace("users/${sub}/\"", "users/${sub}\""))]);
    let (code, told, _) = run(dir.path(), &["lint", "--format", "sarif"]);
    assert_eq!(code, 1);
    let report: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(report["version"], "2.1.0");
    let result = &report["runs"][0]["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&json!("home"), &json!("error")));
    let location = &result["locations"][0]["physicalLocation"];
    assert_eq!(location["artifactLocation"]["uri"], "policies/upload.toml");
    assert_eq!(location["region"]["startLine"], 13);
}

#[test]
fn what_serves_and_is_likely_not_meant_is_a_warning() {
    for (from, to, rule, said) in [
        ("\"@upload\"", "\"name/cos:PutObjct\"", "unknown-action", "did you mean `name/cos:PutObject`?"),
        ("\"@multipart-upload\"", "\"name/cos:UploadPart\"", "partial-family", "grant @multipart-upload"),
        ("\"@upload\"", "\"name/cos:PutObject\"", "partial-family", "mini-programs"),
        ("\"@upload\"", "\"@upload\", \"@multipart-upload\"", "condition", "UploadPart"),
        ("30m", "3h", "duration", "2 h at most"),
    ] {
        let dir = folder(&[("upload.toml", &UPLOAD.replace(from, to))]);
        let (code, told, _) = run(dir.path(), &["lint"]);
        assert_eq!(code, 0, "{to}: {told}");
        assert!(told.contains(&format!("warning[{rule}]")) && told.contains(said), "{to}: {told}");
        assert!(told.contains("proved: upload"));
        assert_eq!(run(dir.path(), &["lint", "--deny-warnings"]).0, 1);
    }
    let long = Setup::new("127.0.0.1:1".parse().unwrap())
        .with("[sts]", "[sts]\naction = \"AssumeRole\"\nrole_arn = \"qcs::cam::uin/1:roleName/r\"");
    let dir = long.write();
    std::fs::write(dir.path().join("policies/upload.toml"), UPLOAD.replace("30m", "13h")).unwrap();
    let (code, told, _) = run(dir.path(), &["lint", "--config", "config.toml"]);
    assert!(code == 1 && told.contains("error[duration]") && told.contains("43200 s at most"), "{told}");
}

#[tokio::test]
async fn render_prints_what_sts_is_sent() {
    let (address, sts) = emulator();
    let broker = Setup::new(address).start();
    let answer = broker.get("/v1/credentials/upload", &token("alice")).await.json();
    let sent = sts.open(answer["credentials"]["sessionToken"].as_str().unwrap()).unwrap().policy;
    let by_claims = ["render", "upload", "--claims", r#"{"sub":"alice"}"#];
    let (code, told, _) = run(broker.dir(), &by_claims);
    assert_eq!((code, told.trim_end()), (0, sent.as_str()), "byte for byte");
    let by_token = run(broker.dir(), &["render", "policies/upload.toml", "--token", &token("alice")]);
    assert_eq!(by_token.1, told);
    let (_, wire, _) = run(broker.dir(), &[&by_claims[..], &["--wire"]].concat());
    assert!(wire.starts_with("%7B%22version%22") && !wire.contains('"'), "{wire}");
    for (arguments, said) in [
        (vec!["render", "upload", "--claims", r#"{"sub":"a/b"}"#], "base64url"),
        (vec!["render", "upload", "--claims", "[]"], "not a JSON object"),
        (vec!["render", "upload", "--token", "x"], "not a token"),
        (vec!["render", "nope", "--claims", r#"{"sub":"alice"}"#], "policies/nope.toml"),
    ] {
        let (code, _, errors) = run(broker.dir(), &arguments);
        assert!(code == 1 && errors.contains(said) && errors.lines().count() == 1, "{arguments:?}: {errors}");
    }
    assert_eq!(run(broker.dir(), &["render", "upload"]).0, 2);
}

#[tokio::test]
async fn explain_says_which_statement_and_condition_decide_as_the_api_does() {
    let broker = Setup::new(emulator().0).start();
    let ask = |more: &[&str]| {
        let base = ["explain", "upload", "--claims", r#"{"sub":"alice"}"#, "--format", "json"];
        let (code, told, errors) = run(broker.dir(), &[&base[..], more].concat());
        assert_eq!(code, 0, "{errors}");
        serde_json::from_str::<Value>(&told).unwrap()
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
    let (_, told, _) = run(
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
    assert!(told.starts_with("denied: no statement grants it on `users/bob/a.jpg`"), "{told}");
    let path = "/v1/explain?action=name/cos:PutObject&key=users/alice/a.jpg&size=11534336";
    let api = broker.get(path, &token("alice")).await.json();
    for field in ["allowed", "reason", "statement", "condition"] {
        assert_eq!(api[field], large[field], "{field}");
    }
}

#[test]
fn diff_tells_what_each_sample_user_gains_and_loses() {
    let wider = UPLOAD.replace("10485760", "20971520").replace("30m", "20m");
    let member = UPLOAD.replace("duration", "require = { role = \"member\" }\nduration");
    let dir = folder(&[("old.toml", UPLOAD), ("wider.toml", &wider), ("member.toml", &member)]);
    let people = r#"[{"sub":"alice","role":"member"},{"sub":"bob"},{"sub":"a|b"}]"#;
    std::fs::write(dir.path().join("users.json"), people).unwrap();
    let diff = |new: &str, more: &[&str]| {
        let paths = ["diff", "policies/old.toml", new, "--claims", "users.json"];
        run(dir.path(), &[&paths[..], more].concat())
    };
    let (code, told, _) = diff("policies/wider.toml", &[]);
    assert_eq!(code, 0);
    for part in [
        "everybody:\n    gains PutObject, PostObject on `users/${sub}/*` where cos:content-length",
        "loses keys live 20m, 30m before",
        "alice (role member):\n    gains PutObject, PostObject on `users/alice/*`",
        "a|b: no key, before and after",
    ] {
        assert!(told.contains(part), "{part}:\n{told}");
    }
    assert_eq!(diff("policies/wider.toml", &["--refuse-widening"]).0, 1);
    let (code, told, _) = diff("policies/member.toml", &["--refuse-widening"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("alice (role member): nothing changes"), "{told}");
    assert!(
        told.contains("everybody:\n    loses the key where the claim `role` is not \"member\""),
        "{told}"
    );
    assert!(told.contains("bob:\n    loses every key: this template requires the claim `role`"), "{told}");
    let (_, told, _) = run(dir.path(), &["diff", "policies", "policies"]);
    assert_eq!(told.matches("nothing changes").count(), 3);
}

/// Policies of the vendor's documents, as they are pasted: each becomes a template that `lint` proves, or is
/// said to hold nothing that a template may grant.
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
        let (code, told, _) = run(dir.path(), &["lint"]);
        assert!(code == 0 && told.contains("proved: made"), "{path:?}: {told}\n{template}");
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
fn nothing_in_a_file_or_a_claim_reaches_the_terminal_raw() {
    let dir = folder(&[("a\u{1b}[31m.toml", UPLOAD), ("b\nproved: upload.toml", UPLOAD)]);
    let (_, told, errors) = run(dir.path(), &["lint"]);
    assert!(!told.contains('\u{1b}') && !told.contains("\nproved: upload"), "{told}");
    assert!(!errors.contains('\u{1b}'));
    let dir = folder(&[("old.toml", UPLOAD), ("new.toml", &UPLOAD.replace("10485760", "1"))]);
    let people = r#"[{"sub":"alice","name":"\u001b[2Jx\n  everybody: nothing changes"}]"#;
    std::fs::write(dir.path().join("users.json"), people).unwrap();
    let (_, told, _) =
        run(dir.path(), &["diff", "policies/old.toml", "policies/new.toml", "--claims", "users.json"]);
    assert!(!told.contains('\u{1b}') && !told.contains("\n  everybody: nothing"), "{told}");
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
    let (_, told, _) = run(dir.path(), &ask);
    assert!(!told.contains('\u{1b}') && told.lines().count() == 1, "{told}");
    let twice =
        run(dir.path(), &["render", "policies/old.toml", "--claims", r#"{"sub":"alice","sub":"bob"}"#]);
    assert!(twice.0 == 1 && twice.2.contains("is given twice"), "{}", twice.2);
}

#[test]
fn a_reader_who_has_seen_enough_ends_a_command_quietly() {
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
fn explain_says_what_a_deny_still_depends_on() {
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

/// The guide tells of every rule of `lint`, and of every action that a set stands for.
#[test]
fn the_guide_tells_of_every_rule_and_every_set() {
    let read = |path: &str| std::fs::read_to_string(repository(path)).unwrap();
    let (guide, findings, actions) =
        (read("docs/templates.md"), read("src/policy/finding.rs"), read("src/policy/action.rs"));
    let rules: Vec<&str> = findings
        .lines()
        .filter(|line| line.trim_start().starts_with("Self::"))
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    assert!(rules.len() >= 17, "{rules:?}");
    for rule in rules {
        assert!(guide.contains(&format!("| `{rule}` |")), "{rule}");
    }
    let sets =
        &actions[actions.find("static SETS").unwrap()..actions.find("/// The action of this exact").unwrap()];
    let names: Vec<&str> = sets.split('"').skip(1).step_by(2).collect();
    assert!(names.len() >= 18, "{names:?}");
    for name in names {
        let name = name.trim_start_matches("name/cos:");
        assert!(guide.contains(&format!("`{name}`")), "{name}");
    }
}
