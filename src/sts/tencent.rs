//! Tencent's STS: turns, retries and the circuit breaker around single calls.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use prometheus_client::registry::Registry;
use tokio::time::sleep;
use url::Url;

use super::{
    Allowance, BreakerState, Calls, IssueRequest, Snapshot, Sts, StsError, TemporaryCredential,
    call::{CallSts, Caller},
    endpoints::{NoStsClient, Transport},
    failure::Failure,
    metrics::{Metrics, MetricsCollector},
    queue::Place,
    retry,
    scheduler::Scheduler,
    source_credentials::SourceCredentialsProvider,
    span,
};
use crate::{
    config,
    replicas::SharedQuota,
    telemetry::{TraceContext, Tracer},
};
use runtime::{clock::Clock, entropy::Entropy};
use templates::{Grant, fingerprint::Fingerprint};
use tencent_sts::{Error, ErrorClass, UnreadableResponse};

/// How long no call is made after STS rejected the source credentials.
const REJECTED_CREDENTIALS_COOLDOWN: Duration = Duration::from_secs(1);
/// An attempt with less than this part of `sts.timeout` left is not made.
const MIN_ATTEMPT_SHARE: u32 = 20;

/// A lost connection is tried again within `sts.timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How often it is looked at whether a call is lost.
const LOST_CALL_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Issues temporary keys by calls to Tencent's STS.
#[derive(Debug)]
pub struct TencentSts {
    caller: Box<dyn CallSts>,
    source_credentials: SourceCredentialsProvider,
    /// What temporary keys depend on, beside the source credentials.
    settings: Fingerprint,
    timeout: Duration,
    allowance: Allowance,
    scheduler: Scheduler,
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
#[derive(Debug, Clone, Copy)]
struct Attempts<'a> {
    request: &'a IssueRequest,
    /// Where the first attempt waited.
    place: Place,
    /// On the monotonic clock.
    deadline: Duration,
}

/// When an attempt is made.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// Now; its turn has come.
    Now,
    /// After a pause, at its turn.
    Retry { pause: Duration, in_place: bool },
}

/// Why an attempt brought no temporary key.
#[derive(Debug)]
enum AttemptError {
    /// STS answered with an error, or not at all.
    Failed(Failure),
    /// Its time ended too early to say anything about STS.
    Abandoned,
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
        network: &config::Network,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, NoStsClient> {
        let config = config.into_parts();
        let urls = config.endpoints.as_slice();
        let source_credentials =
            SourceCredentialsProvider::new(config.source_credentials, urls, network, Arc::clone(&clock))?;
        let action = format!("{:?}", config.action);
        let endpoints = urls.iter().map(Url::as_str).collect::<Vec<_>>().join(" ");
        let limits = Limits {
            settings: Fingerprint::of(&[action.as_str(), &config.region, &endpoints]),
            max_ttl: config.action.max_lifetime(),
            calls_per_second: config.calls_per_second,
            timeout: config.timeout,
        };
        let transport = Transport {
            urls,
            region: &config.region,
            connect_timeout: CONNECT_TIMEOUT,
            timeout: config.timeout,
            network,
        };
        let caller = Caller::new(transport, config.action, Arc::clone(&clock))?;
        Ok(Self::with_caller(Box::new(caller), source_credentials, limits, clock, entropy))
    }

    /// Makes a client of STS that makes its calls by `caller`.
    pub(super) fn with_caller(
        caller: Box<dyn CallSts>,
        source_credentials: SourceCredentialsProvider,
        limits: Limits,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let Limits { settings, max_ttl, calls_per_second, timeout } = limits;
        Self {
            caller,
            source_credentials,
            settings,
            timeout,
            allowance: Allowance { max_ttl, calls_per_second: calls_per_second.get() },
            scheduler: Scheduler::new(calls_per_second, timeout, Arc::clone(&clock)),
            rejection: Mutex::new(None),
            metrics: Metrics::new(),
            tracer: Tracer::off(),
            clock,
            entropy,
        }
    }

    /// Returns the same client with spans for its calls.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Returns the same client, which makes only the calls that all replicas together may make.
    #[must_use]
    pub fn sharing(mut self, quota: Arc<SharedQuota>) -> Self {
        self.scheduler.share(quota);
        self
    }

    /// The state at this moment.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            quota: self.scheduler.quota(),
            breaker: self.scheduler.breaker(),
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

    /// Takes other source credentials, as after a rotation.
    #[cfg(test)]
    pub(crate) fn rotate_source_credentials(&self, credentials: tencent_sts::SourceCredentials) {
        self.source_credentials.rotate(credentials);
    }

    /// Adds the metrics of STS to a registry.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        self.metrics.register(registry);
        registry.register_collector(Box::new(MetricsCollector(Arc::clone(self))));
    }

    async fn issue_with_retries(&self, request: &IssueRequest) -> Result<TemporaryCredential, Unissued> {
        self.check_not_rejected()?;
        if self.scheduler.breaker() != BreakerState::Closed {
            request.delayed.cancel();
        }
        let caller = request.grant.fingerprint();
        let place = self.scheduler.acquire(caller, request.priority).await?;
        // The wait for the turn does not shorten the time of the call: a call that is made can be answered.
        let deadline = self.clock.monotonic() + self.timeout;
        let attempts = Attempts { request, place, deadline };
        self.attempt_until_success(attempts).await.map_err(|failure| self.give_up(failure, request, caller))
    }

    /// Makes attempts until one succeeds or cannot be repeated. A failed attempt is followed by another; beside one
    /// that is probably lost, a second is made.
    async fn attempt_until_success(&self, attempts: Attempts<'_>) -> Result<TemporaryCredential, Failure> {
        let mut running = FuturesUnordered::new();
        running.push(self.attempt(attempts, 0, Start::Now));
        let (mut made, mut failures) = (1, 0);
        let mut last_failure = None;
        loop {
            let last_started = self.clock.monotonic();
            tokio::select! {
                biased;
                ended = running.next() => match ended {
                    None => return Err(last_failure.unwrap_or_else(Failure::no_answer_in_time)),
                    Some(Ok(credential)) => return Ok(credential),
                    Some(Err(AttemptError::Abandoned)) => {}
                    Some(Err(AttemptError::Failed(failure))) => {
                        attempts.request.delayed.cancel();
                        if !retry::may_pass(failure.class) {
                            return Err(failure);
                        }
                        failures += 1;
                        last_failure = Some(failure);
                        while made < retry::MAX_ATTEMPTS && running.len() < retry::max_parallel(failures) {
                            running.push(self.attempt(attempts, made, self.retry(made, failures)));
                            made += 1;
                        }
                    }
                },
                () = self.second_turn(last_started), if made < retry::MAX_ATTEMPTS => {
                    running.push(self.attempt(attempts, made, Start::Now));
                    made += 1;
                }
            }
        }
    }

    /// Waits until a call that started then is probably lost, and takes a turn for another beside it.
    async fn second_turn(&self, first_started: Duration) {
        loop {
            sleep(LOST_CALL_CHECK_INTERVAL).await;
            if self.scheduler.try_acquire_second(first_started) {
                return;
            }
        }
    }

    fn retry(&self, made: u32, failures: u32) -> Start {
        let pause = self.entropy.jitter(retry::max_pause(failures));
        Start::Retry { pause, in_place: retry::keeps_place(made) }
    }

    /// Makes one call, at its turn, with all the time that is left. A lost connection shows sooner, at the client's
    /// time-out for connections.
    async fn attempt(
        &self,
        attempts: Attempts<'_>,
        number: u32,
        start: Start,
    ) -> Result<TemporaryCredential, AttemptError> {
        let Attempts { request, place, deadline } = attempts;
        if let Start::Retry { pause, in_place } = start {
            sleep(pause).await;
            let place = place.of_attempt(number);
            let place = if in_place { place } else { place.behind_others() };
            let latest = deadline.saturating_sub(self.timeout / MIN_ATTEMPT_SHARE);
            if !self.scheduler.acquire_retry(place, latest).await {
                return Err(AttemptError::Abandoned);
            }
        }
        let (context, span) = request
            .trace
            .map(|trace| self.tracer.start_call(trace, self.entropy.bytes(), self.caller.action()))
            .unzip();
        let started = self.clock.monotonic();
        let unfinished = self.metrics.start_call();
        let answered =
            tokio::time::timeout(deadline.saturating_sub(started), self.call(&request.grant, context)).await;
        let took = self.clock.monotonic().saturating_sub(started);
        let outcome = match answered {
            Ok(outcome) => outcome,
            // Cut off by us, and not long enough after its start to be STS's failure.
            Err(_) if took < self.timeout / 2 => return Err(AttemptError::Abandoned),
            Err(_) => Err(Failure::no_answer_in_time()),
        };
        if let Some(span) = span.flatten() {
            span::end(*span, self.caller.host(), &request.grant, number, &outcome);
        }
        unfinished.finish(outcome.as_ref().err(), took);
        self.observe(outcome.as_ref().err().map(|failure| failure.class), started);
        outcome.map_err(AttemptError::Failed)
    }

    async fn call(
        &self,
        grant: &Grant,
        context: Option<TraceContext>,
    ) -> Result<TemporaryCredential, Failure> {
        let source_credentials = self.source_credentials.current().await?;
        let credential = self.caller.call(grant, &source_credentials, context, self.clock.now()).await?;
        // The call knows the time at which it began.
        if credential.expires_at <= self.clock.now() {
            let expired = UnreadableResponse::Expired { request_id: credential.request_id };
            return Err(Error::from(expired).into());
        }
        Ok(credential)
    }

    /// Tells the scheduler how a call ended.
    fn observe(&self, failure: Option<ErrorClass>, started: Duration) {
        match failure {
            None => self.scheduler.record_success(started),
            Some(ErrorClass::Transient) => self.scheduler.record_failure(self.entropy.unit()),
            Some(ErrorClass::Throttled) => self.scheduler.record_throttled(started),
            Some(ErrorClass::SourceCredentialsRejected | ErrorClass::RequestRejected) => {
                self.scheduler.record_answer(started);
            }
        }
    }

    /// Refuses before a turn is waited for in vain.
    fn check_not_rejected(&self) -> Result<(), StsError> {
        let now = self.clock.monotonic();
        let rejection = self.rejection.lock().unwrap_or_else(PoisonError::into_inner);
        match rejection.as_ref().filter(|rejection| now < rejection.until) {
            Some(rejection) => Err(rejection.error.clone()),
            None => Ok(()),
        }
    }

    fn give_up(&self, failure: Failure, request: &IssueRequest, caller: Fingerprint) -> Unissued {
        let Failure { class, detail, request_id: sts_request_id, .. } = failure;
        let error = match class {
            ErrorClass::Throttled => {
                let retry_after = self.scheduler.retry_after(caller, request.priority);
                StsError::Throttled { detail, retry_after }
            }
            ErrorClass::Transient => {
                let retry_after = self.scheduler.retry_after(caller, request.priority);
                let detail = format!("{}: {detail}", self.caller.host());
                StsError::Unavailable { detail, retry_after }
            }
            ErrorClass::RequestRejected => {
                StsError::RequestRejected { template: request.grant.template_name().to_owned(), detail }
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

/// The settings and limits of a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// What temporary keys depend on, beside the source credentials.
    pub(super) settings: Fingerprint,
    pub(super) max_ttl: Duration,
    pub(super) calls_per_second: NonZeroU32,
    /// For all attempts for one key, from the turn of the first.
    pub(super) timeout: Duration,
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
    fn issue(&self, request: IssueRequest) -> BoxFuture<'_, Result<TemporaryCredential, StsError>> {
        Box::pin(async move {
            let issued = self.issue_with_retries(&request).await;
            let IssueRequest { grant, trace, .. } = request;
            match issued {
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
        self.scheduler.breaker() == BreakerState::Open
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn allowance(&self) -> Allowance {
        self.allowance
    }

    fn binding(&self) -> Fingerprint {
        Fingerprint::of(&[*self.settings.as_bytes(), *self.source_credentials.fingerprint().as_bytes()])
    }

    fn source_credentials_version(&self) -> u64 {
        self.source_credentials.version()
    }
}
