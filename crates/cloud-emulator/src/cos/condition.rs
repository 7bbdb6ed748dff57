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
        (Some(etags), _) => !lists_etag_of(etags, object),
        (None, Some(date)) => is_modified_since(object, date).unwrap_or(false),
        (None, None) => false,
    };
    if has_changed {
        return Some(FailedPrecondition::Changed);
    }
    let is_unchanged = match (if_none_match, if_modified_since) {
        (Some(etags), _) => lists_etag_of(etags, object),
        (None, Some(date)) => is_modified_since(object, date).is_some_and(|modified| !modified),
        (None, None) => false,
    };
    is_unchanged.then_some(FailedPrecondition::Unchanged)
}

fn lists_etag_of(etags: &str, object: &Object) -> bool {
    etags
        .split(',')
        .map(str::trim)
        .any(|etag| etag == "*" || etag.trim_matches('"') == object.etag.trim_matches('"'))
}

/// `None` if the date cannot be read.
fn is_modified_since(object: &Object, date: &str) -> Option<bool> {
    let date = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    Some(object.modified.as_second() > date.as_second())
}

/// Returns the first and last byte of the requested range. A header that is no range of bytes is ignored, and so
/// are several ranges (RFC 9110 §14.2).
pub(super) fn byte_range(request: &CosRequest, length: u64) -> Result<Option<(u64, u64)>, CosError> {
    let Some(Ok(header::Range::Bytes(ranges))) = request.header("range").map(str::parse) else {
        return Ok(None);
    };
    match ranges.as_slice() {
        [range] => range.to_satisfiable_range(length).map(Some).ok_or(CosError::InvalidRange),
        _ => Ok(None),
    }
}
