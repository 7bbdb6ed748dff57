//! The log of the process, and distributed tracing: which trace a request belongs to, and the spans of sampled requests.
//!
//! Knows ids, times and a collector; nothing of HTTP, credentials or users. Callers give a span only names from
//! closed sets, numbers and random ids: no user, token, credential or policy.

mod context;
mod export;
mod log;
mod metrics;

use std::{
    borrow::Cow,
    mem,
    sync::Arc,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{SpanId, SpanKind, Status},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

pub use self::{
    context::TraceContext,
    export::CannotExport,
    log::{LOG_FLUSH_TIMEOUT, Log},
};
use self::{export::SpanQueue, metrics::Metrics};
use crate::config;
use runtime::{clock::Clock, entropy::Entropy};

/// The time that stopping waits for the collector.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Decides which requests are sampled, and makes their spans.
#[derive(Debug, Clone, Default)]
pub struct Tracer {
    metrics: Arc<Metrics>,
    exporting: Option<Arc<Exporting>>,
}

/// The state of a tracer with a configured collector.
#[derive(Debug)]
struct Exporting {
    /// A new trace is sampled if 32 of its random bits are below this.
    sampled_below: f64,
    queue: SpanQueue,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A span of a sampled trace. It ends, and is queued for export, when it is dropped.
#[derive(Debug)]
pub struct Span {
    context: TraceContext,
    parent: SpanId,
    kind: SpanKind,
    name: Cow<'static, str>,
    attributes: Vec<KeyValue>,
    status: Status,
    start_time: SystemTime,
    started: Duration,
    exporting: Arc<Exporting>,
}

impl Tracer {
    /// Returns a tracer that continues traces and exports nothing.
    pub fn off() -> Self {
        Self::default()
    }

    /// Returns a tracer that exports to the configured collector.
    ///
    /// # Errors
    /// When no exporter can be built. Whether the collector can be reached does not matter.
    pub fn start(
        config: Option<&config::Tracing>,
        network: &config::Network,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        runtime: &Handle,
    ) -> Result<Self, CannotExport> {
        let Some(config) = config else { return Ok(Self::off()) };
        let metrics = Arc::new(Metrics::default());
        let queue = SpanQueue::start(config, network, runtime, Arc::clone(&metrics))?;
        let sampled_below = config.sample * (f64::from(u32::MAX) + 1.0);
        Ok(Self { metrics, exporting: Some(Arc::new(Exporting { sampled_below, queue, clock, entropy })) })
    }

    /// Continues the caller's trace, or starts one whose id is `random`, the request's id. Without a trace context,
    /// the request is in no trace; without a span, its trace is only passed on.
    ///
    /// `random` decides on sampling: a stranger could choose a trace id that is always sampled. Only a `trusted`
    /// caller's sampling flag counts.
    pub fn start_request(
        &self,
        random: [u8; 16],
        caller: Option<TraceContext>,
        trusted: impl FnOnce() -> bool,
    ) -> (Option<TraceContext>, Option<Box<Span>>) {
        let sampling = self.exporting.as_ref().filter(|exporting| match caller {
            Some(caller) if trusted() => caller.is_sampled(),
            Some(_) | None => exporting.samples(random),
        });
        let Some(exporting) = sampling else {
            return (caller.map(|caller| caller.child(random, false)), None);
        };
        let parent = caller.unwrap_or_else(|| TraceContext::root(random));
        let context = parent.child(exporting.entropy.bytes(), true);
        (Some(context), Some(Box::new(Span::start(exporting, context, parent, SpanKind::Server, "request"))))
    }

    /// Starts a call to another service within the trace of `parent`: the context to send along, and the call's
    /// span if the trace is sampled.
    pub fn start_call(
        &self,
        parent: TraceContext,
        random: [u8; 16],
        name: &'static str,
    ) -> (TraceContext, Option<Box<Span>>) {
        let context = parent.child(random, parent.is_sampled());
        let exporting = self.exporting.as_ref().filter(|_| context.is_sampled());
        let span = exporting
            .map(|exporting| Box::new(Span::start(exporting, context, parent, SpanKind::Client, name)));
        (context, span)
    }

    /// Exports the spans that are queued, and stops, within `SHUTDOWN_TIMEOUT`.
    pub async fn close(&self) {
        let Some(exporting) = self.exporting.clone() else { return };
        let closed = tokio::task::spawn_blocking(move || exporting.queue.close(SHUTDOWN_TIMEOUT));
        if let Err(error) = closed.await {
            tracing::error!(%error, "the span export could not be stopped");
        }
    }

    /// Registers the metrics of this module.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }
}

impl Exporting {
    fn samples(&self, [.., a, b, c, d]: [u8; 16]) -> bool {
        f64::from(u32::from_be_bytes([a, b, c, d])) < self.sampled_below
    }
}

impl Span {
    fn start(
        exporting: &Arc<Exporting>,
        context: TraceContext,
        parent: TraceContext,
        kind: SpanKind,
        name: &'static str,
    ) -> Self {
        Self {
            context,
            parent: parent.span_id(),
            kind,
            name: name.into(),
            attributes: Vec::new(),
            status: Status::Unset,
            start_time: exporting.clock.now().try_into().unwrap_or(SystemTime::UNIX_EPOCH),
            started: exporting.clock.monotonic(),
            exporting: Arc::clone(exporting),
        }
    }

    /// Replaces the name. It must come from a closed set, so that spans can be grouped by it.
    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) {
        self.name = name.into();
    }

    /// Adds an attribute.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.attributes.push(KeyValue::new(name, value));
    }

    /// Marks the span as failed, with an `error.type` from a closed set and a description.
    pub fn set_failed(&mut self, error_type: &'static str, description: impl Into<Cow<'static, str>>) {
        self.set("error.type", error_type);
        self.status = Status::error(description);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let elapsed = self.exporting.clock.monotonic().saturating_sub(self.started);
        self.exporting.queue.push(SpanData {
            span_context: self.context.into(),
            parent_span_id: self.parent,
            // The caller of a request is another process; the caller of STS is this one.
            parent_span_is_remote: self.kind == SpanKind::Server,
            span_kind: self.kind.clone(),
            name: mem::take(&mut self.name),
            start_time: self.start_time,
            end_time: self.start_time + elapsed,
            attributes: mem::take(&mut self.attributes),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: mem::take(&mut self.status),
            instrumentation_scope: InstrumentationScope::builder("cosbroker").build(),
        });
    }
}

#[cfg(test)]
mod tests;
