use std::net::TcpListener;

use super::{export::MAX_PENDING_SPANS, *};
use runtime::{clock::TestClock, entropy::FixedEntropy};

/// A tracer whose collector refuses connections.
fn tracer(sample: f64) -> Tracer {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = config::Tracing {
        otlp_endpoint: format!("http://{unused}/v1/traces").parse().unwrap(),
        service_name: "cosbroker".to_owned(),
        sample,
    };
    let (clock, entropy) = (TestClock::at(1_900_000_000), Arc::new(FixedEntropy(7)));
    Tracer::start(Some(&config), &config::Network::default(), clock, entropy, &Handle::current()).unwrap()
}

fn metrics(tracer: &Tracer) -> String {
    let (mut registry, mut text) = (Registry::default(), String::new());
    tracer.register(&mut registry);
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}

fn caller(flags: &str) -> Option<TraceContext> {
    TraceContext::parse(format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}").as_bytes())
}

/// A request id of which the last four bytes, which decide on sampling, are `part`/256 of their range.
fn request_id(part: u8) -> [u8; 16] {
    let mut random = [0; 16];
    random[12] = part;
    random
}

#[tokio::test]
async fn the_request_id_decides_on_sampling_and_a_strangers_flag_does_not() {
    for (sample, part, sampled) in
        [(0.0, 0, false), (1.0, 255, true), (0.25, 63, true), (0.25, 64, false), (0.01, 128, false)]
    {
        for caller in [None, caller("00"), caller("01")] {
            let (trace, span) = tracer(sample).start_request(request_id(part), caller, || false);
            assert_eq!(span.is_some(), sampled, "{sample} {part} {caller:?}");
            assert_eq!(trace.is_some(), sampled || caller.is_some());
            assert!(trace.is_none_or(|trace| trace.is_sampled() == sampled));
        }
    }
}

#[tokio::test]
async fn a_trusted_proxys_flag_decides_on_sampling() {
    for (flags, sampled) in [("00", false), ("01", true)] {
        let (_, span) = tracer(0.5).start_request(request_id(0), caller(flags), || true);
        assert_eq!(span.is_some(), sampled, "{flags}");
    }
}

#[tokio::test]
async fn a_full_queue_drops_spans_and_counts_them() {
    let tracer = tracer(1.0);
    // No export ends before this task waits: exports run on this task's thread.
    for _ in 0..MAX_PENDING_SPANS + 3 {
        drop(tracer.start_request([1; 16], None, || false));
    }
    assert!(metrics(&tracer).contains("lost_total{reason=\"queue_full\"} 3"), "{}", metrics(&tracer));
}

#[tokio::test]
async fn every_span_is_counted_as_exported_or_lost() {
    let tracer = tracer(1.0);
    for _ in 0..MAX_PENDING_SPANS + 3 {
        drop(tracer.start_request([1; 16], None, || false));
    }
    tracer.close().await;
    let shown = metrics(&tracer);
    assert!(shown.contains("lost_total{reason=\"queue_full\"} 3"), "{shown}");
    assert!(shown.contains(&format!("lost_total{{reason=\"not_taken\"}} {MAX_PENDING_SPANS}")), "{shown}");
    assert!(shown.contains("exported_total 0"), "{shown}");
}

#[tokio::test]
async fn a_span_that_ends_after_the_shutdown_counts_as_lost() {
    let tracer = tracer(1.0);
    let (_, late) = tracer.start_request([1; 16], None, || false);
    tracer.close().await;
    tracer.close().await;
    drop(late);
    assert!(metrics(&tracer).contains("lost_total{reason=\"stopped\"} 1"), "{}", metrics(&tracer));
}

#[test]
fn without_a_collector_the_trace_is_passed_on_and_nothing_is_sampled() {
    let (trace, span) = Tracer::off().start_request([9; 16], caller("01"), || true);
    assert!(span.is_none());
    let (context, span) = Tracer::off().start_call(trace.unwrap(), [8; 16], "call");
    assert!(span.is_none());
    assert_eq!(context.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0808080808080808-00");
    assert_eq!(Tracer::off().start_request([9; 16], None, || true).0, None);
}
