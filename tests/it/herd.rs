//! Many concurrent requests.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Setup, emulator, raise_open_file_limit, token};

/// Opens the connections first, so that the requests arrive together.
async fn request_together(public: std::net::SocketAddr, tokens: Vec<String>) -> Vec<String> {
    let mut streams = Vec::new();
    for batch in tokens.chunks(500) {
        let opened = futures::future::join_all(batch.iter().map(|_| TcpStream::connect(public))).await;
        streams.extend(opened.into_iter().map(Result::unwrap));
    }
    let requests = streams.into_iter().zip(tokens).map(|(mut stream, token)| async move {
        let request = format!(
            "GET /v1/credentials HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    futures::future::join_all(requests).await
}

#[tokio::test]
async fn ten_thousand_concurrent_first_requests_of_one_user_make_exactly_one_call() {
    const REQUESTS: usize = 10_000;
    raise_open_file_limit();
    let (address, sts) = emulator();
    let broker = Setup::new(address).with_section("server", "max_connections = 20000").start();
    let answers = request_together(broker.public, vec![token("alice"); REQUESTS]).await;
    let failed: Vec<&String> = answers.iter().filter(|answer| !answer.starts_with("HTTP/1.1 200 ")).collect();
    assert!(failed.is_empty(), "{} of {REQUESTS} failed, the first: {:?}", failed.len(), failed.first());
    assert_eq!(sts.calls(), 1);
}

#[tokio::test]
async fn a_thousand_users_with_two_requests_each_make_exactly_a_thousand_calls() {
    let (address, sts) = emulator();
    let broker = Setup::new(address).start();
    let tokens: Vec<String> = (0..1000).map(|user| token(&format!("user{user}"))).collect();
    for round in 0..2 {
        for some in tokens.chunks(250) {
            let answers = request_together(broker.public, some.to_vec()).await;
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
