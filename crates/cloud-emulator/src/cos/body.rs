//! Reads request bodies that are not stored.

use actix_web::dev::Payload;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use super::{error::CosError, xml::XmlError};
use crate::storage::StorageError;

/// How much of a refused request's body is read. Clients read the response only after they have sent the body.
const MAX_DRAINED_BYTES: usize = 1 << 30;

/// Reads and drops the body of a refused request.
pub(super) async fn drain(body: &mut Payload) {
    let mut drained = 0;
    while let Some(Ok(chunk)) = body.next().await {
        drained += chunk.len();
        if drained > MAX_DRAINED_BYTES {
            return;
        }
    }
}

/// Reads an XML body of at most `max_bytes`.
pub(super) async fn read_xml(body: &mut Payload, max_bytes: usize) -> Result<Bytes, CosError> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| StorageError::BodyIncomplete)?;
        if bytes.len() + chunk.len() > max_bytes {
            return Err(XmlError::TooLarge(max_bytes).into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}
