//! A key set that lives elsewhere, in a file or behind a URL: cached, refreshed ahead, followed through a
//! rotation, and asked for no more than once in [`COOLDOWN`], whatever tokens come in.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use jsonwebtoken::Algorithm;
use prometheus_client::metrics::counter::Counter;
use tokio::{runtime::Handle, sync::Mutex};
use url::Url;

use super::key::{KeyFault, KeySet};
use runtime::clock::Clock;

/// Between two attempts at a set, whatever the first one's outcome.
const COOLDOWN: Duration = Duration::from_secs(30);
/// From this age on a use of the set refreshes it in the background.
const REFRESH_FROM: Duration = Duration::from_mins(8);
/// To this age a set serves while its source is away: long enough for an outage, short enough that a
/// withdrawn key does not live on for ever.
const USABLE_FOR: Duration = Duration::from_hours(24);
/// The largest set read.
const LARGEST: usize = 256 * 1024;

/// Where a set comes from.
#[derive(Debug)]
pub(super) enum Origin {
    Url { client: reqwest::Client, url: Url },
    File(PathBuf),
}

/// A cached key set.
#[derive(Debug)]
pub(super) struct Jwks {
    issuer: String,
    origin: Origin,
    algorithms: Vec<Algorithm>,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    current: ArcSwapOption<Fetched>,
    attempted: Mutex<Option<Duration>>,
    fetches: Counter,
    failures: Counter,
}

/// What operators see of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySetStatus {
    /// How long ago it was read; nothing before the first time.
    pub age: Option<Duration>,
    /// How often it was read.
    pub fetches: u64,
    /// How often it could not be.
    pub failures: u64,
}

impl KeySetStatus {
    /// Whether tokens can be checked with it.
    pub fn is_usable(&self) -> bool {
        self.age.is_some_and(|age| age < USABLE_FOR)
    }
}

/// A set and when it came, on the monotonic clock.
#[derive(Debug)]
struct Fetched {
    set: Arc<KeySet>,
    at: Duration,
}

impl Jwks {
    pub(super) fn new(
        issuer: &str,
        origin: Origin,
        algorithms: &[Algorithm],
        clock: Arc<dyn Clock>,
        runtime: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            issuer: issuer.to_owned(),
            origin,
            algorithms: algorithms.to_vec(),
            clock,
            runtime,
            current: ArcSwapOption::empty(),
            attempted: Mutex::new(None),
            fetches: Counter::default(),
            failures: Counter::default(),
        })
    }

    /// How it stands; sends for nothing.
    pub(super) fn status(&self) -> KeySetStatus {
        let fetched = self.current.load();
        let age = fetched.as_ref().map(|fetched| self.clock.monotonic().saturating_sub(fetched.at));
        KeySetStatus { age, fetches: self.fetches.get(), failures: self.failures.get() }
    }

    /// The set to look a `kid` up in: the cached one if it knows it, else after one more look at the
    /// source, if the cooldown allows one. `None` where no set is usable.
    pub(super) async fn set_for(self: &Arc<Self>, kid: Option<&str>) -> Option<Arc<KeySet>> {
        if let Some(set) = self.usable()
            && set.candidates(kid).next().is_some()
        {
            return Some(set);
        }
        self.refresh().await;
        self.usable()
    }

    /// The cached set, unless it is too old; from [`REFRESH_FROM`] on, a new one is sent for.
    pub(super) fn usable(self: &Arc<Self>) -> Option<Arc<KeySet>> {
        let fetched = self.current.load_full();
        let age = fetched.as_ref().map(|fetched| self.clock.monotonic().saturating_sub(fetched.at));
        if age.is_none_or(|age| age >= REFRESH_FROM) {
            self.send_for_another();
        }
        fetched.filter(|_| age.is_some_and(|age| age < USABLE_FOR)).map(|fetched| Arc::clone(&fetched.set))
    }

    fn send_for_another(self: &Arc<Self>) {
        let this = Arc::clone(self);
        // Nobody waits: whoever holds the lock is already on the way.
        if this.attempted.try_lock().is_ok_and(|attempted| this.is_due(*attempted)) {
            self.runtime.spawn(async move { this.attempt().await });
        }
    }

    /// Waits for one attempt, which goes on even if the asker gives up.
    pub(super) async fn refresh(self: &Arc<Self>) {
        let this = Arc::clone(self);
        if let Err(error) = self.runtime.spawn(async move { this.attempt().await }).await {
            tracing::error!(issuer = self.issuer, %error, "fetching a key set failed unexpectedly");
        }
    }

    fn is_due(&self, attempted: Option<Duration>) -> bool {
        attempted.is_none_or(|last| self.clock.monotonic().saturating_sub(last) >= COOLDOWN)
    }

    async fn attempt(&self) {
        let mut attempted = self.attempted.lock().await;
        if !self.is_due(*attempted) {
            return;
        }
        // Claimed before the attempt, so that a failing source is asked no more often than a good one.
        *attempted = Some(self.clock.monotonic());
        match self.origin.read().await.and_then(|json| KeySet::parse(&json, &self.algorithms)) {
            Ok(set) => {
                let fetched = Fetched { set: Arc::new(set), at: self.clock.monotonic() };
                self.current.store(Some(Arc::new(fetched)));
                self.fetches.inc();
                tracing::debug!(issuer = self.issuer, "key set read");
            }
            Err(fault) => {
                self.failures.inc();
                let serving =
                    if self.current.load().is_some() { "the last one serves on" } else { "there is none" };
                tracing::warn!(issuer = self.issuer, source = %self.origin, %fault, serving, "the key set cannot be read");
            }
        }
    }

    /// Reads the source once, for `check --online` and for a start.
    pub(super) async fn probe(&self) -> Result<(), KeyFault> {
        let json = self.origin.read().await?;
        KeySet::parse(&json, &self.algorithms).map(|_| ())
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url { url, .. } => write!(f, "{url}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Origin {
    /// A client that goes where the configuration says and nowhere else.
    pub(super) fn url(url: Url) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(1))
            .timeout(Duration::from_secs(5))
            .build()?;
        Ok(Self::Url { client, url })
    }

    async fn read(&self) -> Result<Vec<u8>, KeyFault> {
        match self {
            Self::File(path) => {
                tokio::fs::read(path).await.map_err(|error| KeyFault(format!("cannot be read: {error}")))
            }
            Self::Url { client, url } => {
                let failed =
                    |error: reqwest::Error| KeyFault(format!("cannot be fetched: {}", cause(&error)));
                let mut response = client.get(url.clone()).send().await.map_err(failed)?;
                if response.status() != reqwest::StatusCode::OK {
                    return Err(KeyFault(format!("answered {}", response.status())));
                }
                let mut body = Vec::new();
                while let Some(chunk) = response.chunk().await.map_err(failed)? {
                    if body.len() + chunk.len() > LARGEST {
                        return Err(KeyFault(format!("is larger than {LARGEST} bytes")));
                    }
                    body.extend_from_slice(&chunk);
                }
                Ok(body)
            }
        }
    }
}

/// The innermost cause: "connection refused" rather than "error sending request".
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What is made of one answer to a fetch.
    async fn fetched(answer: String) -> Result<Vec<u8>, String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                let moved = String::from_utf8_lossy(&request[..read]).contains("/moved");
                let answer = if moved { ok("{}") } else { answer.clone() };
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Origin::url(url.parse().unwrap()).unwrap().read().await.map_err(|fault| fault.0)
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn only_a_small_200_from_the_configured_place_is_read() {
        assert_eq!(fetched(ok("{}")).await, Ok(b"{}".to_vec()));
        assert_eq!(fetched(ok(&" ".repeat(LARGEST))).await.map(|body| body.len()), Ok(LARGEST));
        assert!(fetched(ok(&" ".repeat(LARGEST + 1))).await.unwrap_err().contains("larger than"));
        for (head, said) in
            [("500 Oops", "500"), ("404 Not Found", "404"), ("302 Found\r\nlocation: /moved", "302")]
        {
            let answer = ok("{}").replace("200 OK", head);
            assert!(fetched(answer).await.unwrap_err().contains(said), "{head}");
        }
    }
}
