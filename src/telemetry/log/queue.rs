//! The queue of log lines, and the thread that writes them. It knows nothing of what a line says.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;

/// The size of all lines that wait to be written: some four thousand.
pub(super) const MAX_QUEUED_BYTES: usize = 1 << 20;
/// How long the writer waits for a line before it calls `report` without one.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);

/// A queue of lines. Adding one never waits for the reader of the log.
#[derive(Debug, Clone)]
pub(super) struct LineQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// The size of the lines, with the one that is being written.
    bytes: usize,
}

impl LineQueue {
    /// Starts the thread that writes the lines. It calls `report` after each line, and at least
    /// once in a while.
    pub(super) fn start(
        output: impl Write + Send + 'static,
        dropped: Counter,
        report: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), dropped });
        let written = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || written.write_lines(output, &report))?;
        Ok(Self(shared))
    }

    /// Adds a line, or drops and counts it if the queue is full.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.0.state();
        if state.bytes + line.len() > MAX_QUEUED_BYTES {
            self.0.dropped.inc();
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line.to_vec());
        drop(state);
        self.0.changed.notify_all();
    }

    /// Waits until all lines are written, but no longer than `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        // Whether they are written or not, the process ends.
        let _ = self.0.changed.wait_timeout_while(self.0.state(), limit, |state| state.bytes > 0);
    }
}

impl Shared {
    fn write_lines(&self, mut output: impl Write, report: &impl Fn()) {
        loop {
            if let Some(line) = self.next_line() {
                // A log that cannot be written has nowhere to say so.
                let _ = output.write_all(&line);
                self.state().bytes -= line.len();
                self.changed.notify_all();
            }
            report();
        }
    }

    /// Waits for a line; `None` after [`IDLE_INTERVAL`] without one.
    fn next_line(&self) -> Option<Vec<u8>> {
        let waited =
            self.changed.wait_timeout_while(self.state(), IDLE_INTERVAL, |state| state.lines.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.lines.pop_front()
    }

    /// The state is complete between two statements, so a poisoned lock does no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
