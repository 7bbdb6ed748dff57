//! A bucket's keys, page by page.

use actix_web::{HttpResponse, http::StatusCode};

use super::{Cos, call::Call, object::iso, refusal::Refusal, xml};
use crate::storage::{Object, Page, Wanted};
use tencent_sign::cos::encoded;

/// The most that one answer lists (docs 436/7734).
pub(super) const LONGEST_PAGE: usize = 1000;

/// Whether keys are told percent-encoded: XML cannot hold every character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Url,
}

impl Encoding {
    /// As the answer tells it.
    pub(super) fn name(self) -> Option<&'static str> {
        (self == Self::Url).then_some("url")
    }

    pub(super) fn of(self, key: String) -> String {
        match self {
            Self::Plain => key,
            Self::Url => encoded(&key),
        }
    }

    pub(super) fn common(self, prefixes: Vec<String>) -> Vec<xml::CommonPrefix> {
        prefixes.into_iter().map(|prefix| xml::CommonPrefix { prefix: self.of(prefix) }).collect()
    }
}

impl Call {
    /// The page that is asked for; lists of objects and of uploads name the marker and the bound each their
    /// own way.
    pub(super) fn wanted(&self, marker: &str, most: &str) -> Result<Wanted, Refusal> {
        let text = |name| self.parameter(name).unwrap_or_default().to_owned();
        Ok(Wanted {
            prefix: text("prefix"),
            delimiter: self.parameter("delimiter").map(str::to_owned),
            marker: text(marker),
            most: self.number(most, LONGEST_PAGE)?.min(LONGEST_PAGE),
        })
    }

    pub(super) fn encoding(&self) -> Result<Encoding, Refusal> {
        match self.parameter("encoding-type") {
            None | Some("") => Ok(Encoding::Plain),
            Some("url") => Ok(Encoding::Url),
            Some(_) => Err(Refusal::InvalidArgument("encoding-type is url or not given.".to_owned())),
        }
    }
}

impl Cos {
    pub(super) fn list_objects(&self, call: &Call) -> Result<HttpResponse, Refusal> {
        let wanted = call.wanted("marker", "max-keys")?;
        let encoding = call.encoding()?;
        let Page { entries, common_prefixes, next_marker } = self.storage.list(&call.address.bucket, &wanted);
        let content = |(key, object): (String, std::sync::Arc<Object>)| xml::Content {
            key: encoding.of(key),
            last_modified: iso(object.modified),
            etag: object.etag.clone(),
            size: object.length,
            owner: xml::OWNER,
            storage_class: object
                .headers
                .get("x-cos-storage-class")
                .map_or("STANDARD", String::as_str)
                .to_owned(),
        };
        Ok(xml::answer(
            StatusCode::OK,
            &xml::Objects {
                name: call.address.bucket.clone(),
                encoding_type: encoding.name(),
                prefix: encoding.of(wanted.prefix),
                marker: encoding.of(wanted.marker),
                max_keys: wanted.most,
                delimiter: wanted.delimiter.map(|delimiter| encoding.of(delimiter)),
                is_truncated: next_marker.is_some(),
                next_marker: next_marker.map(|marker| encoding.of(marker)),
                contents: entries.into_iter().map(content).collect(),
                common_prefixes: encoding.common(common_prefixes),
            },
        ))
    }
}
