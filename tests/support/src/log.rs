//! What a process under test writes to its stderr, line by line.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
};

use crate::DEADLINE;

/// What was written so far.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<(Mutex<String>, Condvar)>);

impl Log {
    /// Reads until the process closes it, and shows each line to `see` first.
    pub fn follow(
        &self,
        stderr: impl Read + Send + 'static,
        mut see: impl FnMut(&str) + Send + 'static,
    ) -> JoinHandle<()> {
        let log = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                see(&line);
                let (text, written) = &*log.0;
                let mut text = text.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
                written.notify_all();
            }
        })
    }

    pub fn text(&self) -> String {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits for these words: an answer can be here before the line that was written first.
    pub fn says(&self, words: &str) {
        let (text, written) = &*self.0;
        let waited = written.wait_timeout_while(text.lock().unwrap(), DEADLINE, |text| !text.contains(words));
        let (text, waited) = waited.unwrap();
        assert!(!waited.timed_out(), "`{words}` was not written: {text}");
    }
}
