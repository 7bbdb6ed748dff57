//! Clients of COS that are no SDK, with a user's key: Tencent's command-line tool coscmd, and Apache `OpenDAL`. `make test`
//! installs them.
//!
//! The programs in `tests/sdks/programs` print the result of each step. The expected results are here.

use serde_json::{Value, json};

use crate::sdks::{output_lines, python, sandbox};

/// The steps with coscmd, whether each succeeds, and words that the tool prints then.
const COSCMD: [(&str, bool, &str); 14] = [
    ("config", true, "Created configuration file"),
    ("upload", true, "users/alice/a +路.txt"),
    ("info", true, "Content-Length"),
    ("upload in parts", true, "100%"),
    ("list", true, "22020096"),
    ("copy", true, "copy.bin"),
    ("download", true, "back.bin"),
    ("downloaded content", true, ""),
    ("delete", true, "copy.bin"),
    ("download of a deleted object", false, "NoSuchResource"),
    ("delete of a folder", true, "2 files successful, 0 files failed"),
    ("upload to bob's home", false, "AccessDenied"),
    ("upload in parts to bob's home", false, "AccessDenied"),
    ("list bob's home", false, "AccessDenied"),
];

#[test]
fn coscmd_works_in_the_users_own_home_and_is_refused_elsewhere() {
    let (_sandbox, addresses, _templates) = sandbox();
    let lines = output_lines(python("coscmd.py").args(&addresses));
    let steps: Vec<&str> = lines.iter().map(|line| line["step"].as_str().unwrap()).collect();
    assert_eq!(steps, COSCMD.map(|(step, ..)| step));
    for ((step, ok, words), line) in COSCMD.iter().zip(&lines) {
        let output = line["output"].as_str().unwrap();
        assert!(line["ok"] == *ok && output.contains(words), "{step}: {line}");
    }
}

#[test]
fn opendal_works_in_the_users_own_home_and_is_refused_elsewhere() {
    let both = json!(["users/alice/a +路.txt", "users/alice/large.bin"]);
    let expected = [
        ("write", true, Value::Null),
        ("stat", true, json!(14)),
        ("read", true, json!("from a library")),
        ("write in parts", true, Value::Null),
        ("read of a range", true, json!(true)),
        ("list", true, both),
        ("copy", true, Value::Null),
        ("read of the copy", true, json!(true)),
        ("delete", true, Value::Null),
        ("read of a deleted object", false, json!("NotFound")),
        ("remove all", true, Value::Null),
        ("list of an empty folder", true, json!([])),
        ("write in bob's home", false, json!("PermissionDenied")),
        ("read in bob's home", false, json!("PermissionDenied")),
        ("list bob's home", false, json!("PermissionDenied")),
    ];
    let (_sandbox, addresses, _templates) = sandbox();
    let lines = output_lines(python("opendal_cos.py").args(&addresses));
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for ((step, ok, value), line) in expected.into_iter().zip(&lines) {
        assert!(line["step"] == step && line["ok"] == ok && line["value"] == value, "{step}: {line}");
    }
}
