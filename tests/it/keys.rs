//! Active credentials and revocation, over the admin API and the command line.

use serde_json::{Value, json};

use crate::support::{Answer, Answers, CannedSts, Setup, Signal, cosbroker, emulator, token, token_of};

/// Routes that serve a credential or explain a grant.
const ROUTES: [&str; 7] = [
    "/v1/credentials",
    "/v1/credentials/files",
    "/v1/credentials?format=sts3",
    "/v1/explain?action=name/cos:PutObject&key=users/alice/a",
    "/sign",
    "/sts",
    "/getKeyAndCredentials?filename=a.jpg",
];

fn scope(subject: &str) -> Value {
    json!([{"action": "name/cos:PutObject", "bucket": "examplebucket-1250000000", "region": "ap-guangzhou",
            "prefix": format!("users/{subject}/a/*")}])
}

#[tokio::test]
async fn active_credentials_are_listed_by_user_and_by_prefix_without_secrets() {
    let broker = Setup::new(CannedSts::start(Answers::Key(1800)).address).start();
    for subject in ["alice", "alicia", "bob"] {
        assert_eq!(broker.get("/v1/credentials", &token(subject)).await.status, 200);
    }
    broker.get("/v1/credentials", &token("alice")).await;
    assert_eq!(broker.post("/sts", &token("alice"), scope("alice").to_string()).await.status, 200);
    let answer = broker.operators_get("/api/keys").await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let all = answer.json();
    assert_eq!((&all["active"], &all["listed"], &all["forgotten"]), (&json!(4), &json!(4), &json!(0)));
    let text = all.to_string();
    assert!(!text.contains("canary") && !text.contains("token"), "{text}");
    let active = async |query: &str| broker.operators_get(query).await.json()["active"].as_u64().unwrap();
    assert_eq!(active("/api/keys?subject=alice").await, 2, "a hit fetches no credential, a scope does");
    assert_eq!(active("/api/keys?subject=&prefix=users/ali").await, 3);
    assert_eq!(active("/api/keys?issuer=https://other.test/").await, 0);
    let one = broker.operators_get("/api/keys?subject=bob&limit=5").await.json()["keys"][0].clone();
    assert_eq!(one["key_id"], "AKIDtemporary2");
    assert_eq!((&one["prefix"], &one["template"]), (&json!("users/bob/"), &json!("upload")));
    assert_eq!(one["grant_id"], broker.get("/v1/credentials", &token("bob")).await.json()["grantId"]);
    let cut = broker.operators_get("/api/keys?limit=1").await.json();
    assert_eq!((&cut["active"], &cut["listed"]), (&json!(4), &json!(1)));
    for query in ["?subjet=alice", "?limit=many"] {
        let refused = broker.operators_get(&format!("/api/keys{query}")).await;
        assert!(refused.status == 400 && refused.body.contains("issuer, subject, prefix"), "{refused:?}");
    }
    let (code, told, notes) = broker.keys(&["list", "--prefix", "users/ali"]);
    assert_eq!(code, Some(0), "{notes}");
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with("SUBJECT  TEMPLATE  PREFIX"), "{told}");
    let ends = lines[0].find("EXPIRES").unwrap();
    assert!(lines[1..4].iter().all(|line| line[ends..].starts_with("20")), "columns are aligned: {told}");
    assert!(told.contains("users/alice/ (part)") && told.contains("AKIDtemporary"), "{told}");
    assert!(lines[5].starts_with("3 active keys, the last expires 20") && lines[5].ends_with("m)"), "{told}");
    assert!(notes.contains("other replicas"), "{notes}");
    let (_, told, _) = broker.keys(&["list", "--limit", "2", "--format", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["active"], told["keys"].as_array().unwrap().len()), (&json!(4), 2));
    let (_, told, _) = broker.keys(&["list", "--limit", "2"]);
    assert!(told.contains("the list has the 2 that expire last"), "{told}");
    let (code, told, _) = broker.keys(&["list", "--subject", "nobody"]);
    assert_eq!((code, told.as_str()), (Some(0), "no active key\n"));
}

#[tokio::test]
async fn a_revoked_user_is_refused_on_every_route_at_once_and_no_other_user_is() {
    let (address, sts) = emulator();
    let broker = Setup::new(address).start();
    for subject in ["alice", "bob"] {
        for route in ROUTES {
            assert_eq!(broker.get(route, &token(subject)).await.status, 200, "{route}");
        }
    }
    let calls = sts.calls();
    let named = json!({"issuer": "https://id.test/", "subject": "alice"});
    let answer = broker.operators_post("/api/revoke", &named).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    assert_eq!(
        (&told["active"], &told["lasting"], &told["already"]),
        (&json!(2), &json!(false), &json!(false))
    );
    let keys = broker.operators_get("/api/keys?subject=alice").await.json();
    assert_eq!(told["expires_last_at"], keys["keys"][0]["expires_at"], "the last of the user's credentials");
    let others_token = token_of(&json!({"sub": "alice", "jti": "another"}));
    for route in ROUTES {
        for token in [&token("alice"), &others_token] {
            let refused = broker.get(route, token).await;
            assert_eq!(refused.status, 403, "{route}: {refused:?}");
            let body = refused.json();
            if route.starts_with("/v1") {
                assert_eq!(body["type"], "urn:cosbroker:problem:revoked");
            } else {
                assert_eq!((&body["code"], &body["codeDesc"]), (&json!(10003), &json!("Revoked")));
            }
        }
        assert_eq!(broker.get(route, &token("bob")).await.status, 200, "{route}");
    }
    for (route, body) in [
        ("/sts", scope("alice")),
        ("/v1/credentials", json!({"scope": scope("alice")})),
        ("/v1/credentials", json!("not even a scope")),
    ] {
        assert_eq!(broker.post(route, &token("alice"), body.to_string()).await.status, 403, "{route}");
    }
    assert_eq!(sts.calls(), calls);
    let shipped = include_str!("../../policies/upload.toml").replace("10485760", "1");
    broker.put_template("upload.toml", &shipped);
    assert_eq!(broker.reload().await.0, 200);
    assert_eq!(broker.get("/sign", &token("alice")).await.status, 403, "a reload changes nothing of it");
    assert_eq!(broker.operators_get("/api/revoked").await.json()["revoked"][0]["subject"], "alice");
    assert_eq!(broker.operators_post("/api/restore", &named).await.status, 200);
    assert_eq!(broker.get("/sign", &token("alice")).await.status, 200);
    assert_eq!(broker.operators_post("/api/restore", &named).await.status, 404);
    broker.says("user revoked: gets no credentials");
    broker.says("user restored: no longer revoked");
}

#[tokio::test]
async fn a_revocation_that_matches_no_user_is_refused() {
    let broker = Setup::new(emulator().0).start();
    for (body, said) in [
        (json!({"issuer": "https://id.test", "subject": "alice"}), "did you mean https://id.test/?"),
        (json!({"issuer": "elsewhere", "subject": "alice"}), "configured: https://id.test/"),
        (json!({"issuer": "https://id.test/", "subject": ""}), "the subject is empty"),
        (json!({"issuer": "https://id.test/"}), "missing field `subject`"),
        (json!({"subject": "alice", "isuer": "x"}), "unknown field `isuer`"),
        (json!("alice"), "cannot be read"),
    ] {
        let refused = broker.operators_post("/api/revoke", &body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.json()["problems"][0].as_str().unwrap().contains(said), "{said}: {refused:?}");
    }
    let alice = json!({"subject": "alice"});
    for path in ["/api/revoke", "/api/restore"] {
        let url = format!("http://{}{path}", broker.operators);
        for origin in ["https://evil.example", "null"] {
            let from_a_page = broker.http.post(&url).header("origin", origin).body(alice.to_string());
            assert_eq!(Answer::of(from_a_page).await.status, 403, "{origin}");
        }
        let wrong = broker.operators_get(path).await;
        assert!(wrong.status == 405 && wrong.body.contains("send POST"), "{wrong:?}");
    }
    assert_eq!(broker.operators_get("/api/revoked").await.json()["revoked"], json!([]));
    let own_page = broker.http.post(format!("http://{}/api/revoke", broker.operators));
    let own_page = own_page.header("origin", format!("http://{}", broker.operators)).body(alice.to_string());
    assert_eq!(Answer::of(own_page).await.status, 200, "the one issuer need not be named");
}

#[tokio::test]
async fn a_host_name_that_resolves_to_loopback_is_refused_without_a_token() {
    let broker = Setup::new(emulator().0).start();
    let port = broker.operators.port();
    for (host, status) in [
        (format!("evil.example:{port}"), 403),
        ("evil.example".to_owned(), 403),
        ("127.0.0.1.evil.example".to_owned(), 403),
        ("[::1".to_owned(), 403),
        (format!("localhost:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        ("127.0.0.1".to_owned(), 200),
    ] {
        let url = format!("http://{}/api/keys", broker.operators);
        assert_eq!(Answer::of(broker.http.get(&url).header("host", &host)).await.status, status, "{host}");
    }
    let guarded = Setup::new(emulator().0).with_section("admin", "token_env = \"SECRET_KEY\"").start();
    let request = guarded.http.get(format!("http://{}/api/keys", guarded.operators));
    let request = request.header("host", "ops.example.com").bearer_auth(crate::support::SECRET_KEY);
    assert_eq!(Answer::of(request).await.status, 200);
}

#[tokio::test]
async fn an_operator_revokes_and_restores_a_user_on_the_command_line() {
    let broker = Setup::new(emulator().0).start();
    broker.get("/v1/credentials", &token("alice")).await;
    let (code, _, said) = broker.keys(&["revoke", "--subject", "alice"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("give --yes"), "no terminal to ask for confirmation: {said}");
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    let (code, told, notes) = broker.keys(&["revoke", "--subject", "alice", "--yes"]);
    assert_eq!(code, Some(0), "{notes}");
    assert!(told.contains("revoked: `alice` of https://id.test/ gets no more keys\n"), "{told}");
    assert!(told.contains("1 active key cannot be revoked: the last expires 20"), "{told}");
    assert!(notes.contains("ends when the broker restarts") && notes.contains("replicas"), "{notes}");
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 403);
    let (code, told, _) = broker.keys(&["revoked"]);
    assert!(code == Some(0) && told.contains("alice    https://id.test/  20"), "{told}");
    let (_, told, _) =
        broker.keys(&["revoke", "--subject", "alcie", "--issuer", "https://id.test/", "--yes"]);
    assert!(told.contains("check the spelling"), "{told}");
    let (code, told, _) = broker.keys(&["restore", "--subject", "alice"]);
    assert!(code == Some(0) && told.contains("`alice` of https://id.test/ is served again"), "{told}");
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    let (code, _, said) = broker.keys(&["restore", "--subject", "alice"]);
    assert!(code == Some(1) && said.contains("is not revoked"), "{said}");
    for arguments in [&["revoke"][..], &["revoke", "--subject", ""], &["list", "--limit", "0"], &[]] {
        assert_eq!(broker.keys(arguments).0, Some(2), "{arguments:?}");
    }
    let nobody = cosbroker(broker.dir()).args(["keys", "list", "--operators", "http://127.0.0.1:1"]).output();
    let nobody = nobody.unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    let told = String::from_utf8(nobody.stderr).unwrap();
    assert!(told.contains("Connection refused (os error 111); start the broker"), "{told}");
}

#[tokio::test]
async fn with_several_issuers_one_is_named_and_equal_subjects_are_distinct() {
    let two = "[[issuer]]\nissuer = \"https://two.test/\"\naudience = [\"app\"]\nalgorithms = [\"HS256\"]\nsecret_env = \"JWT_SECRET\"\n[templates]";
    let mut setup = Setup::new(emulator().0).with("[templates]", two);
    for (_, text) in &mut setup.templates {
        *text = text.replace("users/${sub|escape}/\"", "users/${iss|sha256}/${sub}/\"");
    }
    let broker = setup.start();
    let other = token_of(&json!({"sub": "alice", "iss": "https://two.test/"}));
    for token in [&token("alice"), &other] {
        assert_eq!(broker.get("/v1/credentials", token).await.status, 200);
    }
    let (code, _, said) = broker.keys(&["revoke", "--subject", "alice", "--yes"]);
    assert!(code == Some(1) && said.contains("name one of: https://id.test/, https://two.test/"), "{said}");
    let (code, told, _) =
        broker.keys(&["revoke", "--subject", "alice", "--issuer", "https://two.test/", "--yes"]);
    assert!(code == Some(0) && told.contains("1 active key cannot be revoked"), "{told}");
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    assert_eq!(broker.get("/v1/credentials", &other).await.status, 403);
    let (_, told, _) = broker.keys(&["list", "--subject", "alice"]);
    assert!(
        told.contains("alice of https://id.test/") && told.contains("alice of https://two.test/"),
        "{told}"
    );
}

#[tokio::test]
async fn a_hostile_subject_is_printed_as_one_harmless_cell() {
    let mut setup = Setup::new(emulator().0);
    for (_, text) in &mut setup.templates {
        *text = text.replace("users/${sub|escape}/\"", "users/${sub|sha256}/\"");
    }
    let broker = setup.start();
    let hostile = "\u{1b}[2J\u{202e}x\nroot  upload  users/\"root\"/";
    assert_eq!(broker.get("/v1/credentials", &token(hostile)).await.status, 200);
    let (_, listed, _) = broker.keys(&["list"]);
    let (code, revoked, _) = broker.keys(&["revoke", "--subject", hostile, "--yes"]);
    assert_eq!(code, Some(0));
    let (_, people, _) = broker.keys(&["revoked"]);
    for (told, lines) in [(&listed, 4), (&revoked, 2), (&people, 2)] {
        assert_eq!(told.lines().count(), lines, "{told}");
        let harmless = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
        assert!(told.chars().all(harmless), "{told:?}");
        assert!(told.contains("\\u{1b}[2J"), "{told}");
    }
    assert_eq!(broker.get("/v1/credentials", &token(hostile)).await.status, 403);
    broker.says("user revoked: gets no credentials");
    assert!(!broker.log().contains('\u{1b}'), "{}", broker.log());
}

#[tokio::test]
async fn a_subject_that_looks_like_an_option_is_a_subject() {
    let (sts, _) = emulator();
    let broker = Setup::new(sts).start();
    for subject in ["--subject", "-h"] {
        let (code, told, said) = broker.keys(&["revoke", "--subject", subject, "--yes"]);
        assert!(code == Some(0) && told.contains(subject), "{subject}: {told}{said}");
        assert_eq!(broker.keys(&["list", "--subject", subject]).0, Some(0));
    }
}

#[tokio::test]
async fn a_revocation_outlives_the_process_if_a_file_is_configured() {
    let with_file = |setup: Setup| setup.with_section("limits", "revoked_file = \"state/revoked.toml\"");
    let (sts, _) = emulator();
    let (code, said) = {
        let dir = with_file(Setup::new(sts)).write();
        let output = cosbroker(dir.path()).args(["check", "--config", "config.toml"]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(code == Some(1) && said.contains("there is no folder for state/revoked.toml"), "{said}");
    let mut broker =
        with_file(Setup::new(sts)).start_with(|dir| std::fs::create_dir(dir.join("state")).unwrap());
    let (code, _, notes) = broker.keys(&["revoke", "--subject", "alice", "--yes"]);
    assert!(code == Some(0) && !notes.contains("restarts"), "{notes}");
    let kept = std::fs::read_to_string(broker.dir().join("state/revoked.toml")).unwrap();
    assert!(kept.contains("subject = \"alice\""), "{kept}");
    broker.signal(Signal::KILL);
    broker.ended();
    let broker = with_file(Setup::new(sts)).start_with(|dir| {
        std::fs::create_dir(dir.join("state")).unwrap();
        std::fs::write(dir.join("state/revoked.toml"), &kept).unwrap();
    });
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 403);
    assert_eq!(broker.get("/v1/credentials", &token("bob")).await.status, 200);
    // If the disk fails, the revocation is in force, and the operator learns that it will not last.
    std::fs::rename(broker.dir().join("state"), broker.dir().join("gone")).unwrap();
    let (code, told, said) = broker.keys(&["revoke", "--subject", "bob", "--yes"]);
    assert!(code == Some(1) && told.contains("revoked: `bob`"), "{told}");
    assert!(said.contains("ends when the broker restarts") && said.contains("cannot be written"), "{said}");
    assert_eq!(broker.get("/v1/credentials", &token("bob")).await.status, 403);
    let alarms = async || {
        let status =
            Answer::of(broker.http.get(format!("http://{}/api/status", broker.operators))).await.json();
        let unsaved = broker.figure(&["cosbroker_revocations_unsaved"]).await;
        (status["alarms"].to_string().contains("the last revocation ends with this process"), unsaved)
    };
    assert_eq!(alarms().await, (true, 1), "the alarm is visible later as well");
    std::fs::rename(broker.dir().join("gone"), broker.dir().join("state")).unwrap();
    assert_eq!(broker.keys(&["revoke", "--subject", "bob", "--yes"]).0, Some(0));
    assert_eq!(alarms().await, (false, 0));
    let kept = std::fs::read_to_string(broker.dir().join("state/revoked.toml")).unwrap();
    assert!(kept.contains("alice") && kept.contains("bob"), "{kept}");
}

#[tokio::test]
async fn a_revocation_prints_the_policies_that_stop_this_users_folder_and_no_other() {
    let broker = Setup::new(CannedSts::start(Answers::Key(1800)).address).start();
    for subject in ["alice", "bob"] {
        assert_eq!(broker.get("/v1/credentials", &token(subject)).await.status, 200);
    }
    let (code, told, notes) = broker.keys(&["revoke", "--subject", "alice", "--yes", "--print-deny"]);
    assert_eq!(code, Some(0), "{notes}");
    for part in [
        "CAM policy, for the role or sub-account",
        "\"effect\": \"deny\"",
        "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/users/alice/*\"",
        "\"users%2Falice%2F*\"",
        "\"Principal\": {",
        "bucket policy of examplebucket-1250000000: add these statements",
        "PutBucketPolicy replaces the whole policy",
        "qcs::cam::anyone:anyone",
        "Remove it after 20",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("bob") && !told.contains("users/*"), "{told}");
    let (code, told, notes) = broker.keys(&["revoke", "--subject", "carol", "--yes", "--print-deny"]);
    assert_eq!(code, Some(0), "{notes}");
    assert!(notes.contains("there is no deny to print") && !told.contains("CAM policy"), "{told} {notes}");
}
