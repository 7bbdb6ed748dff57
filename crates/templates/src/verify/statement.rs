//! Checks the statements of a rendered policy, read as plain JSON.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::VerifierFault;

/// What every allow must lie in.
pub(super) struct AllowedArea {
    /// The start of the bucket's resources.
    pub(super) bucket: String,
    /// The same for data processing.
    pub(super) processing: String,
    pub(super) home: String,
    /// Resources of shared folders, for reading only.
    pub(super) shared: Vec<String>,
    /// The encoded prefixes that may be listed.
    pub(super) prefixes: Vec<String>,
}

/// Checks every statement, and returns the resources under the home whose objects it allows anything on.
pub(super) fn check_statements<'a>(
    policy: &'a Value,
    area: &AllowedArea,
) -> Result<BTreeSet<&'a str>, VerifierFault> {
    let policy = object(policy, "policy", &["version", "statement"])?;
    if policy.get("version") != Some(&Value::from("2.0")) {
        return Err(VerifierFault::Version);
    }
    let statements = policy.get("statement").and_then(Value::as_array).ok_or(VerifierFault::NoStatement)?;
    let mut resources = BTreeSet::new();
    let mut allows_something = false;
    for statement in statements {
        let statement = object(statement, "statement", &["effect", "action", "resource", "condition"])?;
        match statement.get("effect").and_then(Value::as_str) {
            Some("deny") => {}
            Some("allow") => {
                allows_something = true;
                resources.extend(check_allow(statement, area)?);
            }
            _ => return Err(VerifierFault::Effect),
        }
    }
    if allows_something { Ok(resources) } else { Err(VerifierFault::AllowsNothing) }
}

fn check_allow<'a>(
    statement: &'a Map<String, Value>,
    area: &AllowedArea,
) -> Result<Vec<&'a str>, VerifierFault> {
    let actions = strings(statement, "action")?;
    let resources = strings(statement, "resource")?;
    if let Some(action) = actions.iter().find(|action| !is_grantable(action)) {
        return Err(VerifierFault::Action((*action).to_owned()));
    }
    let lists_only = actions.iter().all(|action| is_list(action));
    if lists_only && !list_is_bound(statement, area) {
        return Err(VerifierFault::UnboundList);
    }
    if !lists_only && actions.iter().any(|action| is_list(action)) {
        return Err(VerifierFault::MixedLists);
    }
    let reads_only = actions.iter().all(|action| is_read(action));
    let mut under_home = Vec::new();
    for resource in resources {
        if area.is_under_home(resource) {
            under_home.extend((!lists_only).then_some(resource));
        } else if !(reads_only && area.is_shared(resource) || lists_only && area.is_whole_bucket(resource)) {
            let (resource, home) = (resource.to_owned(), area.home.clone());
            return Err(VerifierFault::OutsideHome { resource, home });
        }
    }
    Ok(under_home)
}

impl AllowedArea {
    fn is_under_home(&self, resource: &str) -> bool {
        let starts = [&self.bucket, &self.processing];
        let key = starts.iter().find_map(|start| resource.strip_prefix(start.as_str()));
        key.is_some_and(|key| key.starts_with(&self.home)) && !resource.contains('?')
    }

    fn is_shared(&self, resource: &str) -> bool {
        self.shared.iter().any(|shared| {
            let folder = shared.strip_suffix('*').filter(|folder| !folder.contains('*'));
            resource == shared || folder.is_some_and(|folder| resource.starts_with(folder))
        })
    }

    fn is_whole_bucket(&self, resource: &str) -> bool {
        matches!(resource.strip_prefix(&self.bucket), Some("" | "*"))
    }
}

fn is_grantable(action: &str) -> bool {
    let services = ["name/cos:", "name/ci:"];
    let Some(name) = services.iter().find_map(|service| action.strip_prefix(service)) else {
        return false;
    };
    let lower = name.to_ascii_lowercase();
    let affects_all =
        ["bucket", "service", "acl", "policy", "multipleobjects"].iter().any(|part| lower.contains(part));
    name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && !name.is_empty()
        && (!affects_all || is_list(action))
}

fn is_list(action: &str) -> bool {
    matches!(action, "name/cos:GetBucket" | "name/cos:GetBucketObjectVersions")
}

fn is_read(action: &str) -> bool {
    ["Get", "Head", "Options", "List"]
        .iter()
        .any(|verb| action.strip_prefix("name/cos:").is_some_and(|name| name.starts_with(verb)))
}

/// Whether a list is bound: an equality or likeness on `cos:prefix` has only values under the home or in a
/// shared folder.
fn list_is_bound(statement: &Map<String, Value>, area: &AllowedArea) -> bool {
    let Some(condition) = statement.get("condition") else { return false };
    ["string_equal", "string_like"].iter().any(|operator| {
        let prefixes = condition.get(operator).and_then(|keys| keys.get("cos:prefix")?.as_array());
        prefixes.is_some_and(|prefixes| {
            !prefixes.is_empty()
                && prefixes
                    .iter()
                    .all(|prefix| prefix.as_str().is_some_and(|prefix| area.allows_prefix(prefix)))
        })
    })
}

impl AllowedArea {
    fn allows_prefix(&self, prefix: &str) -> bool {
        self.prefixes.iter().any(|allowed| prefix.starts_with(allowed))
    }
}

fn object<'a>(
    value: &'a Value,
    element: &'static str,
    known: &[&str],
) -> Result<&'a Map<String, Value>, VerifierFault> {
    let map = value.as_object().ok_or(VerifierFault::NotAnObject(element))?;
    match map.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(VerifierFault::UnknownElement { element, name: name.clone() }),
        None => Ok(map),
    }
}

fn strings<'a>(
    statement: &'a Map<String, Value>,
    element: &'static str,
) -> Result<Vec<&'a str>, VerifierFault> {
    statement
        .get(element)
        .and_then(Value::as_array)
        .filter(|list| !list.is_empty())
        .and_then(|list| list.iter().map(Value::as_str).collect())
        .ok_or(VerifierFault::NotStrings(element))
}
