//! `cosbroker policy explain`: would COS let this through, and which part decides?

use std::net::IpAddr;

use clap::{Args, ValueEnum};

use super::{Subject, pretty};
use crate::cli::say;
use diagnostics::{Size, to_single_line};
use templates::{Question, explain};

/// Say whether somebody's key would be allowed to do something, and which statement and condition decide.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy explain upload --claims '{\"sub\":\"alice\"}' --action name/cos:PutObject --key users/alice/a.jpg --size 5MiB --content-type image/jpeg"
)]
pub(super) struct Options {
    #[command(flatten)]
    subject: Subject,
    /// Such as name/cos:PutObject, or just its end, `PutObject`.
    #[arg(long)]
    action: String,
    /// The object's key; for a list, the prefix asked for.
    #[arg(long)]
    key: String,
    /// The upload's size, such as 5MB, 5MiB or 5000000.
    #[arg(long, value_parser = bytes)]
    size: Option<u64>,
    /// The upload's type, such as image/png.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// The address it would come from.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// The header x-cos-acl it would carry.
    #[arg(long)]
    acl: Option<String>,
    /// Any other condition key, such as cos:secure-transport=true; may be repeated. Values of request
    /// parameters (cos:delimiter, cos:versionid, cos:response-*) are URL-encoded, as CAM compares them.
    #[arg(long = "with", value_name = "KEY=VALUE", value_parser = pair)]
    more: Vec<(String, String)>,
    /// How the answer is written.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For a person.
    Human,
    /// The same as /v1/explain.
    Json,
}

impl Options {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let grant = self.subject.templates()?.grant(None, &self.subject.identity()?)?;
        let answer = explain(
            &grant,
            &Question {
                action: &self.action,
                key: &self.key,
                size: self.size,
                content_type: self.content_type.as_deref(),
                ip: self.ip,
                acl: self.acl.as_deref(),
                more: &self.more,
            },
        );
        if matches!(self.format, Format::Json) {
            say(&pretty(&answer)?)?;
            return Ok(());
        }
        let verdict = if answer.allowed { "allowed" } else { "denied" };
        say(&format!("{verdict}: {}", to_single_line(&answer.reason)))?;
        if let Some(statement) = &answer.statement {
            say(&format!("decided by: {}", to_single_line(&serde_json::to_string(statement)?)))?;
        }
        if let Some(unmet) = &answer.condition {
            say(&format!("unmet condition: {} on {}", unmet.operator, unmet.key))?;
        }
        Ok(())
    }
}

/// A size as people write it for files: binary units, decimal ones, or bytes.
fn bytes(text: &str) -> Result<u64, String> {
    let decimal = [("kB", 1_000_u64), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    if let Ok(bytes) = text.parse() {
        return Ok(bytes);
    }
    let counted = decimal.into_iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    match counted {
        Some((count, factor)) => {
            let count: u64 = count.trim().parse().map_err(|_| format!("`{text}` is not a size"))?;
            count.checked_mul(factor).ok_or_else(|| format!("`{text}` is too large"))
        }
        None => text.parse::<Size>().map(|size| size.0).map_err(|error| error.to_string()),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it like cos:secure-transport=true")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_taken_as_people_write_it() {
        for (text, expected) in [("5MB", 5_000_000), ("5MiB", 5 << 20), ("10 kB", 10_000), ("7", 7)] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "5XB", "MB", "-5MB", "99999999999999GB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
