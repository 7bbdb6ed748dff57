//! The metrics of STS calls.

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
    failure::{Failure, code},
};
use crate::metrics::{self, Histogram, MetricsWriter};
use tencent_sts::ErrorClass;

/// Counters of the calls to STS.
#[derive(Debug)]
pub(super) struct Metrics {
    calls: Family<CallLabels, Counter>,
    /// The sums of `calls`, which a `Family` does not give.
    made: AtomicU64,
    failed: AtomicU64,
    seconds: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
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
        // One of each outcome, so that its first occurrence shows as an increase.
        for (class, code) in [
            (None, code::NONE),
            (Some(ErrorClass::Throttled), "RequestLimitExceeded"),
            (Some(ErrorClass::Transient), code::NO_ANSWER),
            (Some(ErrorClass::SourceCredentialsRejected), "AuthFailure"),
            (Some(ErrorClass::RequestRejected), "InvalidParameter"),
        ] {
            metrics.calls.get_or_create_owned(&CallLabels { outcome: outcome(class), code });
        }
        metrics.calls.get_or_create_owned(&CallLabels { outcome: ABANDONED, code: code::NONE });
        metrics
    }

    /// Counts a call, when the returned value is finished or dropped.
    pub(super) fn start_call(&self) -> UnfinishedCall<'_> {
        UnfinishedCall { metrics: self, labels: CallLabels { outcome: ABANDONED, code: code::NONE } }
    }

    pub(super) fn calls(&self) -> Calls {
        Calls { made: self.made.load(Ordering::Relaxed), failed: self.failed.load(Ordering::Relaxed) }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "cosbroker_sts_calls",
            "Calls made to STS, retries included, by outcome and family of the error code",
            self.calls.clone(),
        );
        registry.register(
            "cosbroker_sts_call_duration_seconds",
            "Duration of one call to STS",
            self.seconds.clone(),
        );
    }
}

/// The label `outcome` of a call that was given up while another brought the key.
const ABANDONED: &str = "abandoned";

/// A call that is being made. Dropped before it is finished, it counts as abandoned.
pub(super) struct UnfinishedCall<'a> {
    metrics: &'a Metrics,
    labels: CallLabels,
}

impl UnfinishedCall<'_> {
    /// Records how the call ended.
    pub(super) fn finish(mut self, failure: Option<&Failure>, duration: Duration) {
        self.labels = CallLabels {
            outcome: outcome(failure.map(|failure| failure.class)),
            code: failure.map_or(code::NONE, |failure| failure.code),
        };
        self.metrics.failed.fetch_add(u64::from(failure.is_some()), Ordering::Relaxed);
        self.metrics.seconds.observe(duration);
    }
}

impl Drop for UnfinishedCall<'_> {
    fn drop(&mut self) {
        self.metrics.calls.get_or_create(&self.labels).inc();
        self.metrics.made.fetch_add(1, Ordering::Relaxed);
    }
}

/// The label `outcome` of a call.
pub(super) fn outcome(failure: Option<ErrorClass>) -> &'static str {
    match failure {
        None => "ok",
        Some(ErrorClass::Throttled) => "throttled",
        Some(ErrorClass::Transient) => "transient",
        Some(ErrorClass::SourceCredentialsRejected) => "source_credentials_rejected",
        Some(ErrorClass::RequestRejected) => "request_rejected",
    }
}

/// Reads the state of STS at each scrape.
#[derive(Debug)]
pub(super) struct MetricsCollector(pub(super) Arc<TencentSts>);

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.0.snapshot();
        let mut writer = MetricsWriter::new(encoder);
        writer.gauge(
            "cosbroker_sts_quota_limit",
            "Calls to STS a second that the configuration allows",
            now.quota.limit,
        )?;
        writer.gauge(
            "cosbroker_sts_quota_allowed",
            "Calls to STS a second at the present rate, which throttling halves",
            now.quota.allowed,
        )?;
        writer.gauge("cosbroker_sts_quota_used", "Calls admitted in the last second", now.quota.used)?;
        writer.gauge(
            "cosbroker_sts_quota_available",
            "Calls to STS that may still be made in the present second",
            now.quota.available(),
        )?;
        writer.gauge("cosbroker_sts_queue_length", "Calls that wait for the quota", now.quota.waiting)?;
        writer.gauges(
            "cosbroker_sts_breaker",
            "1 for the present state of the circuit breaker of STS",
            super::BreakerState::ALL
                .map(|state| ([("state", state.name())], u32::from(state == now.breaker))),
        )?;
        writer.info(
            "cosbroker_source_credentials",
            "Where the source credentials come from",
            [[("source", now.source_credentials.source)]],
        )?;
        writer.gauges(
            "cosbroker_source_credentials_age_seconds",
            "Time since the source credentials were read or fetched",
            now.source_credentials
                .age
                .map(|age| ([("source", now.source_credentials.source)], age.as_secs_f64())),
        )
    }
}
