//! `cosbroker policy render`: the policy that would be sent to STS.

use clap::Args;

use super::{TemplateAndUser, pretty};
use crate::cli::print;

/// Print the CAM policy that would be sent to STS for a user, byte for byte.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy render upload --claims '{\"sub\":\"alice\"}'\n  cosbroker policy render policies/team.toml --claims '{\"sub\":\"alice\",\"team\":\"red\",\"role\":\"member\"}' --pretty"
)]
pub(super) struct Options {
    #[command(flatten)]
    target: TemplateAndUser,
    /// With indentation, for reading.
    #[arg(long)]
    pretty: bool,
    /// Percent-encoded once, as in the request to STS.
    #[arg(long, conflicts_with = "pretty")]
    wire: bool,
}

impl Options {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let grant = self.target.templates()?.grant(None, &self.target.identity()?)?;
        if self.wire {
            print(&grant.policy().wire())?;
        } else if self.pretty {
            print(&pretty(&grant.policy().policy())?)?;
        } else {
            print(&grant.policy().policy().to_json())?;
        }
        Ok(())
    }
}
