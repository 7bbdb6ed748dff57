//! `adversarial/`: subjects and homes that must never widen a key.

use std::collections::BTreeSet;

use cam::{
    Policy,
    evaluate::{Request, evaluate},
};
use serde_json::{Value, json};

use crate::support::{BUCKET, Setup, cosbroker, emulator, repository, templates_of, token_of};

fn rows(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(repository("tests/data/adversarial").join(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn every_row_of_claims_is_refused_without_a_call_or_confined_to_a_home_of_its_own() {
    let (address, sts) = emulator();
    let broker = Setup::new(address).with_bare_homes().start();
    let mut homes: Vec<(String, Policy)> = Vec::new();
    for row in rows("claims.json") {
        let token = token_of(&row["claims"]);
        let before = sts.calls();
        let answer = broker.get("/v1/credentials", &token).await;
        if row["expect"] == "refuse" {
            assert!([403, 422].contains(&answer.status), "{}: {answer:?}", row["why"]);
            assert!(
                answer.json()["detail"].as_str().unwrap().contains("`sub`"),
                "{}: {answer:?}",
                row["why"]
            );
            assert_eq!(sts.calls(), before, "{}: no call for a refused one", row["why"]);
            for path in ["/sign", "/sts", "/getKeyAndCredentials?filename=a.jpg"] {
                let answer = broker.get(path, &token).await;
                assert!([403, 422].contains(&answer.status), "{path}: {}", row["why"]);
            }
        } else {
            assert_eq!(answer.status, 200, "{}: {answer:?}", row["why"]);
            let body = answer.json();
            let session = sts.open(body["credentials"]["sessionToken"].as_str().unwrap()).unwrap();
            let home = body["prefix"].as_str().unwrap().to_owned();
            homes.push((home, Policy::parse(session.policy.as_bytes()).unwrap()));
        }
    }
    let distinct: BTreeSet<&String> = homes.iter().map(|(home, _)| home).collect();
    assert_eq!(distinct.len(), homes.len());
    for (home, _) in &homes {
        let resource = format!("{BUCKET}{home}a.jpg");
        let reaching: Vec<&String> = homes
            .iter()
            .filter(|(_, policy)| {
                let context = [("cos:content-length", "1".to_owned())].into();
                let request = Request { action: "name/cos:PutObject", resource: &resource, context };
                evaluate(policy, &request).is_allowed()
            })
            .map(|(reaching, _)| reaching)
            .collect();
        assert_eq!(reaching, [home], "only the owner reaches {resource}");
    }
}

#[tokio::test]
async fn every_subject_has_a_home_of_its_own_in_the_templates_that_ship() {
    let broker = Setup::new(emulator().0).start();
    let mut homes = BTreeSet::new();
    let mut subjects = BTreeSet::new();
    for row in rows("claims.json") {
        let Some(subject) = row["claims"]["sub"].as_str().filter(|subject| !subject.is_empty()) else {
            continue;
        };
        let answer = broker.get("/v1/credentials", &token_of(&row["claims"])).await;
        assert_eq!(answer.status, 200, "{}: {answer:?}", row["why"]);
        homes.insert(answer.json()["prefix"].as_str().unwrap().to_owned());
        subjects.insert(subject.to_owned());
    }
    assert_eq!(homes.len(), subjects.len());
    assert!(homes.contains("users/alice/") && homes.contains("users/!2A/"), "{homes:?}");
}

#[test]
fn every_row_of_homes_is_proved_or_refused_as_it_says() {
    for row in rows("homes.json") {
        let mut setup = Setup::new("127.0.0.1:1".parse().unwrap())
            .with("default = \"upload\"", "")
            .with("\"tenant\"", "\"tenant\", \"nick\"");
        setup.templates = templates_of(&row);
        let dir = setup.write();
        let check = cosbroker(dir.path()).args(["check", "--config", "config.toml"]).output().unwrap();
        let said = String::from_utf8_lossy(&check.stderr);
        assert_eq!(check.status.success(), row["expect"] == "proved", "{}: {said}", row["why"]);
        if row["expect"] == "refused" {
            let serve = cosbroker(dir.path()).args(["serve", "--config", "config.toml"]).output().unwrap();
            assert_eq!(serve.status.code(), Some(1), "{}: serve refuses too", row["why"]);
            assert!(said.lines().all(|line| line.contains("policies/t") && line.contains("; ")), "{said}");
        }
    }
}

#[tokio::test]
async fn what_the_token_says_beside_the_subject_changes_nothing_about_the_home() {
    let broker = Setup::new(emulator().0).start();
    for claims in [
        json!({"sub": "alice", "policy": {"statement": []}, "home": "users/bob/"}),
        json!({"sub": "alice", "tenant": "*", "resource": "*"}),
    ] {
        let answer = broker.get("/v1/credentials", &token_of(&claims)).await;
        assert_eq!(answer.json()["prefix"], "users/alice/");
    }
    for path in ["/v1/credentials?sub=bob", "/v1/credentials?prefix=users/bob/", "/sts?sub=bob"] {
        let answer = broker.get(path, &token_of(&json!({"sub": "alice"}))).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.body.contains("users/bob"), "{path}");
    }
}
