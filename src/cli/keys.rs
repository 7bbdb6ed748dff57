//! `cosbroker keys`: active keys and revoked users.

mod list;
mod print_deny;
mod revoke;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::{
    admin_client::{decode, pretty},
    console::{Console, Format},
};
use crate::credential_cache::Coverage;
use diagnostics::to_single_line;
use runtime::clock::time_until;

/// List active keys, and revoke users. Calls a running broker.
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
    Restore(revoke::RestoreOptions),
    Revoked(list::RevokedOptions),
}

impl Options {
    pub(super) async fn run(self, console: Console) -> anyhow::Result<()> {
        match self.command {
            Command::List(options) => options.run(console).await,
            Command::Revoke(options) => options.run(console).await,
            Command::Restore(options) => options.run().await,
            Command::Revoked(options) => options.run().await,
        }
    }
}

/// Formats a time.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Formats a future time, and how far away it is.
fn future_time(at: Timestamp, now: Timestamp) -> String {
    let seconds = time_until(at, now).as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let distance = match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m"),
        3600..86_400 => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    };
    format!("{} (in {distance})", time(at))
}

/// `1 active key`, `2 active keys`.
fn active_keys(count: impl Into<u64>) -> String {
    let count = count.into();
    format!("{count} active {}", if count == 1 { "key" } else { "keys" })
}

/// Names a user in a sentence.
fn principal(issuer: &str, subject: &str) -> String {
    format!("`{}` of {}", to_single_line(subject), to_single_line(issuer))
}

/// Prints notes on the keys that a broker does not know.
fn note_unknown_keys(coverage: &Coverage, console: Console) {
    if let Some(until) = coverage.forgotten_until.filter(|_| coverage.forgotten > 0) {
        console.note(&format!(
            "{} of any user are not listed, because memory for the list is full; the last of them expires by {}",
            active_keys(coverage.forgotten),
            future_time(until, coverage.now)
        ));
    }
    console.note(&format!(
        "only keys that this broker issued since {} are known: not those of an earlier run or of other replicas",
        time(coverage.known_since)
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_time_says_how_far_away_it_is() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (seconds, distance) in [
            (-5, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m"),
            (3660, "1h 1m"),
            (86_400, "1d 0h"),
            (129_600, "1d 12h"),
        ] {
            let text = future_time(at(1_795_468_774 + seconds), at(1_795_468_774));
            assert!(text.ends_with(&format!("(in {distance})")), "{text}");
        }
        assert_eq!(time(at(1_795_468_774)), "2026-11-23 21:19:34Z");
    }
}
