//! `cosbroker keys`: which keys live, and who is given none.

mod list;
mod revoke;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::operators::{Format, pretty, read};
use crate::credential_cache::Coverage;
use diagnostics::to_single_line;
use runtime::clock::time_until;

/// See which keys live, and stop serving a user. Asks a running broker.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "Example:\n  cosbroker keys list --config config.toml --subject alice\n  cosbroker keys revoke --config config.toml --subject alice"
)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Options),
    Revoke(revoke::Options),
    Restore(revoke::Undo),
    Revoked(list::Revoked),
}

impl Options {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::List(options) => options.run().await,
            Command::Revoke(options) => options.run().await,
            Command::Restore(options) => options.run().await,
            Command::Revoked(options) => options.run().await,
        }
    }
}

/// A moment for a person.
fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A moment to come: by the clock, and how far off.
fn to_come(at: Timestamp, now: Timestamp) -> String {
    let seconds = time_until(at, now).as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let far = match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m"),
        3600..86_400 => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    };
    format!("{} (in {far})", moment(at))
}

/// `1 key`, `2 keys`.
fn keys(count: impl Into<u64>) -> String {
    let count = count.into();
    format!("{count} {}", if count == 1 { "key" } else { "keys" })
}

/// Somebody in a sentence.
fn principal(issuer: &str, subject: &str) -> String {
    format!("`{}` of {}", to_single_line(subject), to_single_line(issuer))
}

/// What a broker cannot tell, as notes.
fn tell_unknown(coverage: &Coverage) {
    if let Some(until) = coverage.forgotten_until.filter(|_| coverage.forgotten > 0) {
        super::note(&format!(
            "{} more of anybody's live that there was no room to remember; the last ends by {}",
            keys(coverage.forgotten),
            to_come(until, coverage.now)
        ));
    }
    super::note(&format!(
        "known are keys made since {}, by this broker: those of an earlier run or of other replicas are not",
        moment(coverage.known_since)
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_to_come_says_how_far_off_it_is() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (seconds, far) in [
            (-5, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m"),
            (3660, "1h 1m"),
            (86_400, "1d 0h"),
            (129_600, "1d 12h"),
        ] {
            let told = to_come(at(1_795_468_774 + seconds), at(1_795_468_774));
            assert!(told.ends_with(&format!("(in {far})")), "{told}");
        }
        assert_eq!(moment(at(1_795_468_774)), "2026-11-23 21:19:34Z");
    }
}
