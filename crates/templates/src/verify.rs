//! The second opinion on every rendering: the exact bytes that would be sent are decoded, the home is
//! derived again from the identity, and the evaluator is asked for the neighbours' objects.
//!
//! Shares no code with the renderer, on purpose: a fault there must be seen here. Only this module can
//! make a [`ConfinedPolicy`], and nothing else goes to STS: a missing or empty policy, which STS takes
//! for *all rights* (docs 436/68283), cannot be written down.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    proof::Proved,
    template::{Operand, Service, Statement, Template},
};
use crate::identity::Identity;
use cam::{
    Malformed, Policy,
    evaluate::{Request, evaluate},
};

/// A policy that reaches one owner's home and nothing else, as the bytes that STS takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfinedPolicy {
    wire: String,
    home: String,
}

/// Why a rendering must not be sent: always a fault of ours, never of the asker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the verifier refused a rendering of template `{template}`: {fault}")]
pub struct Unconfined {
    /// The template.
    pub template: String,
    /// What the rendering would reach or hold.
    pub fault: String,
}

impl ConfinedPolicy {
    /// The percent-encoded policy, to be sent as it is.
    pub fn wire(&self) -> &str {
        &self.wire
    }

    /// The folder it is confined to, ending in `/`.
    pub fn home(&self) -> &str {
        &self.home
    }

    /// The policy as CAM reads it.
    ///
    /// # Errors
    /// Never for bytes that passed the verifier; the type does not say so.
    pub fn decoded(&self) -> Result<Policy, Malformed> {
        let bytes = decode(&self.wire)
            .map_err(|fault| Malformed { place: "policy".to_owned(), fault: fault.to_owned() })?;
        Policy::parse(&bytes)
    }
}

/// Passes a rendering that is confined to this identity's home, or refuses it.
pub(super) fn verify(
    wire: String,
    proved: &Proved,
    identity: &Identity,
) -> Result<ConfinedPolicy, Unconfined> {
    let template = proved.template();
    let check = || {
        let home = derive_home(template.home_written.get_ref(), identity)?;
        let json = decode(&wire).map_err(str::to_owned)?;
        let policy = strict_json::from_slice(&json).map_err(|error| format!("is not JSON: {error}"))?;
        let bucket = format!(
            "qcs::cos:{}:uid/{}:{}/",
            template.bucket.region,
            template.bucket.appid(),
            template.bucket.name
        );
        let processing = format!(
            "qcs::ci:{}:uid/{}:bucket/{}/",
            template.bucket.region,
            template.bucket.appid(),
            template.bucket.name
        );
        let shared: Vec<String> = template
            .statements
            .iter()
            .filter(|statement| statement.shared.is_some())
            .flat_map(|statement| &statement.resources)
            .map(|resource| match resource.service {
                Service::Cos => format!("{bucket}{}", resource.key),
                Service::Ci => format!("{processing}{}", resource.key),
            })
            .collect();
        let listed = shared_prefixes(template).chain([percent_encoded(&home)]).collect::<Vec<_>>();
        let confines = Confines {
            bucket: &bucket,
            processing: &processing,
            home: &home,
            shared: &shared,
            listed: &listed,
        };
        neighbours_are_out_of_reach(&read(&policy, &confines)?, &confines)?;
        Ok(home)
    };
    match check() {
        Ok(home) => Ok(ConfinedPolicy { wire, home }),
        Err(fault) => Err(Unconfined { template: template.name.clone(), fault }),
    }
}

/// What every allow must lie in.
struct Confines<'a> {
    bucket: &'a str,
    processing: &'a str,
    home: &'a str,
    shared: &'a [String],
    listed: &'a [String],
}

/// The encoded prefixes that everybody may list.
fn shared_prefixes(template: &Template) -> impl Iterator<Item = String> {
    let shared = template.statements.iter().filter(|statement| statement.shared.is_some());
    shared
        .flat_map(Statement::prefixes)
        .filter_map(Operand::as_literal)
        .map(|text| percent_encoded(text.split('*').next().unwrap_or_default()))
        .filter(|prefix| !prefix.is_empty())
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            _ => encoded.extend(["%".to_owned(), format!("{byte:02X}")]),
        }
        encoded
    })
}

/// Walks the policy; gives the object grants on the home as (action, resource).
fn read<'a>(policy: &'a Value, confines: &Confines<'_>) -> Result<Vec<(&'a str, &'a str)>, String> {
    let policy = object(policy, "policy", &["version", "statement"])?;
    if policy.get("version") != Some(&Value::from("2.0")) {
        return Err("its version is not 2.0".to_owned());
    }
    let statements = policy.get("statement").and_then(Value::as_array).ok_or("it has no statement")?;
    let mut own = Vec::new();
    let mut allows = 0;
    for statement in statements {
        let statement = object(statement, "statement", &["effect", "action", "resource", "condition"])?;
        match statement.get("effect").and_then(Value::as_str) {
            Some("deny") => continue,
            Some("allow") => allows += 1,
            _ => return Err("an effect is neither allow nor deny".to_owned()),
        }
        let actions = strings(statement, "action")?;
        let resources = strings(statement, "resource")?;
        if let Some(action) = actions.iter().find(|action| !is_grantable(action)) {
            return Err(format!("it allows `{action}`"));
        }
        let lists = actions.iter().all(|action| is_list(action));
        if lists && !list_is_bound(statement, confines) {
            return Err("it lists without a cos:prefix under the home".to_owned());
        }
        if !lists && actions.iter().any(|action| is_list(action)) {
            return Err("it mixes lists with object actions".to_owned());
        }
        for resource in resources {
            let whole = resource == confines.bucket || resource.strip_prefix(confines.bucket) == Some("*");
            let starts = [confines.bucket, confines.processing];
            let key = starts.iter().find_map(|start| resource.strip_prefix(start)).unwrap_or_default();
            let shared = confines.shared.iter().any(|known| lies_in(resource, known))
                && actions.iter().all(|action| is_read(action));
            if key.starts_with(confines.home) && !resource.contains('?') {
                own.extend(
                    actions.iter().filter(|action| !is_list(action)).map(|action| (*action, resource)),
                );
            } else if !(shared || lists && whole) {
                return Err(format!("it reaches `{resource}`, outside the home `{}`", confines.home));
            }
        }
    }
    if allows == 0 { Err("it allows nothing".to_owned()) } else { Ok(own) }
}

/// Whether a resource is a shared one, or a part of a shared folder.
fn lies_in(resource: &str, shared: &str) -> bool {
    let folder = shared.strip_suffix('*').filter(|folder| !folder.contains('*'));
    resource == shared || folder.is_some_and(|folder| resource.starts_with(folder))
}

/// The evaluator must find none of the keys next to the home, under any of the grants on it,
/// conditions and denies left aside.
fn neighbours_are_out_of_reach(own: &[(&str, &str)], confines: &Confines<'_>) -> Result<(), String> {
    let home = confines.home;
    let grants: Vec<Value> = own
        .iter()
        .map(|(action, resource)| {
            serde_json::json!({"effect": "allow", "action": action, "resource": resource})
        })
        .collect();
    if grants.is_empty() {
        return Ok(());
    }
    let bare = serde_json::json!({"version": "2.0", "statement": grants}).to_string();
    let policy = Policy::parse(bare.as_bytes()).map_err(|error| error.to_string())?;
    let closed = home.strip_suffix('/').ok_or("the home does not end in `/`")?;
    let parent = closed.rsplit_once('/').map_or("", |(parent, _)| parent);
    let neighbours = [
        String::new(),
        closed.to_owned(),
        format!("{closed}0/x"),
        format!("{closed}-/x"),
        format!("{parent}/"),
        format!("{parent}/!neighbour/x"),
        format!("!{home}x"),
        home.get(1..).unwrap_or_default().to_owned(),
    ];
    for (start, key) in [confines.bucket, confines.processing]
        .iter()
        .flat_map(|start| neighbours.iter().map(move |key| (start, key)))
    {
        let resource = format!("{start}{key}");
        for (action, _) in own {
            let request = Request { action, resource: &resource, ..Request::default() };
            if evaluate(&policy, &request).is_allowed() {
                return Err(format!("the evaluator lets it reach `{key}`"));
            }
        }
    }
    Ok(())
}

/// The home of an identity, from the template's text as written.
fn derive_home(text: &str, identity: &Identity) -> Result<String, String> {
    let mut home = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (literal, after) = rest.split_at(start);
        let end = after.find('}').ok_or("the home has an open variable")?;
        let (variable, next) = after.split_at(end);
        home.push_str(literal);
        home.push_str(&value(variable.trim_start_matches("${"), identity)?);
        rest = next.trim_start_matches('}');
    }
    home.push_str(rest);
    if home.is_empty() || !home.ends_with('/') || home.starts_with('/') || home.contains("//") {
        return Err(format!("`{home}` is not a home"));
    }
    Ok(home)
}

fn value(variable: &str, identity: &Identity) -> Result<String, String> {
    let (name, filter) = variable.split_once('|').unwrap_or((variable, ""));
    let claim = match name {
        "sub" => Value::from(identity.subject()),
        "iss" => Value::from(identity.issuer()),
        _ => {
            let path: Vec<String> =
                name.strip_prefix("claim.").unwrap_or(name).split('.').map(str::to_owned).collect();
            identity.claim(&path).cloned().ok_or_else(|| format!("`{name}` is missing"))?
        }
    };
    let value = match (&claim, filter) {
        (Value::Number(number), "integer") if number.is_u64() => number.to_string(),
        (Value::String(text), "base64url") => format!("_b64_{}", URL_SAFE_NO_PAD.encode(text)),
        (Value::String(text), "hex") => {
            text.bytes().fold("_hex_".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
        }
        (Value::String(text), "sha256") => Sha256::digest(text.as_bytes())
            .iter()
            .fold("_sha256_".to_owned(), |hex, byte| format!("{hex}{byte:02x}")),
        (Value::String(text), "") => text.clone(),
        _ => return Err(format!("`{variable}` does not fit its claim")),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let closed =
        value.bytes().next_back().is_some_and(|byte| filter == "base64url" || byte.is_ascii_alphanumeric());
    let open = value
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || (byte == b'_' && !filter.is_empty()));
    if !open || !closed || !value.bytes().all(plain) || value.contains("..") {
        return Err(format!("`{variable}` renders to something that is not plain"));
    }
    Ok(value)
}

/// Undoes one percent-encoding; whatever an encoder should have escaped is refused.
fn decode(wire: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = wire.bytes();
    let mut decoded = Vec::with_capacity(wire.len());
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let (high, low) = digit(bytes.next()).zip(digit(bytes.next())).ok_or("a broken escape")?;
                decoded.push(u8::try_from(high * 16 + low).map_err(|_| "a broken escape")?);
            }
            b'-' | b'_' | b'.' | b'~' => decoded.push(byte),
            _ if byte.is_ascii_alphanumeric() => decoded.push(byte),
            _ => return Err("a byte that should be escaped"),
        }
    }
    Ok(decoded)
}

fn is_grantable(action: &str) -> bool {
    let services = ["name/cos:", "name/ci:"];
    let Some(name) = services.iter().find_map(|service| action.strip_prefix(service)) else {
        return false;
    };
    let lower = name.to_ascii_lowercase();
    let shares =
        ["bucket", "service", "acl", "policy", "multipleobjects"].iter().any(|part| lower.contains(part));
    name.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !name.is_empty() && (!shares || is_list(action))
}

fn is_list(action: &str) -> bool {
    matches!(action, "name/cos:GetBucket" | "name/cos:GetBucketObjectVersions")
}

fn is_read(action: &str) -> bool {
    ["Get", "Head", "Options", "List"]
        .iter()
        .any(|verb| action.strip_prefix("name/cos:").is_some_and(|name| name.starts_with(verb)))
}

/// Only a plain equality or likeness on `cos:prefix` binds, and only if each value is under the home
/// or a shared folder.
fn list_is_bound(statement: &Map<String, Value>, confines: &Confines<'_>) -> bool {
    ["string_equal", "string_like"].iter().any(|operator| {
        let values = statement
            .get("condition")
            .and_then(|condition| condition.get(operator)?.get("cos:prefix")?.as_array());
        values.is_some_and(|values| {
            !values.is_empty()
                && values.iter().all(|value| {
                    value
                        .as_str()
                        .is_some_and(|text| confines.listed.iter().any(|start| text.starts_with(start)))
                })
        })
    })
}

fn object<'a>(value: &'a Value, what: &str, known: &[&str]) -> Result<&'a Map<String, Value>, String> {
    let map = value.as_object().ok_or_else(|| format!("its {what} is not an object"))?;
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("its {what} holds `{key}`")),
        None => Ok(map),
    }
}

fn strings<'a>(statement: &'a Map<String, Value>, key: &str) -> Result<Vec<&'a str>, String> {
    statement
        .get(key)
        .and_then(Value::as_array)
        .filter(|list| !list.is_empty())
        .and_then(|list| list.iter().map(Value::as_str).collect())
        .ok_or_else(|| format!("its {key} is not a list of strings"))
}

#[cfg(test)]
mod tests;
