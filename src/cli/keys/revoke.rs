//! `cosbroker keys revoke` and `restore`.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use serde_json::json;

use super::{
    Format, active_keys, decode, future_time,
    list::{MAX_LISTED, keys_of},
    note_unknown_keys, pretty, principal,
    print_deny::print_deny,
};
use crate::{
    cli::{admin_client::AdminClient, console::Console, listener::ListenerOptions, print},
    credential_cache::Revocation,
};
use diagnostics::to_single_line;

/// Revoke a user at once, and show until when the keys they already have are valid: COS cannot revoke a key.
///
/// From then on this broker responds 403 to every request of the user. It does not inform other replicas: run the
/// command for each. Without `limits.revoked_file`, a restart of the broker ends the revocation.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker keys revoke --config config.toml --subject alice\n  cosbroker keys revoke --subject alice --issuer https://id.example.com/ --yes\n  cosbroker keys revoke --config config.toml --subject alice --print-deny"
)]
pub(super) struct Options {
    #[command(flatten)]
    user: User,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
    /// Print the CAM policy and the bucket policy that stop the keys which the user already has, in their folder.
    #[arg(long)]
    print_deny: bool,
    /// The output format.
    #[arg(long, value_enum, default_value = "human", conflicts_with = "print_deny")]
    format: Format,
    #[command(flatten)]
    listener: ListenerOptions,
}

/// Restore a revoked user: the broker serves them again.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  cosbroker keys restore --config config.toml --subject alice")]
pub(super) struct RestoreOptions {
    #[command(flatten)]
    user: User,
    /// The output format.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    #[command(flatten)]
    listener: ListenerOptions,
}

#[derive(Debug, Args)]
struct User {
    /// The user: exactly the token's `sub`.
    #[arg(long, allow_hyphen_values = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    subject: String,
    /// The issuer of the user: exactly the token's `iss`. Needed only if several issuers are configured.
    #[arg(long, allow_hyphen_values = true)]
    issuer: Option<String>,
}

impl User {
    fn request_body(&self) -> serde_json::Value {
        match &self.issuer {
            Some(issuer) => json!({"issuer": issuer, "subject": self.subject}),
            None => json!({"subject": self.subject}),
        }
    }
}

impl Options {
    pub(super) async fn run(self, console: Console) -> anyhow::Result<()> {
        let client = self.listener.client()?;
        if !self.yes {
            self.confirm(&client).await?;
        }
        let response = client.post_json("/api/revoke", &self.user.request_body()).await?;
        let revocation: Revocation = decode(response.clone())?;
        if self.format == Format::Json {
            print(&pretty(&response)?)?;
        } else {
            print(&summary(&revocation))?;
            note_unknown_keys(&revocation.coverage, console);
        }
        if self.print_deny {
            let keys = keys_of(&client, Some(&revocation.issuer), &revocation.subject, MAX_LISTED).await?;
            print_deny(&keys, console)?;
        }
        match &revocation.problem {
            _ if revocation.lasting => {}
            Some(problem) => {
                anyhow::bail!(
                    "the revocation ends when the broker restarts: {problem}; fix that and revoke the user again"
                )
            }
            None => console.note(
                "the revocation ends when the broker restarts; to keep it, set limits.revoked_file, or block the user at the issuer",
            ),
        }
        Ok(())
    }

    /// Asks for confirmation, with what is known of the user's keys.
    async fn confirm(&self, client: &AdminClient) -> anyhow::Result<()> {
        let stdin = std::io::stdin();
        anyhow::ensure!(
            stdin.is_terminal(),
            "no user was revoked: there is no terminal to ask for confirmation; give --yes"
        );
        let found = keys_of(client, self.user.issuer.as_deref(), &self.user.subject, 0).await?;
        let until = match found.expires_last_at {
            Some(until) => format!(", the last expires {}", future_time(until, found.coverage.now)),
            None => String::new(),
        };
        let subject = to_single_line(&self.user.subject);
        let active = active_keys(found.active as u64);
        write!(std::io::stdout(), "`{subject}`: {active}{until}.\nRevoke this user? [y/N] ")?;
        std::io::stdout().flush()?;
        let mut answer = String::new();
        stdin.lock().read_line(&mut answer)?;
        anyhow::ensure!(is_yes(&answer), "no user was revoked");
        Ok(())
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

fn summary(revocation: &Revocation) -> String {
    let user = principal(&revocation.issuer, &revocation.subject);
    let before = if revocation.already { " (was revoked already)" } else { "" };
    let keys = match revocation.expires_last_at {
        Some(until) => format!(
            "{} cannot be revoked: the last expires {}",
            active_keys(revocation.active as u64),
            future_time(until, revocation.coverage.now)
        ),
        None => "no active key of this user is known; if that is unexpected, check the spelling: the subject is exactly the token's `sub`".to_owned(),
    };
    format!("revoked: {user} gets no more keys{before}\n{keys}")
}

impl RestoreOptions {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.listener.client()?;
        let response = client.post_json("/api/restore", &self.user.request_body()).await?;
        let restored: Revocation = decode(response.clone())?;
        if self.format == Format::Json {
            print(&pretty(&response)?)?;
        } else {
            print(&format!("restored: {} is served again", principal(&restored.issuer, &restored.subject)))?;
        }
        match &restored.problem {
            Some(problem) => anyhow::bail!(
                "the user is revoked again when the broker restarts: {problem}; fix that, then revoke and restore the user again"
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_confirms() {
        for (answer, yes) in [("y\n", true), ("Yes\n", true), ("", false), ("\n", false), ("yup", false)] {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
    }
}
