//! Request context: what goes with a request through every module.

use std::{fmt, net::IpAddr};

use serde::{Serialize, Serializer};

use crate::telemetry::TraceContext;
use runtime::entropy::hex_digits;

/// Identifies a request: in the answer's `X-Request-Id`, the log, the audit log and its span.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; 16]);

/// A request's id, who sent it, and its trace.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RequestContext {
    /// Random; never shared by two requests.
    pub request_id: RequestId,
    /// Address of the peer, or of the client that trusted proxies name.
    pub client: Option<IpAddr>,
    /// Trace of the request, if the caller names one or it is sampled.
    #[serde(rename = "trace_id", serialize_with = "trace_id", skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

impl From<[u8; 16]> for RequestId {
    fn from(random: [u8; 16]) -> Self {
        Self(random)
    }
}

impl RequestId {
    /// Returns its 32 hexadecimal digits.
    pub fn digits(self) -> [u8; 32] {
        hex_digits(self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn trace_id<S: Serializer>(trace: &Option<TraceContext>, serializer: S) -> Result<S::Ok, S::Error> {
    match trace {
        Some(trace) => serializer.collect_str(&trace.trace_id()),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
impl RequestContext {
    /// A context of no client and no trace.
    pub(crate) fn for_tests(id: u8) -> Self {
        Self { request_id: RequestId([id; 16]), client: None, trace: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_hexadecimal_digits() {
        let bytes = [0, 1, 9, 10, 15, 16, 0x7F, 0x80, 0x99, 0x9A, 0xA9, 0xAF, 0xEE, 0xF0, 0xFE, 0xFF];
        assert_eq!(RequestId(bytes).to_string(), hex::encode(bytes));
    }
}
