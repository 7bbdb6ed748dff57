//! Derives an identity's home from the template's text, without the renderer's code.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::VerifierFault;
use crate::identity::Identity;

/// Derives the home from the text that the template's file has.
pub(super) fn derive_home(text: &str, identity: &Identity) -> Result<String, VerifierFault> {
    let mut home = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (literal, after) = rest.split_at(start);
        let end = after.find('}').ok_or(VerifierFault::OpenVariable)?;
        let (variable, next) = after.split_at(end);
        home.push_str(literal);
        home.push_str(&value(variable.trim_start_matches("${"), identity)?);
        rest = next.trim_start_matches('}');
    }
    home.push_str(rest);
    if home.is_empty() || !home.ends_with('/') || home.starts_with('/') || home.contains("//") {
        return Err(VerifierFault::NotAHome(home));
    }
    Ok(home)
}

fn value(variable: &str, identity: &Identity) -> Result<String, VerifierFault> {
    let (name, filter) = match variable.split_once('|') {
        Some((name, filter)) => (name, Some(filter)),
        None => (variable, None),
    };
    let value = match (&claim(name, identity)?, filter) {
        (Value::Number(number), Some("integer")) if number.is_u64() => number.to_string(),
        (Value::String(text), Some("base64url")) => format!("_b64_{}", URL_SAFE_NO_PAD.encode(text)),
        (Value::String(text), Some("hex")) => format!("_hex_{}", lower_hex(text.as_bytes())),
        (Value::String(text), Some("sha256")) => {
            format!("_sha256_{}", lower_hex(&Sha256::digest(text.as_bytes())))
        }
        (Value::String(text), None) => text.clone(),
        _ => return Err(VerifierFault::ClaimType(variable.to_owned())),
    };
    if is_plain(&value, filter) { Ok(value) } else { Err(VerifierFault::NotPlain(variable.to_owned())) }
}

fn claim(name: &str, identity: &Identity) -> Result<Value, VerifierFault> {
    match name {
        "sub" => Ok(Value::from(identity.subject())),
        "iss" => Ok(Value::from(identity.issuer())),
        _ => {
            let path: Vec<String> =
                name.strip_prefix("claim.").unwrap_or(name).split('.').map(str::to_owned).collect();
            identity.claim(&path).cloned().ok_or_else(|| VerifierFault::MissingClaim(name.to_owned()))
        }
    }
}

fn lower_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// Whether a rendered value has only harmless characters, and begins and ends with one that its filter allows.
fn is_plain(value: &str, filter: Option<&str>) -> bool {
    let (Some(first), Some(last)) = (value.bytes().next(), value.bytes().next_back()) else { return false };
    let begins_well = first.is_ascii_alphanumeric() || (first == b'_' && filter.is_some());
    let ends_well = last.is_ascii_alphanumeric() || filter == Some("base64url");
    begins_well
        && ends_well
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !value.contains("..")
}
