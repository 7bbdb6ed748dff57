//! The thread that writes: takes events from the queue, and keeps what cannot be written until it can.

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
    Message, Signals,
    event::Event,
    file::LogFile,
    flood::Flood,
    metrics::{Loss, Metrics},
};
use runtime::clock::Clock;

/// Lines taken from the queue at once.
const BATCH: usize = 256;
/// Between two attempts to write to a disk that takes nothing.
const RETRY: Duration = Duration::from_secs(1);
/// How often suppressed refusals are told of.
const TICK: Duration = Duration::from_secs(10);

/// The queue's other end.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Receiver<Message>,
    log: LogFile,
    flood: Flood,
    signals: Arc<Signals>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// Taken from the queue, not yet written; each with its event's name.
    lines: VecDeque<(&'static str, Vec<u8>)>,
    failing: bool,
    next_tick: Duration,
}

impl Writer {
    pub(super) fn new(
        queue: Receiver<Message>,
        log: LogFile,
        flood: Flood,
        signals: Arc<Signals>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let next_tick = clock.monotonic() + TICK;
        Self { queue, log, flood, signals, metrics, clock, lines: VecDeque::new(), failing: false, next_tick }
    }

    /// Writes until the log is closed, and then what is left.
    pub(super) fn run(mut self) {
        while !self.is_stopping() {
            if !self.gather() {
                // Nobody is left who could tell, and nobody said that it stops: a start that failed.
                self.write();
                return;
            }
            while !self.write() && !self.is_stopping() {
                // Nothing more is taken meanwhile: the queue is the bound.
                std::thread::park_timeout(RETRY);
            }
        }
        self.finish();
    }

    fn is_stopping(&self) -> bool {
        self.signals.stopping.load(Ordering::SeqCst)
    }

    /// Waits for something to write, and takes it; says whether more may come.
    fn gather(&mut self) -> bool {
        match self.queue.recv_timeout(TICK) {
            Ok(message) => self.take(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        if self.take_waiting() {
            self.tell_lost();
        }
        let now = self.clock.monotonic();
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            self.tell_suppressed();
        }
        true
    }

    /// Takes what waits, up to a batch; says whether that was all.
    fn take_waiting(&mut self) -> bool {
        while self.lines.len() < BATCH {
            match self.queue.try_recv() {
                Ok(message) => self.take(message),
                Err(_) => return true,
            }
        }
        false
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Event(at, event) => self.lines.push_back((event.name(), event.line(at))),
            Message::Wake => {}
        }
    }

    /// An event of the log itself.
    fn tell(&mut self, event: &Event) {
        self.metrics.told();
        self.lines.push_back((event.name(), event.line(self.clock.now())));
    }

    fn tell_lost(&mut self) {
        let lines = self.signals.untold.swap(0, Ordering::Relaxed);
        if lines > 0 {
            self.tell(&Event::Lost { lines });
        }
    }

    fn tell_suppressed(&mut self) {
        for (kind, refusals) in self.flood.suppressed() {
            self.tell(&Event::Suppressed { kind, refusals });
        }
    }

    /// Writes the lines at hand; those that cannot be written stay.
    fn write(&mut self) -> bool {
        match self.attempt() {
            Ok(()) => {
                if self.failing {
                    tracing::info!("the audit log can be written again; what waited is written");
                    self.metrics.recovered();
                    self.failing = false;
                }
                true
            }
            Err(error) => {
                if !self.failing {
                    tracing::error!(%error, "the audit log cannot be written: its lines wait in memory");
                    self.failing = true;
                }
                self.metrics.failed();
                false
            }
        }
    }

    fn attempt(&mut self) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let now = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        self.signals.writing_since.store(now.max(1), Ordering::Relaxed);
        let outcome = self.append();
        self.signals.writing_since.store(0, Ordering::Relaxed);
        outcome
    }

    fn append(&mut self) -> io::Result<()> {
        self.log.look()?;
        while let Some((event, line)) = self.lines.front() {
            if let Err(error) = self.log.make_room(line.len()) {
                tracing::error!(%error, "the audit log cannot be turned over, and grows");
                self.metrics.unrotated();
            }
            self.log.append(line)?;
            self.metrics.written(event);
            self.lines.pop_front();
        }
        Ok(())
    }

    /// Writes what is left, and the log's last line.
    fn finish(mut self) {
        let mut good = self.write();
        while good {
            let all = self.take_waiting();
            if all {
                self.tell_suppressed();
                self.tell_lost();
                self.tell(&Event::Stop {});
            }
            good = self.write();
            if all {
                break;
            }
        }
        if let Err(error) = self.log.sync() {
            tracing::error!(%error, "the audit log's last lines may not be on disk");
        }
        let events = self.queue.try_iter().filter(|message| matches!(message, Message::Event(..)));
        let left = self.lines.len() + events.count();
        if left > 0 {
            self.metrics.dropped(Loss::Unwritable, i64::try_from(left).unwrap_or(i64::MAX));
            tracing::error!(lines = left, "audit lines are lost: they could not be written before the end");
        }
    }
}
