//! A user of an app: asks the broker for a key, and comes back when told to.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

/// How long a user waits for an answer. It is reached only when an answer is lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// The kernel's queue of new connections is short; a connection beyond it would wait for a second.
static CONNECTING: Semaphore = Semaphore::const_new(500);

/// An answer of the broker.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) cache_status: String,
    pub(crate) body: Value,
    pub(crate) took: Duration,
}

/// What a user who comes back when told to has met.
#[derive(Debug, Default)]
pub(crate) struct Visit {
    pub(crate) requests: usize,
    pub(crate) refusals: usize,
    /// Refusals that say when to come back.
    pub(crate) told: usize,
    /// Requests made when told to, and those of them that brought a key.
    pub(crate) returns: usize,
    pub(crate) returns_served: usize,
    /// Requests without an answer.
    pub(crate) lost: usize,
    pub(crate) served_at: Option<Instant>,
}

/// Asks once. None if no answer came.
pub(crate) async fn ask(broker: SocketAddr, token: &str) -> Option<Answer> {
    let started = Instant::now();
    let text = timeout(ANSWER_TIMEOUT, exchange(broker, token)).await.ok()?.ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let header = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
    };
    Some(Answer {
        status,
        retry_after: header("retry-after").and_then(|(_, value)| value.parse().ok()).map(Duration::from_secs),
        cache_status: header("cache-status").map(|(_, value)| value.to_owned()).unwrap_or_default(),
        body: serde_json::from_str(body).ok()?,
        took: started.elapsed(),
    })
}

/// Connects from one of the machine's own addresses after the other, because the broker limits each.
async fn connect(broker: SocketAddr) -> std::io::Result<TcpStream> {
    static NEXT_HOST: AtomicU8 = AtomicU8::new(0);
    let host = NEXT_HOST.fetch_add(1, Ordering::Relaxed).max(1);
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
    socket.connect(broker).await
}

async fn exchange(broker: SocketAddr, token: &str) -> std::io::Result<String> {
    let mut stream = {
        let _permit = CONNECTING.acquire().await;
        connect(broker).await?
    };
    let request = format!(
        "GET /v1/credentials HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// Asks until there is a key, each time when told to, and at the latest until then.
pub(crate) async fn ask_until_served(broker: SocketAddr, token: &str, until: Instant) -> Visit {
    let mut visit = Visit::default();
    let mut is_return = false;
    while Instant::now() < until {
        visit.requests += 1;
        visit.returns += usize::from(is_return);
        let Some(answer) = ask(broker, token).await else {
            visit.lost += 1;
            is_return = false;
            sleep(Duration::from_secs(1)).await;
            continue;
        };
        if answer.status == 200 {
            visit.returns_served += usize::from(is_return);
            visit.served_at = Some(Instant::now());
            break;
        }
        visit.refusals += 1;
        visit.told += usize::from(answer.retry_after.is_some());
        is_return = true;
        sleep(answer.retry_after.unwrap_or(Duration::from_secs(1))).await;
    }
    visit
}
