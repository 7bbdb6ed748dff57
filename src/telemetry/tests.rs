use std::net::TcpListener;

use super::*;
use runtime::{clock::TestClock, entropy::FixedEntropy};

/// A tracer whose collector is not there.
fn tracer(sample: f64) -> Tracer {
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = config::Tracing {
        otlp_endpoint: format!("http://{away}/v1/traces").parse().unwrap(),
        service_name: "cosbroker".to_owned(),
        sample,
    };
    let (clock, entropy) = (TestClock::at(1_900_000_000), Arc::new(FixedEntropy(7)));
    Tracer::start(Some(&config), clock, entropy, &Handle::current()).unwrap()
}

fn shown(tracer: &Tracer) -> String {
    let (mut registry, mut text) = (Registry::default(), String::new());
    tracer.register(&mut registry);
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}

fn caller(flags: &str) -> Option<TraceContext> {
    TraceContext::parse(format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}").as_bytes())
}

#[tokio::test]
async fn chance_decides_by_the_last_bits_of_what_is_drawn_here_and_not_of_what_a_stranger_chose() {
    // A number in 0..256 of 256, in the four last bytes of sixteen.
    let drawn = |part: u8| {
        let mut random = [0; 16];
        random[12] = part;
        random
    };
    for (sample, part, kept) in
        [(0.0, 0, false), (1.0, 255, true), (0.25, 63, true), (0.25, 64, false), (0.01, 128, false)]
    {
        for caller in [None, caller("00"), caller("01")] {
            let (trace, span) = tracer(sample).ask(drawn(part), caller, || false);
            assert_eq!(span.is_some(), kept, "{sample} {part} {caller:?}");
            assert_eq!(trace.is_some(), kept || caller.is_some());
            assert!(trace.is_none_or(|trace| trace.is_sampled() == kept));
        }
    }
    for (flags, kept) in [("00", false), ("01", true)] {
        let (_, span) = tracer(0.5).ask(drawn(0), caller(flags), || true);
        assert_eq!(span.is_some(), kept, "a proxy decides");
    }
}

#[tokio::test]
async fn a_full_queue_takes_no_more_and_says_how_many() {
    let tracer = tracer(1.0);
    // The task that empties it does not run before this one waits.
    for _ in 0..QUEUE + 3 {
        drop(tracer.ask([1; 16], None, || false));
    }
    assert!(shown(&tracer).contains("lost_total{reason=\"queue_full\"} 3"), "{}", shown(&tracer));
}

#[tokio::test]
async fn what_comes_after_the_end_is_counted() {
    let tracer = tracer(1.0);
    let (_, late) = tracer.ask([1; 16], None, || false);
    tracer.close().await;
    tracer.close().await;
    drop(late);
    assert!(shown(&tracer).contains("lost_total{reason=\"stopped\"} 1"), "{}", shown(&tracer));
}

#[test]
fn without_a_collector_a_call_has_a_place_and_no_span() {
    let (trace, span) = Tracer::off().ask([9; 16], caller("01"), || true);
    assert!(span.is_none());
    let (place, span) = Tracer::off().call(trace.unwrap(), [8; 16], "call");
    assert!(span.is_none());
    assert_eq!(place.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0808080808080808-00");
    assert_eq!(Tracer::off().ask([9; 16], None, || true).0, None);
}
