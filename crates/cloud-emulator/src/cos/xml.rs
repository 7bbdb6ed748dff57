//! The XML that COS answers with and is told.

#![expect(clippy::struct_field_names, reason = "the names are COS's")]

use actix_web::{HttpResponse, http::StatusCode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// An answer in XML.
pub(super) fn answer(status: StatusCode, told: &impl Serialize) -> HttpResponse {
    match quick_xml::se::to_string(told) {
        Ok(text) => HttpResponse::build(status)
            .content_type("application/xml")
            .body(format!("<?xml version='1.0' encoding='utf-8' ?>\n{text}")),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

/// What a client told in XML, or what is wrong with it.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    quick_xml::de::from_str(text).map_err(|error| error.to_string())
}

/// Whoever something is said to belong to.
#[derive(Serialize, Clone)]
pub(super) struct Owner {
    #[serde(rename = "ID")]
    id: &'static str,
    #[serde(rename = "DisplayName")]
    display_name: &'static str,
}

/// The sandbox's account.
pub(super) const OWNER: Owner =
    Owner { id: "qcs::cam::uin/100000000001:uin/100000000001", display_name: "100000000001" };

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CommonPrefix {
    pub(super) prefix: String,
}

/// `GET /`
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

/// `GET /?uploads`
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

/// `POST /key?uploads`
#[derive(Serialize)]
#[serde(rename = "InitiateMultipartUploadResult", rename_all = "PascalCase")]
pub(super) struct Initiated {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) upload_id: String,
}

/// `GET /key?uploadId=`
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

/// What a client sends with `POST /key?uploadId=`.
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

/// What it is answered.
#[derive(Serialize)]
#[serde(rename = "CompleteMultipartUploadResult", rename_all = "PascalCase")]
pub(super) struct Completed {
    pub(super) location: String,
    pub(super) bucket: String,
    pub(super) key: String,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
}

/// `PUT /key` with `x-cos-copy-source`
#[derive(Serialize)]
#[serde(rename = "CopyObjectResult", rename_all = "PascalCase")]
pub(super) struct Copied {
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    pub(super) last_modified: String,
    #[serde(rename = "CRC64")]
    pub(super) crc64: u64,
}

/// `POST /` with `success_action_status=201`
#[derive(Serialize)]
#[serde(rename = "PostResponse", rename_all = "PascalCase")]
pub(super) struct Posted {
    pub(super) bucket: String,
    pub(super) location: String,
    pub(super) key: String,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
}
