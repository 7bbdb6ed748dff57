//! Work on files with a deadline. A read from a stalled mount may never end, and nothing can interrupt it.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use diagnostics::HumanDuration;

/// The time that reading the files of one place may take.
pub const FILE_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs work on files, one piece at a time on a thread of its own, and waits no longer than a deadline. Work that hangs
/// keeps its thread; no other is started beside it.
#[derive(Debug, Clone)]
pub struct FileWorker {
    timeout: Duration,
    slot: Arc<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    is_taken: Mutex<bool>,
    freed: Condvar,
}

/// Why the result of the work is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoResult {
    /// The work, or the work before it, has not ended in time.
    #[error("was not read within {}: its storage does not answer", HumanDuration(*.0))]
    Stalled(Duration),
    /// The work could not be done.
    #[error("was not read: no thread could be started for it, or it ended early")]
    Failed,
}

impl NoResult {
    /// Returns how to fix it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Stalled(_) => "check the mount that it lies on",
            Self::Failed => "check how many threads this user may have, and the log",
        }
    }
}

impl Default for FileWorker {
    fn default() -> Self {
        Self::new(FILE_TIMEOUT)
    }
}

impl FileWorker {
    /// Returns a worker with a deadline for each piece of work.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, slot: Arc::default() }
    }

    /// Does the work and returns its result. Blocks for as long as the deadline allows.
    ///
    /// # Errors
    /// When it has not ended in time.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, NoResult> {
        let slot = self.slot.take(self.timeout).ok_or(NoResult::Stalled(self.timeout))?;
        let (done, result) = mpsc::sync_channel(1);
        let worker = thread::Builder::new().name("files".to_owned()).spawn(move || {
            let result = work();
            drop(slot);
            // Nobody waits any more if it came too late.
            let _ = done.send(result);
        });
        worker.map_err(|_| NoResult::Failed)?;
        result.recv_timeout(self.timeout).map_err(|error| match error {
            RecvTimeoutError::Timeout => NoResult::Stalled(self.timeout),
            RecvTimeoutError::Disconnected => NoResult::Failed,
        })
    }
}

impl Slot {
    /// Takes the slot as soon as it is free.
    fn take(self: &Arc<Self>, timeout: Duration) -> Option<Taken> {
        let waited = self.freed.wait_timeout_while(self.is_taken(), timeout, |is_taken| *is_taken);
        let (mut is_taken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && *is_taken {
            return None;
        }
        *is_taken = true;
        Some(Taken(Arc::clone(self)))
    }

    fn is_taken(&self) -> MutexGuard<'_, bool> {
        self.is_taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot while work runs. It is freed when the work ends, also by a panic.
struct Taken(Arc<Slot>);

impl Drop for Taken {
    fn drop(&mut self) {
        *self.0.is_taken() = false;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn work_that_hangs_is_given_up_and_no_second_is_started_beside_it() {
        let worker = FileWorker::new(Duration::from_millis(1));
        let (release, blocked) = mpsc::channel::<()>();
        let stalled = NoResult::Stalled(Duration::from_millis(1));
        assert_eq!(worker.run(move || blocked.recv().is_ok()), Err(stalled.clone()));
        let started = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            let started = Arc::clone(&started);
            assert_eq!(worker.run(move || started.fetch_add(1, Ordering::SeqCst)), Err(stalled.clone()));
        }
        assert_eq!(started.load(Ordering::SeqCst), 0);
        release.send(()).unwrap();
        let patient = FileWorker { timeout: Duration::from_mins(1), slot: worker.slot };
        assert_eq!(patient.run(|| 7), Ok(7));
    }

    #[test]
    fn work_that_panics_leaves_room_for_the_next() {
        let worker = FileWorker::new(Duration::from_mins(1));
        assert_eq!(worker.run(|| panic!("on purpose")), Err::<(), _>(NoResult::Failed));
        assert_eq!(worker.run(|| 7), Ok(7));
    }

    #[test]
    fn the_message_says_how_long_was_waited() {
        let message = NoResult::Stalled(FILE_TIMEOUT).to_string();
        assert_eq!(message, "was not read within 5s: its storage does not answer");
    }
}
