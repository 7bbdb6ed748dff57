//! STS issues a temporary key for a grant: within the quota, retried where that can help, and not called while
//! the circuit is open.
//!
//! Knows grants and STS, but no cache, principal or HTTP response. The wire is in the crate `tencent_sts`.

mod breaker;
mod call;
mod error;
mod failure;
mod metrics;
mod quota;
mod retry;
mod source_credentials;
mod span;
mod tencent;

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::future::BoxFuture;

pub use self::{
    breaker::BreakerState, error::StsError, quota::QuotaStatus, source_credentials::SourceCredentialsStatus,
    tencent::TencentSts,
};
use crate::telemetry::TraceContext;
use templates::Grant;
pub use tencent_sts::TemporaryCredential;

/// Issues temporary keys. The credential cache and the canary know no more of STS than this.
pub trait Sts: Debug + Send + Sync + 'static {
    /// Issues a temporary key for a grant, within the configured time. `trace` is that of the request.
    ///
    /// # Errors
    /// Why STS issued none.
    fn issue(
        &self,
        grant: Arc<Grant>,
        urgency: Urgency,
        trace: Option<TraceContext>,
    ) -> BoxFuture<'_, Result<TemporaryCredential, StsError>>;

    /// Whether the circuit is open: STS is not called after repeated failures.
    fn is_circuit_open(&self) -> bool;

    /// The limits on what may be requested of STS.
    fn allowance(&self) -> Allowance;

    /// The version of the source credentials: another number after each rotation.
    fn source_credentials_version(&self) -> u64;
}

/// The limits on what may be requested of STS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The longest validity of a temporary key.
    pub max_ttl: Duration,
    /// Calls in any second.
    pub calls_per_second: u32,
}

/// Whether a user waits for the temporary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// A user waits; such calls go first.
    UserWaits,
    /// No user waits: the cached key is still active.
    Background,
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
