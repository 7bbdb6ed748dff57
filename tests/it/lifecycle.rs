//! Start, stop, TLS, and an issuer that cannot be reached.

use crate::support::{Answer, Answers, CannedSts, Setup, Signal, token, write_secret};

/// Where a test's broker listens.
const SERVER: &str = "[server]\nlisten = \"127.0.0.1:0\"";

#[tokio::test]
async fn running_requests_finish_after_a_signal_to_stop() {
    let sts = CannedSts::start(Answers::WhenReleased);
    let mut broker = Setup::new(sts.address).with_section("sts", "timeout = \"20s\"").start();
    let slow = broker.http.get(broker.url("/v1/credentials")).bearer_auth(token("alice"));
    let slow = tokio::spawn(Answer::of(slow));
    while sts.calls() == 0 {
        tokio::task::yield_now().await;
    }
    broker.signal(Signal::TERM);
    broker.says("stopping");
    sts.release();
    let answer = slow.await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let ended = tokio::task::spawn_blocking(move || (broker.ended(), broker.log())).await.unwrap();
    assert_eq!(ended.0, Some(0), "{}", ended.1);
    assert!(ended.1.contains("stopped"));
}

#[tokio::test]
async fn where_nobody_reads_the_log_users_are_served_and_a_signal_stops_it() {
    let sts = CannedSts::start(Answers::Key(1800));
    let mut setup = Setup::new(sts.address);
    setup.log_is_read = false;
    let mut broker = setup.start();
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    for _ in 0..500 {
        assert_eq!(Answer::of(broker.http.get(broker.url("/v1/credentials"))).await.status, 401);
    }
    let dropped = broker.figure(&["cosbroker_log_lines_dropped_total", "rate_limited"]).await;
    assert!(dropped > 0, "500 lines of one kind are a flood");
    for subject in ["alice", "bob"] {
        assert_eq!(broker.get("/v1/credentials", &token(subject)).await.status, 200);
    }
    assert_eq!(Answer::of(broker.http.get(broker.url("/healthz"))).await.status, 200);
    broker.signal(Signal::TERM);
    assert_eq!(tokio::task::spawn_blocking(move || broker.ended()).await.unwrap(), Some(0));
}

#[tokio::test]
async fn with_a_snapshot_users_keep_their_keys_over_a_restart() {
    let sts = CannedSts::start(Answers::Key(1800));
    let dir = tempfile::tempdir().unwrap();
    let (file, key) = (dir.path().join("keys.snapshot"), dir.path().join("snapshot.key"));
    write_secret(&key, &"5a".repeat(32));
    let snapshot = format!("[snapshot]\nfile = {file:?}\nkey_file = {key:?}\n{SERVER}");
    let start = || Setup::new(sts.address).with(SERVER, &snapshot).start();
    let mut before = start();
    let issued = before.get("/v1/credentials", &token("alice")).await.json();
    before.signal(Signal::TERM);
    let before = tokio::task::spawn_blocking(move || (before.ended(), before)).await.unwrap();
    assert_eq!(before.0, Some(0), "{}", before.1.log());
    let after = start();
    let served = after.get("/v1/credentials", &token("alice")).await;
    assert!(served.header("cache-status").starts_with("cosbroker; hit"), "{served:?}\n{}", after.log());
    assert_eq!(served.json()["credentials"], issued["credentials"]);
    assert_eq!(sts.calls(), 1);
    assert_eq!(after.operators_get("/api/keys?subject=alice").await.json()["active"], 1);
}

#[tokio::test]
async fn a_port_in_use_is_reported_in_one_line() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = Setup::new(sts.address).start();
    let taken = format!("[server]\nlisten = \"{}\"", broker.public);
    let dir = Setup::new(sts.address).with(SERVER, &taken).write();
    let output =
        crate::support::cosbroker(dir.path()).args(["serve", "--config", "config.toml"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains(&format!("cannot listen on {}", broker.public)), "{message}");
    assert!(message.contains("stop the process that listens there"), "{message}");
}

/// RFC 5737 §3: an address for documentation.
#[test]
fn an_address_of_another_machine_is_reported_with_what_to_choose() {
    let elsewhere = "[server]\nlisten = \"192.0.2.1:5000\"";
    let sts = CannedSts::start(Answers::Key(1800));
    let dir = Setup::new(sts.address).with(SERVER, elsewhere).write();
    let output =
        crate::support::cosbroker(dir.path()).args(["serve", "--config", "config.toml"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains("192.0.2.1:5000") && message.contains("choose an address of this machine"),
        "{message}"
    );
}

#[tokio::test]
async fn while_the_keys_of_an_issuer_cannot_be_fetched_its_users_get_503() {
    // The canned server is the issuer as well: its response is not a key set.
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = Setup::new(sts.address)
        .with("algorithms = [\"HS256\"]", "algorithms = [\"ES256\"]")
        .with("secret_env = \"JWT_SECRET\"", "jwks_url = \"http://127.0.0.1:1/jwks.json\"")
        .start();
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    let encoded = |value: serde_json::Value| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
    };
    let claims = serde_json::json!({"iss": "https://id.test/", "aud": "app", "sub": "alice"});
    let header = serde_json::to_value(header).unwrap();
    let unsigned = format!("{}.{}.AAAA", encoded(header), encoded(claims));
    let answer = broker.get("/v1/credentials", &unsigned).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.json()["type"], "urn:cosbroker:problem:identity-unavailable");
    assert!(answer.header("retry-after").parse::<u64>().is_ok());
    let ready = Answer::of(broker.http.get(broker.url("/readyz"))).await;
    assert_eq!((ready.status, ready.json()["issuerKeys"].clone()), (503, false.into()));
    assert_eq!(Answer::of(broker.http.get(broker.url("/healthz"))).await.status, 200);
}

#[tokio::test]
async fn with_a_certificate_the_public_listener_uses_tls() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let sts = CannedSts::start(Answers::Key(1800));
    let mut setup = Setup::new(sts.address)
        .with_section("server", "tls_cert_file = \"policies/cert.pem\"\ntls_key_file = \"policies/key.pem\"");
    setup.templates.push(("cert.pem".to_owned(), certificate.cert.pem()));
    setup.templates.push(("key.pem".to_owned(), certificate.signing_key.serialize_pem()));
    let broker = setup.start();
    let trusted = reqwest::Certificate::from_pem(certificate.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap();
    let url = format!("https://localhost:{}/v1/credentials", broker.public.port());
    let answer = Answer::of(client.get(url).bearer_auth(token("alice"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let plain = broker.http.get(broker.url("/v1/credentials")).bearer_auth(token("alice")).send().await;
    assert!(plain.is_err(), "plain HTTP is not answered");
}
