use super::{
    tests::{CALL, LIFE, RULES, harness, limits, pass},
    *,
};
use runtime::entropy::FixedEntropy;

#[tokio::test(start_paused = true)]
async fn every_issued_credential_has_its_audit_line_even_if_no_request_waits_for_it() {
    let harness = harness();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let target = config::AuditTarget::File { path: path.clone(), rotation: None, place: String::new() };
    let kept = config::Audit { target, hits: false, refusals: diagnostics::Rate::Off };
    let audit = Audit::start(Some(kept), Arc::new(runtime::clock::SystemClock::start())).unwrap();
    let cache = CredentialCache::new(
        RULES,
        &limits(diagnostics::Rate::Off),
        Arc::clone(&harness.sts) as Arc<dyn Sts>,
        audit.clone(),
        Arc::clone(&harness.sts.clock) as Arc<dyn Clock>,
        Arc::new(FixedEntropy(0x80)),
        Handle::current(),
    );
    let grant = harness.grant("alice");
    let (disconnects, hit) = (RequestContext::for_tests(1), RequestContext::for_tests(2));
    tokio::time::timeout(CALL / 2, cache.credential_for(&grant, None, &disconnects)).await.unwrap_err();
    pass(LIFE.mul_f64(0.75)).await;
    assert_eq!(cache.credential_for(&grant, None, &hit).await.unwrap().how, CacheOutcome::Refreshed);
    pass(CALL * 2).await;
    audit.close();
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let issued = lines.filter(|line| line["event"] == "issue").map(|line| {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (text("outcome"), text("request_id"), text("key_id"), text("sts_request_id"))
    });
    let line = |outcome: &str, context: RequestContext, call| {
        (outcome.to_owned(), context.request_id.to_string(), format!("AKID{call}"), format!("r{call}"))
    };
    let expected = [line("fetched", disconnects, 0), line("refreshed", hit, 1)];
    assert_eq!(issued.collect::<Vec<_>>(), expected);
}
