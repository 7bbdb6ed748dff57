//! Encoded response bodies of one credential, each encoded at most once.

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

/// One slot for each [`ResponseShape`]: a new shape does not compile without a slot.
#[derive(Default)]
pub(super) struct EncodedBodies {
    v1: OnceLock<Bytes>,
    sts3: OnceLock<Bytes>,
    sts_sdk: OnceLock<Bytes>,
    cossign: OnceLock<Bytes>,
    object_key: OnceLock<Bytes>,
}

impl EncodedBodies {
    /// Returns the body of a shape, encoded by `encode` the first time. The memory is wiped when it is freed.
    pub(super) fn get_or_encode(&self, shape: ResponseShape, encode: impl FnOnce() -> Vec<u8>) -> Bytes {
        self.slot(shape).get_or_init(|| Bytes::from_owner(Zeroizing::new(encode()))).clone()
    }

    fn slot(&self, shape: ResponseShape) -> &OnceLock<Bytes> {
        match shape {
            ResponseShape::V1 => &self.v1,
            ResponseShape::Sts3 => &self.sts3,
            ResponseShape::StsSdk => &self.sts_sdk,
            ResponseShape::Cossign => &self.cossign,
            ResponseShape::ObjectKey => &self.object_key,
        }
    }
}
