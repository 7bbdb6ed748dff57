//! Tencent's own client code as the judge of what we send and answer. `make test` installs it.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    Answers, CannedSts, SECRET_ID, SECRET_KEY, Setup, emulator, repository, token, token_of,
};

/// The Python that has the official SDK.
fn python() -> PathBuf {
    let python = repository("target/oracle/bin/python");
    assert!(python.exists(), "run `make oracle` first: the official SDK is not installed");
    python
}

#[tokio::test]
async fn the_official_sdk_would_have_sent_the_same_requests() {
    let mut recorded = Vec::new();
    let assume = "action = \"AssumeRole\"\nrole_arn = \"qcs::cam::uin/12345678:roleName/uploader\"\nexternal_id = \"ext-1\"";
    for extra in ["", assume] {
        let sts = CannedSts::start(Answers::Key(1800));
        let broker = Setup::new(sts.address).with_section("sts", extra).start();
        for subject in ["alice", "a.b_c-d", "10001"] {
            for path in ["/v1/credentials/upload", "/v1/credentials/files"] {
                assert_eq!(broker.get(path, &token(subject)).await.status, 200);
            }
        }
        recorded.extend(sts.recorded());
    }
    assert_eq!(recorded.len(), 12);
    let written: Vec<Value> = recorded
        .into_iter()
        .map(|request| {
            let headers: serde_json::Map<String, Value> =
                request.headers.into_iter().map(|(name, value)| (name, json!(value))).collect();
            json!({"secret_id": SECRET_ID, "secret_key": SECRET_KEY, "token": null, "headers": headers, "body": request.body})
        })
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!(written).to_string()).unwrap();
    let judged = Command::new(python())
        .arg(repository("tests/sdks/oracle/judge.py"))
        .arg(file.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success(), "{said}{}", String::from_utf8_lossy(&judged.stderr));
    assert!(said.contains("12 passed, 0 failed"), "{said}");
}

#[tokio::test]
async fn the_android_sdk_reads_our_answers_in_both_modes() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = Setup::new(sts.address).start();
    let mut lines = String::new();
    let mut expected = Vec::new();
    for (mode, path, who, good) in [
        ("v2", "/v1/credentials", "alice", true),
        ("v2", "/sts", "alice", true),
        ("v2", "/sign", "alice", true),
        ("v2", "/getKeyAndCredentials?filename=a.jpg", "alice", true),
        ("v3", "/v1/credentials?format=sts3", "alice", true),
        ("v2", "/sts", "*", false),
        ("v2", "/v1/credentials", "*", false),
    ] {
        let answer = broker.get(path, &token_of(&json!({"sub": who}))).await;
        lines += &json!({"mode": mode, "status": answer.status, "body": answer.body}).to_string();
        lines.push('\n');
        expected.push((path, good));
    }
    let mut android = Command::new("python3")
        .arg(repository("tests/sdks/oracle/android.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    android.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = String::from_utf8(android.wait_with_output().unwrap().stdout).unwrap();
    let read: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read.len(), expected.len(), "{output}");
    for ((path, good), read) in expected.into_iter().zip(read) {
        assert_eq!(read["error"].is_null(), good, "{path}: {read}");
        if good {
            assert_eq!(read["token"], "token-canary-0", "{path}");
            assert_eq!(read["secretKey"], "temporary-key-canary-0", "{path}");
        }
    }
}

#[test]
fn the_official_sdk_gets_keys_and_tencents_own_codes_from_the_emulator() {
    let (address, _) = emulator();
    let output = Command::new(python())
        .arg(repository("tests/sdks/oracle/emulator.py"))
        .args([&address.to_string(), SECRET_ID, SECRET_KEY])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "federation ok",
            "role ok",
            "wrong-key AuthFailure.SignatureFailure",
            "unknown-id AuthFailure.SecretIdNotFound",
            "name-with-digit InvalidParameter.ParamError",
            "too-long-a-life InvalidParameter.OverTimeError",
            "principal-anybody ok",
            "principal-somebody InvalidParameter.StrategyFormatError",
            "no-statement InvalidParameter.StrategyFormatError",
            "not-a-resource InvalidParameter.ResouceError",
            "not-a-role ResourceNotFound.RoleNotFound",
            "session-too-short InvalidParameter.ParamError",
        ],
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
