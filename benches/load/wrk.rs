//! Load by `wrk`, round after round.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::NamedTempFile;

use crate::{BenchError, report::Served};

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
    rounds: Vec<Round>,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    per_second: f64,
    p99: Duration,
}

impl Wrk {
    pub(crate) fn new(url: String, tokens: &Path) -> Self {
        Self { url, tokens: tokens.to_owned(), rounds: Vec::new() }
    }

    /// Measures for some seconds.
    pub(crate) fn round(&mut self) -> Result<(), BenchError> {
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
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || said.contains("Non-2xx") || said.contains("Socket errors") {
            return Err(
                format!("wrk, {}: {said}{}", self.url, String::from_utf8_lossy(&output.stderr)).into()
            );
        }
        let value = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
        let per_second = value("Requests/sec:").ok_or("wrk says no throughput")?.parse()?;
        let p99 = value("99%").and_then(duration).ok_or("wrk says no latency")?;
        self.rounds.push(Round { per_second, p99 });
        Ok(())
    }

    /// The medians of the rounds up to now.
    pub(crate) fn take(&mut self, name: &str) -> Served {
        let mut rounds = std::mem::take(&mut self.rounds);
        rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        let per_second = rounds.get(rounds.len() / 2).map_or(0.0, |round| round.per_second);
        rounds.sort_by_key(|round| round.p99);
        let p99 = rounds.get(rounds.len() / 2).map_or(Duration::ZERO, |round| round.p99);
        Served { name: name.to_owned(), per_second, p99 }
    }
}

/// A time such as `1.23ms`.
fn duration(text: &str) -> Option<Duration> {
    [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)]
        .iter()
        .find_map(|(unit, seconds)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * seconds))
        .map(Duration::from_secs_f64)
}
