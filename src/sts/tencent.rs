//! Tencent's STS: quota, circuit breaker and retries around single calls.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use prometheus_client::registry::Registry;

use super::{
    Allowance, Calls, Snapshot, Sts, StsError, TemporaryCredential, Urgency,
    breaker::Breaker,
    call::Caller,
    failure::Failure,
    metrics::{Metrics, MetricsCollector},
    quota::Quota,
    retry::{self, RetryBudget},
    source_credentials::SourceCredentialsProvider,
    span,
};
use crate::{
    config,
    telemetry::{TraceContext, Tracer},
};
use runtime::{clock::Clock, entropy::Entropy};
use templates::Grant;
use tencent_sts::{ErrorClass, InvalidConfig};

/// How long no call is made after STS rejected the source credentials.
const REJECTED_CREDENTIALS_COOLDOWN: Duration = Duration::from_secs(1);
/// An attempt with less time left is not made.
const MIN_ATTEMPT_TIME: Duration = Duration::from_millis(250);

/// Issues temporary keys by calls to Tencent's STS.
#[derive(Debug)]
pub struct TencentSts {
    caller: Caller,
    source_credentials: SourceCredentialsProvider,
    timeout: Duration,
    allowance: Allowance,
    quota: Quota,
    breaker: Breaker,
    retries: RetryBudget,
    rejection: Mutex<Option<CredentialsRejection>>,
    metrics: Metrics,
    tracer: Tracer,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// The last rejection of the source credentials. It answers for STS until a monotonic time.
#[derive(Debug)]
struct CredentialsRejection {
    until: Duration,
    error: StsError,
}

/// What belongs to all attempts for one temporary key.
struct Attempts<'a> {
    grant: &'a Grant,
    trace: Option<TraceContext>,
    deadline: Duration,
    made: u32,
}

/// An error with the id that STS gave the last call, for the log.
struct Unissued {
    error: StsError,
    sts_request_id: Option<String>,
}

impl From<StsError> for Unissued {
    fn from(error: StsError) -> Self {
        Self { error, sts_request_id: None }
    }
}

impl TencentSts {
    /// Makes a client of STS as the configuration says.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(
        config: config::Sts,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, InvalidConfig> {
        let config = config.into_parts();
        let allowance = Allowance {
            max_ttl: config.action.max_lifetime(),
            calls_per_second: config.calls_per_second.get(),
        };
        Ok(Self {
            source_credentials: SourceCredentialsProvider::new(
                config.source_credentials,
                &config.endpoint,
                Arc::clone(&clock),
            )?,
            caller: Caller::new(&config.endpoint, config.region, config.timeout, config.action)?,
            timeout: config.timeout,
            allowance,
            quota: Quota::new(config.calls_per_second, Arc::clone(&clock)),
            breaker: Breaker::default(),
            retries: RetryBudget::default(),
            rejection: Mutex::new(None),
            metrics: Metrics::new(),
            tracer: Tracer::off(),
            clock,
            entropy,
        })
    }

    /// Returns the same client with spans for its calls.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// The state at this moment.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            quota: self.quota.status(),
            breaker: self.breaker.status(self.clock.monotonic()),
            source_credentials: self.source_credentials.status(),
        }
    }

    /// The calls made so far.
    pub fn calls(&self) -> Calls {
        self.metrics.calls()
    }

    /// Takes rotated source credentials from their files. Blocks on files: not for a thread that serves.
    pub fn reload_source_credentials(&self) {
        self.source_credentials.reload_if_changed();
    }

    /// Adds the metrics of STS to a registry.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        self.metrics.register(registry);
        registry.register_collector(Box::new(MetricsCollector(Arc::clone(self))));
    }

    async fn issue_with_retries(
        &self,
        grant: &Grant,
        urgency: Urgency,
        trace: Option<TraceContext>,
    ) -> Result<TemporaryCredential, Unissued> {
        let deadline = self.clock.monotonic() + self.timeout;
        let mut attempts = Attempts { grant, trace, deadline, made: 0 };
        loop {
            self.check_callable()?;
            self.quota.acquire(urgency, deadline).await?;
            // Last, because an admitted probe must be made: only its result closes the circuit or opens it again.
            self.breaker
                .admit(self.clock.monotonic())
                .map_err(|retry_after| StsError::CircuitOpen { retry_after })?;
            let failure = match self.attempt(&attempts).await {
                Ok(credential) => return Ok(credential),
                Err(failure) => failure,
            };
            attempts.made += 1;
            match self.pause_before_retry(&failure, &attempts) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(self.give_up(failure, grant)),
            }
        }
    }

    /// The pause before another attempt. `None` if it cannot help, is too late or exceeds the budget.
    fn pause_before_retry(&self, failure: &Failure, attempts: &Attempts<'_>) -> Option<Duration> {
        let pause = self.entropy.jitter(retry::max_pause(failure.class, attempts.made)?);
        let is_in_time = self.clock.monotonic() + pause + MIN_ATTEMPT_TIME < attempts.deadline;
        (is_in_time && self.retries.spend()).then_some(pause)
    }

    /// Makes one call with all the time that is left. A lost connection shows sooner, at the client's time-out for
    /// connections.
    async fn attempt(&self, attempts: &Attempts<'_>) -> Result<TemporaryCredential, Failure> {
        let Attempts { grant, trace, deadline, made } = *attempts;
        let (context, span) = trace
            .map(|trace| self.tracer.start_call(trace, self.entropy.bytes(), self.caller.action()))
            .unzip();
        let started = self.clock.monotonic();
        let outcome = tokio::time::timeout(deadline.saturating_sub(started), self.call(grant, context))
            .await
            .unwrap_or_else(|_| Err(Failure::no_answer_in_time()));
        if let Some(span) = span.flatten() {
            span::end(*span, self.caller.host(), grant, made, &outcome);
        }
        let now = self.clock.monotonic();
        self.metrics.record_call(outcome.as_ref().err(), now.saturating_sub(started));
        self.observe(outcome.as_ref().err().map(|failure| failure.class), now);
        outcome
    }

    async fn call(
        &self,
        grant: &Grant,
        context: Option<TraceContext>,
    ) -> Result<TemporaryCredential, Failure> {
        let source_credentials = self.source_credentials.current().await?;
        self.caller.call(grant, &source_credentials, context, self.clock.now()).await
    }

    /// Tells the breaker, the quota and the retry budget how a call ended.
    fn observe(&self, failure: Option<ErrorClass>, now: Duration) {
        match failure {
            None => {
                self.breaker.record_success();
                self.retries.refill();
            }
            Some(ErrorClass::Transient) => self.breaker.record_failure(now, self.entropy.unit()),
            Some(ErrorClass::Throttled) => {
                self.breaker.record_success();
                self.quota.slow_down();
            }
            Some(ErrorClass::SourceCredentialsRejected | ErrorClass::RequestRejected) => {
                self.breaker.record_success();
            }
        }
    }

    /// Refuses before the quota is waited for in vain.
    fn check_callable(&self) -> Result<(), StsError> {
        let now = self.clock.monotonic();
        let rejection = self.rejection.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rejection) = rejection.as_ref().filter(|rejection| now < rejection.until) {
            return Err(rejection.error.clone());
        }
        self.breaker
            .cooldown_remaining(now)
            .map_or(Ok(()), |retry_after| Err(StsError::CircuitOpen { retry_after }))
    }

    fn give_up(&self, failure: Failure, grant: &Grant) -> Unissued {
        let Failure { class, detail, request_id: sts_request_id, .. } = failure;
        let error = match class {
            ErrorClass::Throttled => StsError::Throttled { detail },
            ErrorClass::Transient => StsError::Unavailable { detail },
            ErrorClass::RequestRejected => {
                StsError::RequestRejected { template: grant.template_name().to_owned(), detail }
            }
            ErrorClass::SourceCredentialsRejected => StsError::SourceCredentialsRejected { detail },
        };
        if class == ErrorClass::SourceCredentialsRejected {
            let until = self.clock.monotonic() + REJECTED_CREDENTIALS_COOLDOWN;
            let rejection = CredentialsRejection { until, error: error.clone() };
            *self.rejection.lock().unwrap_or_else(PoisonError::into_inner) = Some(rejection);
        }
        Unissued { error, sts_request_id }
    }
}

/// Writes the one log line of an issue, with the same fields whether it succeeded or failed.
macro_rules! log_issue {
    ($level:ident, $grant:expr, $trace:expr, $sts_request_id:expr, $($message:tt)+) => {
        tracing::$level!(
            grant_id = %$grant.id(),
            template = $grant.template_name(),
            trace_id = $trace.map(|trace| tracing::field::display(trace.trace_id())),
            sts_request_id = $sts_request_id,
            $($message)+
        )
    };
}

impl Sts for TencentSts {
    fn issue(
        &self,
        grant: Arc<Grant>,
        urgency: Urgency,
        trace: Option<TraceContext>,
    ) -> BoxFuture<'_, Result<TemporaryCredential, StsError>> {
        Box::pin(async move {
            match self.issue_with_retries(&grant, urgency, trace).await {
                Ok(credential) => {
                    log_issue!(
                        info,
                        grant,
                        trace,
                        Some(credential.request_id.as_str()),
                        "temporary key issued"
                    );
                    Ok(credential)
                }
                Err(Unissued { error, sts_request_id }) => {
                    // The operator must act on a final error; the others pass by themselves.
                    if error.is_final() {
                        log_issue!(error, grant, trace, sts_request_id, %error, "no temporary key issued");
                    } else {
                        log_issue!(warn, grant, trace, sts_request_id, %error, "no temporary key issued");
                    }
                    Err(error)
                }
            }
        })
    }

    fn is_circuit_open(&self) -> bool {
        self.breaker.cooldown_remaining(self.clock.monotonic()).is_some()
    }

    fn allowance(&self) -> Allowance {
        self.allowance
    }

    fn source_credentials_version(&self) -> u64 {
        self.source_credentials.version()
    }
}
