//! The client against a server that records requests and answers what a test gives it.
#![expect(clippy::unwrap_used, reason = "a failed helper should stop the test")]
#![expect(clippy::indexing_slicing, reason = "a missing part should stop the test")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread::JoinHandle,
    time::Duration,
};

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tencent_sts::{
    AssumeRole, AssumeRoleWithWebIdentity, Call, Client, ClientConfig, Error, ErrorClass, GetFederationToken,
    Interrupted, InvalidConfig, InvalidRequest, Policy, SourceCredentials, TemporaryCredential,
};

const NOW: i64 = 1_900_000_000;
const ISSUED: &str = r#"{"Response":{"Credentials":{"Token":"t","TmpSecretId":"i","TmpSecretKey":"k"},"ExpiredTime":1900001800,"RequestId":"r"}}"#;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn permanent() -> SourceCredentials {
    SourceCredentials { secret_id: "AKIDid".into(), secret_key: "key".into(), token: None }
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// Answers one request with these bytes and returns the request.
fn serve_once(response: String) -> (Client, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client_of(&format!("http://{}", listener.local_addr().unwrap()));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = read_request(&mut stream);
        let _ = stream.write_all(response.as_bytes());
        request
    });
    (client, server)
}

fn client_of(endpoint: &str) -> Client {
    Client::new(&ClientConfig {
        endpoint: endpoint.to_owned(),
        connect_timeout: Duration::from_millis(200),
        timeout: Duration::from_millis(400),
        ..ClientConfig::new("ap-guangzhou")
    })
    .unwrap()
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).unwrap();
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        if let (Some((_, body)), Some(length)) = (text.split_once("\r\n\r\n"), length)
            && body.len() >= length.parse::<usize>().unwrap()
        {
            return text.into_owned();
        }
        assert!(read > 0, "the request ended too early: {text}");
    }
}

async fn federation_token(client: &Client, policy: &Policy<'_>) -> Result<TemporaryCredential, Error> {
    let request = GetFederationToken { name: "user", policy, duration: Duration::from_mins(30) };
    client.get_federation_token(&request, &Call::new(&permanent(), now())).await
}

fn policy() -> Policy<'static> {
    Policy::from_encoded("%7B%7D")
}

#[tokio::test]
async fn a_federation_token_is_requested_and_read() {
    let (client, server) = serve_once(answer("200 OK", ISSUED));
    let credential = federation_token(&client, &policy()).await.unwrap();
    assert_eq!(
        (
            credential.secret_id.as_str(),
            credential.secret_key.expose_secret(),
            credential.token.expose_secret()
        ),
        ("i", "k", "t")
    );
    let request = server.join().unwrap();
    for part in [
        "POST / HTTP/1.1\r\n",
        "x-tc-action: GetFederationToken\r\n",
        "x-tc-version: 2018-08-13\r\n",
        "x-tc-region: ap-guangzhou\r\n",
        "x-tc-timestamp: 1900000000\r\n",
        "authorization: TC3-HMAC-SHA256 Credential=AKIDid/2030-03-17/sts/tc3_request",
        r#"{"Name":"user","Policy":"%7B%7D","DurationSeconds":1800}"#,
    ] {
        assert!(request.contains(part), "{part} is not in {request}");
    }
    assert!(!request.contains("x-tc-token") && !request.contains("traceparent"), "{request}");
}

#[tokio::test]
async fn a_role_is_assumed_with_temporary_source_credentials_and_a_trace() {
    let (client, server) = serve_once(answer("200 OK", ISSUED));
    let source_credentials = SourceCredentials { token: Some("token".into()), ..permanent() };
    let call = Call { traceparent: Some("00-trace"), ..Call::new(&source_credentials, now()) };
    let request = AssumeRole {
        role_arn: "qcs::cam::uin/1:roleName/r",
        role_session_name: "session",
        policy: &policy(),
        duration: Duration::from_mins(15),
        external_id: Some("e"),
    };
    client.assume_role(&request, &call).await.unwrap();
    let request = server.join().unwrap();
    for part in [
        "x-tc-action: AssumeRole\r\n",
        "x-tc-token: token\r\n",
        "traceparent: 00-trace\r\n",
        r#"{"RoleArn":"qcs::cam::uin/1:roleName/r","RoleSessionName":"session","DurationSeconds":900,"Policy":"%7B%7D","ExternalId":"e"}"#,
    ] {
        assert!(request.contains(part), "{part} is not in {request}");
    }
}

#[tokio::test]
async fn a_web_identity_is_sent_without_a_signature() {
    let (client, server) = serve_once(answer("200 OK", ISSUED));
    let request = AssumeRoleWithWebIdentity {
        provider_id: "cluster",
        web_identity_token: &SecretString::from("jwt"),
        role_arn: "role",
        role_session_name: "session",
        duration: Duration::from_hours(2),
    };
    client.assume_role_with_web_identity(&request, now()).await.unwrap();
    let request = server.join().unwrap();
    for part in [
        "x-tc-action: AssumeRoleWithWebIdentity\r\n",
        "authorization: SKIP\r\n",
        r#"{"ProviderId":"cluster","WebIdentityToken":"jwt","RoleArn":"role","RoleSessionName":"session","DurationSeconds":7200}"#,
    ] {
        assert!(request.contains(part), "{part} is not in {request}");
    }
}

#[tokio::test]
async fn responses_without_a_temporary_key_are_errors_of_their_class() {
    let rejected = r#"{"Response":{"Error":{"Code":"RequestLimitExceeded","Message":"m"},"RequestId":"r"}}"#;
    for (response, class, message) in [
        (answer("200 OK", rejected), ErrorClass::Throttled, "RequestLimitExceeded, request r"),
        (answer("502 Bad Gateway", "<html>"), ErrorClass::Transient, "HTTP 502 with a body that is not"),
        (answer("302 Found\r\nlocation: http://127.0.0.1:1/", ""), ErrorClass::Transient, "HTTP 302 with"),
        (answer("200 OK", &"x".repeat(70_000)), ErrorClass::Transient, "an answer larger than 65536 bytes"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{".to_owned(),
            ErrorClass::Transient,
            "STS was not reached",
        ),
        ("SSH-2.0\r\n".to_owned(), ErrorClass::Transient, "STS was not reached"),
    ] {
        let (client, server) = serve_once(response);
        let error = federation_token(&client, &policy()).await.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
        assert!(error.to_string().starts_with(message), "{error}");
        server.join().unwrap();
    }
}

#[tokio::test]
async fn a_call_ends_by_its_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client_of(&format!("http://{}", listener.local_addr().unwrap()));
    let outcome = tokio::time::timeout(Duration::from_secs(10), federation_token(&client, &policy())).await;
    assert_eq!(outcome.unwrap().unwrap_err(), Error::Interrupted(Interrupted::Timeout));
}

#[tokio::test]
async fn nothing_is_sent_without_a_policy_or_with_credentials_that_no_header_carries() {
    let client = client_of("http://127.0.0.1:1");
    let error = federation_token(&client, &Policy::from_encoded("")).await.unwrap_err();
    assert_eq!(error, Error::InvalidRequest(InvalidRequest::EmptyPolicy));
    assert_eq!(error.class(), ErrorClass::RequestRejected);
    let broken = SourceCredentials { secret_id: "a\nb".into(), ..permanent() };
    let request = GetFederationToken { name: "n", policy: &policy(), duration: Duration::from_mins(30) };
    let error = client.get_federation_token(&request, &Call::new(&broken, now())).await.unwrap_err();
    assert_eq!(error, Error::InvalidSourceCredentials);
}

#[test]
fn an_endpoint_is_scheme_host_and_port_only() {
    for endpoint in ["", "sts.tencentcloudapi.com", "http://h/path", "http://h/?q", "data:x"] {
        let config = ClientConfig { endpoint: endpoint.to_owned(), ..ClientConfig::new("ap-guangzhou") };
        assert!(matches!(Client::new(&config), Err(InvalidConfig::Endpoint)), "{endpoint}");
    }
    assert_eq!(client_of("https://sts.tencentcloudapi.com").host(), "sts.tencentcloudapi.com");
    assert_eq!(client_of("http://127.0.0.1:8080/").host(), "127.0.0.1:8080");
    assert!(matches!(Client::new(&ClientConfig::new("a\nb")), Err(InvalidConfig::Region)));
}

#[test]
fn debug_output_shows_no_secret() {
    let source_credentials = SourceCredentials { token: Some("hidden-token".into()), ..permanent() };
    let shown = format!("{source_credentials:?}");
    for secret in ["AKIDid", "hidden-token", "\"key\""] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
