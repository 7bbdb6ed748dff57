//! Tencent's own client code as the judge of what we send and answer. `make test` installs it.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use runtime::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use tencent_sts::{
    AssumeRole, Call, Client, ClientConfig, GetFederationToken, Policy, Scope, SourceCredentials,
};

use crate::support::{
    Answers, CannedSts, Recorded, SECRET_ID, SECRET_KEY, Setup, emulator, repository, token, token_of,
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
    let (said, passed) = judged_requests(recorded, None);
    assert!(passed && said.contains("12 passed, 0 failed"), "{said}");
}

#[tokio::test]
async fn the_official_sdk_would_have_sent_the_same_requests_as_the_sts_client() {
    for token in [None, Some("source-token")] {
        let sts = CannedSts::start(Answers::Key(1800));
        let endpoint = format!("http://{}", sts.address);
        let client = Client::new(&ClientConfig { endpoint, ..ClientConfig::new("ap-guangzhou") }).unwrap();
        let source_credentials = SourceCredentials {
            secret_id: SECRET_ID.into(),
            secret_key: SECRET_KEY.into(),
            token: token.map(Into::into),
        };
        let call = Call::new(&source_credentials, SystemClock::start().now());
        let policy = Policy::from_scopes(&[PHOTOS]).unwrap();
        let duration = Duration::from_mins(30);
        let request = GetFederationToken { name: "user-7", policy: &policy, duration };
        client.get_federation_token(&request, &call).await.unwrap();
        for external_id in [None, Some("ext-1")] {
            let request = AssumeRole {
                role_arn: "qcs::cam::uin/12345678:roleName/uploader",
                role_session_name: "user-7",
                policy: &policy,
                duration,
                external_id,
            };
            client.assume_role(&request, &call).await.unwrap();
        }
        let (said, passed) = judged_requests(sts.recorded(), token);
        assert!(passed && said.contains("3 passed, 0 failed"), "{said}");
    }
}

#[test]
fn the_official_sdk_builds_the_same_policies_from_scopes() {
    let processing = Scope { action: "name/ci:CreateMediaJobs", prefix: "videos/7/*", ..PHOTOS };
    let exact = Scope { action: "name/cos:GetObject", prefix: "日本/a b+c%.png", ..PHOTOS };
    let open = Scope { prefix: "users/7*", ..PHOTOS };
    let bucket = Scope { action: "ci:DescribeMediaJob", prefix: "*", ..PHOTOS };
    let bounded = [vec![PHOTOS], vec![processing], vec![PHOTOS, exact, processing]];
    let unbounded = [vec![open], vec![bucket, PHOTOS, open]];
    let mut built = Vec::new();
    for scopes in bounded.iter().chain(&unbounded) {
        built.push((scopes, Policy::from_scopes_with_open_prefixes(scopes).unwrap()));
    }
    for scopes in &bounded {
        built.push((scopes, Policy::from_scopes(scopes).unwrap()));
    }
    let written: Vec<Value> = built
        .iter()
        .map(|(scopes, policy)| {
            let scopes: Vec<Value> = scopes
                .iter()
                .map(|Scope { action, bucket, region, prefix }| {
                    json!({"action": action, "bucket": bucket, "region": region, "prefix": prefix})
                })
                .collect();
            json!({"scopes": scopes, "policy": policy.encoded()})
        })
        .collect();
    let (said, passed) = judged_by("tests/sdks/oracle/scopes.py", &json!(written));
    assert!(passed && said.contains("8 passed, 0 failed"), "{said}");
}

const PHOTOS: Scope<'_> = Scope {
    action: "name/cos:PutObject",
    bucket: "photos-1250000000",
    region: "ap-guangzhou",
    prefix: "users/7/*",
};

/// What the official SDK says of requests that were signed with the tests' source credentials.
fn judged_requests(recorded: Vec<Recorded>, token: Option<&str>) -> (String, bool) {
    let written: Vec<Value> = recorded
        .into_iter()
        .map(|request| {
            let headers: serde_json::Map<String, Value> =
                request.headers.into_iter().map(|(name, value)| (name, json!(value))).collect();
            json!({"secret_id": SECRET_ID, "secret_key": SECRET_KEY, "token": token, "headers": headers, "body": request.body})
        })
        .collect();
    judged_by("tests/sdks/oracle/judge.py", &json!(written))
}

/// What a judge says of a JSON document, and whether it passed.
fn judged_by(judge: &str, document: &Value) -> (String, bool) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document.to_string()).unwrap();
    let judged = Command::new(python()).arg(repository(judge)).arg(file.path()).output().unwrap();
    let said =
        String::from_utf8_lossy(&judged.stdout).into_owned() + &String::from_utf8_lossy(&judged.stderr);
    (said, judged.status.success())
}

#[tokio::test]
async fn the_android_sdk_reads_our_answers_in_both_modes() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = Setup::new(sts.address).with_bare_homes().start();
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
    let (first, spoken) = said.lines().partition::<Vec<_>, _>(|line| line.split(' ').count() == 2);
    assert_eq!(
        first,
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
            "role-without-policy ok",
            "role-with-everything ok",
            "source-identity-with-letters InvalidParameter.ParamError",
            "external-id-with-space InvalidParameter.ParamError",
            "second-factor FailedOperation.MFATypeNotSupported",
            "51-tags InvalidParameter.ParamError",
            "one-tag-twice InvalidParameter.ParamError",
            "tag-key-too-long InvalidParameter.ParamError",
            "tag-value-too-long InvalidParameter.ParamError",
            "unknown-parameter UnknownParameter",
            "unsigned-payload ok",
        ],
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut expected = Vec::new();
    for signature in ["TC3-HMAC-SHA256", "HmacSHA1", "HmacSHA256"] {
        for method in ["POST", "GET"] {
            for outcome in [
                "federation ok",
                "role ok",
                "wrong-key AuthFailure.SignatureFailure",
                "temporary-key ok FailedOperation.TempKeyNotAllowed",
            ] {
                expected.push(format!("{signature} {method} {outcome}"));
            }
        }
    }
    assert_eq!(spoken, expected);
}
