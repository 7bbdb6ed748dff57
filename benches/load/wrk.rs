//! Load by `wrk`, round after round.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::NamedTempFile;

use crate::{BenchError, processor::ProcessorTime, report::Served};

/// The load's core; the server has the other one.
const CORE: &str = "1";
const CONNECTIONS: &str = "-c64";
const ROUND: &str = "-d3s";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/requests.lua");

/// Tokens, one a line.
#[derive(Debug)]
pub(crate) struct TokenFile(NamedTempFile);

impl TokenFile {
    pub(crate) fn write(
        tokens: impl Iterator<Item = Result<String, BenchError>>,
    ) -> Result<Self, BenchError> {
        let mut file = NamedTempFile::new()?;
        for token in tokens {
            writeln!(file, "{}", token?)?;
        }
        file.flush()?;
        Ok(Self(file))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// The measurements of one server.
#[derive(Debug)]
pub(crate) struct Wrk {
    url: String,
    tokens: PathBuf,
    /// The server's, if it has only one.
    process: Option<u32>,
    rounds: Vec<Round>,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    per_second: f64,
    p99: Duration,
    requests: u32,
    spent: ProcessorTime,
}

impl Wrk {
    pub(crate) fn new(url: String, tokens: &Path) -> Self {
        Self { url, tokens: tokens.to_owned(), process: None, rounds: Vec::new() }
    }

    /// Measures the processor time of the server's process as well.
    pub(crate) fn with_process(self, process: u32) -> Self {
        Self { process: Some(process), ..self }
    }

    /// Measures for some seconds.
    pub(crate) fn round(&mut self) -> Result<(), BenchError> {
        let before = self.spent()?;
        let output = Command::new("taskset")
            .args([
                "-c",
                CORE,
                "wrk",
                "-t1",
                CONNECTIONS,
                ROUND,
                "--latency",
                "--timeout",
                "30s",
                "-s",
                SCRIPT,
            ])
            .arg(&self.url)
            .arg(&self.tokens)
            .output()?;
        let spent = self.spent()? - before;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || said.contains("Non-2xx") || said.contains("Socket errors") {
            return Err(
                format!("wrk, {}: {said}{}", self.url, String::from_utf8_lossy(&output.stderr)).into()
            );
        }
        let value = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
        let per_second = value("Requests/sec:").ok_or("wrk says no throughput")?.parse()?;
        let p99 = value("99%").and_then(duration).ok_or("wrk says no latency")?;
        let requests = said.lines().find_map(|line| line.trim().split_once(" requests in "));
        let requests = requests.ok_or("wrk says no number of requests")?.0.parse()?;
        self.rounds.push(Round { per_second, p99, requests, spent });
        Ok(())
    }

    fn spent(&self) -> Result<ProcessorTime, BenchError> {
        self.process.map(ProcessorTime::of).transpose().map(Option::unwrap_or_default)
    }

    /// The medians of the rounds up to now.
    pub(crate) fn take(&mut self, name: &str) -> Served {
        let mut rounds = std::mem::take(&mut self.rounds);
        rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        let per_second = rounds.get(rounds.len() / 2).map_or(0.0, |round| round.per_second);
        rounds.sort_by_key(|round| round.p99);
        let p99 = rounds.get(rounds.len() / 2).map_or(Duration::ZERO, |round| round.p99);
        let spent = rounds.iter().fold(ProcessorTime::default(), |sum, round| sum + round.spent);
        let requests: u32 = rounds.iter().map(|round| round.requests).sum();
        let per_request = self.process.map(|_| spent / requests.max(1));
        Served { name: name.to_owned(), per_second, p99, per_request }
    }
}

/// A time such as `1.23ms`.
fn duration(text: &str) -> Option<Duration> {
    [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)]
        .iter()
        .find_map(|(unit, seconds)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * seconds))
        .map(Duration::from_secs_f64)
}
