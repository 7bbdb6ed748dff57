//! `cosbroker keys list` and `revoked`.

use clap::Args;
use serde::Deserialize;
use url::form_urlencoded;

use super::{Format, keys, moment, pretty, read, tell_unknown, to_come};
use crate::{
    cli::{
        operators::{Listener, Operators},
        say,
        table::{cell, table},
    },
    config::RevokedPrincipal,
    credential_cache::{ActiveCredential, ActiveCredentials},
};

/// Say which keys live: whose, for which folder, until when. Those that live longest come first.
///
/// Never tells what opens anything: a key's id stands in COS's access log, and its grant's id in the
/// broker's log.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker keys list --config config.toml\n  cosbroker keys list --subject alice\n  cosbroker keys list --prefix teams/ --format json"
)]
pub(super) struct Options {
    /// One user's: the token's `sub`, to the letter.
    #[arg(long, allow_hyphen_values = true)]
    subject: Option<String>,
    /// One issuer's: the token's `iss`.
    #[arg(long, allow_hyphen_values = true)]
    issuer: Option<String>,
    /// Those whose folder begins with this.
    #[arg(long, allow_hyphen_values = true)]
    prefix: Option<String>,
    /// List so many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// How it is written.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    #[command(flatten)]
    listener: Listener,
}

/// Say who is revoked, the latest first.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  cosbroker keys revoked --config config.toml")]
pub(super) struct Revoked {
    /// How it is written.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    #[command(flatten)]
    listener: Listener,
}

impl Options {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let limit = self.limit.to_string();
        let asked = [
            ("subject", self.subject.as_deref()),
            ("issuer", self.issuer.as_deref()),
            ("prefix", self.prefix.as_deref()),
            ("limit", Some(limit.as_str())),
        ];
        let answer = self.listener.open()?.get(&path(&asked)).await?;
        if self.format == Format::Json {
            return Ok(say(&pretty(&answer)?)?);
        }
        let found: ActiveCredentials = read(answer)?;
        if !found.keys.is_empty() {
            say(&rows(&found))?;
            say("")?;
        }
        say(&summary(&found))?;
        tell_unknown(&found.coverage);
        Ok(())
    }
}

/// What is known of one user's keys, without listing them.
pub(super) async fn known(
    operators: &Operators,
    issuer: Option<&str>,
    subject: &str,
) -> anyhow::Result<ActiveCredentials> {
    let asked = [("issuer", issuer), ("subject", Some(subject)), ("limit", Some("0"))];
    read(operators.get(&path(&asked)).await?)
}

fn path(asked: &[(&str, Option<&str>)]) -> String {
    let given = asked.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    format!("/api/keys?{query}")
}

fn rows(found: &ActiveCredentials) -> String {
    let several = found.keys.windows(2).any(|two| matches!(two, [a, b] if a.issuer != b.issuer));
    let prefix = |key: &ActiveCredential| {
        let part = if key.narrowed { " (part)" } else { "" };
        format!("{}{part}", cell(&key.prefix))
    };
    let subject = |key: &ActiveCredential| {
        if several { format!("{} of {}", cell(&key.subject), cell(&key.issuer)) } else { cell(&key.subject) }
    };
    let row = |key: &ActiveCredential| {
        [
            subject(key),
            cell(&key.template),
            prefix(key),
            moment(key.issued_at),
            to_come(key.expires_at, found.coverage.now),
            cell(&key.grant_id),
            cell(&key.key_id),
        ]
    };
    let rows: Vec<_> = found.keys.iter().map(row).collect();
    table(["SUBJECT", "TEMPLATE", "PREFIX", "ISSUED", "ENDS", "GRANT", "KEY ID"], &rows)
}

fn summary(found: &ActiveCredentials) -> String {
    let Some(until) = found.expires_last_at else { return "no such key lives".to_owned() };
    let (active, until) = (keys(found.active as u64), to_come(until, found.coverage.now));
    let cut = if found.listed < found.active {
        format!(
            "; listed are the {} that live longest: narrow it with --subject or --prefix, or raise --limit",
            found.listed
        )
    } else {
        String::new()
    };
    format!("{active} alive, the last until {until}{cut}")
}

#[derive(Deserialize)]
struct People {
    revoked: Vec<RevokedPrincipal>,
}

impl Revoked {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let answer = self.listener.open()?.get("/api/revoked").await?;
        if self.format == Format::Json {
            return Ok(say(&pretty(&answer)?)?);
        }
        let People { revoked } = read(answer)?;
        if revoked.is_empty() {
            return Ok(say("nobody is revoked")?);
        }
        let rows: Vec<_> =
            revoked.iter().map(|one| [cell(&one.subject), cell(&one.issuer), moment(one.since)]).collect();
        say(&table(["SUBJECT", "ISSUER", "SINCE"], &rows))?;
        Ok(())
    }
}
