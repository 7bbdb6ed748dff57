//! What a request sets going beside its own operation: the rules of `Pic-Operations`, which write further files
//! (docs 1045/33695, 436/54050), callbacks (436/106770) and watermarks (460/6951).
//!
//! Nothing is processed here: each file that a rule writes is a copy of the original. What reaches beyond the object
//! must be allowed to the caller's key; a COS with [`Weakness::UncheckedProcessing`] does it for anyone.

use actix_web::{HttpResponse, http::header};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use futures::stream;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use url::Url;

use super::{
    address::Address,
    auth::Caller,
    emulator::CosEmulator,
    error::CosError,
    object::MAX_KEY_BYTES,
    operation::Operation,
    request::CosRequest,
    response,
    xml::{ProcessResults, ProcessedFile, UploadResult},
};
use crate::{
    storage::{Headers, Object, StorageError},
    weakness::Weakness,
};

/// The header with the rules.
pub(super) const RULES_HEADER: &str = "pic-operations";
const CALLBACK_HEADER: &str = "x-cos-callback";
/// The maximum number of rules (docs 1045/33695).
const MAX_RULES: usize = 5;
/// The beginning of a parameter that stamps an image onto another, before the image's encoded URL (docs 460/6951).
const IMAGE_WATERMARK: &str = "watermark/1/image/";

/// The value of `Pic-Operations`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PicOperations {
    /// Whether the response describes the image. It is not looked at here.
    #[serde(default, rename = "is_pic_info")]
    _is_pic_info: serde_json::Value,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Where the file is written; without it, in the bucket of the original.
    #[serde(default)]
    bucket: String,
    /// The file's key, which begins with `/`, or its path from the folder of the original.
    fileid: String,
    /// How the file is made, which does not matter here.
    #[serde(rename = "rule")]
    _processing: String,
}

/// The value of `x-cos-callback`, in base64.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Callback {
    callback_url: String,
    #[serde(default)]
    callback_body: String,
}

/// What a request writes beside its own object.
#[derive(Default)]
pub(super) struct FurtherWrites {
    /// The files that the rules write.
    files: Vec<Address>,
    /// The object that a callback to the bucket's own address writes, with its content.
    called_back: Option<(Address, String)>,
}

impl CosEmulator {
    /// Returns what a request writes beside its own object, if the caller may write it.
    pub(super) fn further_writes(
        &self,
        request: &CosRequest,
        caller: &Caller,
    ) -> Result<FurtherWrites, CosError> {
        let is_unchecked = self.weakness == Some(Weakness::UncheckedProcessing);
        let files = files_of_processings(request, is_unchecked)?;
        if !is_unchecked {
            let action = Operation::PutObject.action();
            for file in &files {
                let context = request.context(Operation::PutObject);
                self.authorize(caller, action, &file.resource(&file.key), &context)?;
            }
        }
        let callback = request.header(CALLBACK_HEADER).filter(|callback| !callback.is_empty());
        let called_back = match callback {
            None => None,
            Some(callback) if is_unchecked => self.called_back(callback)?,
            // The vendor opens callbacks to some accounts only.
            Some(_) => {
                return Err(CosError::NotImplemented(format!(
                    "{CALLBACK_HEADER}, as the sandbox calls no other server"
                )));
            }
        };
        Ok(FurtherWrites { files, called_back })
    }

    fn called_back(&self, callback: &str) -> Result<Option<(Address, String)>, CosError> {
        let invalid = || CosError::InvalidArgument(format!("{CALLBACK_HEADER} is JSON in base64."));
        let callback = STANDARD.decode(callback).map_err(|_| invalid())?;
        let Callback { callback_url, callback_body } =
            serde_json::from_slice(&callback).map_err(|_| invalid())?;
        let url = Url::parse(&callback_url).map_err(|_| invalid())?;
        let host = url.host_str().unwrap_or_default();
        let address = Address::parse(host, url.path(), &self.default_region);
        Ok(address.filter(|address| !address.key.is_empty()).map(|address| (address, callback_body)))
    }

    /// Writes what a request wrote beside its own object, which is stored already.
    pub(super) async fn write_further(
        &self,
        operation: Operation,
        request: &CosRequest,
        writes: &FurtherWrites,
        response: HttpResponse,
    ) -> Result<HttpResponse, CosError> {
        if let Some((Address { bucket, key, .. }, content)) = &writes.called_back {
            let bytes = stream::iter([Ok::<_, StorageError>(content.clone().into())]);
            let blob = self.storage.receive(bytes, u64::MAX).await?;
            self.storage.put(bucket, key, Object::new(Headers::new(), blob, request.received_at))?;
        }
        if writes.files.is_empty() {
            return Ok(response);
        }
        let Address { bucket, key, .. } = &request.address;
        let original = self.storage.get(bucket, key).ok_or(CosError::NoSuchKey)?;
        let mut results = Vec::new();
        for file in &writes.files {
            let copy = self.storage.copy(&original, original.headers.clone(), request.received_at)?;
            let written = self.storage.put(&file.bucket, &file.key, copy)?;
            results.push(described(file, &written));
        }
        let result = UploadResult {
            original_info: described(&request.address, &original),
            process_results: ProcessResults { object: results },
        };
        // The others have a body of their own.
        let describes_files = matches!(operation, Operation::PutObject | Operation::ProcessObject);
        Ok(if describes_files { with_body(response, &result) } else { response })
    }

    /// Processes a stored object (docs 436/54050).
    pub(super) fn process_object(&self, request: &CosRequest) -> Result<HttpResponse, CosError> {
        let Address { bucket, key, .. } = &request.address;
        if request.header(RULES_HEADER).is_none() {
            return Err(CosError::InvalidArgument(
                "?image_process needs the header Pic-Operations.".to_owned(),
            ));
        }
        self.storage.get(bucket, key).ok_or(CosError::NoSuchKey)?;
        Ok(HttpResponse::Ok().finish())
    }

    /// Returns the object that a watermark shows, which a COS with that weakness reads for anyone.
    pub(super) fn unchecked_watermark(&self, request: &CosRequest) -> Option<Address> {
        if self.weakness != Some(Weakness::UncheckedProcessing) {
            return None;
        }
        let encoded = request.query.iter().find_map(|(name, _)| name.strip_prefix(IMAGE_WATERMARK))?;
        let url = URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?;
        let url = Url::parse(std::str::from_utf8(&url).ok()?).ok()?;
        Address::parse(url.host_str()?, url.path(), &self.default_region)
    }
}

/// Returns the addresses of the files that a request's rules write.
fn files_of_processings(request: &CosRequest, is_resolved: bool) -> Result<Vec<Address>, CosError> {
    let Some(text) = request.header(RULES_HEADER).filter(|text| !text.is_empty()) else {
        return Ok(Vec::new());
    };
    let operations: PicOperations = serde_json::from_str(text)
        .map_err(|error| CosError::InvalidArgument(format!("Pic-Operations: {error}")))?;
    if operations.rules.len() > MAX_RULES {
        return Err(CosError::InvalidArgument(format!("Pic-Operations has at most {MAX_RULES} rules.")));
    }
    operations.rules.iter().map(|rule| file_of(rule, &request.address, is_resolved)).collect()
}

fn file_of(rule: &Rule, original: &Address, is_resolved: bool) -> Result<Address, CosError> {
    let folder = original.key.rfind('/').and_then(|slash| original.key.get(..=slash)).unwrap_or_default();
    let key = match rule.fileid.strip_prefix('/') {
        Some(absolute) => absolute.to_owned(),
        None => format!("{folder}{}", rule.fileid),
    };
    let key = if is_resolved { resolved(&key) } else { key };
    if key.is_empty() || key.ends_with('/') {
        return Err(CosError::InvalidArgument("A fileid of Pic-Operations has no file name.".to_owned()));
    }
    if key.len() > MAX_KEY_BYTES {
        return Err(CosError::KeyTooLong(MAX_KEY_BYTES));
    }
    let bucket = if rule.bucket.is_empty() { original.bucket.clone() } else { rule.bucket.clone() };
    Ok(Address { bucket, key, region: original.region.clone() })
}

/// Returns a key as a careless server takes it: escapes decoded, doubled slashes merged, `.` and `..` resolved.
fn resolved(key: &str) -> String {
    let decoded = percent_decode_str(key).decode_utf8_lossy().replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    segments.join("/")
}

fn described(address: &Address, object: &Object) -> ProcessedFile {
    ProcessedFile {
        key: address.key.clone(),
        location: format!("{}.cos.{}.myqcloud.com/{}", address.bucket, address.region, address.key),
        etag: object.etag.clone(),
        size: object.length,
    }
}

/// Returns a response with a result as its body.
fn with_body(response: HttpResponse, result: &UploadResult) -> HttpResponse {
    let (head, body) = response::xml(response.status(), result).into_parts();
    let mut response = response.set_body(body);
    if let Some(content_type) = head.headers().get(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bucket: &str, fileid: &str, is_resolved: bool) -> Result<(String, String), String> {
        let original = Address {
            bucket: "b-1250000000".to_owned(),
            region: "r".to_owned(),
            key: "users/alice/a.jpg".to_owned(),
        };
        let rule = Rule { bucket: bucket.to_owned(), fileid: fileid.to_owned(), _processing: String::new() };
        let file = file_of(&rule, &original, is_resolved).map_err(|error| error.to_string())?;
        Ok((file.bucket, file.key))
    }

    #[test]
    fn a_processing_names_its_file_by_a_path_from_the_bucket_or_from_the_originals_folder() {
        for (bucket, fileid, expected) in [
            ("", "thumb.jpg", ("b-1250000000", "users/alice/thumb.jpg")),
            ("", "small/thumb.jpg", ("b-1250000000", "users/alice/small/thumb.jpg")),
            ("", "/users/bob/thumb.jpg", ("b-1250000000", "users/bob/thumb.jpg")),
            ("", "../bob/thumb.jpg", ("b-1250000000", "users/alice/../bob/thumb.jpg")),
            ("other-1250000000", "/thumb.jpg", ("other-1250000000", "thumb.jpg")),
        ] {
            let expected = (expected.0.to_owned(), expected.1.to_owned());
            assert_eq!(file(bucket, fileid, false), Ok(expected), "{bucket} {fileid}");
        }
        for fileid in ["", "/", "folder/"] {
            assert!(file("", fileid, false).unwrap_err().contains("no file name"), "{fileid}");
        }
    }

    #[test]
    fn the_weakness_resolves_a_path_in_any_disguise() {
        for fileid in ["../bob/t", "%2e%2e/bob/t", "..%2fbob/t", "..%5cbob/t", ".//../bob/t", "//users/bob/t"]
        {
            assert_eq!(file("", fileid, true).unwrap().1, "users/bob/t", "{fileid}");
        }
    }
}
