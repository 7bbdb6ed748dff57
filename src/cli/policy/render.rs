//! `cosbroker policy render`: the policy that would be sent.

use clap::Args;

use super::{Subject, pretty};
use crate::cli::say;

/// Print the CAM policy that STS would be sent for somebody, byte for byte.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy render upload --claims '{\"sub\":\"alice\"}'\n  cosbroker policy render policies/team.toml --claims '{\"sub\":\"alice\",\"team\":\"red\",\"role\":\"member\"}' --pretty"
)]
pub(super) struct Options {
    #[command(flatten)]
    subject: Subject,
    /// Indented, to be read rather than sent.
    #[arg(long)]
    pretty: bool,
    /// Percent-encoded once, as it stands in the request to STS.
    #[arg(long, conflicts_with = "pretty")]
    wire: bool,
}

impl Options {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let grant = self.subject.templates()?.grant(None, &self.subject.identity()?)?;
        if self.wire {
            say(grant.policy().wire())?;
        } else if self.pretty {
            say(&pretty(grant.policy().policy())?)?;
        } else {
            say(&grant.policy().policy().to_json())?;
        }
        Ok(())
    }
}
