//! What this room counts, and what is read of it when it is asked for.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{
    Calls, TencentSts,
    error::{Class, code},
    response::Failure,
};
use crate::metrics::{self, Histogram, MetricsWriter};

/// Calls to STS, by what came of them.
#[derive(Debug)]
pub(super) struct Metrics {
    calls: Family<Answer, Counter>,
    /// The sums of `calls`, which a `Family` does not tell.
    made: AtomicU64,
    failed: AtomicU64,
    seconds: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    outcome: &'static str,
    code: &'static str,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let metrics = Self {
            calls: Family::default(),
            made: AtomicU64::default(),
            failed: AtomicU64::default(),
            seconds: Histogram::new(&metrics::CALL_DURATION_BOUNDS),
        };
        // One of each outcome, so that its first is seen as a rise.
        for (class, code) in [
            (None, code::NONE),
            (Some(Class::Throttled), "RequestLimitExceeded"),
            (Some(Class::Transient), code::NO_ANSWER),
            (Some(Class::SourceCredentialsRejected), "AuthFailure"),
            (Some(Class::Refused), "InvalidParameter"),
        ] {
            metrics.calls.get_or_create_owned(&Answer { outcome: outcome(class), code });
        }
        metrics
    }

    pub(super) fn called(&self, failure: Option<&Failure>, took: Duration) {
        let outcome = outcome(failure.map(|failure| failure.class));
        let code = failure.map_or(code::NONE, |failure| failure.code);
        self.calls.get_or_create(&Answer { outcome, code }).inc();
        self.made.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(failure.is_some()), Ordering::Relaxed);
        self.seconds.observe(took);
    }

    pub(super) fn calls(&self) -> Calls {
        Calls { made: self.made.load(Ordering::Relaxed), failed: self.failed.load(Ordering::Relaxed) }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "cosbroker_sts_calls",
            "Calls made to STS, retries included, by what came of them and the family of the error code",
            self.calls.clone(),
        );
        registry.register(
            "cosbroker_sts_call_duration_seconds",
            "How long one call to STS took",
            self.seconds.clone(),
        );
    }
}

pub(super) fn outcome(failure: Option<Class>) -> &'static str {
    match failure {
        None => "ok",
        Some(Class::Throttled) => "throttled",
        Some(Class::Transient) => "transient",
        Some(Class::SourceCredentialsRejected) => "source_credentials_rejected",
        Some(Class::Refused) => "request_rejected",
    }
}

/// What is read of STS when it is asked for.
#[derive(Debug)]
pub(super) struct MetricsCollector(pub(super) Arc<TencentSts>);

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.0.snapshot();
        let mut sheet = MetricsWriter::new(encoder);
        sheet.gauge(
            "cosbroker_sts_quota_limit",
            "Calls to STS a second that the configuration allows",
            now.quota.limit,
        )?;
        sheet.gauge(
            "cosbroker_sts_quota_allowed",
            "Calls to STS a second at the present rate, which throttling halves",
            now.quota.allowed,
        )?;
        sheet.gauge("cosbroker_sts_quota_used", "Calls let through in the last second", now.quota.used)?;
        sheet.gauge(
            "cosbroker_sts_quota_available",
            "STS calls that may still be made in the present second",
            now.quota.available(),
        )?;
        sheet.gauge("cosbroker_sts_queue_length", "Calls that wait for the quota", now.quota.waiting)?;
        sheet.gauges(
            "cosbroker_sts_breaker",
            "1 for the state that the breaker before STS is in",
            super::BreakerState::ALL
                .map(|state| ([("state", state.name())], u32::from(state == now.breaker))),
        )?;
        sheet.info(
            "cosbroker_source_credentials",
            "Where the operator's own key comes from",
            [[("source", now.source_credentials.source)]],
        )?;
        sheet.gauges(
            "cosbroker_source_credentials_age_seconds",
            "How long ago the operator's own key was read or fetched",
            now.source_credentials
                .age
                .map(|age| ([("source", now.source_credentials.source)], age.as_secs_f64())),
        )
    }
}
