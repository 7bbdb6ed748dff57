use std::sync::{Mutex, mpsc};

use tracing_subscriber::{fmt, layer::SubscriberExt};

use super::{queue::MAX_QUEUED_BYTES, *};
use runtime::clock::TestClock;

/// Everything that was written, for a reader that keeps up.
#[derive(Debug, Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

/// An output that takes nothing until it is released.
struct Blocked(mpsc::Receiver<()>, Written);

impl Write for Blocked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn dropped(log: &Log, reason: DropReason) -> u64 {
    log.dropped.of(reason).unwrap().get()
}

fn logging_to(log: &Log) -> tracing::subscriber::DefaultGuard {
    let lines = fmt::layer().with_writer(log.clone()).without_time().with_target(false).with_ansi(false);
    tracing::subscriber::set_default(tracing_subscriber::registry().with(log.flood_control()).with(lines))
}

#[tokio::test(start_paused = true)]
async fn lines_are_written_in_their_order() {
    let written = Written::default();
    let log = Log::start(written.clone(), TestClock::at(0)).unwrap();
    let _guard = logging_to(&log);
    for n in 0..100 {
        tracing::info!("line {n}");
    }
    tracing::info!("stopped");
    log.flush();
    let expected = (0..100).map(|n| format!(" INFO line {n}")).chain([" INFO stopped".to_owned()]);
    assert_eq!(written.lines(), expected.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn where_nobody_reads_lines_are_dropped_and_counted_and_nothing_waits() {
    let (release, blocked) = mpsc::channel();
    let written = Written::default();
    let log = Log::start(Blocked(blocked, written.clone()), TestClock::at(0)).unwrap();
    let line = vec![b'x'; 1024];
    let lines = MAX_QUEUED_BYTES / line.len();
    for _ in 0..lines + 7 {
        log.make_writer().write_all(&line).unwrap();
    }
    assert_eq!(dropped(&log, DropReason::QueueFull), 7);
    drop(release);
    log.flush();
    assert_eq!(written.0.lock().unwrap().len(), MAX_QUEUED_BYTES, "what was queued is written");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_kind_is_cut_and_one_line_says_how_much() {
    let written = Written::default();
    let log = Log::start(written.clone(), TestClock::at(0)).unwrap();
    let _guard = logging_to(&log);
    for n in 0..1000 {
        tracing::warn!(n, "the same again");
        if n % 100 == 0 {
            tracing::info!("another kind");
        }
    }
    assert_eq!(dropped(&log, DropReason::RateLimited), 800);
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..101 {
        tracing::info!("another kind");
    }
    log.flush();
    let lines = written.lines();
    let count = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    assert_eq!((count("the same again n="), count("another kind")), (200, 111));
    let summary = lines.last().unwrap();
    assert!(summary.contains("lines=800") && summary.contains("example=\"the same again\""), "{summary}");
}
