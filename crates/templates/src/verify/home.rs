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
        let end = find_outside_quotes(after, '}').ok_or(VerifierFault::OpenVariable)?;
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
    let (name, filter) = match find_outside_quotes(variable, '|') {
        Some(bar) => {
            let (name, filter) = variable.split_at(bar);
            (name, Some(filter.trim_start_matches('|')))
        }
        None => (variable, None),
    };
    let value = match (&claim(name, filter, identity)?, filter) {
        (Value::Number(number), Some("integer")) if number.is_u64() => number.to_string(),
        (Value::String(text), Some("escape")) => escaped(text.as_bytes()),
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

fn claim(name: &str, filter: Option<&str>, identity: &Identity) -> Result<Value, VerifierFault> {
    match name {
        "sub" if identity.has_integer_subject() && filter != Some("escape") => identity
            .subject()
            .parse::<u64>()
            .map(Value::from)
            .map_err(|_| VerifierFault::ClaimType(name.to_owned())),
        "sub" => Ok(Value::from(identity.subject())),
        "iss" => Ok(Value::from(identity.issuer())),
        _ => {
            let path = path(name.strip_prefix("claim.").unwrap_or(name));
            identity.claim(&path).ok_or_else(|| VerifierFault::MissingClaim(name.to_owned()))
        }
    }
}

/// Splits the path of a claim at its dots, and takes the quotes off its names.
fn path(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(dot) = find_outside_quotes(rest, '.') {
        let (name, after) = rest.split_at(dot);
        names.push(name.trim_matches('"').to_owned());
        rest = after.strip_prefix('.').unwrap_or_default();
    }
    names.push(rest.trim_matches('"').to_owned());
    names
}

/// Returns the position of a character after an even number of quotes.
fn find_outside_quotes(text: &str, wanted: char) -> Option<usize> {
    let mut quotes = 0;
    for (at, c) in text.char_indices() {
        if c == '"' {
            quotes += 1;
        } else if c == wanted && quotes % 2 == 0 {
            return Some(at);
        }
    }
    None
}

/// Writes a text by the filter `escape`.
fn escaped(text: &[u8]) -> String {
    let mut written = String::with_capacity(text.len());
    for at in 0..text.len() {
        write_escaped(&mut written, text, at);
    }
    if written.len() > 128 { format!("!sha256_{}", lower_hex(&Sha256::digest(text))) } else { written }
}

fn write_escaped(written: &mut String, text: &[u8], at: usize) {
    let neighbour = |at: Option<usize>| at.and_then(|at| text.get(at)).copied();
    let (before, after) = (neighbour(at.checked_sub(1)), neighbour(at.checked_add(1)));
    let Some(byte) = text.get(at) else { return };
    let stays = match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => true,
        b'_' | b'-' => before.is_some(),
        b'.' => !matches!(before, None | Some(b'.')) && after.is_some(),
        _ => false,
    };
    if stays {
        written.push(char::from(*byte));
    } else {
        written.push('!');
        written.push_str(&lower_hex(&[*byte]).to_uppercase());
    }
}

fn lower_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// Whether a rendered value has only harmless characters, and begins and ends with one that its filter allows.
fn is_plain(value: &str, filter: Option<&str>) -> bool {
    let (Some(first), Some(last)) = (value.bytes().next(), value.bytes().next_back()) else { return false };
    let escapes = filter == Some("escape");
    let begins_well = first.is_ascii_alphanumeric()
        || match filter {
            None => false,
            Some("escape") => first == b'!',
            Some(_) => first == b'_',
        };
    let is_harmless =
        |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte) || (byte == b'!' && escapes);
    begins_well && last != b'.' && value.bytes().all(is_harmless) && !value.contains("..")
}
