//! Which configuration file a command reads: `--config`, else `COSBROKER_CONFIG`, else `config.toml` in this folder.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    app::StartError,
    config::{Config, Environment},
};

/// The variable that names the configuration file.
const VARIABLE: &str = "COSBROKER_CONFIG";
const DEFAULT_FILE: &str = "config.toml";

/// The configuration file of a command that needs one.
#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// The configuration file. Default: the one that `COSBROKER_CONFIG` names, else config.toml in this folder.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The configuration file of a command that also works without one.
#[derive(Debug, Args)]
pub(super) struct OptionalConfigFile {
    /// The configuration file. Default: the one that `COSBROKER_CONFIG` names, else config.toml in this folder, else none.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// The file.
    ///
    /// # Errors
    /// If none is named, and there is none in this folder.
    pub(super) fn path(&self) -> anyhow::Result<PathBuf> {
        found(self.config.as_deref(), &Environment::of_process()).ok_or_else(|| {
            anyhow::anyhow!(
                "there is no {DEFAULT_FILE} in this folder; name the configuration with --config or {VARIABLE}, or write one with `cosbroker init`"
            )
        })
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// Every problem found.
    pub(super) fn load(&self) -> anyhow::Result<Config> {
        let path = self.path()?;
        Ok(Config::load(&path, &Environment::of_process()).map_err(StartError::Problems)?)
    }
}

impl OptionalConfigFile {
    /// The file, if there is one.
    pub(super) fn path(&self) -> Option<PathBuf> {
        found(self.config.as_deref(), &Environment::of_process())
    }
}

/// Returns the file that is named by the option or the variable, else the default if it exists.
pub(super) fn found(option: Option<&Path>, environment: &Environment<'_>) -> Option<PathBuf> {
    option.map(Path::to_owned).or_else(|| named(environment)).or_else(|| {
        let default = Path::new(DEFAULT_FILE);
        default.exists().then(|| default.to_owned())
    })
}

fn named(environment: &Environment<'_>) -> Option<PathBuf> {
    environment.variable(VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_comes_before_the_variable() {
        let environment = Environment(&|name| (name == VARIABLE).then(|| "from/env.toml".to_owned()));
        assert_eq!(found(None, &environment).unwrap(), Path::new("from/env.toml"));
        assert_eq!(found(Some("given.toml".as_ref()), &environment).unwrap(), Path::new("given.toml"));
        let empty = Environment(&|_| Some(String::new()));
        assert_eq!(found(None, &empty), None, "an empty variable names nothing");
    }
}
