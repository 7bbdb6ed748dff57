use super::*;

fn written(metrics: &Metrics) -> String {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}

#[track_caller]
fn assert_lines(metrics: &Metrics, lines: &[&str]) {
    let text = written(metrics);
    for line in lines {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn a_template_shows_its_outcomes_before_its_first_request() {
    let metrics = Metrics::default();
    metrics.show_templates(["upload"].into_iter());
    for outcome in OutcomeLabel::ALL {
        let line = format!(
            "cosbroker_credential_requests_total{{template=\"upload\",outcome=\"{}\"}} 0",
            outcome.name()
        );
        assert_lines(&metrics, &[&line]);
    }
}

#[test]
fn requests_are_counted_by_outcome_and_hits_and_saved_calls_are_their_sums() {
    let metrics = Metrics::default();
    assert!(!written(&metrics).contains("template=\"\""), "not before a request without a template");
    for how in CacheOutcome::ALL {
        metrics.credential_request(Some("upload"), OutcomeLabel::Served(how), None);
    }
    metrics.credential_request(Some("upload"), OutcomeLabel::Refused, None);
    metrics.credential_request(None, OutcomeLabel::Refused, None);
    assert_eq!(metrics.requests(|_| true), 8);
    assert_lines(
        &metrics,
        &[
            "cosbroker_credential_requests_total{template=\"upload\",outcome=\"stale\"} 1",
            "cosbroker_credential_requests_total{template=\"\",outcome=\"refused\"} 1",
            "cosbroker_cache_hits_total 2",
            "cosbroker_sts_calls_saved_total 3",
        ],
    );
}

#[test]
fn answers_are_counted_by_route_and_status() {
    let metrics = Metrics::default();
    for status in [StatusCode::OK, StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE] {
        metrics.answered(Route::Sts, status, None, Duration::ZERO);
    }
    assert_lines(
        &metrics,
        &[
            "cosbroker_http_responses_total{route=\"/sts\",status=\"200\"} 2",
            "cosbroker_http_responses_total{route=\"/sts\",status=\"503\"} 1",
        ],
    );
    assert!(!written(&metrics).contains("status=\"401\""), "only what there was");
}

#[test]
fn the_ttl_is_that_of_the_moment_of_serving() {
    let metrics = Metrics::default();
    metrics.served_ttl(Duration::from_mins(30));
    metrics.served_ttl(Duration::from_mins(30).mul_f64(0.25));
    assert_lines(
        &metrics,
        &[
            "cosbroker_credential_ttl_seconds_bucket{le=\"300.0\"} 0",
            "cosbroker_credential_ttl_seconds_bucket{le=\"600.0\"} 1",
            "cosbroker_credential_ttl_seconds_bucket{le=\"1800.0\"} 2",
        ],
    );
}
