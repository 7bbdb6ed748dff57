//! Source credentials that are temporary themselves: fetched, and kept until shortly before they expire.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Mutex;

use super::{Failure, InstanceRole, WebIdentity};
use runtime::clock::{Clock, time_until};
use tencent_sts::SourceCredentials;

/// Credentials are fetched anew when they have less time left.
const MIN_TTL: Duration = Duration::from_mins(5);

/// Fetched source credentials.
#[derive(Debug)]
pub(in crate::sts) struct FetchedCredentials {
    origin: Origin,
    clock: Arc<dyn Clock>,
    /// Held during a fetch, so that concurrent calls share one.
    last: Mutex<Option<Fetched>>,
    /// When the last were fetched, on the monotonic clock. Readable during a fetch.
    fetched_at: std::sync::Mutex<Option<Duration>>,
}

/// Where temporary source credentials are fetched.
#[derive(Debug)]
pub(super) enum Origin {
    InstanceRole(InstanceRole),
    WebIdentity(Box<WebIdentity>),
}

/// Source credentials with their expiry.
#[derive(Debug, Clone)]
pub(super) struct Fetched {
    pub(super) credentials: Arc<SourceCredentials>,
    pub(super) expires_at: Timestamp,
}

impl FetchedCredentials {
    pub(super) fn new(origin: Origin, clock: Arc<dyn Clock>) -> Self {
        Self { origin, clock, last: Mutex::new(None), fetched_at: std::sync::Mutex::new(None) }
    }

    pub(super) fn source(&self) -> &'static str {
        match self.origin {
            Origin::InstanceRole(_) => "instance_role",
            Origin::WebIdentity(_) => "web_identity",
        }
    }

    pub(super) fn age(&self) -> Option<Duration> {
        let fetched_at = *self.fetched_at.lock().unwrap_or_else(PoisonError::into_inner);
        fetched_at.map(|fetched_at| self.clock.monotonic().saturating_sub(fetched_at))
    }

    pub(super) async fn current(&self) -> Result<Arc<SourceCredentials>, Failure> {
        let mut last = self.last.lock().await;
        let now = self.clock.now();
        if let Some(fetched) = last.as_ref().filter(|fetched| time_until(fetched.expires_at, now) > MIN_TTL) {
            return Ok(Arc::clone(&fetched.credentials));
        }
        let fetched = match &self.origin {
            Origin::InstanceRole(role) => role.fetch().await?,
            Origin::WebIdentity(identity) => identity.fetch(now).await?,
        };
        let credentials = Arc::clone(&fetched.credentials);
        *last = Some(fetched);
        *self.fetched_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.monotonic());
        Ok(credentials)
    }
}
