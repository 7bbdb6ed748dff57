//! A request to COS as it goes over the wire, and what came back.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use tencent_sign::cos::encoded;

/// A request before it is signed. Its path is sent as it stands here, dots, slashes and escapes and all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// Such as `PUT`.
    pub(super) method: &'static str,
    /// As it is sent.
    pub(super) path: String,
    /// As it is signed: decoded.
    pub(super) signed_path: String,
    /// Decoded names and values of the query.
    pub(super) query: Vec<(&'static str, String)>,
    /// Names and values, besides `host` and those of the key.
    pub(super) headers: Vec<(&'static str, String)>,
    /// What is written.
    pub(super) body: String,
}

impl Request {
    /// About the object of this key; about the bucket itself, if it is empty.
    pub(super) fn of(method: &'static str, key: &str) -> Self {
        Self::to(method, &encoded(key).replace("%2F", "/"))
    }

    /// To a path written as it is to be sent, without its first slash; it is signed as it is decoded.
    pub(super) fn to(method: &'static str, path: &str) -> Self {
        let path = format!("/{path}");
        let signed_path = percent_decode_str(&path).decode_utf8_lossy().into_owned();
        Self { method, path, signed_path, query: Vec::new(), headers: Vec::new(), body: String::new() }
    }

    /// Signed as if it were about this key.
    #[must_use]
    pub(super) fn signed_for(self, key: &str) -> Self {
        Self { signed_path: format!("/{key}"), ..self }
    }

    /// With one more parameter.
    #[must_use]
    pub(super) fn with_parameter(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// With one more header.
    #[must_use]
    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// What it asks for, as in the request's first line.
    pub(super) fn target(&self) -> String {
        let pairs = self.query.iter().map(|(name, value)| match value.as_str() {
            "" => (*name).to_owned(),
            value => format!("{name}={}", encoded(value)),
        });
        let query = pairs.collect::<Vec<_>>().join("&");
        if query.is_empty() { self.path.clone() } else { format!("{}?{query}", self.path) }
    }
}

/// What COS answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// The `<Code>` of the error, if one is told.
    pub(super) code: String,
    /// Whether it is to a `HEAD`, and so tells no code.
    pub(super) is_of_head: bool,
    /// The body, as text.
    pub(super) body: String,
    /// From the request's first byte to the answer's last.
    pub(super) took: Duration,
}

impl Answer {
    pub(super) fn new(method: &str, status: u16, body: String, took: Duration) -> Self {
        let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        // It goes into logs and onto a terminal.
        let code = code.map(|(code, _)| code).filter(|code| code.bytes().all(|b| b.is_ascii_alphanumeric()));
        let code = code.unwrap_or_default().to_owned();
        Self { status, code, is_of_head: method == "HEAD", body, took }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}{}", self.status, if self.code.is_empty() { "" } else { " " }, self.code)
    }
}
