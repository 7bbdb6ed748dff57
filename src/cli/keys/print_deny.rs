//! The statements that stop the active keys of a revoked user at once. Nothing is put in force: they are printed.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{future_time, pretty};
use crate::{
    cli::{console::Console, print},
    credential_cache::ActiveCredentials,
};
use cam::Statement;
use templates::{Bucket, deny_home};

/// Prints a deny for each folder that the user's active keys reach, for CAM and for the bucket's policy.
pub(super) fn print_deny(keys: &ActiveCredentials, console: Console) -> anyhow::Result<()> {
    let Some(until) = keys.expires_last_at else {
        console
            .note("there is no deny to print: this broker knows no active key of the user, and so no folder");
        return Ok(());
    };
    if keys.listed < keys.active {
        console.note(&format!(
            "only the folders of the {} keys that expire last are in these policies",
            keys.listed
        ));
    }
    let folders: BTreeSet<(&str, &str, &str)> =
        keys.keys.iter().map(|key| (key.bucket.as_str(), key.region.as_str(), key.prefix.as_str())).collect();
    let buckets: BTreeSet<(&str, &str)> = folders.iter().map(|(name, region, _)| (*name, *region)).collect();
    let mut all = Vec::new();
    let mut texts = Vec::new();
    for (name, region) in buckets {
        let bucket = Bucket { name: name.to_owned(), region: region.to_owned() };
        let homes = folders.iter().filter(|folder| (folder.0, folder.1) == (name, region));
        let statements: Vec<Statement> = homes.flat_map(|(_, _, home)| deny_home(&bucket, home)).collect();
        let written: Vec<Value> = statements.iter().map(for_everybody).collect();
        texts.push(format!(
            "\nbucket policy of {name}: add these statements to those it has. PutBucketPolicy replaces the whole policy, so read it with GetBucketPolicy first, and put all statements together:\n{}",
            pretty(&json!({"version": "2.0", "Statement": written}))?
        ));
        all.extend(statements);
    }
    print(&format!(
        "\nCAM policy, for the role or sub-account whose keys call STS; it stops the broker's keys and nobody else:\n{}",
        pretty(&json!({"version": "2.0", "statement": all}))?
    ))?;
    for text in texts {
        print(&text)?;
    }
    print(&format!("\n{}", advice(until, keys.coverage.now)))?;
    Ok(())
}

/// A statement as bucket policies spell it (docs 436/8282). It is for everybody: temporary keys have no name that is
/// known before.
fn for_everybody(statement: &Statement) -> Value {
    let mut written = serde_json::Map::from_iter([
        ("Principal".to_owned(), json!({"qcs": ["qcs::cam::anyone:anyone"]})),
        ("Effect".to_owned(), json!(statement.effect)),
        ("Action".to_owned(), json!(statement.action)),
        ("Resource".to_owned(), json!(statement.resource)),
    ]);
    if !statement.condition.is_empty() {
        written.insert("Condition".to_owned(), json!(statement.condition));
    }
    Value::Object(written)
}

fn advice(until: Timestamp, now: Timestamp) -> String {
    format!(
        "put one of them in force: the bucket policy also stops your own servers in this folder. Remove it after {}, when the last known key has expired; before, the keys work again.",
        future_time(until, now)
    )
}
