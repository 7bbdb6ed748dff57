//! Connections: limits, silent clients, malformed requests, and the stop under load.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    Answer, Answers, Broker, CannedSts, DEADLINE, Setup, Signal, raise_open_file_limit, token, write_secret,
};

fn setup() -> Setup {
    Setup::new(CannedSts::start(Answers::Key(1800)).address)
}

/// A certificate for `localhost` and its key, in PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    /// A client that trusts no other certificate.
    fn client(&self) -> reqwest::Client {
        let trusted = reqwest::Certificate::from_pem(self.certificate.as_bytes()).unwrap();
        reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap()
    }

    fn on(self, setup: Setup) -> Setup {
        let mut setup = setup.with_section(
            "server",
            "tls_cert_file = \"policies/cert.pem\"\ntls_key_file = \"policies/key.pem\"",
        );
        setup.templates.push(("cert.pem".to_owned(), self.certificate));
        setup.templates.push(("key.pem".to_owned(), self.key));
        setup
    }
}

/// A certificate for `localhost`, and a client that trusts it.
fn with_tls(setup: Setup) -> (Setup, reqwest::Client) {
    let pair = Pair::new();
    let client = pair.client();
    (pair.on(setup), client)
}

/// Sends bytes over a connection, and returns all that comes until it is closed.
async fn exchange(mut stream: TcpStream, request: &[u8]) -> String {
    let sent = stream.write_all(request).await;
    let mut answer = String::new();
    let read = timeout(DEADLINE, stream.read_to_string(&mut answer)).await;
    assert!(read.is_ok(), "not closed after {sent:?}: {answer}");
    answer
}

/// A connection whose request was answered and which is kept.
async fn kept(public: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(public).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: broker\r\n\r\n").await.unwrap();
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer[..length]));
    stream
}

/// An STS that does not answer, and a broker whose requests for a key wait for it.
fn waiting_setup() -> Setup {
    Setup::new(CannedSts::start(Answers::WhenReleased).address).with_section("sts", "timeout = \"5m\"")
}

/// A connection whose request has arrived and waits for STS.
async fn waiting(public: SocketAddr) -> TcpStream {
    try_waiting(public).await.unwrap()
}

/// The same; none if it is refused.
async fn try_waiting(public: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(public).await.unwrap();
    let token = token("alice");
    let head = format!(
        "GET /v1/credentials HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {token}\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).await.ok()?;
    (&answer == b"HTTP/1.1 100 Continue\r\n\r\n").then_some(stream)
}

async fn silent(public: SocketAddr, count: usize) -> Vec<TcpStream> {
    join_all((0..count).map(|_| TcpStream::connect(public))).await.into_iter().map(Result::unwrap).collect()
}

async fn refused(broker: &Broker, reason: &str) -> u64 {
    broker.figure(&["cosbroker_connections_refused_total", &format!("reason=\"{reason}\"")]).await
}

#[tokio::test]
async fn what_rfc_9112_calls_an_error_gets_400_and_ends_the_connection() {
    const START: &str = "POST /v1/credentials HTTP/1.1\r\nhost: broker\r\n";
    let broker = setup().start();
    for malformed in [
        "a: b\nc: d\r\n\r\n",
        "a: b\rc\r\n\r\n",
        "a: b\r\n\n",
        "a : b\r\n\r\n",
        "a: b\r\n folded\r\n\r\n",
        "content-length: 00\r\n\r\n",
        "content-length: +5\r\n\r\nhello",
        "content-length: 5, 5\r\n\r\nhello",
        "content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "host: twice\r\n\r\n",
    ] {
        let stream = TcpStream::connect(broker.public).await.unwrap();
        let answer = exchange(stream, format!("{START}{malformed}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{malformed:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{malformed:?}: {answer}");
    }
    for start in
        ["GET /healthz HTTP/1.1\nhost: broker\n\n", "\nGET /healthz HTTP/1.1\r\nhost: broker\r\n\r\n"]
    {
        let stream = TcpStream::connect(broker.public).await.unwrap();
        let answer = exchange(stream, start.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{start:?}: {answer}");
    }
    assert!(refused(&broker, "malformed").await > 0);
}

#[tokio::test]
async fn a_query_that_is_not_percent_encoded_is_told_and_logged() {
    let broker = setup().start();
    let stream = TcpStream::connect(broker.public).await.unwrap();
    let request = "GET /getKeyAndCredentials?filename=照片.jpg HTTP/1.1\r\nhost: broker\r\n\r\n";
    let answer = exchange(stream, request.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("percent-encode them as UTF-8"),
        "{answer}"
    );
    broker.says("percent-encode");
    assert_eq!(refused(&broker, "malformed").await, 1);
    let encoded = broker.get("/getKeyAndCredentials?filename=%E7%85%A7%E7%89%87.jpg", &token("alice")).await;
    assert_eq!(encoded.status, 200, "{encoded:?}");
}

#[tokio::test]
async fn what_the_http_library_refuses_is_told_logged_and_counted_with_the_headers_of_every_answer() {
    let broker = setup().start();
    let many = "x: 1\r\n".repeat(97);
    let cases = [
        ("GE\u{1}T / HTTP/1.1\r\nhost: broker\r\n\r\n".to_owned(), "400", "bad-request"),
        ("GET / HTTP/3.7\r\nhost: broker\r\n\r\n".to_owned(), "400", "bad-request"),
        ("GET /{ HTTP/1.1\r\nho[st: broker\r\n\r\n".to_owned(), "400", "bad-request"),
        ("GET / HTTP/1.1\r\nhost: broker\r\na : b\r\n\r\n".to_owned(), "400", "bad-request"),
        (format!("GET / HTTP/1.1\r\nhost: broker\r\n{many}\r\n"), "431", "head-too-large"),
    ];
    for (request, status, problem) in &cases {
        let stream = TcpStream::connect(broker.public).await.unwrap();
        let answer = exchange(stream, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        for header in ["cache-control: no-store", "x-content-type-options: nosniff", "connection: close"] {
            assert!(head.contains(header), "{request:?}: {answer}");
        }
        let told: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(told["type"], format!("urn:cosbroker:problem:{problem}"), "{request:?}");
    }
    assert_eq!(refused(&broker, "malformed").await, cases.len() as u64);
    broker.says("request refused: it is no HTTP/1.1");
    broker.says("invalid HTTP version specified");
    broker.says("\"client\":\"127.0.0.1\"");
}

#[tokio::test]
async fn requests_before_a_malformed_one_are_answered() {
    let broker = setup().start();
    let good = "GET /healthz HTTP/1.1\r\nhost: broker\r\n\r\n";
    let stream = TcpStream::connect(broker.public).await.unwrap();
    let answer =
        exchange(stream, format!("{good}{good}GET / HTTP/1.1\nhost: broker\r\n\r\n").as_bytes()).await;
    let statuses: Vec<&str> =
        answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "200", "400"], "{answer}");
}

#[tokio::test]
async fn a_chunked_body_is_read_and_the_next_request_on_the_connection_as_well() {
    let broker = setup().start();
    let token = token("alice");
    let chunked = format!(
        "POST /v1/credentials HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n1\r\n{{\r\n1\r\n}}\r\n0\r\n\r\n"
    );
    let next = "GET /healthz HTTP/1.1\r\nhost: broker\r\nconnection: close\r\n\r\n";
    let stream = TcpStream::connect(broker.public).await.unwrap();
    let answer = exchange(stream, format!("{chunked}{next}").as_bytes()).await;
    let statuses: Vec<&str> =
        answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect();
    assert_eq!(statuses[1], "200", "{answer}");
}

#[tokio::test]
async fn above_the_limit_a_connection_gets_503_at_once_and_a_silent_one_gives_way() {
    let broker = waiting_setup().with_section("server", "max_connections = 4").start();
    let silent = silent(broker.public, 3).await;
    let mut serving = Vec::new();
    while serving.len() < 4 {
        // A connection is silent after a quarter of a second; before, the new one is refused.
        serving.extend(try_waiting(broker.public).await);
    }
    for silent in silent {
        assert_eq!(exchange(silent, b"").await, "", "closed for those who send requests");
    }
    let began = Instant::now();
    let answer = exchange(TcpStream::connect(broker.public).await.unwrap(), b"").await;
    assert!(began.elapsed() < Duration::from_secs(5), "at once, on a busy machine");
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    for part in ["retry-after: 2\r\n", "connection: close\r\n", "urn:cosbroker:problem:overloaded"] {
        assert!(answer.contains(part), "{answer}");
    }
    assert!(refused(&broker, "max_connections").await >= 1);
    assert_eq!(refused(&broker, "silent").await, 3);
    assert_eq!(broker.figure(&["cosbroker_connections_open"]).await, 4);
    drop(serving);
}

#[tokio::test]
async fn one_address_has_only_its_share_of_the_connections_unless_it_is_a_trusted_proxy() {
    let setup = || waiting_setup().with_section("server", "max_connections_per_address = 2");
    let broker = setup().start();
    let serving = [waiting(broker.public).await, waiting(broker.public).await];
    let answer = exchange(TcpStream::connect(broker.public).await.unwrap(), b"").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(refused(&broker, "max_connections_per_address").await, 1);
    drop(serving);

    let broker = setup().with_section("server", "trusted_proxies = [\"127.0.0.0/8\"]").start();
    let serving = join_all((0..10).map(|_| waiting(broker.public))).await;
    assert_eq!(serving.len(), 10);
}

#[tokio::test]
async fn silent_tls_clients_of_the_same_address_do_not_keep_real_ones_out() {
    raise_open_file_limit();
    let (setup, client) = with_tls(setup());
    let broker = setup.with_section("server", "max_connections_per_address = 64").start();
    let silent = silent(broker.public, 500).await;
    let url = format!("https://localhost:{}/v1/credentials", broker.public.port());
    let mut served = 0;
    let deadline = Instant::now() + DEADLINE;
    while served < 10 {
        assert!(Instant::now() < deadline);
        let request = client.get(&url).bearer_auth(token("alice")).header("connection", "close");
        served += usize::from(request.send().await.is_ok_and(|answer| answer.status() == 200));
    }
    assert!(refused(&broker, "silent").await > 0);
    drop(silent);
}

/// Waits until a new connection of the client is accepted.
async fn connects(client: &reqwest::Client, url: &str) {
    let started = Instant::now();
    while client.get(url).send().await.is_err() {
        assert!(started.elapsed() < DEADLINE, "the certificate is not shown");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_open_connections_go_on() {
    let (first, second, third) = (Pair::new(), Pair::new(), Pair::new());
    let (old_client, client) = (first.client(), second.client());
    let broker = first.on(setup()).start();
    let url = format!("https://localhost:{}/healthz", broker.public.port());
    assert_eq!(old_client.get(&url).send().await.unwrap().status(), 200);
    broker.put_template("cert.pem", &second.certificate);
    write_secret(&broker.dir().join("policies/key.pem"), &second.key);
    connects(&client, &url).await;
    assert!(broker.metrics().await.contains("cosbroker_tls_certificate_stale{listener=\"public\"} 0\n"));
    let kept = old_client.get(&url).send().await;
    assert_eq!(kept.expect("on the connection that it has").status(), 200);

    write_secret(&broker.dir().join("policies/key.pem"), &third.key);
    broker.says("the changed TLS files are not used; what was read before stays in use");
    assert_eq!(second.client().get(&url).send().await.unwrap().status(), 200);
    let metrics = broker.metrics().await;
    assert!(metrics.contains("cosbroker_tls_certificate_stale{listener=\"public\"} 1\n"));
    assert!(
        metrics.contains("cosbroker_tls_certificate_expiry_timestamp_seconds{listener=\"operators\"} inf\n")
    );
}

#[tokio::test]
async fn a_tls_handshake_must_be_done_in_time() {
    let (setup, _) = with_tls(setup());
    let broker = setup.with_section("server", "tls_handshake_timeout = \"100ms\"").start();
    for first_bytes in [&b""[..], b"\x16\x03\x01"] {
        let stream = TcpStream::connect(broker.public).await.unwrap();
        exchange(stream, first_bytes).await;
    }
    assert_eq!(refused(&broker, "handshake_timeout").await, 2);
}

#[tokio::test]
async fn few_open_files_are_a_warning_at_the_start_and_a_prompt_refusal_later() {
    let mut setup = waiting_setup();
    setup.open_files = Some(256);
    let broker = setup.start();
    broker.says("the limit of open files allows fewer connections than server.max_connections");
    assert_eq!(broker.figure(&["cosbroker_connections_limit"]).await, 128);
    let serving = join_all((0..128).map(|_| waiting(broker.public))).await;
    let began = Instant::now();
    let answers = join_all(
        (0..200).map(|_| async { exchange(TcpStream::connect(broker.public).await.unwrap(), b"").await }),
    )
    .await;
    assert!(began.elapsed() < Duration::from_secs(5), "at once, on a busy machine");
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 503 ")), "{:?}", answers.first());
    assert_eq!(broker.operators_get("/api/status").await.status, 200, "operators are served");
    assert!(!broker.log().contains("cannot be accepted"), "{}", broker.log());
    drop(serving);
}

#[tokio::test]
async fn after_a_signal_to_stop_new_connections_are_served_for_the_delay_and_a_second_signal_ends_it() {
    let mut broker = setup().with("drain_delay = \"0s\"", "drain_delay = \"10m\"").start();
    let idle = kept(broker.public).await;
    broker.signal(Signal::TERM);
    broker.says("not ready any more");
    let ready = Answer::of(broker.http.get(broker.url("/readyz"))).await;
    assert_eq!((ready.status, ready.header("connection")), (503, "close"));
    let answer = broker.get("/v1/credentials", &token("alice")).await;
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    broker.signal(Signal::INT);
    broker.says("the delay ends");
    assert_eq!(exchange(idle, b"").await, "", "an idle connection does not hold the stop");
    let ended = tokio::task::spawn_blocking(move || (broker.ended(), broker.log())).await.unwrap();
    assert_eq!(ended.0, Some(0), "{}", ended.1);
}

#[tokio::test]
async fn no_accepted_request_is_lost_in_a_stop_under_load() {
    for _ in 0..3 {
        let mut broker = setup().with("drain_delay = \"0s\"", "drain_delay = \"200ms\"").start();
        let token: Arc<str> = token("alice").into();
        let clients: Vec<_> = (0..20)
            .map(|client| {
                tokio::spawn(requests_until_refused(broker.public, Arc::clone(&token), client % 2 == 0))
            })
            .collect();
        while broker.figure(&["cosbroker_credential_requests_total"]).await < 100 {}
        broker.signal(Signal::TERM);
        for client in clients {
            assert!(client.await.unwrap() > 0);
        }
        let ended = tokio::task::spawn_blocking(move || (broker.ended(), broker.log())).await.unwrap();
        assert_eq!(ended.0, Some(0), "{}", ended.1);
    }
}

/// Sends requests until a new connection is refused; returns how many were answered, which must be all.
async fn requests_until_refused(public: SocketAddr, token: Arc<str>, keeps: bool) -> usize {
    let connection = if keeps { "keep-alive" } else { "close" };
    let request = format!(
        "GET /v1/credentials HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {token}\r\nconnection: {connection}\r\n\r\n"
    );
    for answered in 0.. {
        let Ok(mut stream) = TcpStream::connect(public).await else { return answered };
        loop {
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // The body has no line break; the head ends with an empty line.
            while !is_complete(&answer) {
                assert!(
                    stream.read_buf(&mut answer).await.unwrap() > 0,
                    "{}",
                    String::from_utf8_lossy(&answer)
                );
            }
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
            if String::from_utf8_lossy(&answer).contains("connection: close") {
                break;
            }
        }
    }
    0
}

fn is_complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.parse::<usize>().unwrap())
}
