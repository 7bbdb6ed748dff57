//! Spans on their way to an OTLP collector: by a task that nobody waits for.

use std::{mem, sync::Arc, time::Duration};

use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter as Otlp, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter},
};
use tokio::{
    sync::{mpsc::Receiver, watch},
    time::timeout,
};

use super::metrics::{Loss, Metrics};
use crate::config;

/// Spans gather for so long, so that they travel together.
const GATHER: Duration = Duration::from_secs(1);
/// Spans in one request; the SDK's own default.
const BATCH: usize = 512;
/// How long a collector may take for one request, attempts included.
const SLOWEST_EXPORT: Duration = Duration::from_secs(5);

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum CannotExport {
    /// No HTTP client can be made.
    #[error("the HTTP client for [tracing] cannot be made: {0}; check this machine's certificate store")]
    Client(#[from] reqwest::Error),
    /// The exporter's own settings.
    #[error(
        "spans cannot be exported: {0}; mend [tracing], or unset the variables OTEL_EXPORTER_OTLP_* that this process was given"
    )]
    Exporter(#[from] ExporterBuildError),
}

/// The way to the collector. Its requests are no part of any trace.
pub(super) fn exporter(config: &config::Tracing) -> Result<Otlp, CannotExport> {
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(SLOWEST_EXPORT)
        .build()?;
    let mut exporter = Otlp::builder()
        .with_http()
        .with_http_client(http)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(config.otlp_endpoint.as_str())
        .with_timeout(SLOWEST_EXPORT)
        .build()?;
    let resource = Resource::builder_empty()
        .with_service_name(config.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    exporter.set_resource(&resource.build());
    Ok(exporter)
}

/// Sends what comes, until told to stop; then what waits, and ends.
pub(super) async fn run(
    exporter: Otlp,
    mut queue: Receiver<SpanData>,
    mut stop: watch::Receiver<bool>,
    metrics: Arc<Metrics>,
) {
    let (mut stopping, mut failing) = (false, false);
    while !stopping {
        stopping = timeout(GATHER, stop.wait_for(|stop| *stop)).await.is_ok();
        if stopping {
            queue.close();
        }
        while !queue.is_empty() {
            let mut batch = Vec::new();
            let spans = queue.recv_many(&mut batch, BATCH).await;
            let sent = exporter.export(batch).await;
            match &sent {
                Ok(()) => metrics.exported(spans),
                Err(_) => metrics.lost(Loss::NotTaken, spans),
            }
            // Once when it begins and once when it is over: a collector may be away for days.
            match (mem::replace(&mut failing, sent.is_err()), sent) {
                (false, Err(error)) => {
                    tracing::warn!(%error, "spans cannot be exported and are lost; check tracing.otlp_endpoint");
                }
                (true, Ok(())) => tracing::info!("spans are exported again"),
                _ => {}
            }
        }
    }
}
