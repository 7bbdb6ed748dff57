//! Flood control: the rate limit of log lines, by kind. A kind is one place in the code that logs.

use std::{
    collections::HashMap,
    fmt::{self, Debug},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use prometheus_client::metrics::counter::Counter;
use tracing::{
    Event, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use runtime::{clock::Clock, rate_limit::QuotaClock};

type Limiter = RateLimiter<NotKeyed, InMemoryState, QuotaClock, NoOpMiddleware<Nanos>>;

/// Lines of one kind in a second.
const MAX_LINES_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
/// Lines of one kind at once.
const MAX_BURST_LINES: NonZeroU32 = NonZeroU32::MIN.saturating_add(199);
/// How often suppressed lines are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Limits the lines of each kind, and counts the suppressed ones.
#[derive(Clone)]
pub struct FloodControl(Arc<Shared>);

struct Shared {
    kinds: Mutex<Kinds>,
    suppressed: Counter,
    clock: Arc<dyn Clock>,
}

struct Kinds {
    /// As many as there are places in the code.
    by_place: HashMap<Identifier, Kind>,
    /// On the monotonic clock.
    next_report: Duration,
}

struct Kind {
    limiter: Limiter,
    suppressed: u64,
    /// The message of the first suppressed line.
    example: String,
}

impl Debug for FloodControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FloodControl")
    }
}

impl FloodControl {
    pub(super) fn new(clock: Arc<dyn Clock>, suppressed: Counter) -> Self {
        let kinds = Kinds { by_place: HashMap::new(), next_report: clock.monotonic() + REPORT_INTERVAL };
        Self(Arc::new(Shared { kinds: Mutex::new(kinds), suppressed, clock }))
    }

    /// Returns whether a line may be written; if not, counts it as suppressed.
    fn admit(&self, event: &Event<'_>) -> bool {
        let mut kinds = self.kinds();
        let kind = kinds.by_place.entry(event.metadata().callsite()).or_insert_with(|| self.new_kind());
        if kind.limiter.check().is_ok() {
            return true;
        }
        if kind.suppressed == 0 {
            kind.example = message_of(event);
        }
        kind.suppressed += 1;
        self.0.suppressed.inc();
        false
    }

    fn new_kind(&self) -> Kind {
        let quota = Quota::per_second(MAX_LINES_PER_SECOND).allow_burst(MAX_BURST_LINES);
        let limiter = RateLimiter::direct_with_clock(quota, QuotaClock(Arc::clone(&self.0.clock)));
        Kind { limiter, suppressed: 0, example: String::new() }
    }

    /// Reports the suppressed lines, once in [`REPORT_INTERVAL`].
    pub(super) fn report_if_due(&self) {
        let now = self.0.clock.monotonic();
        if now >= self.kinds().next_report {
            self.kinds().next_report = now + REPORT_INTERVAL;
            self.report_suppressed();
        }
    }

    /// Logs how many lines of each kind were suppressed since the last report.
    pub(super) fn report_suppressed(&self) {
        for (lines, example) in self.take_suppressed() {
            tracing::warn!(lines, example, "log lines of one kind came too fast and are left out");
        }
    }

    fn take_suppressed(&self) -> Vec<(u64, String)> {
        let mut kinds = self.kinds();
        let suppressed = kinds.by_place.values_mut().filter(|kind| kind.suppressed > 0);
        suppressed
            .map(|kind| (std::mem::take(&mut kind.suppressed), std::mem::take(&mut kind.example)))
            .collect()
    }

    fn kinds(&self) -> MutexGuard<'_, Kinds> {
        self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for FloodControl {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.admit(event)
    }
}

/// Returns the message of a line, without its fields.
fn message_of(event: &Event<'_>) -> String {
    let mut message = Message(String::new());
    event.record(&mut message);
    message.0
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
