//! The sandbox's page in a browser.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    sdks::{CHROMIUM, node, told},
    support::{repository, sandbox::Sandbox},
};

/// What is to be seen on the page, step by step.
fn seen(sandbox: &Sandbox) -> BTreeMap<String, Value> {
    let told = told(node("demo.mjs").args([&sandbox.url("/"), CHROMIUM]));
    let step = |mut line: Value| (line["step"].as_str().unwrap().to_owned(), line["seen"].take());
    told.into_iter().map(step).collect()
}

#[test]
fn a_person_signs_in_uploads_downloads_and_is_refused_elsewhere() {
    let sdk = repository("target/sdk/node_modules/cos-js-sdk-v5/dist/cos-js-sdk-v5.min.js");
    let sandbox = Sandbox::with(&["--js-sdk", sdk.to_str().unwrap()]);
    let seen = seen(&sandbox);
    assert_eq!(seen["folder"], "users/alice/");
    assert_eq!(seen["files"], json!(["large & + ü.html", "small.txt"]));
    assert_eq!(seen["downloaded"], 12 << 20);
    assert_eq!(seen["badges"], json!(["refused", "refused", "refused"]));
    for refusal in seen["refusals"].as_array().unwrap() {
        assert!(refusal.as_str().unwrap().starts_with("COS says 403 AccessDenied, request "), "{refusal}");
    }
    for reason in seen["reasons"].as_array().unwrap() {
        assert!(reason.as_str().unwrap().starts_with("Why: "), "{reason}");
    }
    assert_eq!(seen["bob's files"], "Nothing here yet.");
    let own = [sandbox.broker, sandbox.cloud].map(|address| format!("http://{address}"));
    let mut own = own.to_vec();
    own.sort();
    assert_eq!(seen["origins"], json!(own), "the page asks nobody else");
    assert_eq!(seen["errors"], json!([]));
}

#[test]
fn without_the_sdk_the_page_gives_keys_and_says_how_to_upload() {
    let sandbox = Sandbox::with(&["--js-sdk", "nowhere/cos-js-sdk-v5.js"]);
    let seen = seen(&sandbox);
    assert_eq!(seen["folder"], "users/alice/");
    let curl = seen["curl"].as_str().unwrap();
    assert!(curl.starts_with("curl -i -H 'Authorization: Bearer ey"), "{curl}");
    assert!(curl.ends_with(&format!("'http://{}/v1/credentials/files'", sandbox.broker)), "{curl}");
    let words = seen["no SDK"].as_str().unwrap();
    assert!(words.contains("npm install cos-js-sdk-v5") && words.contains("--js-sdk FILE"), "{words}");
    assert_eq!(seen["may upload"], false);
    assert_eq!(seen["errors"], json!([]));
}
