//! The XML of COS's requests and responses.

#![expect(clippy::struct_field_names, reason = "the names are COS's")]

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Why a client's XML cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum XmlError {
    #[error("more than {0} bytes")]
    TooLarge(usize),
    #[error("{0}")]
    Utf8(#[from] std::str::Utf8Error),
    #[error("the list has from 1 to {0} objects")]
    ObjectCount(usize),
    #[error("{0}")]
    Syntax(#[from] quick_xml::DeError),
}

/// Parses the XML of a request.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, XmlError> {
    Ok(quick_xml::de::from_str(std::str::from_utf8(body)?)?)
}

/// The owner of an object or upload.
#[derive(Serialize, Clone)]
pub(super) struct Owner {
    #[serde(rename = "ID")]
    id: &'static str,
    #[serde(rename = "DisplayName")]
    display_name: &'static str,
}

/// The emulator's account, which owns everything.
pub(super) const OWNER: Owner =
    Owner { id: "qcs::cam::uin/100000000001:uin/100000000001", display_name: "100000000001" };

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CommonPrefix {
    pub(super) prefix: String,
}

/// The response to `GET /`.
#[derive(Serialize)]
#[serde(rename = "ListBucketResult", rename_all = "PascalCase")]
pub(super) struct Objects {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) encoding_type: Option<&'static str>,
    pub(super) prefix: String,
    pub(super) marker: String,
    pub(super) max_keys: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delimiter: Option<String>,
    pub(super) is_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_marker: Option<String>,
    pub(super) contents: Vec<Content>,
    pub(super) common_prefixes: Vec<CommonPrefix>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Content {
    pub(super) key: String,
    pub(super) last_modified: String,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    pub(super) size: u64,
    pub(super) owner: Owner,
    pub(super) storage_class: String,
}

/// The response to `GET /?uploads`.
#[derive(Serialize)]
#[serde(rename = "ListMultipartUploadsResult", rename_all = "PascalCase")]
pub(super) struct Uploads {
    pub(super) bucket: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) encoding_type: Option<&'static str>,
    pub(super) key_marker: String,
    pub(super) upload_id_marker: String,
    pub(super) max_uploads: usize,
    pub(super) is_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_key_marker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_upload_id_marker: Option<String>,
    pub(super) prefix: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delimiter: Option<String>,
    pub(super) upload: Vec<Upload>,
    pub(super) common_prefixes: Vec<CommonPrefix>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) upload_id: String,
    pub(super) storage_class: &'static str,
    pub(super) initiator: Owner,
    pub(super) owner: Owner,
    pub(super) initiated: String,
}

/// The response to `POST /key?uploads`.
#[derive(Serialize)]
#[serde(rename = "InitiateMultipartUploadResult", rename_all = "PascalCase")]
pub(super) struct Initiated {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) upload_id: String,
}

/// The response to `GET /key?uploadId=`.
#[derive(Serialize)]
#[serde(rename = "ListPartsResult", rename_all = "PascalCase")]
pub(super) struct Parts {
    pub(super) bucket: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) encoding_type: Option<&'static str>,
    pub(super) key: String,
    pub(super) upload_id: String,
    pub(super) initiator: Owner,
    pub(super) owner: Owner,
    pub(super) storage_class: &'static str,
    pub(super) part_number_marker: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_part_number_marker: Option<u16>,
    pub(super) max_parts: usize,
    pub(super) is_truncated: bool,
    pub(super) part: Vec<Part>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Part {
    pub(super) part_number: u16,
    pub(super) last_modified: String,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    pub(super) size: u64,
}

/// The request body of `POST /key?uploadId=`.
#[derive(Deserialize)]
pub(super) struct Complete {
    #[serde(rename = "Part", default)]
    pub(super) part: Vec<NamedPart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NamedPart {
    pub(super) part_number: u16,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
}

/// The response to `POST /key?uploadId=`.
#[derive(Serialize)]
#[serde(rename = "CompleteMultipartUploadResult", rename_all = "PascalCase")]
pub(super) struct Completed {
    pub(super) location: String,
    pub(super) bucket: String,
    pub(super) key: String,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
}

/// The response to `PUT /key` with `x-cos-copy-source`.
#[derive(Serialize)]
#[serde(rename = "CopyObjectResult", rename_all = "PascalCase")]
pub(super) struct Copied {
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    pub(super) last_modified: String,
    #[serde(rename = "CRC64")]
    pub(super) crc64: u64,
}

/// The response to `PUT /key?partNumber=&uploadId=` with `x-cos-copy-source`.
#[derive(Serialize)]
#[serde(rename = "CopyPartResult", rename_all = "PascalCase")]
pub(super) struct CopiedPart {
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    pub(super) last_modified: String,
}

/// The request body of `POST /?delete`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Delete {
    #[serde(default)]
    pub(super) quiet: bool,
    #[serde(default)]
    pub(super) object: Vec<ObjectToDelete>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ObjectToDelete {
    pub(super) key: String,
    #[serde(default)]
    pub(super) version_id: String,
}

/// The response to `POST /?delete`.
#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteResult {
    pub(super) deleted: Vec<Deleted>,
    pub(super) error: Vec<NotDeleted>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Deleted {
    pub(super) key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NotDeleted {
    pub(super) key: String,
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// The response to `GET /` at a host that names no bucket.
#[derive(Serialize)]
#[serde(rename = "ListAllMyBucketsResult", rename_all = "PascalCase")]
pub(super) struct AllBuckets {
    pub(super) owner: Owner,
    pub(super) buckets: BucketList,
    pub(super) marker: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_marker: Option<String>,
    pub(super) is_truncated: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BucketList {
    pub(super) bucket: Vec<ListedBucket>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedBucket {
    pub(super) name: String,
    pub(super) location: String,
    pub(super) creation_date: String,
    pub(super) bucket_type: &'static str,
}

/// The response to `POST /` with `success_action_status=201`.
#[derive(Serialize)]
#[serde(rename = "PostResponse", rename_all = "PascalCase")]
pub(super) struct Posted {
    pub(super) bucket: String,
    pub(super) location: String,
    pub(super) key: String,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
}

/// The request body of `PUT /key?tagging`, and the response to `GET`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tagging {
    pub(super) tag_set: TagSet,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagSet {
    #[serde(default)]
    pub(super) tag: Vec<Tag>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

/// The response to an upload with `Pic-Operations`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UploadResult {
    pub(super) original_info: ProcessedFile,
    pub(super) process_results: ProcessResults,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ProcessResults {
    pub(super) object: Vec<ProcessedFile>,
}

/// The original of an upload, or a file that a rule wrote.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ProcessedFile {
    pub(super) key: String,
    pub(super) location: String,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    pub(super) size: u64,
}
