//! The simulated machine: a clock whose wall time can jump, and seeded randomness.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use runtime::{clock::Clock, entropy::Entropy};

const START: i64 = 1_900_000_000;

/// Follows tokio's paused clock; its wall time can be set.
#[derive(Debug)]
pub(super) struct SimulatedClock {
    start: tokio::time::Instant,
    wall_offset_seconds: AtomicI64,
}

impl SimulatedClock {
    pub(super) fn start() -> Self {
        Self { start: tokio::time::Instant::now(), wall_offset_seconds: AtomicI64::new(0) }
    }

    /// Sets the wall clock forward, or back.
    pub(super) fn jump(&self, seconds: i64) {
        self.wall_offset_seconds.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        let offset = SignedDuration::from_secs(START + self.wall_offset_seconds.load(Ordering::Relaxed));
        Timestamp::UNIX_EPOCH + offset + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Randomness from a seed.
#[derive(Debug)]
pub(super) struct SeededEntropy(Mutex<StdRng>);

impl SeededEntropy {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.0.lock().unwrap().fill_bytes(&mut bytes);
        bytes
    }

    fn unit(&self) -> f64 {
        self.0.lock().unwrap().random()
    }
}
