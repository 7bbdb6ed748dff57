//! `cosbroker policy lint`, as operators and CI systems run it.

use std::collections::BTreeMap;

use cam::{
    Policy,
    evaluate::{Reading, Request, evaluate_as},
};
use serde_json::{Value, json};

use crate::{
    policy::{DOWNLOADS, UPLOAD, folder, run, upload_and},
    support::{Setup, emulator, repository, templates_of, token_of},
};

fn has_only_notes(stderr: &str) -> bool {
    stderr.lines().all(|line| line.starts_with("note: "))
}

#[test]
fn the_shipped_templates_are_proved_without_warnings() {
    let (code, stdout, stderr) =
        run(&repository(""), &["lint", "--config", "config.example.toml", "--deny-warnings"]);
    assert!(code == 0 && has_only_notes(&stderr), "{stdout}{stderr}");
    for part in [
        "note: avatar, files, team, upload: an upload may start more than an upload: with `Pic-Operations`",
        "note: avatar: files can only be uploaded in one request",
        "note: avatar: keys of less than 30 min",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    assert_eq!(stdout, "proved: avatar\nproved: downloads\nproved: files\nproved: team\nproved: upload\n");
}

#[test]
fn a_report_underlines_the_text_and_shows_two_users_and_a_fix() {
    let dir = folder(&[("upload.toml", &UPLOAD.replace("users/${sub|escape}/\"", "users/${sub|escape}\""))]);
    let (code, stdout, stderr) = run(dir.path(), &["lint"]);
    assert_eq!((code, stderr.trim()), (1, "cosbroker: not proved: 1 of 1"));
    for part in [
        "error[home]: home does not end in `/`",
        "policies/upload.toml:14:8",
        "home = \"users/${sub|escape}\"",
        "       ^^^^^^^^^^^^^^",
        "for example: both sub \"alice\"",
        "can reach `users/alice0",
        "help: end it with `/`",
        "not proved: upload",
    ] {
        assert!(stdout.contains(part), "{part}:\n{stdout}");
    }
}

/// The counter-examples of `lint --format json` are true: the evaluator allows both sides.
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
        let (code, stdout, _) = run(dir.path(), &["lint", "--format", "json"]);
        assert_eq!(code, 1, "{}", row["why"]);
        let report: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(report["proved"], false);
        for finding in report["findings"].as_array().unwrap() {
            assert!(finding["line"].is_u64() && finding["help"].is_string(), "{finding}");
            let found = &finding["counter_example"];
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
    let dir = folder(&[("upload.toml", &UPLOAD.replace("users/${sub|escape}/\"", "users/${sub|escape}\""))]);
    let (code, stdout, _) = run(dir.path(), &["lint", "--format", "sarif"]);
    assert_eq!(code, 1);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["version"], "2.1.0");
    let result = &report["runs"][0]["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&json!("home"), &json!("error")));
    let location = &result["locations"][0]["physicalLocation"];
    assert_eq!(location["artifactLocation"]["uri"], "policies/upload.toml");
    assert_eq!(location["region"]["startLine"], 14);
}

#[test]
fn a_home_that_refuses_some_users_ids_is_a_warning_with_their_share() {
    let dir = folder(&[("upload.toml", &UPLOAD.replace("|escape", ""))]);
    let (code, stdout, _) = run(dir.path(), &["lint"]);
    assert_eq!(code, 0, "{stdout}");
    let warning = stdout.lines().find(|line| line.starts_with("warning[refused-ids]")).unwrap();
    for part in ["${sub} refuses ", " % of nanoid ids, ", "all e-mail addresses", " % of base64url ids"] {
        assert!(warning.contains(part), "{warning}");
    }
    assert!(!warning.contains("UUID") && !warning.contains("openid"), "{warning}");
    assert!(stdout.contains("help: write ${sub|escape}"), "{stdout}");
    for filter in ["|escape", "|base64url", "|sha256"] {
        let dir = folder(&[("upload.toml", &UPLOAD.replace("|escape", filter))]);
        assert_eq!(run(dir.path(), &["lint", "--deny-warnings"]).0, 0, "{filter}");
    }
}

#[tokio::test]
async fn a_claim_whose_name_needs_quotes_names_the_home() {
    let upload = UPLOAD.replace("\"users/${sub|escape}/\"", "'teams/${claim.\"custom:tenant\"|escape}/'");
    let upload = upload.replace("duration =", "owner = ['claim.\"custom:tenant\"']\nduration =");
    for (trusted, is_trusted) in [
        ("\"custom:tenant\"", true),
        ("'\"custom:tenant\"'", true),
        ("'claim.\"custom:tenant\"'", true),
        ("\"custom\"", false),
    ] {
        let mut setup = Setup::new(emulator().0).with("\"tenant\"", trusted);
        setup.templates = vec![("upload.toml".to_owned(), upload.clone())];
        if !is_trusted {
            let dir = setup.write();
            let (code, stdout, _) = run(dir.path(), &["lint", "--config", "config.toml"]);
            let help = "help: list '\"custom:tenant\"' in trusted_claims";
            assert!(code == 1 && stdout.contains(help), "{stdout}");
            continue;
        }
        let broker = setup.start();
        let claims = json!({"sub": "alice", "custom:tenant": "red/blue"});
        let answer = broker.get("/v1/credentials", &token_of(&claims)).await;
        assert_eq!(answer.json()["prefix"], "teams/red!2Fblue/", "{trusted}: {answer:?}");
    }
}

#[test]
fn a_probable_mistake_is_a_warning() {
    for (from, to, rule, message) in [
        ("\"@upload\"", "\"name/cos:PutObjct\"", "unknown-action", "did you mean `name/cos:PutObject`?"),
        ("\"@multipart-upload\"", "\"name/cos:UploadPart\"", "partial-family", "grant @multipart-upload"),
        ("\"@upload\"", "\"name/cos:PutObject\"", "partial-family", "mini-programs"),
        ("\"@upload\"", "\"@upload\", \"@multipart-upload\"", "condition", "InitiateMultipartUpload"),
        ("30m", "3h", "duration", "2 h at most"),
        ("numeric_less_than_equal]", "numeric_less_than_equal_if_exist]", "condition", "limits nothing"),
        ("duration =", "owner = [\"sub\", \"sub\"]\nduration =", "unused", "`sub` twice"),
        ("users/${sub|escape}/\"", "users/${iss}/${sub}/\"", "unused", "no user would get a key"),
        (
            "\"@multipart-upload\"",
            "\"name/cos:InitiateMultipartUpload\", \"name/cos:UploadPart\", \"name/cos:ListParts\", \
             \"name/cos:CompleteMultipartUpload\", \"name/cos:AbortMultipartUpload\"",
            "partial-family",
            "ListMultipartUploads",
        ),
        (
            "action = [\"@multipart-upload\"]\nresource = [\"",
            "action = [\"name/ci:CreateMediaJobs\"]\nresource = [\"qcs::ci:ap-guangzhou:uid/1250000000:bucket/examplebucket-1250000000/",
            "unknown-action",
            "no documented action of data processing",
        ),
    ] {
        let dir = folder(&[("upload.toml", &UPLOAD.replace(from, to))]);
        let (code, stdout, _) = run(dir.path(), &["lint"]);
        assert_eq!(code, 0, "{to}: {stdout}");
        assert!(stdout.contains(&format!("warning[{rule}]")) && stdout.contains(message), "{to}: {stdout}");
        assert!(stdout.contains("proved: upload"));
        assert_eq!(run(dir.path(), &["lint", "--deny-warnings"]).0, 1);
    }
    let long = Setup::new("127.0.0.1:1".parse().unwrap())
        .with_section("sts", "action = \"AssumeRole\"\nrole_arn = \"qcs::cam::uin/1:roleName/r\"");
    let dir = long.write();
    std::fs::write(dir.path().join("policies/upload.toml"), UPLOAD.replace("30m", "13h")).unwrap();
    let (code, stdout, _) = run(dir.path(), &["lint", "--config", "config.toml"]);
    assert!(
        code == 1 && stdout.contains("error[duration]") && stdout.contains("43200 s at most"),
        "{stdout}"
    );
    // More than any account gets is wrong whatever the configuration says, and told once.
    std::fs::write(dir.path().join("policies/upload.toml"), UPLOAD.replace("30m", "48h")).unwrap();
    for with in [&[][..], &["--config", "config.toml"]] {
        let (code, stdout, _) = run(dir.path(), &[&["lint"][..], with].concat());
        assert!(code == 1 && stdout.contains("error[duration]"), "{stdout}");
        assert!(!stdout.contains("warning[duration]") && stdout.contains("not proved: upload"), "{stdout}");
    }
    let (code, _, stderr) = run(&dir.path().join("policies"), &["lint"]);
    assert!(
        code == 1 && stderr.contains("no folder `policies` here; run this in the folder that has it"),
        "{stderr}"
    );
}

/// The page on the policy language names every set of actions, and every action in one.
#[test]
fn the_documentation_names_every_set_of_actions() {
    let language = std::fs::read_to_string(repository("docs/understand/policy-language.md")).unwrap();
    let source = std::fs::read_to_string(repository("crates/templates/src/template/action.rs")).unwrap();
    let sets = &source
        [source.find("static SETS").unwrap()..source.find("/// Finds the action of this exact").unwrap()];
    let names: Vec<&str> = sets.split('"').skip(1).step_by(2).collect();
    assert!(names.len() >= 18, "{names:?}");
    for name in names {
        let name = name.trim_start_matches("name/cos:");
        assert!(language.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn a_statement_that_is_probably_a_mistake_is_a_warning() {
    let not = |effect: &str, condition: &str| {
        upload_and(&format!(
            "effect = \"{effect}\"\naction = \"@download\"\nresource = \"${{home}}*\"\n[statement.condition.{condition}"
        ))
    };
    let wide: Vec<String> = (0..24).map(|n| format!(", \"${{home}}folder-{n}/*\"")).collect();
    let wide = wide.concat();
    for (text, rule, message) in [
        (
            not("allow", "ip_not_equal]\n\"qcs:ip\" = [\"10.0.0.0/8\", \"11.0.0.0/8\"]"),
            "condition",
            "several values is documented nowhere",
        ),
        (
            not("deny", "string_not_equal]\n\"cos:secure-transport\" = [\"true\", \"yes\"]"),
            "condition",
            "several values is documented nowhere",
        ),
        (
            upload_and(
                "effect = \"allow\"\naction = \"@download\"\nresource = \"${home}*\"\nshared = \"all may\"",
            ),
            "unused",
            "nothing here lies outside the home",
        ),
        (
            DOWNLOADS.replace("[[statement]]", "acl_guard_off = \"public\"\n[[statement]]"),
            "unused",
            "nothing here writes",
        ),
        (
            DOWNLOADS.replace("resource = \"${home}*\"", &format!("resource = [\"${{home}}*\"{wide}]")),
            "policy-size",
            "of 6144 bytes",
        ),
    ] {
        let dir = folder(&[("upload.toml", &text)]);
        let (code, stdout, _) = run(dir.path(), &["lint"]);
        assert_eq!(code, 0, "{stdout}");
        assert!(
            stdout.contains(&format!("warning[{rule}]")) && stdout.contains(message),
            "{message}: {stdout}"
        );
        let (code, _, stderr) = run(dir.path(), &["lint", "--deny-warnings"]);
        assert!(code == 1 && stderr.contains("warnings: 1"), "{stderr}");
    }
}

#[test]
fn a_template_that_is_as_intended_has_no_warning() {
    let typed = UPLOAD.replace("\"@upload\"", "\"name/cos:PutObject\"").replace(
        "10485760",
        "10485760\n[statement.condition.string_like]\n\"cos:content-type\" = \"image/*\"",
    );
    let one = upload_and(
        "effect = \"deny\"\naction = \"@download\"\nresource = \"${home}*\"\n[statement.condition.ip_not_equal]\n\"qcs:ip\" = \"10.0.0.0/8\"",
    );
    for text in [typed, one, UPLOAD.replace("30m", "2h"), DOWNLOADS.to_owned()] {
        let dir = folder(&[("upload.toml", &text)]);
        let (code, stdout, stderr) = run(dir.path(), &["lint", "--deny-warnings"]);
        assert!(code == 0 && has_only_notes(&stderr), "{stdout}{stderr}");
        assert!(!stdout.contains("warning"), "{stdout}");
    }
    let assumed = Setup::new("127.0.0.1:1".parse().unwrap())
        .with_section("sts", "action = \"AssumeRole\"\nrole_arn = \"qcs::cam::uin/1:roleName/r\"")
        .write();
    for hours in ["3h", "12h"] {
        std::fs::write(assumed.path().join("policies/upload.toml"), UPLOAD.replace("30m", hours)).unwrap();
        let (code, stdout, _) = run(assumed.path(), &["lint", "--config", "config.toml", "--deny-warnings"]);
        assert_eq!(code, 0, "a role's keys live so long: {stdout}");
    }
}

#[test]
fn a_shadow_template_is_linted_in_the_place_of_its_template() {
    for (name, next, code, message) in [
        ("upload.next.toml", UPLOAD.replace("users/", ""), 0, "proved: upload.next"),
        (
            "upload.next.toml",
            UPLOAD.replace("users/${sub|escape}/\"", "users/${sub|escape}\""),
            1,
            "not proved: upload.next",
        ),
        ("upload.next.toml", UPLOAD.replace("30m", "3h"), 0, "warning[duration]"),
        ("uplaod.next.toml", UPLOAD.to_owned(), 0, "there is no template for this one to follow"),
    ] {
        let dir = folder(&[("upload.toml", UPLOAD), (name, &next)]);
        let (found, stdout, stderr) = run(dir.path(), &["lint"]);
        assert_eq!(found, code, "{stdout}{stderr}");
        assert!(stdout.lines().any(|line| line == "proved: upload"), "{message}: {stdout}");
        assert!(stdout.contains(message), "{message}: {stdout}");
    }
}

#[test]
fn errors_come_first_and_an_unreadable_file_is_not_proved() {
    let warned = UPLOAD.replace("30m", "3h");
    let open = UPLOAD.replace("users/${sub|escape}/\"", "u/${sub|escape}\"");
    let dir = folder(&[("a.toml", &warned), ("b.toml", &open), ("c.toml", "bucket = ")]);
    let (code, stdout, stderr) = run(dir.path(), &["lint", "--format", "json"]);
    assert_eq!((code, stderr.trim()), (1, "cosbroker: not proved: 2 of 3"));
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let levels: Vec<&str> =
        report["findings"].as_array().unwrap().iter().map(|one| one["level"].as_str().unwrap()).collect();
    assert_eq!(levels.iter().position(|level| *level == "warning"), Some(levels.len() - 1), "{levels:?}");
    let proved: Vec<&Value> =
        report["templates"].as_array().unwrap().iter().map(|one| &one["proved"]).collect();
    assert_eq!(proved, [true, false, false]);
    let (_, stdout, _) = run(dir.path(), &["lint", "--format", "sarif"]);
    let sarif: Value = serde_json::from_str(&stdout).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let found: Vec<&str> = results.iter().map(|one| one["level"].as_str().unwrap()).collect();
    assert_eq!(found, levels);
    for (index, result) in results.iter().enumerate() {
        let place = (&report["findings"][index]["line"], &report["findings"][index]["column"]);
        let region = &result["locations"][0]["physicalLocation"]["region"];
        assert_eq!((&region["startLine"], &region["startColumn"]), place);
    }
    let home = report["findings"].as_array().unwrap().iter().find(|one| one["rule"] == "home").unwrap();
    assert_eq!((&home["line"], &home["column"]), (&json!(14), &json!(8)));
}

#[test]
fn an_empty_folder_is_not_proved_and_other_files_are_ignored() {
    let (code, _, stderr) = run(folder(&[]).path(), &["lint"]);
    assert!(code == 1 && stderr.contains("policies has no template"), "{stderr}");
    // Editors' locks and backups.
    let dir = folder(&[("upload.toml", UPLOAD), (".#upload.toml", "half"), ("upload.toml~", "half")]);
    assert_eq!(run(dir.path(), &["lint"]).0, 0);
    let dir = folder(&[("upload.toml", &format!("{UPLOAD}#{}", " ".repeat(1 << 20)))]);
    let (code, stdout, _) = run(dir.path(), &["lint"]);
    assert!(code == 1 && stdout.contains("is larger than 1048576 bytes"), "{stdout}");
}

#[test]
fn an_error_of_a_later_template_comes_before_the_warnings_of_an_earlier_one() {
    let dir = Setup::new("127.0.0.1:1".parse().unwrap()).write();
    let policies = dir.path().join("policies");
    let warned = UPLOAD.replace("\"@upload\"", "\"name/cos:PutObject\"");
    std::fs::write(policies.join("files.toml"), warned).unwrap();
    std::fs::write(policies.join("upload.toml"), UPLOAD.replace("30m", "37h")).unwrap();
    let (code, stdout, _) = run(dir.path(), &["lint", "--config", "config.toml"]);
    let titles: Vec<&str> =
        stdout.lines().filter(|line| line.starts_with("error") || line.starts_with("warning")).collect();
    assert!(code == 1 && titles.len() > 1, "{stdout}");
    assert!(titles[0].starts_with("error[duration]"), "{titles:?}");
    assert!(titles[1..].iter().all(|title| title.starts_with("warning")), "{titles:?}");
}

#[test]
fn without_a_configuration_the_assumptions_are_printed() {
    let team = std::fs::read_to_string(repository("policies/team.toml")).unwrap();
    let dir = folder(&[("team.toml", &team), ("upload.toml", UPLOAD)]);
    let (code, stdout, _) = run(dir.path(), &["lint"]);
    let assumed = "assumed: one issuer signs tokens; its trusted_claims list team; give --config";
    assert!(code == 0 && stdout.contains(assumed), "{stdout}");
    let dir = Setup::new("127.0.0.1:1".parse().unwrap()).write();
    let (code, stdout, _) = run(dir.path(), &["lint", "--config", "config.toml"]);
    assert!(code == 0 && !stdout.contains("assumed"), "{stdout}");
}

#[test]
fn a_shadow_template_whose_home_another_shares_is_refused() {
    let shares = upload_and(
        "effect = \"allow\"\naction = \"@download\"\nresource = \"public/*\"\nshared = \"stickers\"",
    );
    let next = UPLOAD.replace("users/${sub|escape}/", "public/${sub}/");
    let files = UPLOAD.replace("users/${sub|escape}/", "files/${sub}/");
    let dir = folder(&[("upload.toml", &shares), ("files.toml", &files), ("files.next.toml", &next)]);
    let (code, stdout, _) = run(dir.path(), &["lint"]);
    assert_eq!(code, 1, "{stdout}");
    assert!(stdout.contains("not proved: files.next") && stdout.contains("error[shared]"), "{stdout}");
    assert!(stdout.contains("\nproved: files\n") && stdout.contains("\nproved: upload\n"), "{stdout}");
}
