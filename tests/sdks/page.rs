//! The operators' page in a browser.

use std::collections::BTreeMap;

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
