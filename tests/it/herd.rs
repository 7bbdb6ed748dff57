//! Many concurrent requests.

use std::net::SocketAddr;

use futures::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Answers, CannedSts, Setup, emulator, raise_open_file_limit, token};

/// Sends the requests over connections of their own, calls `on_all_sent`, and returns the answers.
async fn request_together(public: SocketAddr, tokens: &[String], on_all_sent: impl FnOnce()) -> Vec<String> {
    let mut streams = Vec::new();
    for batch in tokens.chunks(500) {
        streams.extend(join_all(batch.iter().map(|token| send(public, token))).await);
    }
    on_all_sent();
    join_all(streams.into_iter().map(answer)).await
}

/// Sends its head at once: the server waits ten seconds for one, and many connections take longer to open.
async fn send(public: SocketAddr, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(public).await.unwrap();
    let request = format!(
        "GET /v1/credentials HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn ten_thousand_concurrent_first_requests_of_one_user_make_exactly_one_call() {
    const REQUESTS: usize = 10_000;
    raise_open_file_limit();
    let sts = CannedSts::start(Answers::WhenReleased);
    let broker = Setup::new(sts.address)
        .with_section("server", "max_connections = 20000\nmax_connections_per_address = 20000")
        .with_section("sts", "timeout = \"5m\"")
        .start();
    let answers = request_together(broker.public, &vec![token("alice"); REQUESTS], || sts.release()).await;
    let failed: Vec<&String> = answers.iter().filter(|answer| !answer.starts_with("HTTP/1.1 200 ")).collect();
    assert!(failed.is_empty(), "{} of {REQUESTS} failed, the first: {:?}", failed.len(), failed.first());
    assert_eq!(sts.calls(), 1);
}

#[tokio::test]
async fn a_thousand_users_with_two_requests_each_make_exactly_a_thousand_calls() {
    let (address, sts) = emulator();
    // On a busy machine, no attempt is given up and made again.
    let broker = Setup::new(address).with_section("sts", "timeout = \"5m\"").start();
    let tokens: Vec<String> = (0..1000).map(|user| token(&format!("user{user}"))).collect();
    for round in 0..2 {
        for some in tokens.chunks(250) {
            let answers = request_together(broker.public, some, || ()).await;
            for answer in answers {
                assert!(answer.starts_with("HTTP/1.1 200 "), "round {round}: {answer}");
            }
        }
        assert_eq!(sts.calls(), 1000, "round {round}");
    }
    assert_eq!(broker.figure(&["cosbroker_cache_hits_total"]).await, 1000);
    assert_eq!(broker.figure(&["cosbroker_credential_requests_total"]).await, 2000);
    assert_eq!(broker.figure(&["cosbroker_sts_calls_total", "outcome=\"ok\""]).await, 1000);
}
