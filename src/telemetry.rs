//! Which trace an ask belongs to, and the spans of sampled ones on their way to a collector.
//!
//! Knows ids, times and a collector; nothing of HTTP, keys or people. A span says what those who do the work
//! tell it, and they tell names from closed sets, numbers and random ids: no user, token, key or policy.

mod context;
mod export;
mod metrics;

use std::{
    borrow::Cow,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use prometheus_client::registry::Registry;
use tokio::{
    runtime::Handle,
    sync::{
        mpsc::{self, Sender, error::TrySendError},
        watch,
    },
    task::JoinHandle,
    time::timeout,
};

use self::metrics::{Loss, Metrics};
pub use self::{context::TraceContext, export::CannotExport};
use crate::config;
use runtime::{clock::Clock, entropy::Entropy};

/// Spans that may wait to be sent, a few megabytes; the SDK's own default.
const QUEUE: usize = 2048;
/// How long stopping waits for the collector.
const SLOWEST_END: Duration = Duration::from_secs(5);

/// Says which asks have spans, and takes these.
#[derive(Debug, Clone, Default)]
pub struct Tracer {
    metrics: Arc<Metrics>,
    on: Option<Arc<On>>,
}

/// A collector is configured.
#[derive(Debug)]
struct On {
    /// A new trace is sampled if 32 bits of it are below this.
    sampled_below: f64,
    queue: Sender<SpanData>,
    stop: watch::Sender<bool>,
    worker: Mutex<Option<JoinHandle<()>>>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// Work that is seen in a trace, from when this is made until it is dropped.
#[derive(Debug)]
pub struct Span {
    context: TraceContext,
    parent: SpanId,
    kind: SpanKind,
    name: Cow<'static, str>,
    attributes: Vec<KeyValue>,
    status: Status,
    began: (SystemTime, Duration),
    on: Arc<On>,
}

impl Tracer {
    /// Takes traces up and hands them on, and exports nothing.
    pub fn off() -> Self {
        Self::default()
    }

    /// Exports to the configured collector, from a task on `runtime`.
    ///
    /// # Errors
    /// When there is no way to do so; whether a collector is there does not matter.
    pub fn start(
        config: Option<&config::Tracing>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        runtime: &Handle,
    ) -> Result<Self, CannotExport> {
        let Some(config) = config else { return Ok(Self::off()) };
        let metrics = Arc::new(Metrics::default());
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (stop, stopped) = watch::channel(false);
        let worker =
            runtime.spawn(export::run(export::exporter(config)?, waiting, stopped, Arc::clone(&metrics)));
        let on = On {
            sampled_below: config.sample * (f64::from(u32::MAX) + 1.0),
            queue,
            stop,
            worker: Mutex::new(Some(worker)),
            metrics: Arc::clone(&metrics),
            clock,
            entropy,
        };
        Ok(Self { metrics, on: Some(Arc::new(on)) })
    }

    /// An ask comes in, of which `caller` says what trace it is part of. `random` is the request's id: a trace
    /// begun here bears it, and it decides on sampling. The caller's trace id does not, since a stranger would
    /// choose one that is always sampled, nor their flag, unless they are `trusted`.
    ///
    /// Where nothing comes back there is no trace; where no span does, it is handed on and not kept.
    pub fn ask(
        &self,
        random: [u8; 16],
        caller: Option<TraceContext>,
        trusted: impl FnOnce() -> bool,
    ) -> (Option<TraceContext>, Option<Box<Span>>) {
        let sampled = self.on.as_ref().filter(|on| match caller {
            Some(caller) if trusted() => caller.is_sampled(),
            Some(_) | None => on.samples(random),
        });
        let Some(on) = sampled else {
            return (caller.map(|caller| caller.child(random, false)), None);
        };
        let parent = caller.unwrap_or_else(|| TraceContext::begin(random));
        let context = parent.child(on.entropy.bytes(), true);
        (Some(context), Some(Box::new(Span::new(on, context, parent, SpanKind::Server, "ask"))))
    }

    /// A call to another service is made on behalf of `parent`: what that service is to be told, and the call's
    /// span if the trace is kept.
    pub fn call(
        &self,
        parent: TraceContext,
        random: [u8; 16],
        name: &'static str,
    ) -> (TraceContext, Option<Box<Span>>) {
        let context = parent.child(random, parent.is_sampled());
        let on = self.on.as_ref().filter(|_| context.is_sampled());
        (context, on.map(|on| Box::new(Span::new(on, context, parent, SpanKind::Client, name))))
    }

    /// Sends what waits, and ends, within a few seconds.
    pub async fn close(&self) {
        let Some(on) = &self.on else { return };
        on.stop.send_replace(true);
        let worker = on.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker
            && timeout(SLOWEST_END, worker).await.is_err()
        {
            tracing::warn!("the collector does not take the last spans in time: they are lost");
        }
    }

    /// Adds this room's figures to a registry.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }
}

impl On {
    fn samples(&self, [.., a, b, c, d]: [u8; 16]) -> bool {
        f64::from(u32::from_be_bytes([a, b, c, d])) < self.sampled_below
    }

    /// Never waits.
    fn take(&self, span: SpanData) {
        match self.queue.try_send(span) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.metrics.lost(Loss::QueueFull, 1),
            Err(TrySendError::Closed(_)) => self.metrics.lost(Loss::Stopped, 1),
        }
    }
}

impl Span {
    fn new(
        on: &Arc<On>,
        context: TraceContext,
        parent: TraceContext,
        kind: SpanKind,
        name: &'static str,
    ) -> Self {
        Self {
            context,
            parent: parent.span_id,
            kind,
            name: name.into(),
            attributes: Vec::new(),
            status: Status::Unset,
            began: (on.clock.now().try_into().unwrap_or(SystemTime::UNIX_EPOCH), on.clock.monotonic()),
            on: Arc::clone(on),
        }
    }

    /// Says what kind of work it was: from a closed set, so that it can be counted by.
    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) {
        self.name = name.into();
    }

    /// Says something of it.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.attributes.push(KeyValue::new(name, value));
    }

    /// It failed: a kind of failure from a closed set, and in words.
    pub fn failed(&mut self, kind: &'static str, words: impl Into<Cow<'static, str>>) {
        self.set("error.type", kind);
        self.status = Status::error(words);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let (start_time, began) = self.began;
        let took = self.on.clock.monotonic().saturating_sub(began);
        let flags = TraceFlags::new(self.context.flags());
        let TraceContext { trace_id, span_id, .. } = self.context;
        self.on.take(SpanData {
            span_context: SpanContext::new(trace_id, span_id, flags, false, TraceState::NONE),
            parent_span_id: self.parent,
            // Whoever asked us is elsewhere; whoever makes a call is here.
            parent_span_is_remote: self.kind == SpanKind::Server,
            span_kind: self.kind.clone(),
            name: mem::take(&mut self.name),
            start_time,
            end_time: start_time + took,
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
