//! No secret is printed: canaries are searched wherever the broker writes.

use std::fmt::Write;

use crate::support::{Answer, Answers, CannedSts, JWT_SECRET, SECRET_KEY, Setup, Signal, token};

#[tokio::test]
async fn no_secret_is_in_logs_metrics_audit_lines_or_refusals_at_any_log_level() {
    let sts = CannedSts::start(Answers::Key(1800));
    let mut setup = Setup::new(sts.address)
        .with_bare_homes()
        .with_section("audit", "path = \"audit.jsonl\"\nhits = true");
    setup.log_level = "trace";
    let mut broker = setup.start();
    let (alice, mallory) = (token("alice"), token("*"));
    let mut written = String::new();
    for path in [
        "/v1/credentials",
        "/v1/credentials?format=sts3",
        "/sign",
        "/sts",
        "/getKeyAndCredentials?filename=a",
    ] {
        assert_eq!(broker.get(path, &alice).await.status, 200);
        for bad in [mallory.as_str(), "a.b.c", &format!("{alice}x")] {
            let refused = broker.get(path, bad).await;
            assert!(refused.status >= 400);
            write!(written, "{refused:?}").unwrap();
        }
    }
    write!(written, "{:?}", broker.post("/sts", &alice, "not json").await).unwrap();
    sts.answers(Answers::Body(format!(
        r#"{{"Response":{{"Error":{{"Code":"AuthFailure.SignatureFailure","Message":"{SECRET_KEY}"}},"RequestId":"r"}}}}"#
    )));
    write!(written, "{:?}", broker.get("/v1/credentials", &token("bob")).await).unwrap();
    sts.answers(Answers::Body(format!("<html>{SECRET_KEY}</html>")));
    write!(written, "{:?}", broker.get("/v1/credentials", &token("carol")).await).unwrap();
    written += &broker.metrics().await;
    written += &Answer::of(broker.http.get(broker.url("/readyz"))).await.body;
    broker.signal(Signal::TERM);
    let broker = tokio::task::spawn_blocking(move || (broker.ended(), broker).1).await.unwrap();
    written += &broker.log();
    written += &std::fs::read_to_string(broker.dir().join("audit.jsonl")).unwrap();
    assert!(written.contains("key issued") && written.contains("\"serve\""), "the logs were captured");
    let (_, signature) = alice.rsplit_once('.').unwrap();
    let temporary = ["temporary-key-canary", "token-canary"];
    for secret in [JWT_SECRET, SECRET_KEY, signature, temporary[0], temporary[1]] {
        for form in [secret.to_owned(), hex::encode(secret), {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD_NO_PAD.encode(secret)
        }] {
            let place = written.find(&form).map(|at| written[at.saturating_sub(200)..at].to_owned());
            assert_eq!(place, None, "{secret} shows");
        }
    }
}

#[test]
fn the_memory_of_the_broker_goes_into_no_core_dump() {
    let broker = Setup::new(CannedSts::start(Answers::Key(1800)).address).start();
    let limits = broker.proc_file("limits");
    let core: Vec<&str> = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(core[4..6], ["0", "0"], "{limits}");
}
