//! `cosbroker keys list` and `revoked`.

use clap::Args;
use serde::Deserialize;
use url::form_urlencoded;

use super::{Console, Format, active_keys, decode, future_time, note_unknown_keys, pretty, time};
use crate::{
    cli::{
        admin_client::AdminClient,
        listener::ListenerOptions,
        print,
        table::{cell, table},
    },
    config::RevokedPrincipal,
    credential_cache::{ActiveCredential, ActiveCredentials},
};

/// The maximum number of keys in a list.
pub(super) const MAX_LISTED: u32 = 10_000;

/// List active keys: of which user, for which folder, until when. The keys that expire last come first.
///
/// Prints no secret: a key's id is also in COS's access log, and a grant's id in the broker's log.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker keys list --config config.toml\n  cosbroker keys list --subject alice\n  cosbroker keys list --prefix teams/ --format json"
)]
pub(super) struct Options {
    /// Only this user: exactly the token's `sub`.
    #[arg(long, allow_hyphen_values = true)]
    subject: Option<String>,
    /// Only users of this issuer: exactly the token's `iss`.
    #[arg(long, allow_hyphen_values = true)]
    issuer: Option<String>,
    /// Only keys whose folder begins with this.
    #[arg(long, allow_hyphen_values = true)]
    prefix: Option<String>,
    /// The maximum number of keys in the list.
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = limit)]
    limit: u32,
    /// The output format.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    #[command(flatten)]
    listener: ListenerOptions,
}

/// List revoked users. The latest revocation comes first.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  cosbroker keys revoked --config config.toml")]
pub(super) struct RevokedOptions {
    /// The output format.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    #[command(flatten)]
    listener: ListenerOptions,
}

fn limit(text: &str) -> Result<u32, String> {
    let limit = text.parse().ok().filter(|limit| (1..=MAX_LISTED).contains(limit));
    limit.ok_or_else(|| format!("write a whole number from 1 to {MAX_LISTED}"))
}

impl Options {
    pub(super) async fn run(self, console: Console) -> anyhow::Result<()> {
        let limit = self.limit.to_string();
        let path = keys_path(&[
            ("subject", self.subject.as_deref()),
            ("issuer", self.issuer.as_deref()),
            ("prefix", self.prefix.as_deref()),
            ("limit", Some(limit.as_str())),
        ]);
        let response = self.listener.client()?.get(&path).await?;
        if self.format == Format::Json {
            return Ok(print(&pretty(&response)?)?);
        }
        let found: ActiveCredentials = decode(response)?;
        if !found.keys.is_empty() {
            print(&rows(&found))?;
            print("")?;
        }
        print(&summary(&found))?;
        note_unknown_keys(&found.coverage, console);
        Ok(())
    }
}

/// Counts the active keys of one user, and lists at most `limit` of them.
pub(super) async fn keys_of(
    client: &AdminClient,
    issuer: Option<&str>,
    subject: &str,
    limit: u32,
) -> anyhow::Result<ActiveCredentials> {
    let limit = limit.to_string();
    let path = keys_path(&[("issuer", issuer), ("subject", Some(subject)), ("limit", Some(limit.as_str()))]);
    decode(client.get(&path).await?)
}

fn keys_path(parameters: &[(&str, Option<&str>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    format!("/api/keys?{query}")
}

fn rows(found: &ActiveCredentials) -> String {
    let with_issuer = found.keys.windows(2).any(|two| matches!(two, [a, b] if a.issuer != b.issuer));
    let mut rows = Vec::new();
    for key in &found.keys {
        rows.push([
            subject(key, with_issuer),
            cell(&key.template),
            prefix(key),
            time(key.issued_at),
            future_time(key.expires_at, found.coverage.now),
            cell(&key.grant_id),
            cell(&key.key_id),
        ]);
    }
    table(["SUBJECT", "TEMPLATE", "PREFIX", "ISSUED", "EXPIRES", "GRANT", "KEY ID"], &rows)
}

fn subject(key: &ActiveCredential, with_issuer: bool) -> String {
    if with_issuer { format!("{} of {}", cell(&key.subject), cell(&key.issuer)) } else { cell(&key.subject) }
}

fn prefix(key: &ActiveCredential) -> String {
    let part = if key.narrowed { " (part)" } else { "" };
    format!("{}{part}", cell(&key.prefix))
}

fn summary(found: &ActiveCredentials) -> String {
    let Some(until) = found.expires_last_at else { return "no active key".to_owned() };
    let (active, until) = (active_keys(found.active as u64), future_time(until, found.coverage.now));
    let cut = if found.listed < found.active {
        format!(
            "; the list has the {} that expire last: narrow it with --subject or --prefix, or raise --limit",
            found.listed
        )
    } else {
        String::new()
    };
    format!("{active}, the last expires {until}{cut}")
}

#[derive(Deserialize)]
struct RevokedUsers {
    revoked: Vec<RevokedPrincipal>,
}

impl RevokedOptions {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let response = self.listener.client()?.get("/api/revoked").await?;
        if self.format == Format::Json {
            return Ok(print(&pretty(&response)?)?);
        }
        let RevokedUsers { revoked } = decode(response)?;
        if revoked.is_empty() {
            return Ok(print("no user is revoked")?);
        }
        let rows: Vec<_> =
            revoked.iter().map(|one| [cell(&one.subject), cell(&one.issuer), time(one.since)]).collect();
        print(&table(["SUBJECT", "ISSUER", "SINCE"], &rows))?;
        Ok(())
    }
}
