//! The sandbox's demo page in a browser.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    sdks::{CHROMIUM, node, output_lines},
    support::{repository, sandbox::Sandbox},
};

/// Returns what the page shows at each step.
fn shown(sandbox: &Sandbox) -> BTreeMap<String, Value> {
    output_lines(node("demo.mjs").args([&sandbox.url("/"), CHROMIUM]))
        .into_iter()
        .map(|mut line| (line["step"].as_str().unwrap().to_owned(), line["seen"].take()))
        .collect()
}

#[test]
fn a_user_signs_in_uploads_downloads_and_is_refused_in_another_folder() {
    let sdk = repository("target/sdk/node_modules/cos-js-sdk-v5/dist/cos-js-sdk-v5.min.js");
    let sandbox = Sandbox::with(&["--js-sdk", sdk.to_str().unwrap()]);
    let shown = shown(&sandbox);
    assert_eq!(shown["folder"], "users/alice/");
    assert_eq!(shown["files"], json!(["large & + ü.html", "small.txt"]));
    assert_eq!(shown["downloaded"], 12 << 20);
    assert_eq!(shown["badges"], json!(["refused", "refused", "refused"]));
    for refusal in shown["refusals"].as_array().unwrap() {
        assert!(refusal.as_str().unwrap().starts_with("COS says 403 AccessDenied, request "), "{refusal}");
    }
    for reason in shown["reasons"].as_array().unwrap() {
        assert!(reason.as_str().unwrap().starts_with("Why: "), "{reason}");
    }
    assert_eq!(shown["bob's files"], "Nothing here yet.");
    let own = [sandbox.broker, sandbox.cloud].map(|address| format!("http://{address}"));
    let mut own = own.to_vec();
    own.sort();
    assert_eq!(shown["origins"], json!(own), "the page sends requests to no other origin");
    assert_eq!(shown["errors"], json!([]));
}

#[test]
fn without_the_sdk_the_page_gets_keys_and_shows_how_to_install_it() {
    let sandbox = Sandbox::with(&["--js-sdk", "nowhere/cos-js-sdk-v5.js"]);
    let shown = shown(&sandbox);
    assert_eq!(shown["folder"], "users/alice/");
    let curl = shown["curl"].as_str().unwrap();
    assert!(curl.starts_with("curl -i -H 'Authorization: Bearer ey"), "{curl}");
    assert!(curl.ends_with(&format!("'http://{}/v1/credentials/files'", sandbox.broker)), "{curl}");
    let note = shown["no SDK"].as_str().unwrap();
    assert!(note.contains("npm install cos-js-sdk-v5") && note.contains("--js-sdk FILE"), "{note}");
    assert_eq!(shown["may upload"], false);
    assert_eq!(shown["errors"], json!([]));
}
