//! The metrics, compared with `docs/reference/metrics.md`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::{
    Answer, Answers, Broker, CannedSts, Setup, emulator,
    metrics_page::{Metric, document, document_of_replicas, documented, names_what_exists},
    repository, token,
};

/// The metrics of a scrape, under the names that queries use.
fn shown(answer: &str) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::new();
    let mut family_and_kind = (String::new(), String::new());
    for line in answer.lines() {
        if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of.split_once(' ').unwrap();
            family_and_kind = (name.to_owned(), kind.to_owned());
        }
        if line.starts_with('#') {
            continue;
        }
        let (family, kind) = &family_and_kind;
        let name = match kind.as_str() {
            "counter" => format!("{family}_total"),
            "info" => format!("{family}_info"),
            _ => family.clone(),
        };
        assert!(line.starts_with(&name), "{line} is in the family {name}");
        let metric: &mut Metric = metrics.entry(name).or_default();
        metric.kind.clone_from(kind);
        let labels = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(l, _)| l);
        for label in labels.split("\",").filter(|label| !label.is_empty() && !label.starts_with("le=")) {
            let (name, value) = label.split_once("=\"").unwrap();
            let value = value.trim_end_matches('"').to_owned();
            metric.labels.entry(name.to_owned()).or_default().insert(value);
        }
    }
    metrics
}

/// A broker whose issuer has a key set behind a URL, and whose canary has run; and a token of it.
async fn with_key_set() -> (Broker, String) {
    let (address, _) = emulator();
    let broker = Setup::new(address)
        .with("https://id.test/", "http://issuer.test/")
        .with("HS256", "ES256")
        .with("secret_env = \"JWT_SECRET\"", "jwks_url = \"http://STS/jwks.json\"")
        .with_section("canary", "interval = \"1m\"\ntemplate = \"files\"\nendpoint = \"http://STS\"")
        .start();
    broker.says("isolation canary: passed");
    let alice = Answer::of(broker.http.get(format!("http://{address}/token?sub=alice"))).await.body;
    (broker, alice)
}

#[tokio::test]
async fn the_document_and_a_running_broker_have_the_same_metrics_types_and_labels() {
    let (broker, alice) = with_key_set().await;
    for path in ["/v1/credentials", "/v1/credentials/files", "/sign", "/nothing-here"] {
        broker.get(path, &alice).await;
    }
    let (document, shown) = (documented(&document()), shown(&broker.metrics().await));
    let names = |metrics: &BTreeMap<String, Metric>| metrics.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&document), names(&shown), "left: the document, right: the broker");
    // These export a value when it first occurs; the others export all values from the start.
    let exported_on_occurrence = [
        ("cosbroker_http_request_duration_seconds", "route"),
        ("cosbroker_http_request_duration_seconds", "outcome"),
        ("cosbroker_http_responses_total", "route"),
        ("cosbroker_sts_calls_total", "code"),
        ("cosbroker_source_credentials_info", "source"),
        ("cosbroker_source_credentials_age_seconds", "source"),
    ];
    for (name, metric) in &shown {
        let documented = &document[name];
        assert_eq!(documented.kind, metric.kind, "{name}");
        assert!(documented.labels.keys().eq(metric.labels.keys()), "{name}: {documented:?}, {metric:?}");
        for (label, values) in &metric.labels {
            let listed = &documented.labels[label];
            if listed.is_empty() {
                continue;
            }
            assert!(values.is_subset(listed), "{name}: {values:?} of {listed:?}");
            if !exported_on_occurrence.contains(&(name.as_str(), label.as_str())) {
                assert_eq!(values, listed, "{name}");
            }
        }
    }
}

#[test]
fn every_query_of_the_document_names_metrics_and_labels_that_exist() {
    let metrics = documented(&document());
    let page = std::fs::read_to_string(repository("docs/operate/monitoring.md")).unwrap();
    let queries = page.split("```promql\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let seen: usize = queries.flat_map(str::lines).map(|query| names_what_exists(query, &metrics)).sum();
    assert!(seen > 10);
}

/// Where the documentation is published, until a release or an operator says where.
const PUBLISHED: &str = "https://github.com/OWNER/NAME/blob/main/";

#[test]
fn every_alert_leads_to_its_section_of_the_documentation() {
    let rules = std::fs::read_to_string(repository("deploy/prometheus/cosbroker.rules.yml")).unwrap();
    let rules: Vec<_> = rules.lines().map(str::trim_start).collect();
    let mut links = 0;
    for link in rules.iter().filter_map(|line| line.strip_prefix("runbook_url: ")) {
        let path = link.strip_prefix(PUBLISHED).unwrap_or_else(|| panic!("{link} is published elsewhere"));
        let (page, section) = path.split_once('#').unwrap_or_else(|| panic!("{link} names no section"));
        let page =
            std::fs::read_to_string(repository(page)).unwrap_or_else(|error| panic!("{link}: {error}"));
        let mut titles = page.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_lowercase);
        assert!(titles.any(|title| title == section), "{link} leads nowhere");
        links += 1;
    }
    let alerts = rules.iter().filter(|line| line.starts_with("- alert: ")).count();
    assert!(alerts > 10);
    assert_eq!(links, alerts);
}

#[test]
fn every_panel_of_the_dashboard_shows_the_chosen_replicas_and_names_metrics_that_exist() {
    let metrics = documented(&(document() + &document_of_replicas()));
    let dashboard = std::fs::read_to_string(repository("deploy/grafana/cosbroker.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut seen = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        assert_eq!(targets.is_empty(), panel["type"] == "row", "{panel}");
        for target in targets {
            let query = target["expr"].as_str().unwrap();
            seen += names_what_exists(query, &metrics);
            // Each selector of series, and no other braces.
            for selector in query.split('{').skip(1) {
                assert!(selector.starts_with("job=\"$job\", instance=~\"$instance\""), "{query}");
            }
            // A metric without a selector has the series of every installation.
            let bare = query.split("cosbroker_").skip(1).filter(|rest| {
                !rest.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_').starts_with('{')
            });
            assert_eq!(bare.count(), 0, "{query}");
        }
    }
    assert!(seen > 40, "{seen}");
}

#[tokio::test]
async fn a_reachable_issuer_and_a_cached_key_show_in_the_metrics() {
    let (broker, alice) = with_key_set().await;
    assert_eq!(broker.get("/v1/credentials", &alice).await.status, 200);
    let shown = broker.metrics().await;
    for line in [
        "cosbroker_issuer_ready{issuer=\"http://issuer.test/\"} 1",
        "cosbroker_jwks_fetches_total{issuer=\"http://issuer.test/\",outcome=\"ok\"} 1",
        "cosbroker_active_users 1",
        "cosbroker_stale_coverage_ratio 1.0",
        "cosbroker_sts_breaker{state=\"closed\"} 1",
        "cosbroker_sts_quota_limit 600",
        "cosbroker_sts_quota_allowed 600",
        "cosbroker_source_credentials_info{source=\"configured\"} 1",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
    }
    let version = &broker.templates().await["templates"][0]["version"];
    assert!(shown.contains(&format!("version={version}")), "the version that /api/templates reports");
}

#[tokio::test]
async fn responses_are_timed_by_route_and_outcome_and_refusals_counted_by_reason() {
    let (address, _) = emulator();
    let broker = Setup::new(address).start();
    let alice = token("alice");
    for (path, bearer, status) in [
        ("/v1/credentials", alice.as_str(), 200),
        ("/v1/credentials", &alice, 200),
        ("/v1/credentials/files", &alice, 200),
        ("/v1/credentials/users-alice", &alice, 404),
        ("/v1/credentials", "stranger", 401),
        ("/sts", &alice, 200),
        ("/v1/explain?action=name/cos:PutObject&key=users/alice/a", &alice, 200),
        ("/healthz", &alice, 200),
        ("/users/alice", &alice, 404),
    ] {
        assert_eq!(broker.get(path, bearer).await.status, status, "{path}");
    }
    for (route, outcome, count) in [
        ("/v1/credentials", "fetched", 2),
        ("/v1/credentials", "hit", 1),
        ("/v1/credentials", "refused", 2),
        ("/sts", "hit", 1),
        ("/v1/explain", "answered", 1),
        ("other", "answered", 1),
        ("other", "refused", 1),
    ] {
        let (at, as_) = (format!("route=\"{route}\""), format!("outcome=\"{outcome}\""));
        let timed = broker.figure(&["cosbroker_http_request_duration_seconds_count", &at, &as_]).await;
        assert_eq!(timed, count, "{route} {outcome}");
    }
    for reason in ["no-such-template", "unauthenticated", "no-such-route"] {
        let reason = format!("reason=\"{reason}\"");
        assert_eq!(broker.figure(&["cosbroker_refusals_total", &reason]).await, 1, "{reason}");
    }
    assert!(!broker.metrics().await.contains("alice"), "no label holds a user or a path");
}

#[tokio::test]
async fn a_failed_sts_call_is_counted_by_code_and_a_user_without_a_key_is_not_covered() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = Setup::new(sts.address).start();
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    sts.answers(Answers::Body(
        r#"{"Response":{"Error":{"Code":"InvalidParameter.PolicyTooLong","Message":"m"},"RequestId":"r"}}"#
            .to_owned(),
    ));
    assert_eq!(broker.get("/v1/credentials", &token("bob")).await.status, 500);
    let refused = ["cosbroker_sts_calls_total", "outcome=\"request_rejected\"", "code=\"InvalidParameter\""];
    assert_eq!(broker.figure(&refused).await, 1);
    let shown = broker.metrics().await;
    for line in [
        "cosbroker_active_users 2",
        "cosbroker_stale_coverage_ratio 0.5",
        "cosbroker_stale_coverage_seconds 0.0",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
    }
}
