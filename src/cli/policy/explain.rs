//! `cosbroker policy explain`: would COS allow a request, and which part of the policy decides?

use std::{net::IpAddr, num::ParseIntError};

use clap::Args;

use super::{TemplateAndUser, pretty};
use crate::cli::{console::Format, print};
use diagnostics::{Size, to_single_line};
use templates::{Question, explain};

/// Show whether a user's key would allow a request, and which statement and condition decide.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy explain upload --claims '{\"sub\":\"alice\"}' --action name/cos:PutObject --key users/alice/a.jpg --size 5MiB --content-type image/jpeg"
)]
pub(super) struct Options {
    #[command(flatten)]
    target: TemplateAndUser,
    /// The action, such as name/cos:PutObject, or its last part, `PutObject`.
    #[arg(long)]
    action: String,
    /// The object's key; for a list, the requested prefix.
    #[arg(long)]
    key: String,
    /// The size of the upload, such as 5MB, 5MiB or 5000000.
    #[arg(long, value_parser = parse_size)]
    size: Option<u64>,
    /// The content type of the upload, such as image/png.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// The address that the request comes from.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// The header x-cos-acl of the request.
    #[arg(long)]
    acl: Option<String>,
    /// Another condition key, such as cos:secure-transport=true; can be repeated. Values of request parameters
    /// (cos:delimiter, cos:versionid, cos:response-*) are URL-encoded, as CAM compares them.
    #[arg(long = "with", value_name = "KEY=VALUE", value_parser = parse_pair)]
    more: Vec<(String, String)>,
    /// The output format. JSON is the same as that of /v1/explain.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Options {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let grant = self.target.templates()?.grant(None, &self.target.identity()?)?;
        let explanation = explain(
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
        if self.format == Format::Json {
            print(&pretty(&explanation)?)?;
            return Ok(());
        }
        let verdict = if explanation.allowed { "allowed" } else { "denied" };
        print(&format!("{verdict}: {}", to_single_line(&explanation.reason)))?;
        if let Some(statement) = &explanation.statement {
            print(&format!("decided by: {}", to_single_line(&serde_json::to_string(statement)?)))?;
        }
        if let Some(unmet) = &explanation.condition {
            print(&format!("unmet condition: {} on {}", unmet.operator, unmet.key))?;
        }
        Ok(())
    }
}

/// Why a text is not a size.
#[derive(Debug, thiserror::Error)]
enum BadSize {
    #[error("`{0}` is not a size: {1}")]
    Number(String, ParseIntError),
    #[error("`{0}` is too large")]
    TooLarge(String),
    #[error("{0}")]
    Unit(<Size as std::str::FromStr>::Err),
}

/// Decimal units, beside the binary ones of [`Size`].
const DECIMAL_UNITS: [(&str, u64); 4] =
    [("kB", 1_000), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];

/// Parses a size with a binary unit, a decimal unit, or in bytes.
fn parse_size(text: &str) -> Result<u64, BadSize> {
    if let Ok(bytes) = text.parse() {
        return Ok(bytes);
    }
    let decimal = DECIMAL_UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    match decimal {
        Some((count, factor)) => {
            let count: u64 = count.trim().parse().map_err(|error| BadSize::Number(text.to_owned(), error))?;
            count.checked_mul(*factor).ok_or_else(|| BadSize::TooLarge(text.to_owned()))
        }
        None => Ok(text.parse::<Size>().map_err(BadSize::Unit)?.0),
    }
}

/// A condition key without a value.
#[derive(Debug, thiserror::Error)]
#[error("write it like cos:secure-transport=true")]
struct NoValue;

fn parse_pair(text: &str) -> Result<(String, String), NoValue> {
    let (key, value) = text.split_once('=').ok_or(NoValue)?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_binary_or_decimal_unit_or_none() {
        for (text, expected) in [("5MB", 5_000_000), ("5MiB", 5 << 20), ("10 kB", 10_000), ("7", 7)] {
            assert_eq!(parse_size(text).unwrap(), expected, "{text}");
        }
        for text in ["", "5XB", "MB", "-5MB", "99999999999999GB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
