//! The log of a running process, to stderr: its format and filter, and its end.

use std::{io, sync::Arc};

use clap::ValueEnum;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::console::Console;
use crate::{config::Environment, telemetry::Log};
use diagnostics::to_single_line;
use runtime::clock::Clock;

/// How the log is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

const DEFAULT_LEVEL: LevelFilter = LevelFilter::INFO;

/// Libraries whose log is restricted. Lines of HTTP libraries below `info` could contain headers. actix-http logs
/// malformed requests of any client as errors.
const LIBRARY_LEVELS: [(&str, LevelFilter); 7] = [
    ("hyper", LevelFilter::INFO),
    ("hyper_util", LevelFilter::INFO),
    ("reqwest", LevelFilter::INFO),
    ("h2", LevelFilter::INFO),
    ("rustls", LevelFilter::INFO),
    ("actix_http", LevelFilter::OFF),
    ("actix_server", LevelFilter::WARN),
];

/// The running log. Its last lines are written when this is dropped.
pub(super) struct RunningLog(pub(super) Log);

impl Drop for RunningLog {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Starts the log, filtered by `RUST_LOG`. Panics go there too: the standard library would wait for who reads stderr.
///
/// # Errors
/// When no thread can be started for it.
pub(super) fn start_log(
    format: LogFormat,
    console: Console,
    clock: Arc<dyn Clock>,
) -> io::Result<RunningLog> {
    let log = Log::start(io::stderr(), clock)?;
    std::panic::set_hook(Box::new(|panic| tracing::error!("{}", to_single_line(&panic.to_string()))));
    let written = Environment::of_process().variable("RUST_LOG");
    let (filter, error) = match parse_filter(written.as_deref().unwrap_or_default()) {
        Ok(filter) => (filter, None),
        Err(error) => (default_filter(), Some(error)),
    };
    let filter = filter.with_targets(LIBRARY_LEVELS);
    let registry = tracing_subscriber::registry().with(filter).with(log.flood_control());
    // A second start in one process finds a log that is already there, which is fine.
    let _ = match format {
        LogFormat::Human => registry
            .with(
                fmt::layer()
                    .with_writer(log.clone())
                    .with_ansi(console.has_colors(&io::stderr()))
                    .with_target(false),
            )
            .try_init(),
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(log.clone())).try_init(),
    };
    if let Some(error) = error {
        tracing::warn!("RUST_LOG {}; {DEFAULT_LEVEL} is used", to_single_line(&error.to_string()));
    }
    Ok(RunningLog(log))
}

/// A part of `RUST_LOG` that is no filter.
#[derive(Debug, thiserror::Error)]
#[error("`{0}`: not a level; use error, warn, info, debug, trace, off or target=level")]
struct BadFilter(String);

/// Parses `RUST_LOG`. The library's own parser takes a bare word as a target, so a misspelt level would silence the log.
fn parse_filter(written: &str) -> Result<Targets, BadFilter> {
    let parts = written.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.into_iter().try_fold(default_filter(), |filter, part| {
        let filter = match part.split_once('=') {
            None => part.parse().map(|level: LevelFilter| filter.with_default(level)),
            Some((target, level)) => {
                level.parse().map(|level: LevelFilter| filter.with_target(target, level))
            }
        };
        filter.map_err(|_| BadFilter(part.to_owned()))
    })
}

fn default_filter() -> Targets {
    Targets::new().with_default(DEFAULT_LEVEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_an_error_and_does_not_silence_the_log() {
        for written in ["info", "DEBUG", "off", "", "warn,cosbroker=debug", "cosbroker=trace, info"] {
            assert!(parse_filter(written).is_ok(), "{written}");
        }
        for (written, named) in [
            ("debg", "`debg`"),
            ("verbose", "`verbose`"),
            ("info,cosbroker", "`cosbroker`"),
            ("foo=bar=baz", "`foo=bar=baz`"),
            ("cosbroker=debg", "`cosbroker=debg`"),
        ] {
            let error = parse_filter(written).map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with(named) && error.contains("target=level"), "{written}: {error}");
        }
    }

    #[test]
    fn a_part_of_the_program_has_its_level_and_the_rest_the_default() {
        let logs = |written: &str, target: &str, level: tracing::Level| {
            parse_filter(written).unwrap().would_enable(target, &level)
        };
        assert!(logs("", "cosbroker", tracing::Level::INFO));
        assert!(!logs("", "cosbroker", tracing::Level::DEBUG));
        assert!(logs("cosbroker=debug", "cosbroker::http", tracing::Level::DEBUG));
        assert!(logs("cosbroker=debug", "templates", tracing::Level::INFO));
        assert!(!logs("warn,cosbroker=debug", "templates", tracing::Level::INFO));
        assert!(!logs("off", "cosbroker", tracing::Level::ERROR));
    }
}
