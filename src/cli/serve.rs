//! `cosbroker serve`: production.

use std::{io::IsTerminal, path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use tracing_subscriber::{
    EnvFilter, filter::LevelFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::{
    app::{App, StartError},
    config::{Config, Environment},
};
use diagnostics::to_single_line;
use runtime::{clock::SystemClock, entropy::SystemEntropy};

/// Serve keys, as the configuration says.
///
/// Refuses to start unless every template is proved to confine every user to their own folder. Stops on
/// SIGTERM or Ctrl-C once running asks have finished.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  cosbroker serve --config config.toml")]
pub(super) struct Options {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How the log is written, to stderr. What is written: `RUST_LOG`, one of error, warn, info (the default),
    /// debug, trace and off, or for one part of the program target=level; several with commas between.
    #[arg(long, value_enum, default_value = "human")]
    log: Log,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Log {
    /// For a person.
    Human,
    /// One JSON object a line.
    Json,
}

impl Options {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        start_log(self.log);
        let config = Config::load(&self.config, &Environment::of_process()).map_err(StartError::Problems)?;
        // Before anybody is told that it serves: who then asks it to stop is heard.
        let stop = super::asked_to_stop()?;
        let app = App::build(config, Arc::new(SystemClock::start()), Arc::new(SystemEntropy))?;
        tracing::info!(public = %app.public_address(), operators = %app.operators_address(), "serving");
        app.run(stop).await?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Libraries that speak of connections never go below `info`: their lines could hold headers. actix-http
/// calls every stranger's malformed request an error, which is none of ours.
pub(super) fn start_log(log: Log) {
    let written = (Environment::of_process().0)("RUST_LOG");
    let (wanted, fault) = match written.as_deref().map(filter) {
        None => (EnvFilter::new(LEVEL), None),
        Some(Ok(wanted)) => (wanted, None),
        Some(Err(fault)) => (EnvFilter::new(LEVEL), Some(fault)),
    };
    let quiet = [
        "hyper=info",
        "hyper_util=info",
        "reqwest=info",
        "h2=info",
        "rustls=info",
        "actix_http=off",
        "actix_server=warn",
    ];
    let filter =
        quiet.iter().filter_map(|directive| directive.parse().ok()).fold(wanted, EnvFilter::add_directive);
    let registry = tracing_subscriber::registry().with(filter);
    // A second start in one process finds the log already there, which is as good.
    let _ = match log {
        Log::Human => registry
            .with(
                fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_target(false),
            )
            .try_init(),
        Log::Json => registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init(),
    };
    if let Some(fault) = fault {
        tracing::warn!("RUST_LOG {}; {LEVEL} is used", to_single_line(&fault));
    }
}

/// What is logged where nobody says.
const LEVEL: &str = "info";

/// `RUST_LOG` as it is meant. To the library a bare word is a target: a misspelt level would silence all.
fn filter(written: &str) -> Result<EnvFilter, String> {
    let is_meant =
        |part: &str| part.is_empty() || part.contains(['=', '[']) || part.parse::<LevelFilter>().is_ok();
    let fault = |part: &str| {
        format!("`{part}`: not a level; use error, warn, info, debug, trace, off or target=level")
    };
    match written.split(',').map(str::trim).find(|part| !is_meant(part)) {
        Some(part) => Err(fault(part)),
        None => EnvFilter::builder().parse(written).map_err(|_| fault(written)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_told_and_not_taken_for_silence() {
        for written in
            ["info", "DEBUG", "off", "", "warn,cosbroker=debug", "cosbroker=trace, info", "[ask]=debug"]
        {
            assert!(filter(written).is_ok(), "{written}");
        }
        for (written, named) in [
            ("debg", "`debg`"),
            ("verbose", "`verbose`"),
            ("info,cosbroker", "`cosbroker`"),
            ("foo=bar=baz", "`foo=bar=baz`"),
            ("cosbroker=debg", "`cosbroker=debg`"),
        ] {
            let fault = filter(written).map(|_| ()).unwrap_err();
            assert!(fault.starts_with(named) && fault.contains("target=level"), "{written}: {fault}");
        }
    }
}
