//! An app with Tencent's SDK for Android, by the SDK's rules, with the sandbox: its keys for single files, its retries, and
//! its signatures of names with `+`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::sdks::{output_lines, python, sandbox};

#[test]
fn an_android_app_gets_keys_for_single_files_retries_and_signs_as_its_sdk_does() {
    let (_sandbox, addresses, _templates) = sandbox();
    let lines = output_lines(python("../oracle/android_app.py").args(&addresses));
    let steps: BTreeMap<&str, &Value> = lines
        .iter()
        .map(|line| (line["step"].as_str().unwrap(), line.get("value").unwrap_or(&line["refused"])))
        .collect();
    let expected = [
        // A `+` that is not escaped is a space to the signature, and stays `+` in the key.
        ("upload of a+b.txt", json!(200)),
        ("upload of a%2Bb.txt", json!(200)),
        ("upload of a%20b.txt", json!(200)),
        ("download of a+b.txt", json!([200, "a%2Bb.txt"])),
        ("download of a%2Bb.txt", json!([200, "a%2Bb.txt"])),
        ("download of a%20b.txt", json!([200, "a%20b.txt"])),
        // The SDK requests a key for each file and action, and keeps it.
        ("32 files", json!([32, 32])),
        ("the same files again", json!([32, 32])),
        ("upload of the key's file", json!(200)),
        ("upload of another file", json!(403)),
        ("download with the key of an upload", json!(403)),
        ("a file of bob's", json!("status 403")),
        // A retry takes the authorization from the request for good (`HttpTask.retrySignRequest`). So the app in
        // docs/start/clients.md builds it anew.
        ("while STS fails", json!("status 503")),
        ("afterwards, with the request that was built once", json!("status 401")),
        ("afterwards, with a request that is built anew", json!(true)),
    ];
    assert_eq!(steps.len(), lines.len(), "{lines:?}");
    assert_eq!(steps, expected.iter().map(|(step, value)| (*step, value)).collect());
}
