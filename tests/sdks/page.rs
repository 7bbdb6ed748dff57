//! The operators' page in a browser.

use std::{collections::BTreeMap, path::Path};

use futures::StreamExt;
use serde_json::{Value, json};

use crate::{
    sdks::{CHROMIUM, node, output_lines},
    support::{repository, sandbox::Sandbox},
};

#[test]
fn the_page_follows_the_hit_rate_and_revokes_and_restores_a_user() {
    let sandbox = Sandbox::start();
    let shots = repository("target/screenshots");
    std::fs::create_dir_all(&shots).unwrap();
    let [operators, broker, cloud] =
        [sandbox.operators, sandbox.broker, sandbox.cloud].map(|address| format!("http://{address}"));
    let steps = output_lines(
        node("operators.mjs").args([&operators, &broker, &cloud]).args([CHROMIUM, shots.to_str().unwrap()]),
    );
    let seen: BTreeMap<String, Value> = steps
        .into_iter()
        .map(|mut line| (line["step"].as_str().unwrap().to_owned(), line["seen"].take()))
        .collect();
    let text = |step: &str| seen[step].as_str().unwrap();

    assert_eq!((text("before any request"), text("hit rate")), ("–", "90 %"));
    let drawn = seen["charts"][1].as_str().unwrap();
    assert!(drawn.contains("90 % now, ") && drawn.contains(" to 90 %"), "{drawn}");
    assert_eq!(text("active keys"), "10");

    let found = seen["found"].as_array().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    let cells: Vec<&str> = found[0].as_array().unwrap().iter().map(|cell| cell.as_str().unwrap()).collect();
    assert!(cells[0].starts_with("user3\n"), "{cells:?}");
    assert_eq!(cells[1], "upload");
    assert!(cells[2].starts_with("users/user3/"), "{cells:?}");
    assert!(cells[3].ends_with(" ago") && cells[4].starts_with("in 2"), "{cells:?}");

    assert!(text("confirmation").contains("Revoke user3?"), "{seen:?}");
    for step in ["confirmation", "revoked"] {
        let warning = text(step);
        assert!(warning.contains("1 key that is already issued cannot be withdrawn."), "{warning}");
        assert!(warning.contains("It expires in 2"), "{warning}");
    }
    assert!(text("revoked").contains("user3 is revoked"), "{seen:?}");
    assert_eq!(seen["next request of the revoked user"], 403);
    assert_eq!(seen["request of another user"], 200);
    let refusals = seen["refusals"].as_array().unwrap();
    assert_eq!(refusals.len(), 1);
    let refused = refusals[0].as_str().unwrap();
    assert!(refused.contains("403 revoked") && refused.contains("user3"), "{refused}");

    assert!(text("hit rate without scripts").ends_with(" %"), "{seen:?}");
    assert!(text("restored").contains("user3 is restored"), "{seen:?}");
    assert_eq!(seen["next request of the restored user"], 200);

    assert_eq!(seen["overflowing"], json!([]), "nothing is wider than its screen");
    assert_eq!(seen["origins"], json!([operators]), "the page loads nothing from elsewhere");
    assert_eq!(seen["errors"], json!([]));
}

/// The templates of a large operator.
const TEMPLATES: usize = 300;
/// The users with a key.
const USERS: usize = 5000;
/// The requests that are made at once.
const CONCURRENT_REQUESTS: usize = 40;
/// Bounds on the height of the overview in pixels, at a width: it does not grow with templates and keys.
const MAX_HEIGHTS: [(u64, u64); 3] = [(1280, 4000), (600, 8000), (360, 9000)];

/// Writes the templates: many like `upload`, and a shadow of it.
fn many_templates(dir: &Path) {
    let upload = std::fs::read_to_string(repository("policies/upload.toml")).unwrap();
    std::fs::write(dir.join("upload.toml"), upload.replace("\"30m\"", "\"3h\"")).unwrap();
    let shadow = upload.replace("[\"@upload\"]", "[\"@upload\", \"@download\"]");
    std::fs::write(dir.join("upload.next.toml"), shadow).unwrap();
    for n in 1..TEMPLATES {
        std::fs::write(dir.join(format!("team-{n:03}.toml")), &upload).unwrap();
    }
}

/// Requests a key for each user, and a second time for some.
fn request_keys(sandbox: &Sandbox) {
    let users = (0..USERS).chain(0..USERS / 5);
    let requests = futures::stream::iter(users).map(async |user| {
        let answer = sandbox.get("/v1/credentials", &format!("user{user}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(requests.buffer_unordered(CONCURRENT_REQUESTS).collect::<Vec<()>>());
}

#[test]
fn every_state_of_the_page_can_be_read_on_a_desk_and_on_a_phone() {
    let folder = tempfile::tempdir().unwrap();
    many_templates(folder.path());
    let sandbox = Sandbox::with(&["--templates", folder.path().to_str().unwrap()]);
    let shots = repository("target/screenshots");
    std::fs::create_dir_all(&shots).unwrap();
    let [operators, broker, cloud] =
        [sandbox.operators, sandbox.broker, sandbox.cloud].map(|address| format!("http://{address}"));
    request_keys(&sandbox);
    let lines = output_lines(
        node("operators_states.mjs")
            .args([&operators, &broker, &cloud])
            .args([CHROMIUM, shots.to_str().unwrap()]),
    );
    assert_eq!(lines.len(), 16, "four states, each in four views");
    for line in &lines {
        let (name, seen) = (line["step"].as_str().unwrap(), &line["seen"]);
        let [_, state, width, _, locale] = name.splitn(5, '-').collect::<Vec<_>>()[..] else {
            panic!("{name}")
        };
        assert_eq!(seen["scrolls"], false, "{name} is wider than its screen");
        for fault in ["outside", "faint", "small"] {
            assert_eq!(seen[fault], json!([]), "{name}: {fault}");
        }
        assert_eq!(seen["lang"], locale.replace("en-GB", "en"), "{name}");
        let max_height = MAX_HEIGHTS.iter().find(|(of, _)| of.to_string() == width).unwrap().1;
        let height = seen["height"].as_u64().unwrap();
        assert!(state == "template" || height < max_height, "{name} is {height} pixels high");
        let (first, class) = (seen["first"].as_str().unwrap(), seen["firstClass"].as_str().unwrap());
        match state {
            "good" => {
                assert_eq!(class, "now good", "{name}: {first}");
                assert!(seen["rows"].as_u64().unwrap() < 60, "{name}: {seen}");
            }
            "keys" => assert_eq!(seen["rows"], 25, "{name}: a page of {USERS} keys"),
            "outage" => {
                assert_eq!(class, "now failing", "{name} is calm: {first}");
                let words =
                    if locale == "zh-CN" { "12 个用户取不到密钥" } else { "12 users get no key" };
                assert!(first.starts_with(words), "{name}: {first}");
                assert!(seen["firstBottom"].as_u64().unwrap() < 450, "{name}: it is seen without scrolling");
            }
            _ => {}
        }
    }
}
