//! Whole objects: put, copied, got, told, deleted.

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
use jiff::Timestamp;

use super::{Cos, address::Address, authority::Caller, call::Call, refusal::Refusal, xml};
use crate::storage::{Blob, Headers, Object};

/// The most that a `PUT` may bring (docs 436/14518).
pub(super) const LARGEST: u64 = 5 << 30;
/// All `x-cos-meta-*` of one object, in bytes (docs 436/7749).
const MOST_METADATA: usize = 2 << 10;
/// The longest key, in bytes (docs 436/14518).
const LONGEST_KEY: usize = 850;

/// What of a request's headers an object is told with.
///
/// What comes in a form's field or in a query may be none: it would spoil every answer about the object.
pub(super) fn kept_headers<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Headers, Refusal> {
    let kept = |name: &str| {
        matches!(
            name,
            "cache-control"
                | "content-disposition"
                | "content-encoding"
                | "content-language"
                | "content-type"
                | "expires"
                | "x-cos-storage-class"
        ) || name.starts_with("x-cos-meta-")
    };
    headers
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, value)| kept(name) && (name != "x-cos-storage-class" || *value != "STANDARD"))
        // The SDK for Node sends headers that it was given nothing for.
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| match (name.as_str(), value).try_into_pair() {
            Ok(_) => Ok((name, value.to_owned())),
            Err(_) => Err(Refusal::InvalidArgument(format!("{name} is no header, or its value is none."))),
        })
        .collect()
}

impl Call {
    /// What an object of this request is told with.
    pub(super) fn kept_headers(&self) -> Result<Headers, Refusal> {
        let kept = kept_headers(self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
        let own = kept.iter().filter(|(name, _)| name.starts_with("x-cos-meta-"));
        let bytes: usize = own.map(|(name, value)| name.len() + value.len()).sum();
        if bytes > MOST_METADATA { Err(Refusal::MetadataTooLarge(MOST_METADATA)) } else { Ok(kept) }
    }

    /// `Content-MD5`, if it is given, is that of what came (RFC 1864).
    pub(super) fn check_digest(&self, blob: &Blob) -> Result<(), Refusal> {
        let digest = self.header("content-md5").map(|digest| STANDARD.decode(digest));
        match digest {
            Some(Ok(digest)) if digest == blob.md5 => Ok(()),
            None => Ok(()),
            Some(_) => Err(Refusal::BadDigest),
        }
    }
}

impl Cos {
    /// Refuses what cannot be a new object's key, or one that must not be overwritten.
    pub(super) fn check_new(&self, call: &Call, key: &str) -> Result<(), Refusal> {
        if key.len() > LONGEST_KEY {
            return Err(Refusal::KeyTooLong(LONGEST_KEY));
        }
        let forbidden = call.header("x-cos-forbid-overwrite").is_some_and(|value| value == "true");
        if forbidden && self.storage.get(&call.address.bucket, key).is_some() {
            return Err(Refusal::FileAlreadyExists);
        }
        Ok(())
    }

    pub(super) async fn put_object(&self, call: &Call, body: &mut Payload) -> Result<HttpResponse, Refusal> {
        let Address { bucket, key, .. } = &call.address;
        self.check_new(call, key)?;
        let headers = call.kept_headers()?;
        let blob = self.storage.receive(body, LARGEST).await?;
        call.check_digest(&blob)?;
        let object = self.storage.put(bucket, key, Object::of(headers, blob, call.at))?;
        Ok(stored(HttpResponse::Ok(), &object).finish())
    }

    pub(super) fn copy_object(&self, call: &Call, caller: &Caller) -> Result<HttpResponse, Refusal> {
        let source = call.header("x-cos-copy-source").unwrap_or_default();
        let source = source
            .trim_start_matches("http://")
            .split_once('/')
            .and_then(|(host, path)| Address::of(host, &format!("/{path}"), &self.region))
            .filter(|source| !source.key.is_empty());
        let source = source.ok_or_else(|| {
            Refusal::InvalidArgument(
                "x-cos-copy-source is `<bucket>.cos.<region>.myqcloud.com/<key>`.".to_owned(),
            )
        })?;
        let context = call.context(super::operation::Operation::GetObject);
        caller.may("name/cos:GetObject", &source.resource(&source.key), &context)?;
        let Address { bucket, key, .. } = &call.address;
        self.check_new(call, key)?;
        let object = self.storage.get(&source.bucket, &source.key).ok_or(Refusal::NoSuchKey)?;
        // All four are 412 here (docs 436/10881): there is no copy to be had from memory.
        if unmet(call, "x-cos-copy-source-", &object).is_some() {
            return Err(Refusal::PreconditionFailed);
        }
        let replaced = call.header("x-cos-metadata-directive").is_some_and(|value| value == "Replaced");
        let headers = if replaced { call.kept_headers()? } else { object.headers.clone() };
        let object = self.storage.put(bucket, key, self.storage.copy(&object, headers, call.at)?)?;
        let (etag, last_modified) = (object.etag.clone(), iso(object.modified));
        Ok(xml::answer(StatusCode::OK, &xml::Copied { etag, last_modified, crc64: object.crc64 }))
    }

    pub(super) fn get_object(&self, call: &Call, with_body: bool) -> Result<HttpResponse, Refusal> {
        let Address { bucket, key, .. } = &call.address;
        let object = self.storage.get(bucket, key).ok_or(Refusal::NoSuchKey)?;
        match unmet(call, "", &object) {
            None => {}
            Some(Unmet::Changed) => return Err(Refusal::PreconditionFailed),
            Some(Unmet::Unchanged) => return Ok(stored(HttpResponse::NotModified(), &object).finish()),
        }
        let range = range(call, object.length)?;
        let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let mut response = stored(HttpResponse::build(status), &object);
        response.insert_header((header::ACCEPT_RANGES, "bytes"));
        response.insert_header((header::LAST_MODIFIED, http_date(object.modified)));
        response.content_type("application/octet-stream");
        let asked =
            call.query.iter().filter_map(|(name, value)| Some((name.strip_prefix("response-")?, value)));
        let asked = kept_headers(asked.map(|(name, value)| (name, value.as_str())))?;
        for (name, value) in object.headers.iter().chain(&asked) {
            response.insert_header((name.as_str(), value.as_str()));
        }
        let (first, last) = range.unwrap_or((0, object.length.saturating_sub(1)));
        if range.is_some() {
            let told = format!("bytes {first}-{last}/{}", object.length);
            response.insert_header((header::CONTENT_RANGE, told));
        }
        let end = if object.length == 0 { 0 } else { last + 1 };
        let length = end - first;
        if with_body {
            Ok(response.body(SizedStream::new(length, object.read(first..end))))
        } else {
            Ok(response.body(SizedStream::new(length, stream::empty::<std::io::Result<_>>())))
        }
    }

    pub(super) fn delete_object(&self, call: &Call) -> Result<HttpResponse, Refusal> {
        self.storage.delete(&call.address.bucket, &call.address.key)?;
        Ok(HttpResponse::NoContent().finish())
    }
}

/// What every answer about a stored object tells.
pub(super) fn stored(mut response: HttpResponseBuilder, object: &Object) -> HttpResponseBuilder {
    response
        .insert_header((header::ETAG, object.etag.as_str()))
        .insert_header(("x-cos-hash-crc64ecma", object.crc64.to_string()));
    response
}

/// What a client wanted otherwise.
enum Unmet {
    /// The object is another than the client knows.
    Changed,
    /// The object is the one that the client has.
    Unchanged,
}

/// The condition that does not hold (RFC 9110 §13.2.2); `about` stands before each header's name.
fn unmet(call: &Call, about: &str, object: &Object) -> Option<Unmet> {
    let header = |name: &str| call.header(&format!("{about}{name}"));
    let names = |list: &str| {
        list.split(',')
            .map(str::trim)
            .any(|one| one == "*" || one.trim_matches('"') == object.etag.trim_matches('"'))
    };
    let since = |date: &str| {
        let date = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
        Some(object.modified.as_second() > date.as_second())
    };
    let changed = match (header("if-match"), header("if-unmodified-since")) {
        (Some(list), _) => !names(list),
        (None, Some(date)) => since(date).unwrap_or(false),
        (None, None) => false,
    };
    if changed {
        return Some(Unmet::Changed);
    }
    let unchanged = match (header("if-none-match"), header("if-modified-since")) {
        (Some(list), _) => names(list),
        (None, Some(date)) => since(date).is_some_and(|changed| !changed),
        (None, None) => false,
    };
    unchanged.then_some(Unmet::Unchanged)
}

/// The first and last byte that are asked for, if a range is. What is no range of bytes counts as none, and
/// so do several (RFC 9110 §14.2).
fn range(call: &Call, length: u64) -> Result<Option<(u64, u64)>, Refusal> {
    let Some(Ok(header::Range::Bytes(specs))) = call.header("range").map(str::parse) else { return Ok(None) };
    match specs.as_slice() {
        [one] => one.to_satisfiable_range(length).map(Some).ok_or(Refusal::InvalidRange),
        _ => Ok(None),
    }
}

/// As HTTP writes a time (RFC 9110 §5.6.7).
pub(super) fn http_date(at: Timestamp) -> String {
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap_or_default()
}

/// As COS's XML writes a time.
pub(super) fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}
