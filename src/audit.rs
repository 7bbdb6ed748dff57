//! The audit log: one line of JSON for each issued credential, refusal, reload and revocation.
//!
//! Callers record events and never wait: a bounded queue leads to a thread that writes. Events that do not fit the
//! queue, as when the disk stays full, are counted, alarmed and reported in the log once it can be written again; no
//! request is refused for it. A part of the queue is reserved for the lines of keys and of operators' acts. Refusals are written up to a rate; above it, only their number is.
//!
//! The queue is written by hand because `tracing-appender`, the usual crate, loses each line whose write fails, as on a
//! full disk.

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

pub(crate) use self::event::{Event, Refused, ReloadedBy};
use self::{
    file::LogFile,
    flood::FloodControl,
    metrics::{LossReason, Metrics, MetricsCollector},
    writer::Writer,
};
use crate::config::{self, AuditTarget};
use runtime::clock::Clock;

/// The size of the queue: more than a broker at its STS quota issues in the ten seconds that a disk may stall.
const MAX_QUEUED_EVENTS: usize = 8192;
/// The part of the queue that lines for each request leave to the lines of keys and of operators' acts.
const RESERVED_EVENTS: usize = 1024;
/// The time after which a write that has neither succeeded nor failed counts as failing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// The time that stopping waits for the disk.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The audit log, which may be off.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    metrics: Arc<Metrics>,
    active: Option<Arc<ActiveLog>>,
}

/// A snapshot of the log's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Lines written since the start.
    pub written: u64,
    /// Lines lost since the start.
    pub lost: u64,
    /// Whether the log cannot be written now.
    pub failing: bool,
}

/// An audit log that is on.
#[derive(Debug)]
struct ActiveLog {
    queue: SyncSender<Message>,
    flood_control: FloodControl,
    includes_hits: bool,
    shared: Arc<SharedState>,
    writer: Thread,
    stopped: Mutex<Receiver<()>>,
    clock: Arc<dyn Clock>,
}

/// The state that recorders and the writer share, beside the queue.
#[derive(Debug, Default)]
struct SharedState {
    is_stopping: AtomicBool,
    /// Events lost since the last `lost` line.
    unreported_losses: AtomicU64,
    /// When the current write began, in milliseconds of the monotonic clock; 0 between writes.
    writing_since: AtomicU64,
}

/// An item of the queue.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the small variant is sent once, at the end")]
enum Message {
    Event(Timestamp, Event),
    /// Makes the writer check [`SharedState`].
    Wake,
}

/// The reason why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {} cannot be written: {error}; {help}", path.display())]
pub struct CannotWrite {
    place: String,
    path: PathBuf,
    error: io::Error,
    help: &'static str,
}

impl Audit {
    /// Returns an audit log that discards every event.
    pub fn off() -> Self {
        Self::default()
    }

    /// Opens the log and starts its thread.
    ///
    /// # Errors
    /// When the file cannot be opened. A full disk is no error: it may have space later.
    pub fn start(config: Option<config::Audit>, clock: Arc<dyn Clock>) -> Result<Self, CannotWrite> {
        let Some(config) = config else { return Ok(Self::off()) };
        let log = open(&config.target)?;
        let (queue, receiver) = mpsc::sync_channel(MAX_QUEUED_EVENTS);
        let (stopped_sender, stopped) = mpsc::channel();
        let metrics = Arc::new(Metrics::default());
        let shared = Arc::new(SharedState::default());
        let flood_control = FloodControl::new(config.refusals, Arc::clone(&clock));
        let writer = Writer::new(
            receiver,
            log,
            flood_control.clone(),
            Arc::clone(&shared),
            Arc::clone(&metrics),
            Arc::clone(&clock),
        );
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
            writer.run();
            // The receiver is gone if the log was never closed.
            let _ = stopped_sender.send(());
        });
        let writer = thread.map_err(CannotWrite::thread)?.thread().clone();
        let active = ActiveLog {
            queue,
            flood_control,
            includes_hits: config.hits,
            shared,
            writer,
            stopped: Mutex::new(stopped),
            clock,
        };
        Ok(Self { metrics, active: Some(Arc::new(active)) })
    }

    /// Returns whether requests that were served from the cache are to be recorded.
    pub fn includes_hits(&self) -> bool {
        self.active.as_ref().is_some_and(|log| log.includes_hits)
    }

    /// Records an event. Never waits, never fails.
    pub(crate) fn record(&self, event: Event) {
        let Some(log) = &self.active else { return };
        if event.flood_kind().is_some_and(|kind| !log.flood_control.admit(kind)) {
            self.metrics.add_suppressed();
            return;
        }
        let has_room = event.may_use_reserve() || self.metrics.queued() < MAX_QUEUED_EVENTS - RESERVED_EVENTS;
        self.metrics.add_queued();
        let sent = if has_room {
            log.queue.try_send(Message::Event(log.clock.now(), event)).map_err(LossReason::from)
        } else {
            Err(LossReason::QueueFull)
        };
        let Err(reason) = sent else { return };
        let cause = match reason {
            LossReason::QueueFull => "events come faster than they can be written",
            LossReason::Unwritable | LossReason::Stopped => "the log is closed",
        };
        self.metrics.add_lost(reason, 1);
        if log.shared.unreported_losses.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::error!("audit lines are being lost: {cause}");
        }
    }

    /// Writes the queued events and closes the log, within `SHUTDOWN_TIMEOUT`. Blocks: not for a thread that serves.
    pub fn close(&self) {
        let Some(log) = &self.active else { return };
        log.shared.is_stopping.store(true, Ordering::SeqCst);
        // If the queue is full, the writer is awake anyway.
        let _ = log.queue.try_send(Message::Wake);
        log.writer.unpark();
        let stopped = log.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if stopped.recv_timeout(SHUTDOWN_TIMEOUT) == Err(mpsc::RecvTimeoutError::Timeout) {
            let lines = self.metrics.queued();
            self.metrics.add_lost(LossReason::Stopped, i64::try_from(lines).unwrap_or(i64::MAX));
            tracing::error!(
                lines,
                "audit lines are lost: the disk or the reader of the pipe did not take them in time"
            );
        }
    }

    /// Returns the log's state, if it is on.
    pub fn status(&self) -> Option<Status> {
        self.active.as_ref().map(|log| Status {
            failing: self.metrics.is_failing() || log.is_stalled(),
            written: self.metrics.written(),
            lost: self.metrics.lost(),
        })
    }

    /// Registers the metrics of this module.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
        registry.register_collector(Box::new(MetricsCollector(self.clone())));
    }
}

impl From<TrySendError<Message>> for LossReason {
    fn from(error: TrySendError<Message>) -> Self {
        match error {
            TrySendError::Full(_) => Self::QueueFull,
            TrySendError::Disconnected(_) => Self::Stopped,
        }
    }
}

impl ActiveLog {
    /// Returns whether a write hangs.
    fn is_stalled(&self) -> bool {
        let since = self.shared.writing_since.load(Ordering::Relaxed);
        since > 0 && self.clock.monotonic().saturating_sub(Duration::from_millis(since)) > WRITE_TIMEOUT
    }
}

/// Checks whether [`Audit::start`] could open the log, without creating it: the file would belong to the user who
/// runs the check.
///
/// # Errors
/// When the log could not be opened.
pub fn check(config: &config::Audit) -> Result<(), CannotWrite> {
    match &config.target {
        AuditTarget::Stdout => Ok(()),
        AuditTarget::File { path, place, .. } => {
            file::check_openable(path).map_err(|error| CannotWrite::new(place, path, error))
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
            match log.reopen_if_moved() {
                Err(error) if !is_full(&error) => Err(CannotWrite::new(place, path, error)),
                Ok(()) | Err(_) => Ok(log),
            }
        }
    }
}

/// Returns whether a failure may pass by itself.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl CannotWrite {
    fn new(place: &str, path: &Path, error: io::Error) -> Self {
        let help = match error.kind() {
            io::ErrorKind::WouldBlock => "give each process its own log",
            io::ErrorKind::NotFound => "create its folder",
            _ => "give the service's user write access there, or choose another audit.path",
        };
        Self { place: place.to_owned(), path: path.to_owned(), error, help }
    }

    fn thread(error: io::Error) -> Self {
        let help = "raise the limit of threads of this process";
        Self { place: "[audit]".to_owned(), path: PathBuf::from("the log"), error, help }
    }
}

#[cfg(test)]
mod tests;
