//! Operations of uploads in parts: initiate, upload a part, list, complete, abort.

use std::ops::Range;

use actix_web::{
    HttpResponse,
    dev::Payload,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};

use super::{
    address::Address,
    auth::Caller,
    body::read_xml,
    emulator::CosEmulator,
    error::CosError,
    list::{KeyEncoding, MAX_PAGE_ENTRIES},
    object::MAX_OBJECT_BYTES,
    request::CosRequest,
    response::{self, iso8601},
    xml,
};
use crate::storage::{ListedUpload, Page, Part, Upload, UploadRef};

/// The highest part number (docs 436/14518).
const MAX_PART_NUMBER: u16 = 10_000;
/// The maximum size of the list that completes an upload: 10,000 parts with their `ETag`s.
const MAX_PART_LIST_BYTES: usize = 4 << 20;

impl CosEmulator {
    pub(super) fn initiate_upload(&self, request: &CosRequest) -> Result<HttpResponse, CosError> {
        let Address { bucket, key, .. } = &request.address;
        self.check_new_key(request, key)?;
        let upload_id = self.entropy.hex_id();
        let upload = Upload::new(bucket, key, request.stored_headers()?, request.received_at);
        self.storage.initiate(upload_id.clone(), upload);
        let body = xml::Initiated { bucket: bucket.clone(), key: key.clone(), upload_id };
        Ok(response::xml(StatusCode::OK, &body))
    }

    pub(super) async fn upload_part(
        &self,
        request: &CosRequest,
        body: &mut Payload,
    ) -> Result<HttpResponse, CosError> {
        let number = part_number(request)?;
        self.storage.with_upload(upload_of(request), |_| ())?;
        let blob = self.storage.receive(body, MAX_OBJECT_BYTES).await?;
        request.check_digest(&blob.md5)?;
        let (etag, crc64) = (blob.etag(), blob.crc64.to_string());
        self.storage.with_upload(upload_of(request), |upload| {
            upload.put(number, blob, request.received_at);
        })?;
        Ok(HttpResponse::Ok()
            .insert_header((header::ETAG, etag))
            .insert_header(("x-cos-hash-crc64ecma", crc64))
            .finish())
    }

    /// Makes a part of an object, or of a range of it (docs 436/8287).
    pub(super) async fn upload_part_copy(
        &self,
        request: &CosRequest,
        caller: &Caller,
    ) -> Result<HttpResponse, CosError> {
        let number = part_number(request)?;
        let source = self.readable_copy_source(request, caller)?;
        self.storage.with_upload(upload_of(request), |_| ())?;
        let original = self.original(request, &source)?;
        let range = copied_range(request.header("x-cos-copy-source-range"), original.length)?;
        let blob = self.storage.receive(original.read(range), MAX_OBJECT_BYTES).await?;
        let (etag, last_modified) = (blob.etag(), iso8601(request.received_at));
        self.storage.with_upload(upload_of(request), |upload| {
            upload.put(number, blob, request.received_at);
        })?;
        Ok(response::xml(StatusCode::OK, &xml::CopiedPart { etag, last_modified }))
    }

    pub(super) fn list_parts(&self, request: &CosRequest) -> Result<HttpResponse, CosError> {
        let max_parts = request.number("max-parts", MAX_PAGE_ENTRIES)?.min(MAX_PAGE_ENTRIES);
        let marker = request.number("part-number-marker", 0)?;
        let mut part = self.storage.with_upload(upload_of(request), |upload| {
            upload.parts_after(marker).map(listed_part).take(max_parts + 1).collect::<Vec<_>>()
        })?;
        let is_truncated = part.len() > max_parts;
        part.truncate(max_parts);
        let encoding = request.key_encoding()?;
        Ok(response::xml(
            StatusCode::OK,
            &xml::Parts {
                bucket: request.address.bucket.clone(),
                encoding_type: encoding.name(),
                key: encoding.encode(request.address.key.clone()),
                upload_id: upload_of(request).id.to_owned(),
                initiator: xml::OWNER,
                owner: xml::OWNER,
                storage_class: "STANDARD",
                part_number_marker: marker,
                next_part_number_marker: part.last().filter(|_| is_truncated).map(|part| part.part_number),
                max_parts,
                is_truncated,
                part,
            },
        ))
    }

    pub(super) async fn complete_upload(
        &self,
        request: &CosRequest,
        body: &mut Payload,
    ) -> Result<HttpResponse, CosError> {
        let list: xml::Complete = xml::parse(&read_xml(body, MAX_PART_LIST_BYTES).await?)?;
        self.check_new_key(request, &request.address.key)?;
        let named_parts: Vec<_> = list.part.into_iter().map(|part| (part.part_number, part.etag)).collect();
        let object = self.storage.complete(upload_of(request), &named_parts, request.received_at)?;
        let host = request.header("host").unwrap_or_default();
        let body = xml::Completed {
            location: format!("{host}{}", request.path),
            bucket: request.address.bucket.clone(),
            key: request.address.key.clone(),
            etag: object.etag.clone(),
        };
        let mut response = response::xml(StatusCode::OK, &body);
        if let Ok(crc64) = HeaderValue::from_str(&object.crc64.to_string()) {
            response.headers_mut().insert(HeaderName::from_static("x-cos-hash-crc64ecma"), crc64);
        }
        Ok(response)
    }

    pub(super) fn abort_upload(&self, request: &CosRequest) -> Result<HttpResponse, CosError> {
        self.storage.abort(upload_of(request))?;
        Ok(HttpResponse::NoContent().finish())
    }

    pub(super) fn list_uploads(&self, request: &CosRequest) -> Result<HttpResponse, CosError> {
        let query = request.list_query("key-marker", "max-uploads")?;
        let encoding = request.key_encoding()?;
        let id_marker = request.parameter("upload-id-marker").filter(|marker| !marker.is_empty());
        let Page { entries, common_prefixes, next_marker } =
            self.storage.uploads(&request.address.bucket, &query, id_marker);
        // A page that ends with a common prefix has no last upload to continue after.
        let last = entries.last().filter(|upload| next_marker.as_ref() == Some(&upload.key));
        let next_upload_id_marker = last.map(|upload| upload.id.clone());
        Ok(response::xml(
            StatusCode::OK,
            &xml::Uploads {
                bucket: request.address.bucket.clone(),
                encoding_type: encoding.name(),
                key_marker: encoding.encode(query.marker),
                upload_id_marker: id_marker.unwrap_or_default().to_owned(),
                max_uploads: query.max_entries,
                is_truncated: next_marker.is_some(),
                next_key_marker: next_marker.map(|marker| encoding.encode(marker)),
                next_upload_id_marker,
                prefix: encoding.encode(query.prefix),
                delimiter: query.delimiter.map(|delimiter| encoding.encode(delimiter)),
                upload: entries.into_iter().map(|upload| listed_upload(upload, encoding)).collect(),
                common_prefixes: encoding.common_prefixes(common_prefixes),
            },
        ))
    }
}

fn part_number(request: &CosRequest) -> Result<u16, CosError> {
    match request.number("partNumber", 0)? {
        number if (1..=MAX_PART_NUMBER).contains(&number) => Ok(number),
        _ => Err(CosError::InvalidArgument(format!("partNumber is from 1 to {MAX_PART_NUMBER}."))),
    }
}

/// Returns the bytes that a part is copied from; without a range, all of them.
fn copied_range(range: Option<&str>, length: u64) -> Result<Range<u64>, CosError> {
    let Some(range) = range.filter(|range| !range.is_empty()) else { return Ok(0..length) };
    let bounds = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let bounds: Option<(u64, u64)> =
        bounds.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    match bounds {
        Some((first, last)) if first <= last && last < length => Ok(first..last + 1),
        Some(_) => Err(CosError::InvalidRange(length)),
        None => {
            Err(CosError::InvalidArgument("x-cos-copy-source-range is `bytes=<first>-<last>`.".to_owned()))
        }
    }
}

/// Returns the upload that a request names.
fn upload_of(request: &CosRequest) -> UploadRef<'_> {
    UploadRef {
        bucket: &request.address.bucket,
        key: &request.address.key,
        id: request.parameter("uploadId").unwrap_or_default(),
    }
}

fn listed_part((part_number, part): (u16, &Part)) -> xml::Part {
    xml::Part { part_number, last_modified: iso8601(part.modified), etag: part.etag(), size: part.length() }
}

fn listed_upload(upload: ListedUpload, encoding: KeyEncoding) -> xml::Upload {
    xml::Upload {
        key: encoding.encode(upload.key),
        upload_id: upload.id,
        storage_class: "STANDARD",
        initiator: xml::OWNER,
        owner: xml::OWNER,
        initiated: iso8601(upload.initiated),
    }
}
