//! `cosbroker keys revoke` and `restore`.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use serde_json::json;

use super::{keys, list::known, principal, read, tell_unknown, to_come};
use crate::{
    cli::{note, operators::Listener, say},
    credential_cache::Revocation,
};
use diagnostics::to_single_line;

/// Stop serving a user, at once, and say until when the keys they already have will live: COS cannot be told.
///
/// From then on the broker answers them 403, whatever token they bring. It speaks for itself only: say it to
/// each replica. Without `limits.revoked_file` it is forgotten when the broker restarts.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker keys revoke --config config.toml --subject alice\n  cosbroker keys revoke --subject alice --issuer https://id.example.com/ --yes"
)]
pub(super) struct Options {
    #[command(flatten)]
    who: Who,
    /// Without asking back.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    listener: Listener,
}

/// Serve a user again.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  cosbroker keys restore --config config.toml --subject alice")]
pub(super) struct Undo {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    listener: Listener,
}

#[derive(Debug, Args)]
struct Who {
    /// The token's `sub`, to the letter.
    #[arg(long, allow_hyphen_values = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    subject: String,
    /// The token's `iss`; needed only where several issuers are configured.
    #[arg(long, allow_hyphen_values = true)]
    issuer: Option<String>,
}

impl Who {
    fn named(&self) -> serde_json::Value {
        match &self.issuer {
            Some(issuer) => json!({"issuer": issuer, "subject": self.subject}),
            None => json!({"subject": self.subject}),
        }
    }
}

impl Options {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let operators = self.listener.open()?;
        if !self.yes {
            let stdin = std::io::stdin();
            anyhow::ensure!(
                stdin.is_terminal(),
                "nobody was revoked: there is no terminal to ask back on; say --yes"
            );
            let held = known(&operators, self.who.issuer.as_deref(), &self.who.subject).await?;
            let until = held.expires_last_at.map(|until| to_come(until, held.coverage.now));
            let until = until.map_or_else(String::new, |until| format!(", the last until {until}"));
            let active = keys(held.active as u64);
            let question = format!("`{}`: {active} alive{until}.", to_single_line(&self.who.subject));
            write!(std::io::stdout(), "{question}\nStop serving this user? [y/N] ")?;
            std::io::stdout().flush()?;
            let mut answer = String::new();
            stdin.lock().read_line(&mut answer)?;
            anyhow::ensure!(is_yes(&answer), "nobody was revoked");
        }
        let revoked: Revocation = read(operators.post_json("/api/revoke", &self.who.named()).await?)?;
        say(&told(&revoked))?;
        tell_unknown(&revoked.coverage);
        match &revoked.problem {
            _ if revoked.lasting => {}
            Some(problem) => {
                anyhow::bail!(
                    "this holds only until the broker restarts: {problem}; mend that and revoke once more"
                )
            }
            None => note(
                "this holds until the broker restarts; to keep it, set limits.revoked_file, or block the user at the issuer",
            ),
        }
        Ok(())
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

fn told(revoked: &Revocation) -> String {
    let who = principal(&revoked.issuer, &revoked.subject);
    let before = if revoked.already { " (as before)" } else { "" };
    let out = match revoked.expires_last_at {
        Some(until) => format!(
            "{} already out cannot be called back: the last lives until {}",
            keys(revoked.active as u64),
            to_come(until, revoked.coverage.now)
        ),
        None => "no living key of theirs is known; if that is odd, look at the spelling: the subject is the token's `sub`, to the letter".to_owned(),
    };
    format!("revoked: {who} is given no key from now on{before}\n{out}")
}

impl Undo {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let operators = self.listener.open()?;
        let served: Revocation = read(operators.post_json("/api/restore", &self.who.named()).await?)?;
        say(&format!("no longer revoked: {} is served again", principal(&served.issuer, &served.subject)))?;
        match &served.problem {
            Some(problem) => anyhow::bail!(
                "after a restart of the broker they are revoked again: {problem}; mend that, then revoke and restore them once more"
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_one() {
        for (answer, yes) in [("y\n", true), ("Yes\n", true), ("", false), ("\n", false), ("yup", false)] {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
    }
}
