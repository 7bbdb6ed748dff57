//! The audit log: a line of JSON for each key that is made, each refusal, each reload and each revocation.
//!
//! Knows the plain values that a line is made of, a file, and nothing of those who tell it what happened.
//! Whoever tells never waits: a bounded queue leads to a thread that writes. What finds the queue full, as
//! when a disk stays full, is counted, alarmed and told in the log itself once it goes on; nobody is refused
//! a key for it. Refusals that come in floods are written up to a rate, the rest as their number.

mod event;
mod file;
mod flood;
mod metrics;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread::Thread,
    time::Duration,
};

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde::Serialize;

pub use self::event::{Event, Refused, ReloadedBy, Whose};
use self::{
    file::LogFile,
    flood::Flood,
    metrics::{Loss, Metrics, MetricsCollector},
    writer::Writer,
};
use crate::config::{self, AuditTarget};
use runtime::clock::Clock;

/// Events that may wait to be written: a second and more of all that a broker issues, at its quota, through
/// ten seconds of a disk that stands still.
const QUEUE: usize = 8192;
/// After this, a disk that has neither taken a line nor refused it is taken for one that fails.
const SLOWEST_WRITE: Duration = Duration::from_secs(5);
/// How long stopping waits for a disk.
const SLOWEST_END: Duration = Duration::from_secs(5);

/// Where events are told.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    metrics: Arc<Metrics>,
    on: Option<Arc<On>>,
}

/// How the log fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Lines written since the start.
    pub written: u64,
    /// Lines that never will be.
    pub lost: u64,
    /// Whether it cannot be written now.
    pub failing: bool,
}

/// A log that is kept.
#[derive(Debug)]
struct On {
    queue: SyncSender<Message>,
    flood: Flood,
    hits: bool,
    signals: Arc<Signals>,
    writer: Thread,
    ended: Mutex<Receiver<()>>,
    clock: Arc<dyn Clock>,
}

/// What the writer is told beside the queue.
#[derive(Debug, Default)]
struct Signals {
    stopping: AtomicBool,
    /// Events lost since the log last said so.
    untold: AtomicU64,
    /// Since when the writer waits for the disk, in milliseconds of the monotonic clock; 0 while it does not.
    writing_since: AtomicU64,
}

/// What travels in the queue.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the small one travels once, at the end")]
enum Message {
    Event(Timestamp, Event),
    /// Nothing but a reason to look at [`Signals`].
    Wake,
}

/// Why a log cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {} cannot be written: {error}; {help}", path.display())]
pub struct CannotWrite {
    place: String,
    path: PathBuf,
    error: io::Error,
    help: &'static str,
}

impl Audit {
    /// Keeps no log.
    pub fn off() -> Self {
        Self::default()
    }

    /// Opens the log and starts its thread.
    ///
    /// # Errors
    /// When the file cannot be opened for any reason but a full disk, which may pass.
    pub fn start(config: Option<config::Audit>, clock: Arc<dyn Clock>) -> Result<Self, CannotWrite> {
        let Some(config) = config else { return Ok(Self::off()) };
        let log = open(&config.target)?;
        let (queue, waiting) = mpsc::sync_channel(QUEUE);
        let (end, ended) = mpsc::channel();
        let metrics = Arc::new(Metrics::default());
        let signals = Arc::new(Signals::default());
        let flood = Flood::new(config.refusals, Arc::clone(&clock));
        let writer = Writer::new(
            waiting,
            log,
            flood.clone(),
            Arc::clone(&signals),
            Arc::clone(&metrics),
            Arc::clone(&clock),
        );
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
            writer.run();
            // Nobody listens when nobody stops.
            let _ = end.send(());
        });
        let writer = thread.map_err(CannotWrite::thread)?.thread().clone();
        let on = On { queue, flood, hits: config.hits, signals, writer, ended: Mutex::new(ended), clock };
        Ok(Self { metrics, on: Some(Arc::new(on)) })
    }

    /// Whether keys that were there already are to be told of when they are handed out.
    pub fn wants_hits(&self) -> bool {
        self.on.as_ref().is_some_and(|on| on.hits)
    }

    /// Tells of an event. Never waits, never fails.
    pub fn record(&self, event: Event) {
        let Some(on) = &self.on else { return };
        if event.flood().is_some_and(|kind| !on.flood.admit(kind)) {
            self.metrics.suppressed();
            return;
        }
        self.metrics.told();
        let (reason, why) = match on.queue.try_send(Message::Event(on.clock.now(), event)) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => (Loss::QueueFull, "they come faster than they can be written"),
            Err(TrySendError::Disconnected(_)) => (Loss::Stopped, "the log has ended"),
        };
        self.metrics.dropped(reason, 1);
        if on.signals.untold.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::error!("audit lines are being lost: {why}");
        }
    }

    /// Writes what waits, and ends the log, within a few seconds. Blocks: not for a thread that serves.
    pub fn close(&self) {
        let Some(on) = &self.on else { return };
        on.signals.stopping.store(true, Ordering::SeqCst);
        // A full queue is reason enough for the writer to look up.
        let _ = on.queue.try_send(Message::Wake);
        on.writer.unpark();
        let ended = on.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(SLOWEST_END) == Err(mpsc::RecvTimeoutError::Timeout) {
            let lines = self.metrics.waiting();
            self.metrics.dropped(Loss::Stopped, lines);
            tracing::error!(
                lines,
                "audit lines are lost: whatever takes them, a disk or the reader of a pipe, has not for too long"
            );
        }
    }

    /// How the log fares; none where none is kept.
    pub fn status(&self) -> Option<Status> {
        self.on.as_ref().map(|_| Status { failing: self.is_failing(), ..self.metrics.status() })
    }

    /// Whether it cannot be written: the last attempt failed, or does not end.
    fn is_failing(&self) -> bool {
        let hangs = |on: &Arc<On>| {
            let since = on.signals.writing_since.load(Ordering::Relaxed);
            since > 0 && on.clock.monotonic().saturating_sub(Duration::from_millis(since)) > SLOWEST_WRITE
        };
        self.metrics.status().failing || self.on.as_ref().is_some_and(hangs)
    }

    /// Adds this room's figures to a registry.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
        registry.register_collector(Box::new(MetricsCollector(self.clone())));
    }
}

/// Whether [`Audit::start`] would find a place to write, as far as can be seen without making a file: made
/// now, it would belong to whoever checks.
///
/// # Errors
/// When it would not.
pub fn check(config: &config::Audit) -> Result<(), CannotWrite> {
    match &config.target {
        AuditTarget::Stdout => Ok(()),
        AuditTarget::File { path, place, .. } => {
            file::could_be_opened(path).map_err(|error| CannotWrite::new(place, path, error))
        }
    }
}

fn open(target: &AuditTarget) -> Result<LogFile, CannotWrite> {
    match target {
        AuditTarget::Stdout => {
            LogFile::stdout().map_err(|error| CannotWrite::new("audit.path", Path::new("-"), error))
        }
        AuditTarget::File { path, rotation, place } => {
            let mut log = LogFile::new(path.clone(), *rotation);
            match log.look() {
                Err(error) if !is_full(&error) => Err(CannotWrite::new(place, path, error)),
                Ok(()) | Err(_) => Ok(log),
            }
        }
    }
}

/// Whether a failure may pass by itself.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl CannotWrite {
    fn new(place: &str, path: &Path, error: io::Error) -> Self {
        let help = match error.kind() {
            io::ErrorKind::WouldBlock => "give each process a log of its own",
            io::ErrorKind::NotFound => "make the folder it is to lie in",
            _ => "let the service's user write there, or choose another audit.path",
        };
        Self { place: place.to_owned(), path: path.to_owned(), error, help }
    }

    fn thread(error: io::Error) -> Self {
        let help = "allow this process one thread more";
        Self { place: "[audit]".to_owned(), path: PathBuf::from("the log"), error, help }
    }
}

#[cfg(test)]
mod tests;
