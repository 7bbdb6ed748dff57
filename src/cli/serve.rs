//! `cosbroker serve`: runs the broker.

use std::sync::Arc;

use clap::Args;

use super::{
    config_file::ConfigFile,
    console::Console,
    hardening::forbid_core_dumps,
    log::{LogFormat, start_log},
};
use crate::app::App;
use runtime::{clock::SystemClock, entropy::SystemEntropy};

/// Run the broker with a configuration.
///
/// Starts only if every template is proved to confine each user to their own folder. SIGTERM or Ctrl-C stops it after
/// running requests have finished; SIGHUP reloads the templates.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  cosbroker serve --config config.toml")]
pub(super) struct Options {
    #[command(flatten)]
    config: ConfigFile,
    /// The format of the log, which goes to stderr. `RUST_LOG` selects what is logged: a level (error, warn, info,
    /// debug, trace or off; info is the default), or target=level for one part of the program, separated by commas.
    #[arg(long, value_enum, default_value = "human")]
    log: LogFormat,
}

impl Options {
    pub(super) async fn run(self, console: Console) -> anyhow::Result<()> {
        forbid_core_dumps()?;
        let clock = Arc::new(SystemClock::start());
        let log = start_log(self.log, console, Arc::clone(&clock) as _)?;
        let config = self.config.load()?;
        // Before the service is reported as ready, so that no signal to stop is missed.
        let shutdown = super::shutdown_on_signal()?;
        let app = App::build(config, clock, Arc::new(SystemEntropy), log.0.clone(), shutdown)?;
        tracing::info!(public = %app.public_address(), operators = %app.operators_address(), "serving");
        app.run().await?;
        tracing::info!("stopped");
        Ok(())
    }
}
