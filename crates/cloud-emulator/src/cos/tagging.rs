//! The tags of an object (docs 436/42997, 436/42998, 436/42999). They are stored as one header of the object, in the
//! form in which an upload gives them: `key=value&key=value`, percent-encoded.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, dev::Payload, http::StatusCode};
use md5::{Digest, Md5};

use super::{
    address::Address, body::read_xml, emulator::CosEmulator, error::CosError, request::CosRequest, response,
    xml,
};
use tencent_sign::cos::encoded;

/// The header of an upload with the tags of its object (docs 436/7749).
pub(super) const TAGGING_HEADER: &str = "x-cos-tagging";
/// The maximum number of tags of one object (docs 436/35665).
const MAX_TAGS: usize = 10;
/// The maximum number of characters in a tag's key (docs 436/35665).
const MAX_TAG_KEY_CHARS: usize = 127;
/// The maximum number of characters in a tag's value (docs 436/35665).
const MAX_TAG_VALUE_CHARS: usize = 255;
/// The maximum size of the list: all tags, each byte of them escaped.
const MAX_TAG_LIST_BYTES: usize = 64 << 10;

impl CosEmulator {
    /// Puts tags in place of the previous ones.
    pub(super) async fn put_tagging(
        &self,
        request: &CosRequest,
        body: &mut Payload,
    ) -> Result<HttpResponse, CosError> {
        let list = read_xml(body, MAX_TAG_LIST_BYTES).await?;
        request.check_digest(&Md5::digest(&list).into())?;
        let list: xml::Tagging = xml::parse(&list)?;
        let tags: Vec<_> = list.tag_set.tag.into_iter().map(|tag| (tag.key, tag.value)).collect();
        check(&tags)?;
        self.set_tags(request, Some(text_of(&tags)))?;
        Ok(HttpResponse::Ok().finish())
    }

    /// Lists the tags.
    pub(super) fn get_tagging(&self, request: &CosRequest) -> Result<HttpResponse, CosError> {
        let Address { bucket, key, .. } = &request.address;
        let object = self.storage.get(bucket, key).ok_or(CosError::NoSuchKey)?;
        let text = object.headers.get(TAGGING_HEADER).map(String::as_str).unwrap_or_default();
        let tag = tags_of(text).into_iter().map(|(key, value)| xml::Tag { key, value }).collect();
        Ok(response::xml(StatusCode::OK, &xml::Tagging { tag_set: xml::TagSet { tag } }))
    }

    /// Deletes all tags.
    pub(super) fn delete_tagging(&self, request: &CosRequest) -> Result<HttpResponse, CosError> {
        self.set_tags(request, None)?;
        Ok(HttpResponse::NoContent().finish())
    }

    fn set_tags(&self, request: &CosRequest, tags: Option<String>) -> Result<(), CosError> {
        let Address { bucket, key, .. } = &request.address;
        let object = self.storage.get(bucket, key).ok_or(CosError::NoSuchKey)?;
        let mut headers = object.headers.clone();
        headers.remove(TAGGING_HEADER);
        headers.extend(tags.filter(|tags| !tags.is_empty()).map(|tags| (TAGGING_HEADER.to_owned(), tags)));
        let tagged = self.storage.copy(&object, headers, object.modified)?;
        self.storage.put(bucket, key, tagged)?;
        Ok(())
    }
}

/// Checks the tags in the header of an upload, and returns them as they are stored.
pub(super) fn tags_of_upload(header: &str) -> Result<String, CosError> {
    let tags = tags_of(header);
    check(&tags)?;
    Ok(text_of(&tags))
}

/// Returns the number of an object's tags.
pub(super) fn count(text: &str) -> usize {
    tags_of(text).len()
}

fn tags_of(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn text_of(tags: &[(String, String)]) -> String {
    let pairs: Vec<String> =
        tags.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect();
    pairs.join("&")
}

fn check(tags: &[(String, String)]) -> Result<(), CosError> {
    if tags.len() > MAX_TAGS {
        return Err(CosError::BadRequest(format!("An object has at most {MAX_TAGS} tags.")));
    }
    let mut seen = BTreeSet::new();
    for (key, value) in tags {
        if !seen.insert(key) {
            return Err(CosError::InvalidTag(format!("The tag `{key}` is given more than once.")));
        }
        if key.is_empty()
            || key.chars().count() > MAX_TAG_KEY_CHARS
            || value.chars().count() > MAX_TAG_VALUE_CHARS
        {
            return Err(CosError::InvalidTag(format!(
                "A tag has a key of 1 to {MAX_TAG_KEY_CHARS} characters and a value of at most {MAX_TAG_VALUE_CHARS}."
            )));
        }
        if let Some(other) = key.chars().chain(value.chars()).find(|one| !is_tag_character(*one)) {
            return Err(CosError::InvalidTag(format!("A tag must not have the character {other:?}.")));
        }
    }
    Ok(())
}

/// Whether a tag may have a character (docs 436/35665).
fn is_tag_character(one: char) -> bool {
    one.is_alphanumeric() || " +-=._:/@".contains(one)
}
