//! A grant becomes a temporary key, by Tencent's STS: signed, within the quota, retried only where that can
//! help, and left alone while it fails.
//!
//! Knows grants and the wire; nothing of caches, users or HTTP answers.

mod breaker;
mod client;
mod error;
mod metrics;
mod quota;
mod response;
mod retry;
mod source_credentials;
mod span;

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use secrecy::SecretString;

use self::{
    breaker::Breaker,
    client::Client,
    error::code,
    metrics::{Metrics, MetricsCollector},
    quota::Quota,
    response::Failure,
    retry::Budget,
    source_credentials::SourceCredentialsProvider,
};
pub use self::{
    breaker::BreakerState,
    error::{Class, StsError},
    quota::QuotaStatus,
    source_credentials::SourceCredentialsStatus,
};
use crate::{
    config,
    telemetry::{TraceContext, Tracer},
};
use runtime::{clock::Clock, entropy::Entropy};
use templates::Grant;

/// Makes keys. The broker knows no more of STS than this.
pub trait Sts: Debug + Send + Sync + 'static {
    /// A new key for a grant, on behalf of an ask that may be part of a trace.
    ///
    /// # Errors
    /// Why there is none, within the configured time.
    fn issue(
        &self,
        grant: Arc<Grant>,
        urgency: Urgency,
        trace: Option<TraceContext>,
    ) -> BoxFuture<'_, Result<TemporaryCredential, StsError>>;

    /// Whether STS is being left alone after failures.
    fn is_circuit_open(&self) -> bool;

    /// What it may be asked for.
    fn allowance(&self) -> Allowance;

    /// Which of the operator's own keys it is asked with: another number once that was rotated.
    fn source_credentials_version(&self) -> u64;
}

/// What STS may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The longest life of a key.
    pub longest_life: Duration,
    /// Calls in any second.
    pub calls_per_second: u32,
}

/// Who is waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// A user; goes first.
    UserWaits,
    /// Nobody: the key at hand still lives.
    Background,
}

/// A temporary key, as STS gave it.
#[derive(Debug)]
pub struct TemporaryCredential {
    /// `TmpSecretId`: names the key, opens nothing.
    pub secret_id: String,
    /// `TmpSecretKey`.
    pub secret_key: SecretString,
    /// `Token`.
    pub token: SecretString,
    /// When it dies, by STS's clock.
    pub expires: Timestamp,
    /// STS's name for the call.
    pub request_id: String,
}

/// Calls made since the start, retries included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// All of them.
    pub made: u64,
    /// Those that brought no key.
    pub failed: u64,
}

/// How things stand between this process and STS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// The calls that may be made.
    pub quota: QuotaStatus,
    /// Whether STS is left alone.
    pub breaker: BreakerState,
    /// With which key it is called.
    pub source_credentials: SourceCredentialsStatus,
}

/// How long STS is left alone after it refused the operator's keys.
const SOURCE_CREDENTIALS_COOLDOWN: Duration = Duration::from_secs(1);
/// The least time worth giving one attempt.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(250);

/// Tencent's STS.
#[derive(Debug)]
pub struct TencentSts {
    client: Client,
    source_credentials: SourceCredentialsProvider,
    timeout: Duration,
    allowance: Allowance,
    quota: Quota,
    breaker: Breaker,
    retries: Budget,
    /// Until when the operator's keys stand refused, and why.
    refused: Mutex<Option<(Duration, StsError)>>,
    metrics: Metrics,
    tracer: Tracer,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl TencentSts {
    /// STS as the configuration has it.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(
        config: config::Sts,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, reqwest::Error> {
        let config = config.into_parts();
        let source_credentials =
            SourceCredentialsProvider::new(config.source_credentials, &config.endpoint, Arc::clone(&clock))?;
        let allowance = Allowance {
            longest_life: config.action.max_lifetime(),
            calls_per_second: config.calls_per_second.get(),
        };
        Ok(Self {
            client: Client::new(config.endpoint, config.region, config.action)?,
            source_credentials,
            timeout: config.timeout,
            allowance,
            quota: Quota::new(config.calls_per_second, Arc::clone(&clock)),
            breaker: Breaker::default(),
            retries: Budget::default(),
            refused: Mutex::new(None),
            metrics: Metrics::new(),
            tracer: Tracer::off(),
            clock,
            entropy,
        })
    }

    /// The same, with spans for its calls.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// How things stand.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            quota: self.quota.status(),
            breaker: self.breaker.seen(self.clock.monotonic()),
            source_credentials: self.source_credentials.status(),
        }
    }

    /// The calls made so far.
    pub fn calls(&self) -> Calls {
        self.metrics.calls()
    }

    /// Looks whether the operator's own key was rotated. Reads files: not for a thread that serves.
    pub fn reload_source_credentials(&self) {
        self.source_credentials.look();
    }

    /// Adds this room's figures to a registry.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        self.metrics.register(registry);
        registry.register_collector(Box::new(MetricsCollector(Arc::clone(self))));
    }

    async fn attempts(
        &self,
        grant: &Grant,
        urgency: Urgency,
        trace: Option<TraceContext>,
    ) -> Result<TemporaryCredential, StsError> {
        let deadline = self.clock.monotonic() + self.timeout;
        let mut made = 0;
        loop {
            self.is_worth_a_call()?;
            self.quota.acquire(urgency, deadline).await?;
            // Last, for leave may be for the one probe, and only a call gives that back.
            self.breaker
                .admit(self.clock.monotonic())
                .map_err(|rest| StsError::CircuitOpen { retry_after: rest })?;
            let failure = match self.attempt(grant, deadline, trace, made).await {
                Ok(key) => return Ok(key),
                Err(failure) => failure,
            };
            made += 1;
            let pause = retry::pause(failure.class, made).map(|most| self.entropy.up_to(most));
            let in_time = pause.filter(|pause| {
                self.clock.monotonic() + *pause + SHORTEST_ATTEMPT < deadline && self.retries.spend()
            });
            match in_time {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(self.given_up(failure, grant)),
            }
        }
    }

    /// One call, with all that is left of the time: a slow STS is better than none, and a lost connection
    /// shows sooner, at the client's time-out for connecting.
    async fn attempt(
        &self,
        grant: &Grant,
        deadline: Duration,
        trace: Option<TraceContext>,
        made: u32,
    ) -> Result<TemporaryCredential, Failure> {
        let call = trace.map(|trace| self.tracer.call(trace, self.entropy.bytes(), self.client.action()));
        let (place, span) = call.unzip();
        let started = self.clock.monotonic();
        let left = deadline.saturating_sub(started);
        let late = || Failure {
            class: Class::Transient,
            code: code::NO_ANSWER,
            detail: "no answer in time".to_owned(),
        };
        let call = async {
            let own = self.source_credentials.current().await?;
            self.client.call(grant, &own, place, self.clock.now()).await
        };
        let outcome = tokio::time::timeout(left, call).await.unwrap_or_else(|_| Err(late()));
        if let Some(span) = span.flatten() {
            span::end(*span, self.client.host(), grant, made, &outcome);
        }
        let now = self.clock.monotonic();
        self.metrics.called(outcome.as_ref().err(), now.saturating_sub(started));
        match outcome.as_ref().map_err(|failure| failure.class) {
            Ok(_) => {
                self.breaker.succeeded();
                self.retries.refill();
            }
            Err(Class::Transient) => self.breaker.failed(now, self.entropy.unit()),
            Err(Class::Throttled) => {
                self.breaker.succeeded();
                self.quota.slow_down();
            }
            Err(Class::SourceCredentialsRejected | Class::Refused) => self.breaker.succeeded(),
        }
        outcome
    }

    /// Whether there is any use in waiting for the quota.
    fn is_worth_a_call(&self) -> Result<(), StsError> {
        let now = self.clock.monotonic();
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, error)) = refused.as_ref().filter(|(until, _)| now < *until) {
            return Err(error.clone());
        }
        self.breaker.rest(now).map_or(Ok(()), |retry_after| Err(StsError::CircuitOpen { retry_after }))
    }

    fn given_up(&self, failure: Failure, grant: &Grant) -> StsError {
        let Failure { class, detail, .. } = failure;
        match class {
            Class::Throttled => StsError::Throttled { detail },
            Class::Transient => StsError::Unavailable { detail },
            Class::Refused => StsError::Refused { template: grant.template_name().to_owned(), detail },
            Class::SourceCredentialsRejected => {
                let error = StsError::SourceCredentialsRejected { detail };
                let until = self.clock.monotonic() + SOURCE_CREDENTIALS_COOLDOWN;
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some((until, error.clone()));
                error
            }
        }
    }
}

impl Sts for TencentSts {
    fn issue(
        &self,
        grant: Arc<Grant>,
        urgency: Urgency,
        trace: Option<TraceContext>,
    ) -> BoxFuture<'_, Result<TemporaryCredential, StsError>> {
        Box::pin(async move {
            let outcome = self.attempts(&grant, urgency, trace).await;
            let trace_id = trace.map(|trace| tracing::field::display(trace.trace_id()));
            match &outcome {
                Ok(key) => {
                    tracing::info!(trace_id, grantId = %grant.id(), template = grant.template_name(), sts_request_id = key.request_id, "key issued");
                }
                // The operator must act on these two; the rest passes by itself.
                Err(error) if error.is_final() => {
                    tracing::error!(trace_id, grantId = %grant.id(), template = grant.template_name(), %error, "no key");
                }
                Err(error) => {
                    tracing::warn!(trace_id, grantId = %grant.id(), template = grant.template_name(), %error, "no key");
                }
            }
            outcome
        })
    }

    fn is_circuit_open(&self) -> bool {
        self.breaker.rest(self.clock.monotonic()).is_some()
    }

    fn allowance(&self) -> Allowance {
        self.allowance
    }

    fn source_credentials_version(&self) -> u64 {
        self.source_credentials.number()
    }
}
