//! Exports spans to an OTLP collector.
//!
//! The OpenTelemetry SDK's batch processor does the batching, on a thread of its own. It does not report how many
//! spans it drops, so [`SpanQueue`] counts what goes in and [`CountingExporter`] what comes out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor},
};
use tokio::runtime::Handle;

use super::metrics::{LossReason, Metrics};
use crate::{
    config,
    network::{self, NoHttpClient},
};

/// Spans queued or being exported, a few megabytes at most; the SDK's own default.
pub(super) const MAX_PENDING_SPANS: usize = 2048;
/// The delay before a batch that is not full is exported.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// Spans in one request; the SDK's own default.
const MAX_BATCH_SPANS: usize = 512;
/// The time-out of one request to the collector, retries included.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// The reason why no exporter can be built.
#[derive(Debug, thiserror::Error)]
pub enum CannotExport {
    /// No HTTP client can be built.
    #[error("spans cannot be exported: {0}")]
    Client(#[from] NoHttpClient),
    /// The exporter refuses its settings.
    #[error(
        "spans cannot be exported: {0}; correct [tracing], or unset the environment variables OTEL_EXPORTER_OTLP_*"
    )]
    Exporter(#[from] ExporterBuildError),
}

/// The bounded queue of finished spans, in front of the SDK's batch processor.
#[derive(Debug)]
pub(super) struct SpanQueue {
    processor: BatchSpanProcessor,
    pending: Arc<AtomicUsize>,
    is_closed: AtomicBool,
    metrics: Arc<Metrics>,
}

impl SpanQueue {
    /// Starts the batch processor; requests to the collector run on `runtime`.
    pub(super) fn start(
        config: &config::Tracing,
        network: &config::Network,
        runtime: &Handle,
        metrics: Arc<Metrics>,
    ) -> Result<Self, CannotExport> {
        let pending = Arc::new(AtomicUsize::new(0));
        let exporter = CountingExporter {
            otlp: Arc::new(otlp_exporter(config, network)?),
            runtime: runtime.clone(),
            pending: Arc::clone(&pending),
            metrics: Arc::clone(&metrics),
            is_failing: AtomicBool::new(false),
        };
        // All is set here: the SDK reads what is missing from the environment.
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_PENDING_SPANS)
            .with_max_export_batch_size(MAX_BATCH_SPANS)
            .with_scheduled_delay(BATCH_DELAY)
            .build();
        let processor = BatchSpanProcessor::new(exporter, batches);
        Ok(Self { processor, pending, is_closed: AtomicBool::new(false), metrics })
    }

    /// Queues a finished span, or counts it as lost; never waits.
    pub(super) fn push(&self, span: SpanData) {
        if self.is_closed.load(Ordering::Acquire) {
            self.metrics.add_lost(LossReason::Stopped, 1);
        } else if self.pending.fetch_add(1, Ordering::AcqRel) >= MAX_PENDING_SPANS {
            // The bound stands before the processor's own, which therefore never drops a span uncounted.
            self.pending.fetch_sub(1, Ordering::AcqRel);
            self.metrics.add_lost(LossReason::QueueFull, 1);
        } else {
            self.processor.on_end(span);
        }
    }

    /// Exports what is queued and stops; later spans count as lost. Blocks for `timeout` at most.
    pub(super) fn close(&self, timeout: Duration) {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return;
        }
        if self.processor.shutdown_with_timeout(timeout).is_ok() {
            // A span that was pushed during the shutdown may have come too late for the last batch.
            self.metrics.add_lost(LossReason::Stopped, self.pending.swap(0, Ordering::AcqRel));
        } else {
            tracing::warn!("the collector does not take the last spans in time: they are lost");
        }
    }
}

/// Exports over OTLP, and counts the spans that the collector took or did not take.
#[derive(Debug)]
struct CountingExporter {
    otlp: Arc<OtlpExporter>,
    runtime: Handle,
    pending: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    is_failing: AtomicBool,
}

impl SpanExporter for CountingExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let otlp = Arc::clone(&self.otlp);
        // The HTTP client needs tokio, and the processor's thread is outside of it.
        let exported = self.runtime.spawn(async move { otlp.export(batch).await }).await;
        let exported = exported.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
        match &exported {
            Ok(()) => self.metrics.add_exported(spans),
            Err(_) => self.metrics.add_lost(LossReason::NotTaken, spans),
        }
        self.pending.fetch_sub(spans, Ordering::AcqRel);
        self.log_change(exported.as_ref().err());
        exported
    }
}

impl CountingExporter {
    /// Logs the first failure and the recovery: a collector may be away for days.
    fn log_change(&self, failure: Option<&OTelSdkError>) {
        match (self.is_failing.swap(failure.is_some(), Ordering::AcqRel), failure) {
            (false, Some(error)) => {
                tracing::warn!(%error, "spans cannot be exported and are lost; check tracing.otlp_endpoint");
            }
            (true, None) => tracing::info!("spans are exported again"),
            _ => {}
        }
    }
}

/// The SDK's OTLP exporter. Its own requests are not traced.
fn otlp_exporter(config: &config::Tracing, network: &config::Network) -> Result<OtlpExporter, CannotExport> {
    let http =
        network::client_builder(network)?.timeout(EXPORT_TIMEOUT).build().map_err(NoHttpClient::from)?;
    let mut exporter = OtlpExporter::builder()
        .with_http()
        .with_http_client(http)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(config.otlp_endpoint.as_str())
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let resource = Resource::builder_empty()
        .with_service_name(config.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    exporter.set_resource(&resource.build());
    Ok(exporter)
}
