//! The preconditions and the range of a request for an object.

use actix_web::http::header;

use super::{error::CosError, request::CosRequest};
use crate::storage::Object;

/// A precondition that is not met.
pub(super) enum FailedPrecondition {
    /// The object is not the one that the client expects.
    Changed,
    /// The object is the one that the client already has.
    Unchanged,
}

/// Returns the precondition that is not met (RFC 9110 §13.2.2). `prefix` stands before each header's name.
pub(super) fn failed_precondition(
    request: &CosRequest,
    prefix: &str,
    object: &Object,
) -> Option<FailedPrecondition> {
    let [if_match, if_unmodified_since, if_none_match, if_modified_since] =
        ["if-match", "if-unmodified-since", "if-none-match", "if-modified-since"]
            .map(|name| request.header(&format!("{prefix}{name}")));
    let has_changed = match (if_match, if_unmodified_since) {
        (Some(etags), _) => !etags.split(',').any(|etag| is_etag_of(etag, object)),
        (None, Some(date)) => is_modified_since(object, date).unwrap_or(false),
        (None, None) => false,
    };
    if has_changed {
        return Some(FailedPrecondition::Changed);
    }
    let is_unchanged = match (if_none_match, if_modified_since) {
        (Some(etags), _) => etags.split(',').map(without_weakness).any(|etag| is_etag_of(etag, object)),
        (None, Some(date)) => is_modified_since(object, date).is_some_and(|modified| !modified),
        (None, None) => false,
    };
    is_unchanged.then_some(FailedPrecondition::Unchanged)
}

fn is_etag_of(etag: &str, object: &Object) -> bool {
    let etag = etag.trim();
    etag == "*" || etag.trim_matches('"') == object.etag.trim_matches('"')
}

/// Returns a tag without the mark of a weak one, which does not count for `If-None-Match` (RFC 9110 §13.1.2).
fn without_weakness(etag: &str) -> &str {
    let etag = etag.trim();
    etag.strip_prefix("W/").unwrap_or(etag)
}

/// Whether a range may be sent: `If-Range` names the object as it is, by its tag or its date (RFC 9110 §13.1.5).
fn is_range_current(request: &CosRequest, object: &Object) -> bool {
    let Some(validator) = request.header("if-range").filter(|validator| !validator.is_empty()) else {
        return true;
    };
    match jiff::fmt::rfc2822::parse(validator) {
        Ok(date) => date.timestamp().as_second() == object.modified.as_second(),
        Err(_) => is_etag_of(validator, object),
    }
}

/// `None` if the date cannot be read.
fn is_modified_since(object: &Object, date: &str) -> Option<bool> {
    let date = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    Some(object.modified.as_second() > date.as_second())
}

/// Returns the first and last byte of the requested range. A header that is no range of bytes is ignored, and so
/// are several ranges (RFC 9110 §14.2).
pub(super) fn byte_range(request: &CosRequest, object: &Object) -> Result<Option<(u64, u64)>, CosError> {
    if !is_range_current(request, object) {
        return Ok(None);
    }
    let Some(Ok(header::Range::Bytes(ranges))) = request.header("range").map(str::parse) else {
        return Ok(None);
    };
    match ranges.as_slice() {
        [range] => {
            let range = range.to_satisfiable_range(object.length);
            range.map(Some).ok_or(CosError::InvalidRange(object.length))
        }
        _ => Ok(None),
    }
}
