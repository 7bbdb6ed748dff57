//! Tracing: continues the caller's trace, passes it on to STS, and exports spans to a collector.

use std::collections::BTreeSet;
use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use actix_web::{App, HttpResponse, HttpServer, web};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message;
use serde_json::Value as Json;

use crate::support::{
    Answer, Answers, Broker, CannedSts, JWT_SECRET, RefusingPort, SECRET_KEY, Setup, Signal, emulator, token,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
/// A `traceparent` of a proxy or a stranger.
const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// The time that a span may take to arrive; generous, as the machine may be busy.
const EXPORT_DEADLINE: Duration = Duration::from_mins(1);

/// What an OTLP collector received, decoded with the protocol's own types.
#[derive(Clone, Default)]
struct Collected(Arc<(Mutex<Received>, Condvar)>);

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    bytes: Vec<u8>,
}

impl Collected {
    /// Starts a collector that runs until the test process ends.
    fn start() -> (SocketAddr, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let collected = Self::default();
        let serving = collected.clone();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let data = web::Data::new(serving);
                let app =
                    move || App::new().app_data(data.clone()).route("/v1/traces", web::post().to(collect));
                HttpServer::new(app).workers(1).listen(listener).unwrap().run().await.unwrap();
            });
        });
        (address, collected)
    }

    /// Waits until this many spans were received, and returns them.
    fn spans(&self, count: usize) -> Vec<Span> {
        let (received, arrived) = &*self.0;
        let waited = arrived.wait_timeout_while(received.lock().unwrap(), EXPORT_DEADLINE, |received| {
            received.spans.len() < count
        });
        let (received, _) = waited.unwrap();
        assert_eq!(received.spans.len(), count, "{:#?}", received.spans);
        received.spans.clone()
    }

    fn bytes(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().unwrap().bytes).into_owned()
    }
}

async fn collect(collected: web::Data<Collected>, body: web::Bytes) -> HttpResponse {
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let (received, arrived) = &*collected.0;
    let mut received = received.lock().unwrap();
    received.bytes.extend_from_slice(&body);
    for resource in request.resource_spans {
        received.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    arrived.notify_all();
    HttpResponse::Ok().content_type("application/x-protobuf").finish()
}

/// An attribute, as text.
fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    Some(match found.value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{key}: {other:?}"),
    })
}

fn of_kind(spans: &[Span], kind: SpanKind) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind == kind as i32).collect()
}

/// A setup that exports to `collector` and trusts these proxies.
fn traced(sts: SocketAddr, collector: SocketAddr, sample: &str, proxies: &str) -> Setup {
    let export = format!("otlp_endpoint = \"http://{collector}/v1/traces\"\nsample = {sample}");
    Setup::new(sts)
        .with_section("server", &format!("trusted_proxies = [{proxies}]"))
        .with_section("tracing", &export)
        .with_section("audit", "path = \"audit.jsonl\"\nhits = true")
}

const LOCAL: &str = "\"127.0.0.0/8\"";

async fn get(broker: &Broker, path: &str, subject: &str, traceparent: &str) -> Answer {
    let request = broker.http.get(broker.url(path)).bearer_auth(token(subject));
    Answer::of(request.header("traceparent", traceparent)).await
}

/// The `traceparent` of each call that STS received.
fn traceparents(sts: &CannedSts) -> Vec<Option<String>> {
    sts.recorded()
        .into_iter()
        .map(|call| call.headers.into_iter().find(|(name, _)| name == "traceparent"))
        .map(|header| header.map(|(_, value)| value))
        .collect()
}

async fn stopped(mut broker: Broker) -> Broker {
    broker.signal(Signal::TERM);
    tokio::task::spawn_blocking(move || {
        assert_eq!(broker.ended(), Some(0), "{}", broker.log());
        broker
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_request_and_its_call_to_sts_are_spans_of_the_callers_trace_and_a_hit_makes_no_call() {
    let (collector, collected) = Collected::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = traced(sts.address, collector, "0.0", LOCAL).start();
    let fetched = get(&broker, "/v1/credentials/upload", "alice", SAMPLED).await;
    let hit = get(&broker, "/v1/credentials/upload", "alice", &SAMPLED.replace(TRACE, &"a".repeat(32))).await;
    assert_eq!((fetched.status, hit.status), (200, 200));
    let spans = collected.spans(3);
    let (requests, calls) = (of_kind(&spans, SpanKind::Server), of_kind(&spans, SpanKind::Client));
    let (request, call) = (requests[0], calls[0]);
    assert_eq!(hex::encode(&request.trace_id), TRACE);
    assert_eq!(hex::encode(&request.parent_span_id), CALLER);
    assert_eq!((&call.trace_id, &call.parent_span_id), (&request.trace_id, &request.span_id));
    assert_eq!(traceparents(&sts), [Some(format!("00-{TRACE}-{}-01", hex::encode(&call.span_id)))]);
    assert_eq!(request.name, "GET /v1/credentials/{template}");
    assert_eq!(call.name, "GetFederationToken");
    for (span, key, value) in [
        (request, "http.request.method", "GET"),
        (request, "http.route", "/v1/credentials/{template}"),
        (request, "http.response.status_code", "200"),
        (request, "cosbroker.template", "upload"),
        (request, "cosbroker.outcome", "fetched"),
        (request, "cosbroker.request_id", fetched.header("x-request-id")),
        (request, "cosbroker.grant_id", fetched.json()["grantId"].as_str().unwrap()),
        (call, "http.request.method", "POST"),
        (call, "server.address", &sts.address.to_string()),
        (call, "cosbroker.template", "upload"),
        (call, "cosbroker.grant_id", fetched.json()["grantId"].as_str().unwrap()),
        (call, "cosbroker.sts.outcome", "ok"),
        (call, "cosbroker.sts.request_id", "request-0"),
        (requests[1], "cosbroker.outcome", "hit"),
    ] {
        assert_eq!(attribute(span, key).as_deref(), Some(value), "{key}");
    }
    assert!(request.start_time_unix_nano <= call.start_time_unix_nano);
    assert!(call.end_time_unix_nano <= request.end_time_unix_nano);
    assert_eq!(hex::encode(&requests[1].trace_id), "a".repeat(32));
    // The log and the audit log name the trace.
    let broker = stopped(broker).await;
    let log = broker.log();
    let line = log.lines().find(|line| line.contains("key issued")).unwrap();
    assert_eq!(serde_json::from_str::<Json>(line).unwrap()["fields"]["trace_id"], TRACE);
    let audit = std::fs::read_to_string(broker.dir().join("audit.jsonl")).unwrap();
    let traces: Vec<Json> =
        audit.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()["trace_id"].clone()).collect();
    assert_eq!(traces, [Json::Null, TRACE.into(), "a".repeat(32).into(), Json::Null], "{audit}");
}

#[tokio::test]
async fn a_strangers_sampling_flag_is_ignored_and_a_trusted_proxys_counts() {
    let (collector, collected) = Collected::start();
    let sts = CannedSts::start(Answers::Key(1800));
    for (proxies, sample, traceparent, flags, exported) in [
        ("", "0.0", SAMPLED, "00", 0),
        ("\"10.0.0.0/8\"", "0.0", SAMPLED, "00", 0),
        ("", "1.0", UNSAMPLED, "01", 2),
        (LOCAL, "1.0", UNSAMPLED, "00", 0),
        (LOCAL, "0.0", SAMPLED, "01", 2),
    ] {
        let before = collected.0.0.lock().unwrap().spans.len();
        let broker = traced(sts.address, collector, sample, proxies).start();
        assert_eq!(get(&broker, "/v1/credentials", "alice", traceparent).await.status, 200);
        let broker = stopped(broker).await;
        // All queued spans are exported before the process ends.
        let spans = collected.spans(before + exported);
        assert!(spans.iter().all(|span| hex::encode(&span.trace_id) == TRACE));
        let sent = traceparents(&sts).pop().unwrap().unwrap();
        assert!(sent.starts_with(&format!("00-{TRACE}-")) && sent.ends_with(&format!("-{flags}")), "{sent}");
        assert!(!sent.contains(CALLER), "the call has a span id of its own");
        assert!(broker.log().contains(TRACE));
    }
}

#[tokio::test]
async fn a_new_trace_has_the_requests_id_and_failed_spans_are_marked() {
    let (collector, collected) = Collected::start();
    let sts = CannedSts::start(Answers::Reset);
    let broker = traced(sts.address, collector, "1.0", "").start();
    let (alice, url) = (token("alice"), broker.url("/v1/credentials"));
    let failed = broker.get("/v1/credentials", &alice).await;
    let spans = collected.spans(1 + sts.calls());
    let (request, calls) = (of_kind(&spans, SpanKind::Server)[0], of_kind(&spans, SpanKind::Client));
    assert_eq!(
        (failed.status, hex::encode(&request.trace_id).as_str()),
        (503, failed.header("x-request-id"))
    );
    assert!(request.parent_span_id.is_empty());
    assert_eq!(request.status.as_ref().unwrap().code, StatusCode::Error as i32);
    assert_eq!(attribute(request, "error.type").as_deref(), Some("credentials-unavailable"));
    assert_eq!(calls.len(), sts.calls());
    let sent = traceparents(&sts);
    // Later attempts are made beside each other, and end in any order.
    let mut attempts = BTreeSet::new();
    for call in &calls {
        attempts
            .insert(attribute(call, "http.request.resend_count").map_or(0, |count| count.parse().unwrap()));
        assert_eq!(attribute(call, "cosbroker.sts.outcome").as_deref(), Some("transient"));
        assert_eq!(attribute(call, "error.type").as_deref(), Some("no_answer"));
        let context = format!("{}-03", hex::encode(&call.span_id));
        assert!(sent.iter().flatten().any(|sent| sent.ends_with(&context)), "{context}: sampled and random");
    }
    assert_eq!(attempts, (0..calls.len()).collect());
    // A client's error is no failed span; what a client makes up is not in a name.
    let seen = spans.len();
    broker.get("/v1/credentials/users-alice", &alice).await;
    broker.get("/users/alice", &alice).await;
    let made_up = reqwest::Method::from_bytes(b"ALICE").unwrap();
    Answer::of(broker.http.request(made_up, url)).await;
    let spans = collected.spans(seen + 3);
    let expected = [
        ("GET /v1/credentials/{template}", "404", "no-such-template"),
        ("GET", "404", "no-such-route"),
        ("HTTP /v1/credentials", "405", "method-not-allowed"),
    ];
    for (span, (name, status, refusal)) in spans[seen..].iter().zip(expected) {
        assert_eq!(span.name, name);
        assert_eq!(attribute(span, "http.response.status_code").as_deref(), Some(status));
        assert_eq!(attribute(span, "cosbroker.refusal").as_deref(), Some(refusal));
        assert_eq!(span.status.as_ref().unwrap().code, StatusCode::Unset as i32);
    }
    assert!(!collected.bytes().to_lowercase().contains("alice"));
}

#[tokio::test]
async fn no_secret_and_no_user_is_exported_or_sent_to_sts() {
    let (collector, collected) = Collected::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = traced(sts.address, collector, "1.0", LOCAL).start();
    let alice = token("alice");
    for path in
        ["/v1/credentials", "/v1/explain?action=name/cos:PutObject&key=users/alice/a", "/sts", "/users/alice"]
    {
        let request = broker.http.get(broker.url(path)).bearer_auth(&alice).header("traceparent", SAMPLED);
        let request =
            request.header("tracestate", "vendor=state-canary").header("baggage", "user=bag-canary");
        Answer::of(request.header("x-forwarded-for", "203.0.113.9")).await;
    }
    sts.answers(Answers::Body(format!(
        r#"{{"Response":{{"Error":{{"Code":"AuthFailure.SignatureFailure","Message":"{SECRET_KEY}"}},"RequestId":"r-1"}}}}"#
    )));
    get(&broker, "/v1/credentials", "bob", SAMPLED).await;
    let spans = collected.spans(7);
    let refused = of_kind(&spans, SpanKind::Client)[1].status.clone().unwrap();
    assert_eq!(refused.message, "AuthFailure.SignatureFailure, request r-1");
    let broker = stopped(broker).await;
    let exported = collected.bytes();
    assert!(exported.contains("cosbroker") && exported.contains("GetFederationToken"));
    let policy = "users/";
    for secret in [
        "alice",
        "bob",
        policy,
        "examplebucket",
        &alice,
        JWT_SECRET,
        SECRET_KEY,
        "temporary-key-canary",
        "token-canary",
        "AKID",
        "203.0.113.9",
        "state-canary",
        "bag-canary",
        "id.test",
    ] {
        assert!(!exported.contains(secret), "{secret}");
    }
    let headers = format!("{:?}", sts.recorded().iter().map(|call| &call.headers).collect::<Vec<_>>());
    for word in ["state-canary", "bag-canary", "tracestate", "baggage"] {
        assert!(!headers.contains(word) && !broker.log().contains(word), "{word}");
    }
}

#[tokio::test]
async fn without_a_collector_traces_are_continued_and_passed_on() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = Setup::new(sts.address).start();
    assert_eq!(get(&broker, "/v1/credentials", "alice", SAMPLED).await.status, 200);
    assert_eq!(broker.get("/v1/credentials", &token("bob")).await.status, 200);
    for (subject, invalid) in
        [("carol", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("dave", "")]
    {
        assert_eq!(get(&broker, "/v1/credentials", subject, invalid).await.status, 200);
    }
    let twice = broker.http.get(broker.url("/v1/credentials")).bearer_auth(token("erin"));
    let twice = twice.header("traceparent", SAMPLED).header("traceparent", UNSAMPLED);
    assert_eq!(Answer::of(twice).await.status, 200);
    let sent = traceparents(&sts);
    let continued = sent[0].as_deref().unwrap();
    assert!(continued.starts_with(&format!("00-{TRACE}-")) && !continued.contains(CALLER), "{continued}");
    assert_eq!(sent[1..], [None, None, None, None]);
    assert_eq!(get(&broker, "/v1/credentials/none", "alice", SAMPLED).await.status, 404);
    broker.says(&format!("\"trace_id\":\"{TRACE}\",\"status\":404"));
}

#[tokio::test]
async fn sts_accepts_a_call_whose_traceparent_is_not_signed() {
    let (address, _) = emulator();
    let broker = Setup::new(address).start();
    assert_eq!(get(&broker, "/v1/credentials", "alice", SAMPLED).await.status, 200);
}

#[tokio::test]
async fn a_web_page_may_send_a_traceparent() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = Setup::new(sts.address).start();
    let preflight = broker.http.request(reqwest::Method::OPTIONS, broker.url("/v1/credentials"));
    let preflight = preflight
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization,traceparent,tracestate");
    let answer = Answer::of(preflight).await;
    assert!(answer.header("access-control-allow-headers").contains("traceparent"), "{answer:?}");
}

#[tokio::test]
async fn a_collector_that_is_unreachable_or_hangs_delays_no_response_and_shutdown_only_briefly() {
    let sts = CannedSts::start(Answers::Key(1800));
    // The first port refuses connections. The other accepts them and never responds.
    let refusing = RefusingPort::bind();
    let unreachable = refusing.address();
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    for collector in [unreachable, hanging.local_addr().unwrap()] {
        let broker = traced(sts.address, collector, "1.0", "").start();
        let began = Instant::now();
        for _ in 0..50 {
            assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        if collector == unreachable {
            broker.says("spans cannot be exported");
            broker.get("/v1/credentials", &token("alice")).await;
            while broker.figure(&["cosbroker_tracing_lost_total", "not_taken"]).await < 52 {
                tokio::task::yield_now().await;
            }
        }
        let began = Instant::now();
        let broker = stopped(broker).await;
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        // A collector that hangs is logged when an export times out and when the shutdown does: which is first, or
        // alone, depends on whether the export had begun before the shutdown.
        let max_warnings = if collector == unreachable { 1 } else { 2 };
        let warnings = broker.log().lines().filter(|line| line.contains("are lost")).count();
        assert!((1..=max_warnings).contains(&warnings), "{warnings}: {}", broker.log());
    }
}
