//! The endpoints of STS, in the configured order. Where one gives no answer, the next is called within the same deadline.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::timeout;
use url::Url;

use crate::{
    config::Network,
    network::{self, NoHttpClient},
};
use runtime::clock::Clock;
use tencent_sts::{Client, ClientConfig, Error, Interrupted, InvalidConfig};

/// How long an endpoint is called first because those before it gave no answer.
const PREFERENCE: Duration = Duration::from_mins(1);

/// Why STS cannot be called at all.
#[derive(Debug, thiserror::Error)]
pub enum NoStsClient {
    /// The endpoint or the region is not valid.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// No HTTP client can be built.
    #[error(transparent)]
    Http(#[from] NoHttpClient),
}

/// A client for each endpoint.
#[derive(Debug)]
pub(super) struct Endpoints {
    clients: Vec<Client>,
    /// For one call at all endpoints.
    timeout: Duration,
    clock: Arc<dyn Clock>,
    preferred: Mutex<Preferred>,
}

/// The endpoint that is called first, until a monotonic time.
#[derive(Debug, Clone, Copy, Default)]
struct Preferred {
    index: usize,
    until: Duration,
}

/// How STS is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transport<'a> {
    pub(super) urls: &'a [Url],
    pub(super) region: &'a str,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) network: &'a Network,
}

impl Endpoints {
    pub(super) fn new(transport: Transport<'_>, clock: Arc<dyn Clock>) -> Result<Self, NoStsClient> {
        let Transport { urls, region, connect_timeout, timeout, network } = transport;
        let mut clients = Vec::new();
        for url in urls {
            let config = ClientConfig {
                endpoint: url.to_string(),
                region: region.to_owned(),
                connect_timeout,
                timeout,
            };
            clients.push(Client::with_http(&config, network::client_builder(network)?)?);
        }
        Ok(Self { clients, timeout, clock, preferred: Mutex::default() })
    }

    /// The host that is called first, with its port unless it is the usual one.
    pub(super) fn host(&self) -> &str {
        self.clients.get(self.first()).map(Client::host).unwrap_or_default()
    }

    /// Makes a call at the first endpoint that answers, whatever the answer. Each but the last has its share of the time.
    pub(super) async fn call<'a, T, F>(&'a self, call: impl Fn(&'a Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let (first, count) = (self.first(), self.clients.len());
        let mut left = count;
        let mut outcome = Err(Error::Interrupted(Interrupted::NoConnection));
        let in_order = self.clients.iter().enumerate().cycle().skip(first).take(count);
        for (index, client) in in_order {
            outcome = if left == 1 { call(client).await } else { self.in_share(call(client)).await };
            left -= 1;
            match &outcome {
                Err(Error::Interrupted(why)) if left > 0 => {
                    tracing::warn!(host = client.host(), %why, "an endpoint of STS gives no answer; the next is called");
                }
                Err(Error::Interrupted(_)) => {}
                Ok(_) | Err(_) => {
                    self.prefer(index);
                    break;
                }
            }
        }
        outcome
    }

    async fn in_share<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let share = self.timeout / u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
        timeout(share, call).await.unwrap_or(Err(Error::Interrupted(Interrupted::Timeout)))
    }

    fn first(&self) -> usize {
        let preferred = *self.preferred.lock().unwrap_or_else(PoisonError::into_inner);
        if self.clock.monotonic() < preferred.until { preferred.index } else { 0 }
    }

    /// Remembers the endpoint that answered. One that is preferred already is so no longer than before: those before it
    /// are tried again.
    fn prefer(&self, index: usize) {
        let now = self.clock.monotonic();
        let mut preferred = self.preferred.lock().unwrap_or_else(PoisonError::into_inner);
        let is_preferred = now < preferred.until && preferred.index == index;
        if !is_preferred {
            *preferred = Preferred { index, until: if index == 0 { now } else { now + PREFERENCE } };
        }
    }
}
