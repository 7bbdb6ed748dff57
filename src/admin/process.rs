//! Metrics of this process by the names that Prometheus's own clients use, read from Linux' `/proc` at each scrape.
//!
//! Knows nothing of the service. What cannot be read is left out.

use std::fs;

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

use crate::metrics::MetricsWriter;

/// Exports the version and the start time of this process, and what it uses.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    /// In seconds since 1970.
    pub(super) started_at: i64,
}

impl Collector for ProcessMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut writer = MetricsWriter::new(encoder);
        writer.info("cosbroker_build", "The running program", [[("version", env!("CARGO_PKG_VERSION"))]])?;
        writer.gauge("process_start_time_seconds", "When this process started", self.started_at)?;
        let used = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| Use::of(&stat));
        if let Some(used) = used {
            writer.counter_seconds(
                "process_cpu_seconds",
                "Processor time of this process, in user and system mode",
                used.cpu_seconds,
            )?;
            writer.gauge(
                "process_resident_memory_bytes",
                "Memory of this process that is in RAM",
                used.resident_bytes,
            )?;
            writer.gauge(
                "process_virtual_memory_bytes",
                "Address space of this process",
                used.virtual_bytes,
            )?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            writer.gauge("process_open_fds", "Open file descriptors", open.count() as u64)?;
        }
        match getrlimit(Resource::Nofile).current {
            Some(limit) => writer.gauge("process_max_fds", "Limit of open file descriptors", limit),
            None => Ok(()),
        }
    }
}

/// What a process uses.
#[derive(Debug, PartialEq)]
struct Use {
    cpu_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
}

impl Use {
    /// Reads `/proc/<pid>/stat` (proc(5)).
    fn of(stat: &str) -> Option<Self> {
        // The second field is the program's name, which may hold spaces and parentheses.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Counted from the third field.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_seconds: seconds(field(14)? + field(15)?),
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page_size() as u64,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "no process runs for 2^53 ticks")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_s_name_may_hold_anything() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 2 0 0 0 150 50 0 0 20 0 9 0 100 8192 3 184467";
        let used = Use::of(stat).unwrap();
        assert!((used.cpu_seconds - seconds(200)).abs() < 1e-9, "{used:?}");
        assert_eq!((used.virtual_bytes, used.resident_bytes), (8192, 3 * page_size() as u64));
        assert_eq!(Use::of("7 (cut"), None);
    }
}
