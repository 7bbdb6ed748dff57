//! STS issues a temporary key for a grant: within the quota, retried where that can help, and not called while
//! the circuit is open.
//!
//! Knows grants and STS, but no cache, principal or HTTP response. The wire is in the crate `tencent_sts`.

mod breaker;
mod call;
mod endpoints;
mod error;
mod failure;
mod lost_calls;
mod metrics;
mod queue;
mod quota;
mod retry;
mod scheduler;
#[cfg(test)]
pub(crate) mod simulated;
mod source_credentials;
mod span;
mod tencent;

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

pub use self::{
    breaker::BreakerState, endpoints::NoStsClient, error::StsError, quota::QuotaStatus,
    source_credentials::SourceCredentialsStatus, tencent::TencentSts,
};
use crate::telemetry::TraceContext;
use templates::{Grant, fingerprint::Fingerprint};
pub use tencent_sts::TemporaryCredential;

/// Issues temporary keys. The credential cache and the canary know no more of STS than this.
pub trait Sts: Debug + Send + Sync + 'static {
    /// Issues a temporary key: waits for its turn, then calls for as long as [`Sts::timeout`] says.
    ///
    /// # Errors
    /// Why STS issued none.
    fn issue(&self, request: IssueRequest) -> BoxFuture<'_, Result<TemporaryCredential, StsError>>;

    /// How long a user waits for a temporary key.
    fn timeout(&self) -> Duration;

    /// Whether the circuit is open: STS is not called after repeated failures.
    fn is_circuit_open(&self) -> bool;

    /// The limits on what may be requested of STS.
    fn allowance(&self) -> Allowance;

    /// The version of the source credentials: another number after each rotation.
    fn source_credentials_version(&self) -> u64;

    /// Identifies what temporary keys depend on beside their grants: the settings of STS and the source credentials.
    fn binding(&self) -> Fingerprint;
}

/// The limits on what may be requested of STS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The longest validity of a temporary key.
    pub max_ttl: Duration,
    /// Calls in any second.
    pub calls_per_second: u32,
}

/// A request for a temporary key.
#[derive(Debug)]
pub struct IssueRequest {
    /// What the key is for.
    pub grant: Arc<Grant>,
    /// Who goes first while calls have to wait.
    pub priority: Priority,
    /// The trace of the request that caused it.
    pub trace: Option<TraceContext>,
    /// Cancelled when no answer is to be expected soon: an attempt failed, or the circuit is open.
    pub delayed: CancellationToken,
}

impl IssueRequest {
    /// A request outside any trace, which waits for its answer whatever the delay.
    pub fn new(grant: Arc<Grant>, priority: Priority) -> Self {
        Self { grant, priority, trace: None, delayed: CancellationToken::new() }
    }
}

/// Who goes first while calls to STS have to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// The user has no active key.
    NoActiveKey,
    /// The user's key is active, but not for long enough.
    KeyExpiresSoon,
    /// No user waits: the cached key is refreshed ahead.
    Refresh,
}

/// Calls made since the start, retries included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls made in total.
    pub made: u64,
    /// Calls that brought no temporary key.
    pub failed: u64,
}

/// The state of this process towards STS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// The calls that may be made.
    pub quota: QuotaStatus,
    /// The state of the circuit breaker.
    pub breaker: BreakerState,
    /// The source credentials that sign the calls.
    pub source_credentials: SourceCredentialsStatus,
}
