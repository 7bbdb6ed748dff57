//! The operators' page in a browser.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    sdks::{CHROMIUM, node, told},
    support::{repository, sandbox::Sandbox},
};

#[test]
fn the_hit_rate_rises_on_the_page_and_a_user_is_revoked_and_served_again_through_it() {
    let sandbox = Sandbox::start();
    let shots = repository("target/screenshots");
    std::fs::create_dir_all(&shots).unwrap();
    let place = |address| format!("http://{address}");
    let told = told(
        node("operators.mjs")
            .args([place(sandbox.operators), place(sandbox.broker), place(sandbox.cloud)])
            .args([CHROMIUM, shots.to_str().unwrap()]),
    );
    let step = |mut line: Value| (line["step"].as_str().unwrap().to_owned(), line["seen"].take());
    let seen: BTreeMap<String, Value> = told.into_iter().map(step).collect();
    let text = |step: &str| seen[step].as_str().unwrap().to_owned();

    assert_eq!((text("before any ask"), text("hit rate")), ("–".to_owned(), "90 %".to_owned()));
    let drawn = seen["charts"][0].as_str().unwrap();
    assert!(drawn.contains("90 % now, ") && drawn.contains(" to 90 %"), "{drawn}");
    assert_eq!(text("living keys"), "10");

    let found = seen["found"].as_array().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    let cells: Vec<&str> = found[0].as_array().unwrap().iter().map(|cell| cell.as_str().unwrap()).collect();
    assert!(cells[0].starts_with("user3\n"), "{cells:?}");
    assert_eq!(cells[1], "upload");
    assert!(cells[2].starts_with("users/user3/"), "{cells:?}");
    assert!(cells[3].ends_with(" ago") && cells[4].starts_with("in 2"), "{cells:?}");

    assert!(text("asked back").contains("Revoke user3?"), "{seen:?}");
    for told in ["asked back", "revoked"] {
        let told = text(told);
        assert!(told.contains("1 key of theirs, already out, cannot be called back."), "{told}");
        assert!(told.contains("The last ends in 2"), "{told}");
    }
    assert!(text("revoked").contains("user3 gets no key any more"), "{seen:?}");
    assert_eq!((&seen["their next ask"], &seen["another's"]), (&json!(403), &json!(200)));
    let refusals = seen["refusals"].as_array().unwrap();
    assert_eq!(refusals.len(), 1);
    let refused = refusals[0].as_str().unwrap();
    assert!(refused.contains("403 revoked") && refused.contains("user3"), "{refused}");

    assert!(text("hit rate without scripts").ends_with(" %"), "{seen:?}");
    assert!(text("served again").contains("user3 is served again"), "{seen:?}");
    assert_eq!(seen["their ask after that"], 200);

    assert_eq!(seen["overflowing"], json!([]), "nothing is wider than its screen");
    assert_eq!(seen["origins"], json!([place(sandbox.operators)]), "the page asks nobody else");
    assert_eq!(seen["errors"], json!([]));
}
