//! The log of the process: a bounded queue of lines and a thread that writes them, so that no caller waits for the
//! reader of the log. It knows neither the format of the lines nor which of them are wanted.

mod flood;
mod queue;

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tracing_subscriber::fmt::MakeWriter;

use self::{flood::FloodControl, queue::LineQueue};
use crate::metrics::StaticFamily;
use runtime::clock::Clock;

/// The time that the end of the process waits for the reader of the log.
pub const LOG_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The log of the process. Its lines are written in order, or dropped and counted.
#[derive(Debug, Clone)]
pub struct Log {
    queue: LineQueue,
    flood_control: FloodControl,
    dropped: StaticFamily<DropReason, Counter>,
}

/// The reason why a line is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DropReason {
    /// The reader of the log is slow, or does not read.
    QueueFull,
    /// There were too many lines of its kind.
    RateLimited,
}

impl DropReason {
    const ALL: [Self; 2] = [Self::QueueFull, Self::RateLimited];

    fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::RateLimited => "rate_limited",
        }
    }
}

impl Log {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(output: impl Write + Send + 'static, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let dropped =
            StaticFamily::new(DropReason::ALL, |reason| [("reason", reason.name())], Counter::default);
        let counter = |reason| dropped.of(reason).cloned().unwrap_or_default();
        let flood_control = FloodControl::new(clock, counter(DropReason::RateLimited));
        let reporter = flood_control.clone();
        let report = move || reporter.report_if_due();
        let queue = LineQueue::start(output, counter(DropReason::QueueFull), report)?;
        Ok(Self { queue, flood_control, dropped })
    }

    /// Returns the rate limit of lines, as a layer of the subscriber.
    pub fn flood_control(&self) -> FloodControl {
        self.flood_control.clone()
    }

    /// Waits until all lines are written, but no longer than [`LOG_FLUSH_TIMEOUT`].
    pub fn flush(&self) {
        self.flood_control.report_suppressed();
        self.queue.flush(LOG_FLUSH_TIMEOUT);
    }

    /// Registers the metrics of the log.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "cosbroker_log_lines_dropped",
            "Lines of the log that were not written, by reason",
            self.dropped.clone(),
        );
    }
}

/// Adds each write to the queue as one line. A subscriber writes each event at once.
#[derive(Debug)]
pub struct LineWriter<'a>(&'a LineQueue);

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter(&self.queue)
    }
}

#[cfg(test)]
mod tests;
