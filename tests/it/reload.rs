//! Templates change while the service runs: all or none, the last good set kept, no user affected.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use cam::Policy;
use cosbroker::{
    audit::Audit,
    reload::{Reload, ReloadCause, TemplateStore},
};
use jiff::Timestamp;
use runtime::clock::SystemClock;
use serde_json::{Value, json};
use sha2::Digest;
use templates::{IssuerTrust, ServingConstraints};

use crate::support::{Broker, DEADLINE, Setup, Signal, cosbroker, emulator, token, token_of};

const SHIPPED: &str = include_str!("../../policies/upload.toml");

/// A version of the template that can be told by its size limit.
fn limit(bytes: u64) -> String {
    SHIPPED.replace("10485760", &bytes.to_string())
}

/// The size limit that Alice's grant has now.
async fn limit_of_alice(broker: &Broker) -> u64 {
    let path = "/v1/explain/upload?action=name/cos:PutObject&key=users/alice/a.jpg&size=1";
    let answer = broker.get(path, &token("alice")).await;
    answer.json()["statement"]["condition"]["numeric_less_than_equal"]["cos:content-length"][0]
        .as_u64()
        .unwrap()
}

/// Waits, as an operator does who looks again, until Alice's limit is another.
async fn comes_to(broker: &Broker, bytes: u64) {
    let start = Instant::now();
    while limit_of_alice(broker).await != bytes {
        assert!(start.elapsed() < DEADLINE, "{bytes} never came: {}", broker.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until so many reloads have come to this.
async fn counts_to(broker: &Broker, outcome: &str, least: u64) {
    let start = Instant::now();
    let outcome = format!("\"{outcome}\"");
    while broker.figure(&["cosbroker_template_reloads_total", &outcome]).await < least {
        assert!(start.elapsed() < DEADLINE, "{outcome}: {}", broker.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Only the claims that templates read stay in memory, and before the reload none did.
#[tokio::test]
async fn a_user_who_was_served_needs_no_new_token_when_a_template_comes_to_require_a_claim() {
    let broker = Setup::new(emulator().0).start();
    let of_role = |role: &str| token_of(&json!({"sub": role, "role": role}));
    let (member, guest) = (of_role("member"), of_role("guest"));
    for token in [&member, &guest] {
        assert_eq!(broker.get("/v1/credentials", token).await.status, 200);
    }
    broker.put_template(
        "upload.toml",
        &SHIPPED.replacen("[[statement]]", "[require]\nrole = \"member\"\n\n[[statement]]", 1),
    );
    assert_eq!(broker.reload().await.0, 200);
    assert_eq!(broker.get("/v1/credentials", &member).await.status, 200);
    assert_eq!(broker.get("/v1/credentials", &guest).await.status, 403);
}

#[tokio::test]
async fn an_edited_template_serves_by_itself_however_it_is_written() {
    let broker = Setup::new(emulator().0).start();
    let file = broker.dir().join("policies/upload.toml");
    broker.put_template("upload.toml", &limit(1));
    comes_to(&broker, 1).await;
    std::fs::write(&file, limit(2)).unwrap();
    comes_to(&broker, 2).await;
    // As a Kubernetes ConfigMap is mounted: the files are links through a folder that is itself a link.
    let policies = broker.dir().join("policies");
    for (version, bytes) in [("..one", 3), ("..two", 4)] {
        std::fs::create_dir(policies.join(version)).unwrap();
        std::fs::write(policies.join(version).join("upload.toml"), limit(bytes)).unwrap();
    }
    let link = |to: &str, from: &Path| {
        let beside = policies.join(".new-link");
        std::os::unix::fs::symlink(to, &beside).unwrap();
        std::fs::rename(&beside, from).unwrap();
    };
    link("..one", &policies.join("..data"));
    link("..data/upload.toml", &file);
    comes_to(&broker, 3).await;
    link("..two", &policies.join("..data"));
    comes_to(&broker, 4).await;
}

#[tokio::test]
async fn sighup_and_the_api_load_at_once_and_tell_what_changed() {
    let broker = Setup::new(emulator().0).start();
    broker.put_template("upload.toml", &limit(1));
    let (status, body) = broker.reload().await;
    assert_eq!((status, &body["outcome"]), (200, &json!("loaded")), "{body}");
    let change = body["changes"]["upload"].as_str().unwrap();
    assert!(change.starts_with("- PutObject, PostObject on `users/${sub|escape}/*`"), "{change}");
    assert_eq!(limit_of_alice(&broker).await, 1);
    assert_eq!(broker.reload().await.1["outcome"], "unchanged");
    broker.put_template("upload.toml", &limit(2));
    broker.signal(Signal::HUP);
    comes_to(&broker, 2).await;
    // It serves before it is counted.
    counts_to(&broker, "loaded", 2).await;
    broker.says("template changed");
    assert_eq!(broker.figure(&["cosbroker_template_reloads_total", "\"unchanged\""]).await, 1);
}

#[tokio::test]
async fn a_bad_edit_reaches_nobody_and_is_seen_everywhere() {
    let broker = Setup::new(emulator().0).start();
    let before = broker.templates().await;
    for (bad, said) in [
        (limit(1).replace("@upload", "@uplod"), "did you mean `@upload`?"),
        (limit(1).replace("users/${sub|escape}/", "users/${sub|escape}"), "does not end in `/`"),
        (limit(1)[..300].to_owned(), "policies/upload.toml"),
    ] {
        broker.put_template("upload.toml", &bad);
        let (status, body) = broker.reload().await;
        assert_eq!((status, &body["outcome"]), (409, &json!("refused")), "{body}");
        assert!(body["problems"][0].as_str().unwrap().contains(said), "{body}");
        assert_eq!(limit_of_alice(&broker).await, 10_485_760);
        let status = broker.templates().await;
        assert!(status["problems"][0].as_str().unwrap().contains(said), "{status}");
        assert_eq!(status["templates"], before["templates"]);
    }
    assert_eq!(broker.figure(&["cosbroker_template_reloads_total", "\"refused\""]).await, 3);
    assert_eq!(broker.figure(&["cosbroker_templates_stale"]).await, 1);
    broker.says("the last good ones stay active");
    broker.put_template("upload.toml", SHIPPED);
    assert_eq!(broker.reload().await.0, 200);
    assert_eq!(broker.templates().await["problems"], json!([]));
    assert_eq!(broker.figure(&["cosbroker_templates_stale"]).await, 0);
    std::fs::rename(broker.dir().join("policies"), broker.dir().join("gone")).unwrap();
    assert_eq!(broker.reload().await.0, 409);
    assert_eq!(limit_of_alice(&broker).await, 10_485_760, "a folder that is gone takes nothing away");
}

#[tokio::test]
async fn what_serves_is_shown_with_its_version_and_time() {
    let broker = Setup::new(emulator().0).start();
    let status = broker.templates().await;
    let upload = &status["templates"].as_array().unwrap().iter().find(|one| one["name"] == "upload").unwrap();
    let file = std::fs::read(broker.dir().join("policies/upload.toml")).unwrap();
    assert_eq!(upload["version"], hex::encode(sha2::Sha256::digest(file)), "as sha256sum prints it");
    assert_eq!(upload["default"], json!(true));
    assert!(upload["loaded_at"].as_str().unwrap().ends_with('Z'));
    broker.put_template("files.toml", &limit(7));
    broker.reload().await;
    let after = broker.templates().await;
    assert_eq!(after["templates"][1], **upload, "what did not change keeps its time");
    assert_ne!(after["version"], status["version"]);
}

#[tokio::test]
async fn a_page_of_another_site_cannot_reload() {
    let broker = Setup::new(emulator().0).start();
    let url = format!("http://{}/api/reload", broker.operators);
    let from = |origin: String| broker.http.post(&url).header("origin", origin).send();
    assert_eq!(from("https://evil.example".to_owned()).await.unwrap().status(), 403);
    assert_eq!(from("null".to_owned()).await.unwrap().status(), 403);
    assert_eq!(from(format!("http://{}", broker.operators)).await.unwrap().status(), 200);
    assert_eq!(broker.http.get(&url).send().await.unwrap().status(), 405);
}

/// 1,000 reloads, every tenth of a broken file, while 200 users ask without a pause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_disturb_nobody() {
    const RELOADS: u64 = 1_000;
    const USERS: usize = 200;
    let (address, sts) = emulator();
    let broker = Arc::new(Setup::new(address).start());
    let done = Arc::new(AtomicBool::new(false));
    let asks = Arc::new(AtomicUsize::new(0));
    let users: Vec<_> = (0..USERS)
        .map(|user| {
            let (broker, done, asks, sts) = (broker.clone(), done.clone(), asks.clone(), sts.clone());
            tokio::spawn(async move {
                let token = token(&format!("user{user}"));
                let mut limits = BTreeSet::new();
                let mut seen = BTreeSet::new();
                while !done.load(Ordering::Relaxed) {
                    let answer = broker.get("/v1/credentials/upload", &token).await;
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    asks.fetch_add(1, Ordering::Relaxed);
                    let body = answer.json();
                    let session = body["credentials"]["sessionToken"].as_str().unwrap().to_owned();
                    if seen.insert(session.clone()) {
                        limits.insert(whole_policy_limit(&sts.open(&session).unwrap().policy));
                    }
                }
                limits
            })
        })
        .collect();
    let mut refused = 0;
    for round in 0..RELOADS {
        let text = match round % 10 {
            9 => limit(1)[..400].to_owned() + "oops",
            even if even % 2 == 0 => limit(1),
            _ => limit(2),
        };
        broker.put_template("upload.toml", &text);
        refused += u64::from(broker.reload().await.0 == 409);
    }
    done.store(true, Ordering::Relaxed);
    let mut seen = BTreeSet::new();
    for user in users {
        let limits = user.await.unwrap();
        assert!(limits.iter().all(|limit| [1, 2, 10_485_760].contains(limit)), "{limits:?}");
        seen.extend(limits);
    }
    assert!(seen.contains(&1) && seen.contains(&2), "both versions served: {seen:?}");
    assert_eq!(refused, RELOADS / 10);
    assert!(asks.load(Ordering::Relaxed) > 2 * USERS, "{asks:?} asks");
    println!("{RELOADS} reloads, {} asks, {} calls to STS", asks.load(Ordering::Relaxed), sts.calls());
}

/// The limit in a policy that has every statement of the template: two allows and four denies.
fn whole_policy_limit(policy: &str) -> u64 {
    let whole = Policy::parse(policy.as_bytes()).unwrap();
    assert_eq!(whole.statement.len(), 6, "{policy}");
    let policy: Value = serde_json::from_str(policy).unwrap();
    policy["statement"][0]["condition"]["numeric_less_than_equal"]["cos:content-length"][0].as_u64().unwrap()
}

#[tokio::test]
async fn a_shadow_counts_what_would_change_and_serves_nobody() {
    let broker = Setup::new(emulator().0).start();
    let next = limit(20_971_520).replace("duration", "require = { plan = \"paid\" }\nduration");
    broker.put_template("upload.next.toml", &next);
    let (_, body) = broker.reload().await;
    assert!(body["changes"]["upload.next"].as_str().unwrap().starts_with("shadow: + PutObject"), "{body}");
    for (subject, plan) in [("alice", "paid"), ("bob", "free"), ("carol", "paid"), ("alice", "paid")] {
        let answer = broker.get("/v1/credentials", &token_of(&json!({"sub": subject, "plan": plan}))).await;
        assert_eq!(answer.status, 200, "the serving template knows no plan");
    }
    assert_eq!(limit_of_alice(&broker).await, 10_485_760);
    let status = broker.templates().await;
    let upload = status["templates"].as_array().unwrap().iter().find(|one| one["name"] == "upload").unwrap();
    let shadow = &upload["shadow"];
    assert_eq!(shadow["users"], 3, "{shadow}");
    assert_eq!((&shadow["widened"], &shadow["failed"]), (&json!(2), &json!(1)), "{shadow}");
    assert!(shadow["failures"].as_object().unwrap().keys().next().unwrap().contains("`plan`"), "{shadow}");
    assert!(shadow["policy_bytes"]["next_mean"].as_u64() >= shadow["policy_bytes"]["now_mean"].as_u64());
    let command = |arguments: &[&str]| {
        let output = cosbroker(broker.dir())
            .args(["policy"])
            .args(arguments)
            .args(["--operators", &format!("http://{}", broker.operators)])
            .output()
            .unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(told).unwrap())
    };
    let (code, told) = command(&["shadow", "upload"]);
    assert_eq!(code, Some(0), "{told}");
    for line in [
        "users seen           3",
        "could do more        2",
        "would get no key     1",
        "all users gain PutObject",
    ] {
        assert!(told.contains(line), "{told}");
    }
    let (code, told) = command(&["promote", "upload", "--dir", "policies"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("--allow-widening") && broker.dir().join("policies/upload.next.toml").exists());
    let (code, told) = command(&["promote", "upload", "--dir", "policies", "--allow-widening"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(!broker.dir().join("policies/upload.next.toml").exists());
    let answer = broker.get("/v1/credentials", &token_of(&json!({"sub": "bob", "plan": "free"}))).await;
    assert_eq!(answer.status, 403, "what was promoted serves");
    assert_eq!(command(&["shadow"]).0, Some(1), "and there is no shadow any more");
}

#[tokio::test]
async fn a_shadow_that_could_not_serve_says_so_and_keeps_nothing_from_loading() {
    let broker = Setup::new(emulator().0).start();
    broker.put_template("upload.next.toml", &SHIPPED.replace("users/${sub|escape}/", "users/"));
    broker.put_template("upload.toml", &limit(5));
    assert_eq!(broker.reload().await.0, 200);
    assert_eq!(limit_of_alice(&broker).await, 5);
    std::fs::write(broker.dir().join("policies/files.next.toml"), [0xff, 0xfe]).unwrap();
    broker.put_template("nobody.next.toml", SHIPPED);
    broker.put_template("upload.toml", &limit(6));
    assert_eq!(broker.reload().await.0, 200, "an unreadable shadow keeps nothing from loading");
    assert_eq!(limit_of_alice(&broker).await, 6);
    let status = broker.templates().await;
    let upload = status["templates"].as_array().unwrap().iter().find(|one| one["name"] == "upload").unwrap();
    assert!(upload["shadow"]["problems"][0].as_str().unwrap().contains("upload.next.toml:14"), "{upload}");
    assert_eq!(status["orphans"], json!(["nobody.next.toml"]));
    assert_eq!(broker.get("/v1/credentials/upload.next", &token("alice")).await.status, 404);
}

#[tokio::test]
async fn a_huge_file_is_refused_unread() {
    let broker = Setup::new(emulator().0).start();
    let file = std::fs::File::create(broker.dir().join("policies/huge.toml")).unwrap();
    file.set_len(8 << 30).unwrap();
    let (status, body) = broker.reload().await;
    assert_eq!(status, 409);
    assert!(body["problems"][0].as_str().unwrap().contains("is larger than 1048576 bytes"), "{body}");
    assert_eq!(limit_of_alice(&broker).await, 10_485_760);
}

#[tokio::test]
async fn what_is_linked_to_is_not_promoted() {
    let broker = Setup::new(emulator().0).start();
    let policies = broker.dir().join("policies");
    std::fs::write(broker.dir().join("elsewhere.toml"), limit(1)).unwrap();
    std::os::unix::fs::symlink("../elsewhere.toml", policies.join("upload.next.toml")).unwrap();
    let output = cosbroker(broker.dir())
        .args(["policy", "promote", "upload", "--dir", "policies"])
        .args(["--operators", &format!("http://{}", broker.operators)])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("is not a regular file"), "{told}");
    assert_eq!(limit_of_alice(&broker).await, 10_485_760);
}

#[test]
fn what_was_tried_is_not_tried_again_until_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let policies = dir.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let put = |text: &str| std::fs::write(policies.join("upload.toml"), text).unwrap();
    put(SHIPPED);
    std::fs::write(policies.join("uplaod.next.toml"), SHIPPED).unwrap();
    let terms = ServingConstraints {
        issuer_trust: IssuerTrust::default(),
        longest: Duration::from_hours(36),
        min_remaining: None,
        default: None,
    };
    let at = |second| Timestamp::from_second(second).unwrap();
    let store = TemplateStore::open(policies.clone(), terms, at(0)).unwrap();
    let audit = Audit::start(None, Arc::new(SystemClock::start())).unwrap();
    let reload = |second: i64, loads: bool, problems: usize| {
        assert_ne!(store.poll(), store.last_tried(), "{second}");
        let outcome = store.reload(&audit, ReloadCause::Api { client: None }, at(second));
        assert_eq!(matches!(outcome, Reload::Loaded(_)), loads, "{outcome:?}");
        assert_eq!(store.poll(), store.last_tried(), "{second}");
        let status = store.status();
        assert_eq!((status.last_attempt_at, status.problems.len()), (at(second), problems));
        assert_eq!(status.orphans, ["uplaod.next.toml"]);
        status.loaded_at
    };
    put(&limit(1).replace("@upload", "@uplod"));
    assert_eq!(reload(1, false, 1), at(0));
    put(&limit(2));
    assert_eq!(reload(2, true, 0), at(2));
    std::fs::rename(&policies, dir.path().join("gone")).unwrap();
    assert_eq!(reload(3, false, 1), at(2));
    std::fs::rename(dir.path().join("gone"), &policies).unwrap();
    assert_eq!(reload(4, true, 0), at(2));
}

#[tokio::test]
async fn sighup_tries_even_a_folder_that_has_not_changed() {
    let broker = Setup::new(emulator().0).start();
    broker.signal(Signal::HUP);
    counts_to(&broker, "unchanged", 1).await;
}

/// `cosbroker policy …` beside a running broker: the exit code, and all it said.
fn policy(broker: &Broker, arguments: &[&str]) -> (Option<i32>, String) {
    let output = cosbroker(broker.dir())
        .arg("policy")
        .args(arguments)
        .args(["--operators", &format!("http://{}", broker.operators)])
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test]
async fn only_what_was_counted_and_widens_for_nobody_is_promoted_unasked() {
    let broker = Setup::new(emulator().0).start();
    let promote = |dir: &str| policy(&broker, &["promote", "upload", "--dir", dir]);
    let stays = |said: &str, (code, told): (Option<i32>, String)| {
        assert!(code == Some(1) && told.contains(said), "{said}: {told}");
        assert!(broker.dir().join("policies/upload.next.toml").exists(), "{said}");
    };
    broker.put_template(
        "upload.next.toml",
        &SHIPPED.replace("users/${sub|escape}/\"", "users/${sub|escape}\""),
    );
    stays("cannot be used; fix it first", promote("policies"));
    // No user has sent a request yet, and every user would gain.
    broker.put_template("upload.next.toml", &limit(20_971_520));
    stays("--allow-widening", promote("policies"));
    // Every user loses, but one without a key would get one.
    let team =
        "[[statement]]\neffect = \"allow\"\naction = \"@download\"\nresource = \"${home}${claim.tenant}/*\"";
    broker.put_template("upload.toml", &format!("{SHIPPED}\n{team}\n"));
    broker.put_template("upload.next.toml", SHIPPED);
    broker.reload().await;
    assert_ne!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    for subject in ["bob", "carol"] {
        let token = token_of(&json!({"sub": subject, "tenant": "red"}));
        assert_eq!(broker.get("/v1/credentials", &token).await.status, 200);
    }
    stays("--allow-widening", promote("policies"));
    let (_, told) = policy(&broker, &["shadow", "upload"]);
    for line in [
        "users seen           3",
        "nothing changes for  0",
        "could do more        1",
        "could do less        2",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    // Another folder's file is not the one that was counted.
    let elsewhere = broker.dir().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("upload.next.toml"), limit(1)).unwrap();
    broker.put_template("upload.toml", &limit(20_971_520));
    broker.put_template("upload.next.toml", SHIPPED);
    stays("is not the file that the broker has read", promote("elsewhere"));
    // What was put there just now is looked at first, and serves at once.
    broker.put_template("upload.next.toml", &limit(5));
    let (code, told) = promote("policies");
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(limit_of_alice(&broker).await, 5);
}

#[tokio::test]
async fn one_shadow_is_shown_where_one_is_named() {
    let broker = Setup::new(emulator().0).with("default = \"upload\"", "").start();
    broker.put_template("upload.next.toml", &limit(1));
    let files = SHIPPED.replace("users/", "files/");
    broker.put_template("files.toml", &files);
    broker.put_template("files.next.toml", &files.replace("10485760", "1"));
    broker.reload().await;
    let (_, all) = policy(&broker, &["shadow"]);
    assert!(all.contains("files.next.toml") && all.contains("upload.next.toml"), "{all}");
    let (code, one) = policy(&broker, &["shadow", "upload"]);
    assert!(code == Some(0) && one.contains("upload.next.toml") && !one.contains("files"), "{one}");
}
