//! Lists a bucket's objects, page by page.

use std::sync::Arc;

use actix_web::{HttpResponse, http::StatusCode};

use super::{
    emulator::CosEmulator,
    error::CosError,
    request::CosRequest,
    response::{self, iso8601},
    xml,
};
use crate::storage::{ListQuery, Object, Page};
use tencent_sign::cos::encoded;

/// The maximum number of entries in one response (docs 436/7734).
pub(super) const MAX_PAGE_ENTRIES: usize = 1000;

/// How keys are written in a list. XML cannot hold every character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyEncoding {
    Plain,
    /// Percent-encoded.
    Url,
}

impl KeyEncoding {
    /// Returns the encoding's name in the response.
    pub(super) fn name(self) -> Option<&'static str> {
        (self == Self::Url).then_some("url")
    }

    pub(super) fn encode(self, key: String) -> String {
        match self {
            Self::Plain => key,
            Self::Url => encoded(&key),
        }
    }

    pub(super) fn common_prefixes(self, prefixes: Vec<String>) -> Vec<xml::CommonPrefix> {
        prefixes.into_iter().map(|prefix| xml::CommonPrefix { prefix: self.encode(prefix) }).collect()
    }
}

impl CosRequest {
    /// Returns the requested page. Lists of objects and of uploads have different names for the parameters of the
    /// marker and of the maximum.
    pub(super) fn list_query(&self, marker: &str, max_entries: &str) -> Result<ListQuery, CosError> {
        Ok(ListQuery {
            prefix: self.parameter("prefix").unwrap_or_default().to_owned(),
            delimiter: self.parameter("delimiter").map(str::to_owned),
            marker: self.parameter(marker).unwrap_or_default().to_owned(),
            max_entries: self.number(max_entries, MAX_PAGE_ENTRIES)?.min(MAX_PAGE_ENTRIES),
        })
    }

    pub(super) fn key_encoding(&self) -> Result<KeyEncoding, CosError> {
        match self.parameter("encoding-type") {
            None | Some("") => Ok(KeyEncoding::Plain),
            Some("url") => Ok(KeyEncoding::Url),
            Some(_) => Err(CosError::InvalidArgument("encoding-type is url or not given.".to_owned())),
        }
    }
}

impl CosEmulator {
    pub(super) fn list_objects(&self, request: &CosRequest) -> Result<HttpResponse, CosError> {
        let query = request.list_query("marker", "max-keys")?;
        let encoding = request.key_encoding()?;
        let Page { entries, common_prefixes, next_marker } =
            self.storage.list(&request.address.bucket, &query);
        Ok(response::xml(
            StatusCode::OK,
            &xml::Objects {
                name: request.address.bucket.clone(),
                encoding_type: encoding.name(),
                prefix: encoding.encode(query.prefix),
                marker: encoding.encode(query.marker),
                max_keys: query.max_entries,
                delimiter: query.delimiter.map(|delimiter| encoding.encode(delimiter)),
                is_truncated: next_marker.is_some(),
                next_marker: next_marker.map(|marker| encoding.encode(marker)),
                contents: entries.into_iter().map(|entry| content(entry, encoding)).collect(),
                common_prefixes: encoding.common_prefixes(common_prefixes),
            },
        ))
    }
}

fn content((key, object): (String, Arc<Object>), encoding: KeyEncoding) -> xml::Content {
    let storage_class = object.headers.get("x-cos-storage-class").map_or("STANDARD", String::as_str);
    xml::Content {
        key: encoding.encode(key),
        last_modified: iso8601(object.modified),
        etag: object.etag.clone(),
        size: object.length,
        owner: xml::OWNER,
        storage_class: storage_class.to_owned(),
    }
}
