//! The writer thread: takes events from the queue, and keeps lines in memory until they can be written.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use super::{
    Message, SharedState,
    event::Event,
    file::LogFile,
    flood::FloodControl,
    metrics::{LossReason, Metrics},
};
use runtime::clock::Clock;

/// Lines taken from the queue at once.
const MAX_BATCH_LINES: usize = 256;
/// The delay between two attempts to write to a log that fails.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The interval at which suppressed refusals are reported.
const SUPPRESSED_INTERVAL: Duration = Duration::from_secs(10);

/// The state of the writer thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Receiver<Message>,
    log: LogFile,
    flood_control: FloodControl,
    shared: Arc<SharedState>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// Lines taken from the queue and not yet written, each with its event's name.
    lines: VecDeque<(&'static str, Vec<u8>)>,
    is_failing: bool,
    next_suppressed_report: Duration,
}

impl Writer {
    pub(super) fn new(
        queue: Receiver<Message>,
        log: LogFile,
        flood_control: FloodControl,
        shared: Arc<SharedState>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            next_suppressed_report: clock.monotonic() + SUPPRESSED_INTERVAL,
            queue,
            log,
            flood_control,
            shared,
            metrics,
            clock,
            lines: VecDeque::new(),
            is_failing: false,
        }
    }

    /// Writes until the log is closed, then writes the rest of the queue.
    pub(super) fn run(mut self) {
        while !self.is_stopping() {
            if !self.receive_batch() {
                // All senders are gone and the log was not closed: the start of the service failed.
                self.write();
                return;
            }
            while !self.write() && !self.is_stopping() {
                // Nothing more is taken from the queue meanwhile: the queue is the bound.
                std::thread::park_timeout(RETRY_DELAY);
            }
        }
        self.finish();
    }

    fn is_stopping(&self) -> bool {
        self.shared.is_stopping.load(Ordering::SeqCst)
    }

    /// Waits for events and turns a batch of them into lines; returns whether more may come.
    fn receive_batch(&mut self) -> bool {
        match self.queue.recv_timeout(SUPPRESSED_INTERVAL) {
            Ok(message) => self.add(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        if self.drain_queue() {
            self.report_losses();
        }
        let now = self.clock.monotonic();
        if now >= self.next_suppressed_report {
            self.next_suppressed_report = now + SUPPRESSED_INTERVAL;
            self.report_suppressed();
        }
        true
    }

    /// Takes queued events, up to a batch; returns whether the queue is empty.
    fn drain_queue(&mut self) -> bool {
        while self.lines.len() < MAX_BATCH_LINES {
            match self.queue.try_recv() {
                Ok(message) => self.add(message),
                Err(_) => return true,
            }
        }
        false
    }

    fn add(&mut self, message: Message) {
        match message {
            Message::Event(at, event) => self.lines.push_back((event.name(), event.line(at))),
            Message::Wake => {}
        }
    }

    /// Adds an event of the log itself.
    fn add_own_event(&mut self, event: &Event) {
        self.metrics.add_queued();
        self.lines.push_back((event.name(), event.line(self.clock.now())));
    }

    fn report_losses(&mut self) {
        let lines = self.shared.unreported_losses.swap(0, Ordering::Relaxed);
        if lines > 0 {
            self.add_own_event(&Event::Lost { lines });
        }
    }

    fn report_suppressed(&mut self) {
        for (kind, refusals) in self.flood_control.take_suppressed() {
            self.add_own_event(&Event::Suppressed { kind, refusals });
        }
    }

    /// Writes the lines and returns whether it succeeded; lines that cannot be written stay.
    fn write(&mut self) -> bool {
        match self.try_write() {
            Ok(()) => {
                if self.is_failing {
                    tracing::info!("the audit log can be written again; the queued lines are written");
                    self.metrics.set_recovered();
                    self.is_failing = false;
                }
                true
            }
            Err(error) => {
                if !self.is_failing {
                    tracing::error!(%error, "the audit log cannot be written: its lines are queued in memory");
                    self.is_failing = true;
                }
                self.metrics.set_failing();
                false
            }
        }
    }

    fn try_write(&mut self) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let now = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        self.shared.writing_since.store(now.max(1), Ordering::Relaxed);
        let outcome = self.append_lines();
        self.shared.writing_since.store(0, Ordering::Relaxed);
        outcome
    }

    fn append_lines(&mut self) -> io::Result<()> {
        self.log.reopen_if_moved()?;
        while let Some((event, line)) = self.lines.front() {
            if let Err(error) = self.log.rotate_if_needed(line.len()) {
                tracing::error!(%error, "the audit log cannot be rotated and keeps growing");
                self.metrics.add_rotation_failure();
            }
            self.log.append(line)?;
            self.metrics.add_written(event);
            self.lines.pop_front();
        }
        Ok(())
    }

    /// Writes the rest of the queue and the last line of the run.
    fn finish(mut self) {
        let mut succeeded = self.write();
        while succeeded {
            let is_empty = self.drain_queue();
            if is_empty {
                self.report_suppressed();
                self.report_losses();
                self.add_own_event(&Event::Stop {});
            }
            succeeded = self.write();
            if is_empty {
                break;
            }
        }
        if let Err(error) = self.log.sync() {
            tracing::error!(%error, "the audit log's last lines may not be on disk");
        }
        let events = self.queue.try_iter().filter(|message| matches!(message, Message::Event(..)));
        let left = self.lines.len() + events.count();
        if left > 0 {
            self.metrics.add_lost(LossReason::Unwritable, i64::try_from(left).unwrap_or(i64::MAX));
            tracing::error!(
                lines = left,
                "audit lines are lost: they could not be written before the log was closed"
            );
        }
    }
}
