//! Object operations: PUT, COPY, GET, HEAD, DELETE.

use std::sync::Arc;

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    body::SizedStream,
    dev::Payload,
    http::{
        StatusCode,
        header::{self, TryIntoHeaderPair},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::stream;

use super::{
    address::Address,
    auth::Caller,
    condition::{FailedPrecondition, byte_range, failed_precondition},
    content_type::content_type_of,
    emulator::CosEmulator,
    error::CosError,
    operation::Operation,
    request::CosRequest,
    response::{self, http_date, iso8601},
    tagging::{self, TAGGING_HEADER},
    xml,
};
use crate::storage::{Headers, Object};

/// The maximum size of an object that is uploaded in one piece, and of a part (docs 436/14518).
pub(super) const MAX_OBJECT_BYTES: u64 = 5 << 30;
/// The maximum size of all `x-cos-meta-*` headers of one object (docs 436/7749).
const MAX_METADATA_BYTES: usize = 2 << 10;
/// The maximum length of a key (docs 436/14518).
pub(super) const MAX_KEY_BYTES: usize = 850;
/// Whether an object was made by appending. Clients read it and cannot set it.
pub(super) const OBJECT_TYPE_HEADER: &str = "x-cos-object-type";

/// Returns the headers that are stored with an object.
///
/// A field of a form or a parameter may not be a valid header. It is refused here, because it would break every
/// later response with the object.
fn stored_headers<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Headers, CosError> {
    headers
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, value)| is_stored(name) && (name != "x-cos-storage-class" || *value != "STANDARD"))
        // The SDK for Node sends empty headers for options that were not given.
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| match (name.as_str(), value).try_into_pair() {
            Ok(_) => Ok((name, value.to_owned())),
            Err(_) => Err(CosError::InvalidArgument(format!("{name} is not a valid header name or value."))),
        })
        .collect()
}

fn is_stored(header: &str) -> bool {
    matches!(
        header,
        "cache-control"
            | "content-disposition"
            | "content-encoding"
            | "content-language"
            | "content-type"
            | "expires"
            | "x-cos-storage-class"
            | TAGGING_HEADER
    ) || header.starts_with("x-cos-meta-")
}

impl CosRequest {
    /// Returns the headers of this request that are stored with its object.
    pub(super) fn stored_headers(&self) -> Result<Headers, CosError> {
        let mut headers =
            stored_headers(self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
        if let Some(tags) = headers.get_mut(TAGGING_HEADER) {
            *tags = tagging::tags_of_upload(tags)?;
        }
        let metadata = headers.iter().filter(|(name, _)| name.starts_with("x-cos-meta-"));
        let metadata_bytes: usize = metadata.map(|(name, value)| name.len() + value.len()).sum();
        if metadata_bytes > MAX_METADATA_BYTES {
            return Err(CosError::MetadataTooLarge(MAX_METADATA_BYTES));
        }
        Ok(headers)
    }

    /// Refuses a body that differs from `Content-MD5` (RFC 1864).
    pub(super) fn check_digest(&self, md5: &[u8; 16]) -> Result<(), CosError> {
        let digest = self.header("content-md5").map(|digest| STANDARD.decode(digest));
        match digest {
            Some(Ok(digest)) if digest == md5 => Ok(()),
            None => Ok(()),
            Some(_) => Err(CosError::BadDigest),
        }
    }
}

impl CosEmulator {
    /// Refuses a key that is too long, or that exists and must not be overwritten.
    pub(super) fn check_new_key(&self, request: &CosRequest, key: &str) -> Result<(), CosError> {
        if key.len() > MAX_KEY_BYTES {
            return Err(CosError::KeyTooLong(MAX_KEY_BYTES));
        }
        let keeps_existing = request.header("x-cos-forbid-overwrite").is_some_and(|value| value == "true");
        if keeps_existing && self.storage.get(&request.address.bucket, key).is_some() {
            return Err(CosError::FileAlreadyExists);
        }
        Ok(())
    }

    pub(super) async fn put_object(
        &self,
        request: &CosRequest,
        body: &mut Payload,
    ) -> Result<HttpResponse, CosError> {
        let Address { bucket, key, .. } = &request.address;
        self.check_new_key(request, key)?;
        let headers = request.stored_headers()?;
        let blob = self.storage.receive(body, MAX_OBJECT_BYTES).await?;
        request.check_digest(&blob.md5)?;
        let object = Object::new(headers, blob, request.received_at);
        let object = self.storage.put(bucket, key, object)?;
        Ok(with_checksums(HttpResponse::Ok(), &object).finish())
    }

    pub(super) fn copy_object(
        &self,
        request: &CosRequest,
        caller: &Caller,
    ) -> Result<HttpResponse, CosError> {
        let Address { bucket, key, .. } = &request.address;
        let source = self.readable_copy_source(request, caller)?;
        self.check_new_key(request, key)?;
        let original = self.original(request, &source)?;
        let replaces_headers =
            request.header("x-cos-metadata-directive").is_some_and(|value| value == "Replaced");
        let replaces_tags =
            request.header("x-cos-tagging-directive").is_some_and(|value| value == "Replaced");
        let sent = request.stored_headers()?;
        let tags = if replaces_tags { &sent } else { &original.headers }.get(TAGGING_HEADER).cloned();
        let mut headers = if replaces_headers { sent } else { original.headers.clone() };
        headers.remove(OBJECT_TYPE_HEADER);
        headers.remove(TAGGING_HEADER);
        headers.extend(tags.map(|tags| (TAGGING_HEADER.to_owned(), tags)));
        let copy = self.storage.copy(&original, headers, request.received_at)?;
        let object = self.storage.put(bucket, key, copy)?;
        let (etag, last_modified) = (object.etag.clone(), iso8601(object.modified));
        Ok(response::xml(StatusCode::OK, &xml::Copied { etag, last_modified, crc64: object.crc64 }))
    }

    /// Returns the object that a copy is made of, if the caller may read it.
    pub(super) fn readable_copy_source(
        &self,
        request: &CosRequest,
        caller: &Caller,
    ) -> Result<Address, CosError> {
        let source = self.copy_source(request)?;
        let context = request.context(Operation::GetObject);
        self.authorize(caller, "name/cos:GetObject", &source.resource(&source.key), &context)?;
        Ok(source)
    }

    /// Returns the object at a source, if the copy's preconditions are met.
    pub(super) fn original(&self, request: &CosRequest, source: &Address) -> Result<Arc<Object>, CosError> {
        let original = self.storage.get(&source.bucket, &source.key).ok_or(CosError::NoSuchKey)?;
        // All four conditions give 412 for a copy (docs 436/10881): there is no cached copy for a 304.
        match failed_precondition(request, "x-cos-copy-source-", &original) {
            Some(_) => Err(CosError::PreconditionFailed),
            None => Ok(original),
        }
    }

    fn copy_source(&self, request: &CosRequest) -> Result<Address, CosError> {
        request
            .header("x-cos-copy-source")
            .unwrap_or_default()
            .trim_start_matches("http://")
            .split_once('/')
            .and_then(|(host, path)| Address::parse(host, &format!("/{path}"), &self.default_region))
            .filter(|source| !source.key.is_empty())
            .ok_or_else(|| {
                CosError::InvalidArgument(
                    "x-cos-copy-source is `<bucket>.cos.<region>.myqcloud.com/<key>`.".to_owned(),
                )
            })
    }

    pub(super) fn get_object(&self, request: &CosRequest, with_body: bool) -> Result<HttpResponse, CosError> {
        let Address { bucket, key, .. } = &request.address;
        let object = self.storage.get(bucket, key).ok_or(CosError::NoSuchKey)?;
        match failed_precondition(request, "", &object) {
            None => {}
            Some(FailedPrecondition::Changed) => return Err(CosError::PreconditionFailed),
            Some(FailedPrecondition::Unchanged) => {
                return Ok(with_checksums(HttpResponse::NotModified(), &object).finish());
            }
        }
        let range = byte_range(request, &object)?;
        let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let mut response = with_checksums(HttpResponse::build(status), &object);
        response.insert_header((header::ACCEPT_RANGES, "bytes"));
        response.insert_header((header::LAST_MODIFIED, http_date(object.modified)));
        response.content_type(content_type_of(key));
        response.insert_header((OBJECT_TYPE_HEADER, "normal"));
        for (name, value) in object.headers.iter().chain(&overridden_headers(request)?) {
            if name == TAGGING_HEADER {
                response.insert_header(("x-cos-tagging-count", tagging::count(value)));
            } else {
                response.insert_header((name.as_str(), value.as_str()));
            }
        }
        let (first, last) = range.unwrap_or((0, object.length.saturating_sub(1)));
        if range.is_some() {
            let content_range = format!("bytes {first}-{last}/{}", object.length);
            response.insert_header((header::CONTENT_RANGE, content_range));
        }
        let end = if object.length == 0 { 0 } else { last + 1 };
        let length = end - first;
        if with_body {
            Ok(response.body(SizedStream::new(length, object.read(first..end))))
        } else {
            Ok(response.body(SizedStream::new(length, stream::empty::<std::io::Result<_>>())))
        }
    }

    pub(super) fn delete_object(&self, request: &CosRequest) -> Result<HttpResponse, CosError> {
        self.storage.delete(&request.address.bucket, &request.address.key)?;
        Ok(HttpResponse::NoContent().finish())
    }
}

/// Returns the headers that parameters such as `response-content-type` set.
fn overridden_headers(request: &CosRequest) -> Result<Headers, CosError> {
    stored_headers(
        request
            .query
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("response-")?, value.as_str()))),
    )
}

/// Adds the `ETag` and the CRC-64 of an object.
pub(super) fn with_checksums(mut response: HttpResponseBuilder, object: &Object) -> HttpResponseBuilder {
    response
        .insert_header((header::ETAG, object.etag.as_str()))
        .insert_header(("x-cos-hash-crc64ecma", object.crc64.to_string()));
    response
}
