//! The memory that the process needs at most, by its configuration. Each figure was measured, or is the bound of a table.

use std::fmt;

use crate::config::Config;

/// The program, its threads and libraries, and what the allocator keeps.
const PROGRAM_BYTES: u64 = 64 << 20;
/// Part of `cache.max_bytes` that is added for the allocator and for estimates: `tests/soak/memory.rs`.
const ESTIMATE_DIVISOR: u64 = 5;
/// What is remembered of users without their keys, at the bounds of the tables: coverage (6 MiB), rate limits (16 MiB),
/// places in the queue for STS (16 MiB), reasons of misses (7 MiB), rejections by STS (4 MiB).
const USERS_BYTES: u64 = 64 << 20;
/// The queue of the log.
const LOG_BYTES: u64 = 1 << 20;
/// The queue of the audit log: 8192 events of about 1 KiB.
const AUDIT_BYTES: u64 = 8 << 20;
/// The queue of spans: 2048 of about 2 KiB, and a batch that is sent.
const TRACING_BYTES: u64 = 6 << 20;
/// An open connection and its buffers.
const CONNECTION_BYTES: u64 = 20 << 10;

/// The memory that the process needs at most, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryNeed {
    keys: u64,
    restored: u64,
    connections: u64,
    max_connections: usize,
    queues: u64,
    advice: u64,
}

impl MemoryNeed {
    /// Computes it from a configuration.
    pub fn of(config: &Config) -> Self {
        let cache = config.cache();
        let max_connections = config.server().max_connections();
        let audit = config.audit().map_or(0, |_| AUDIT_BYTES);
        let tracing = config.tracing().map_or(0, |_| TRACING_BYTES);
        Self {
            keys: mebibytes(cache.max_bytes.saturating_add(cache.max_bytes / ESTIMATE_DIVISOR)),
            restored: config.snapshot().map_or(0, |_| mebibytes(cache.max_bytes)),
            connections: mebibytes(CONNECTION_BYTES.saturating_mul(max_connections as u64)),
            max_connections,
            queues: mebibytes(LOG_BYTES + audit + tracing),
            advice: mebibytes(cache.advice_bytes.unwrap_or_default()),
        }
    }
}

/// In one line.
impl fmt::Display for MemoryNeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, restored, connections, max_connections, queues, advice } = self;
        let (users, program) = (mebibytes(USERS_BYTES), mebibytes(PROGRAM_BYTES));
        let total = keys + restored + connections + users + queues + advice + program;
        write!(
            f,
            "at most {total} MiB: {keys} MiB for cache.max_bytes, {restored} MiB for a snapshot, {connections} MiB for {max_connections} connections, \
             {users} MiB for users without keys, {queues} MiB for queues, {advice} MiB for advice, {program} MiB for the program"
        )
    }
}

fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
