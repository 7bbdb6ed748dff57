//! The encoded response body of one credential.

use std::sync::OnceLock;

use bytes::Bytes;
use zeroize::Zeroizing;

/// A form in which clients read a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseShape {
    /// `/v1`: the STS SDK JSON and more.
    V1,
    /// `/v1?format=sts3`: STS's own answer.
    Sts3,
    /// `/sts`: the STS SDK JSON.
    StsSdk,
    /// `/sign`: cossign's envelope.
    Cossign,
    /// `/getKeyAndCredentials`: the STS SDK JSON with bucket, region and an object key.
    ObjectKey,
}

/// The body of the shape that was requested first. Nearly all clients of a user read one shape; bodies of other shapes
/// are encoded each time.
#[derive(Default)]
pub(super) struct EncodedBody(OnceLock<(ResponseShape, Bytes)>);

impl EncodedBody {
    /// Returns the body of a shape, encoded by `encode` unless it is kept. The memory is wiped when it is freed.
    pub(super) fn get_or_encode(&self, shape: ResponseShape, encode: impl FnOnce() -> Vec<u8>) -> Bytes {
        if let Some((kept, body)) = self.0.get() {
            return if *kept == shape { body.clone() } else { wiped(encode()) };
        }
        let body = wiped(encode());
        // If another request was faster, its body is kept.
        let _ = self.0.set((shape, body.clone()));
        body
    }
}

/// Without the spare room in which it was encoded.
fn wiped(encoded: Vec<u8>) -> Bytes {
    let encoded = Zeroizing::new(encoded);
    Bytes::from_owner(Zeroizing::new(Box::<[u8]>::from(encoded.as_slice())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_shape_is_kept_and_others_are_encoded_each_time() {
        let body = EncodedBody::default();
        let encoded = |shape, text: &str| body.get_or_encode(shape, || text.into());
        assert_eq!(encoded(ResponseShape::V1, "first"), "first");
        assert_eq!(encoded(ResponseShape::V1, "again"), "first");
        assert_eq!(encoded(ResponseShape::StsSdk, "other"), "other");
        assert_eq!(encoded(ResponseShape::StsSdk, "new"), "new");
        assert_eq!(encoded(ResponseShape::V1, "again"), "first");
    }
}
