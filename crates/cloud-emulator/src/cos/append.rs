//! Appends to an object (docs 436/7741).

use std::sync::Arc;

use actix_web::{HttpResponse, dev::Payload};

use super::{
    address::Address,
    emulator::CosEmulator,
    error::CosError,
    object::{MAX_OBJECT_BYTES, OBJECT_TYPE_HEADER, with_checksums},
    request::CosRequest,
};
use crate::storage::Object;

/// The type of an object that was made by appending; all others are `normal`.
const APPENDABLE: &str = "appendable";

impl CosEmulator {
    /// Creates an object at position 0, or adds to the end of one that was created so.
    pub(super) async fn append_object(
        &self,
        request: &CosRequest,
        body: &mut Payload,
    ) -> Result<HttpResponse, CosError> {
        let Address { bucket, key, .. } = &request.address;
        self.check_new_key(request, key)?;
        let position: u64 = request
            .parameter("position")
            .and_then(|position| position.parse().ok())
            .ok_or_else(|| CosError::InvalidArgument("position is a number of bytes.".to_owned()))?;
        let mut headers = request.stored_headers()?;
        headers.insert(OBJECT_TYPE_HEADER.to_owned(), APPENDABLE.to_owned());
        self.object_to_extend(bucket, key, position)?;
        let blob = self.storage.receive(body, MAX_OBJECT_BYTES.saturating_sub(position)).await?;
        request.check_digest(&blob.md5)?;
        // Another request may have appended while the body came.
        let object = match self.object_to_extend(bucket, key, position)? {
            Some(existing) => self.storage.extended(&existing, blob, request.received_at)?,
            None => Object::new(headers, blob, request.received_at),
        };
        let object = self.storage.put(bucket, key, object)?;
        let mut response = with_checksums(HttpResponse::Ok(), &object);
        Ok(response.insert_header(("x-cos-next-append-position", object.length.to_string())).finish())
    }

    /// Returns the object to append to, if there is one; refuses another position than its end.
    fn object_to_extend(
        &self,
        bucket: &str,
        key: &str,
        position: u64,
    ) -> Result<Option<Arc<Object>>, CosError> {
        let existing = self.storage.get(bucket, key);
        let is_appendable = existing.as_ref().is_none_or(|object| {
            object.headers.get(OBJECT_TYPE_HEADER).is_some_and(|object_type| object_type == APPENDABLE)
        });
        if !is_appendable {
            return Err(CosError::ObjectNotAppendable);
        }
        let length = existing.as_ref().map_or(0, |object| object.length);
        if length == position { Ok(existing) } else { Err(CosError::AppendPosition(length)) }
    }
}
