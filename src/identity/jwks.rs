//! A key set that an issuer publishes in a file or at a URL. It is cached, refreshed in the background, and read
//! again where a token names an unknown key, but never more often than once in [`FETCH_COOLDOWN`].

use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use jsonwebtoken::Algorithm;
use prometheus_client::metrics::counter::Counter;
use tokio::{runtime::Handle, sync::Mutex};
use url::Url;

use super::{key::KeyFault, key_set::KeySet};
use diagnostics::read_regular_file;
use runtime::{clock::Clock, file_work::FileWorker};

/// The minimum time between two fetches of a set, successful or not.
const FETCH_COOLDOWN: Duration = Duration::from_secs(30);
/// A set of this age is refreshed in the background when it is used.
const REFRESH_AGE: Duration = Duration::from_mins(8);
/// A set of this age is no longer used: long enough for an outage of the issuer, short enough that a withdrawn
/// key is not trusted for ever.
const MAX_AGE: Duration = Duration::from_hours(24);
/// The limit for a fetched set. 64 RSA keys of 8192 bits take 100 KiB.
const MAX_JWKS_BYTES: usize = 256 * 1024;

/// The place that a set is read from.
#[derive(Debug)]
pub(super) enum JwksOrigin {
    Url { client: reqwest::Client, url: Url },
    File { path: PathBuf, worker: FileWorker },
}

/// A cached key set.
#[derive(Debug)]
pub(super) struct Jwks {
    issuer: String,
    origin: JwksOrigin,
    algorithms: Vec<Algorithm>,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    current: ArcSwapOption<Fetched>,
    /// The monotonic time of the last fetch, successful or not.
    last_attempt: Mutex<Option<Duration>>,
    fetches: Counter,
    failures: Counter,
}

/// The state of a key set, for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySetStatus {
    /// The time since the last successful fetch, if there was one.
    pub age: Option<Duration>,
    /// The number of successful fetches.
    pub fetches: u64,
    /// The number of failed fetches.
    pub failures: u64,
}

impl KeySetStatus {
    /// Returns whether tokens can be checked with the set.
    pub fn is_usable(&self) -> bool {
        self.age.is_some_and(|age| age < MAX_AGE)
    }
}

/// A key set and the monotonic time of its fetch.
#[derive(Debug)]
struct Fetched {
    set: Arc<KeySet>,
    at: Duration,
}

impl Jwks {
    pub(super) fn new(
        issuer: &str,
        origin: JwksOrigin,
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
            last_attempt: Mutex::new(None),
            fetches: Counter::default(),
            failures: Counter::default(),
        })
    }

    /// Returns the state of the set. Starts no fetch.
    pub(super) fn status(&self) -> KeySetStatus {
        let fetched = self.current.load();
        let age = fetched.as_ref().map(|fetched| self.clock.monotonic().saturating_sub(fetched.at));
        KeySetStatus { age, fetches: self.fetches.get(), failures: self.failures.get() }
    }

    /// Returns the set to look up a `kid` in: the cached one if it has the key, else a newly fetched one if the
    /// cooldown has passed. `None` if no set is usable.
    pub(super) async fn set_for(self: &Arc<Self>, kid: Option<&str>) -> Option<Arc<KeySet>> {
        if let Some(set) = self.usable()
            && set.candidates(kid).next().is_some()
        {
            return Some(set);
        }
        self.refresh().await;
        self.usable()
    }

    /// Returns the cached set unless it is too old. Starts a refresh if the set has [`REFRESH_AGE`].
    pub(super) fn usable(self: &Arc<Self>) -> Option<Arc<KeySet>> {
        let fetched = self.current.load_full();
        let age = fetched.as_ref().map(|fetched| self.clock.monotonic().saturating_sub(fetched.at));
        if age.is_none_or(|age| age >= REFRESH_AGE) {
            self.spawn_refresh();
        }
        fetched.filter(|_| age.is_some_and(|age| age < MAX_AGE)).map(|fetched| Arc::clone(&fetched.set))
    }

    /// Starts a refresh in the background if the cooldown has passed and no fetch is under way.
    fn spawn_refresh(self: &Arc<Self>) {
        let this = Arc::clone(self);
        if this.last_attempt.try_lock().is_ok_and(|last| this.is_due(*last)) {
            self.runtime.spawn(async move { this.fetch_if_due().await });
        }
    }

    /// Waits for a fetch, if one is due. The fetch continues even if the caller gives up.
    pub(super) async fn refresh(self: &Arc<Self>) {
        let this = Arc::clone(self);
        if let Err(error) = self.runtime.spawn(async move { this.fetch_if_due().await }).await {
            tracing::error!(issuer = self.issuer, %error, "fetching a key set failed unexpectedly");
        }
    }

    fn is_due(&self, last_attempt: Option<Duration>) -> bool {
        last_attempt.is_none_or(|last| self.clock.monotonic().saturating_sub(last) >= FETCH_COOLDOWN)
    }

    async fn fetch_if_due(&self) {
        let mut last_attempt = self.last_attempt.lock().await;
        if !self.is_due(*last_attempt) {
            return;
        }
        // Set before the fetch, so that a failing source is read no more often than a good one.
        *last_attempt = Some(self.clock.monotonic());
        match self.origin.read().await.and_then(|json| KeySet::parse(&json, &self.algorithms)) {
            Ok(set) => {
                let fetched = Fetched { set: Arc::new(set), at: self.clock.monotonic() };
                self.current.store(Some(Arc::new(fetched)));
                self.fetches.inc();
                tracing::debug!(issuer = self.issuer, "key set read");
            }
            Err(fault) => {
                self.failures.inc();
                let has_previous_set = self.current.load().is_some();
                tracing::warn!(issuer = self.issuer, source = %self.origin, %fault, has_previous_set, "the key set cannot be read");
            }
        }
    }

    /// Reads and parses the set once, without caching it.
    pub(super) async fn probe(&self) -> Result<(), KeyFault> {
        let json = self.origin.read().await?;
        KeySet::parse(&json, &self.algorithms).map(|_| ())
    }
}

impl std::fmt::Display for JwksOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url { url, .. } => write!(f, "{url}"),
            Self::File { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

impl JwksOrigin {
    /// Returns an origin at a URL, with a client that follows no redirect and no proxy.
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
            Self::File { path, worker } => {
                let (path, worker) = (path.clone(), worker.clone());
                let read = tokio::task::spawn_blocking(move || read_jwks_file(&worker, path)).await;
                read.unwrap_or_else(|error| Err(KeyFault(format!("cannot be read: {error}"))))
            }
            Self::Url { client, url } => fetch(client, url).await,
        }
    }
}

/// Reads a key set from a file. Blocks for as long as the worker's deadline allows.
pub(super) fn read_jwks_file(worker: &FileWorker, path: PathBuf) -> Result<Vec<u8>, KeyFault> {
    let read = worker.run(move || read_regular_file(&path, MAX_JWKS_BYTES as u64));
    read.map_err(|missing| KeyFault(missing.to_string()))?.map_err(|fault| KeyFault(fault.to_string()))
}

async fn fetch(client: &reqwest::Client, url: &Url) -> Result<Vec<u8>, KeyFault> {
    let mut response = client.get(url.clone()).send().await.map_err(not_fetched)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(KeyFault(format!("answered {}", response.status())));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(not_fetched)? {
        if body.len() + chunk.len() > MAX_JWKS_BYTES {
            return Err(KeyFault(format!("is larger than {MAX_JWKS_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of map_err")]
fn not_fetched(error: reqwest::Error) -> KeyFault {
    KeyFault(format!("cannot be fetched: {}", innermost_cause(&error)))
}

/// Returns "connection refused" rather than "error sending request".
fn innermost_cause(error: &reqwest::Error) -> String {
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

    /// Fetches from a server that always gives this answer.
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
        JwksOrigin::url(url.parse().unwrap()).unwrap().read().await.map_err(|fault| fault.0)
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn only_a_small_200_from_the_configured_url_is_read() {
        assert_eq!(fetched(ok("{}")).await, Ok(b"{}".to_vec()));
        assert_eq!(fetched(ok(&" ".repeat(MAX_JWKS_BYTES))).await.map(|body| body.len()), Ok(MAX_JWKS_BYTES));
        assert!(fetched(ok(&" ".repeat(MAX_JWKS_BYTES + 1))).await.unwrap_err().contains("larger than"));
        for (head, message) in
            [("500 Oops", "500"), ("404 Not Found", "404"), ("302 Found\r\nlocation: /moved", "302")]
        {
            let answer = ok("{}").replace("200 OK", head);
            assert!(fetched(answer).await.unwrap_err().contains(message), "{head}");
        }
    }
}
