//! The list of the account's buckets: `GET /` at a host that names none (docs 436/8291).

use std::cmp::Ordering;

use actix_web::{HttpResponse, http::StatusCode};

use super::{
    auth::Caller,
    emulator::CosEmulator,
    error::CosError,
    operation::{is_header_of_every_request, is_of_every_request},
    request::CosRequest,
    response, xml,
};

const PARAMETERS: [&str; 5] = ["region", "marker", "max-keys", "create-time", "range"];
/// The maximum number of buckets in one response (docs 436/8291).
const MAX_LISTED_BUCKETS: usize = 2000;

impl CosEmulator {
    /// Lists the buckets that hold an object; all others exist as well. Only the account's permanent key lists them.
    pub(super) fn list_buckets(&self, request: &CosRequest) -> Result<HttpResponse, CosError> {
        request.refuse_duplicates()?;
        refuse_unknown(request)?;
        match self.authenticator.authenticate(request)? {
            Caller::Account => {}
            Caller::TemporaryKey(_) => {
                let reason = "name/cos:GetService is only for the account's permanent key";
                return Err(CosError::AccessDenied(reason.to_owned()));
            }
        }
        let max_buckets = request.number("max-keys", MAX_LISTED_BUCKETS)?.min(MAX_LISTED_BUCKETS);
        let marker = request.parameter("marker").unwrap_or_default();
        let is_created_in_time = creation_times(request)?;
        let mut buckets = self.storage.buckets();
        buckets.retain(|(name, created)| name.as_str() > marker && is_created_in_time(created.as_second()));
        let is_truncated = buckets.len() > max_buckets;
        buckets.truncate(max_buckets);
        let next_marker = buckets.last().filter(|_| is_truncated).map(|(name, _)| name.clone());
        let region = request.parameter("region").unwrap_or(&request.address.region);
        let bucket = buckets.into_iter().map(|(name, created)| xml::ListedBucket {
            name,
            location: region.to_owned(),
            creation_date: created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            bucket_type: "cos",
        });
        let buckets = xml::BucketList { bucket: bucket.collect() };
        let (owner, marker) = (xml::OWNER, marker.to_owned());
        Ok(response::xml(
            StatusCode::OK,
            &xml::AllBuckets { owner, buckets, marker, next_marker, is_truncated },
        ))
    }
}

/// Returns whether a time of creation, in seconds since 1970, is one of those that a request wants.
fn creation_times(request: &CosRequest) -> Result<impl Fn(i64) -> bool + use<>, CosError> {
    let bound: i64 = request.number("create-time", 0)?;
    let orderings: &[Ordering] = match request.parameter("range").unwrap_or_default() {
        "" => &[Ordering::Less, Ordering::Equal, Ordering::Greater],
        "gt" => &[Ordering::Greater],
        "gte" => &[Ordering::Greater, Ordering::Equal],
        "lt" => &[Ordering::Less],
        "lte" => &[Ordering::Less, Ordering::Equal],
        _ => return Err(CosError::InvalidArgument("range is gt, gte, lt or lte.".to_owned())),
    };
    Ok(move |created: i64| orderings.contains(&created.cmp(&bound)))
}

/// Refuses a request with a parameter or header that COS may act on.
fn refuse_unknown(request: &CosRequest) -> Result<(), CosError> {
    let parameter = request.query.iter().find(|(name, value)| {
        !value.is_empty() && !is_of_every_request(name) && !PARAMETERS.contains(&name.as_str())
    });
    let header =
        request.headers.iter().find(|(name, value)| !value.is_empty() && !is_header_of_every_request(name));
    match (parameter, header) {
        (Some((name, _)), _) => Err(CosError::NotImplemented(format!("?{name} of name/cos:GetService"))),
        (None, Some((name, _))) => Err(CosError::NotImplemented(format!("{name} of name/cos:GetService"))),
        (None, None) => Ok(()),
    }
}
