//! A request to COS as it is sent, and the answer.

use std::{borrow::Cow, fmt, time::Duration};

use percent_encoding::percent_decode_str;

use tencent_sign::cos::encoded;

/// A request before it is signed. Its path is sent exactly as it is here, with dots, slashes and escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    /// The path that the signature covers, decoded.
    pub(super) signed_path: String,
    /// The decoded names and values of the query.
    pub(super) query: Vec<(Cow<'static, str>, String)>,
    /// The headers besides `host` and those of the credential.
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
    /// The fields of a form before its file, which is the body; none if the request is no form.
    pub(super) form: Vec<(&'static str, String)>,
}

impl Request {
    /// Returns a request about the object with this key, or about the bucket if the key is empty.
    pub(super) fn of(method: &'static str, key: &str) -> Self {
        Self::to(method, &encoded(key).replace("%2F", "/"))
    }

    /// Returns a request to an encoded path without its first slash. The decoded path is signed.
    pub(super) fn to(method: &'static str, path: &str) -> Self {
        let path = format!("/{path}");
        let signed_path = percent_decode_str(&path).decode_utf8_lossy().into_owned();
        Self {
            method,
            path,
            signed_path,
            query: Vec::new(),
            headers: Vec::new(),
            body: String::new(),
            form: Vec::new(),
        }
    }

    /// Signs the request as if it were about this key.
    #[must_use]
    pub(super) fn signed_for(self, key: &str) -> Self {
        Self { signed_path: format!("/{key}"), ..self }
    }

    #[must_use]
    pub(super) fn with_parameter(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub(super) fn with_body(self, body: impl Into<String>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// Returns the request that deletes the object which this one writes.
    pub(super) fn delete(&self) -> Self {
        let key = self.form.iter().find(|(name, _)| *name == "key").map(|(_, key)| key);
        match key {
            Some(key) => Self::of("DELETE", key),
            None => Self {
                method: "DELETE",
                query: Vec::new(),
                headers: Vec::new(),
                body: String::new(),
                ..self.clone()
            },
        }
    }

    /// Returns the path and the query, as in the request line.
    pub(super) fn target(&self) -> String {
        let pairs = self.query.iter().map(|(name, value)| match value.as_str() {
            "" => encoded(name),
            value => format!("{name}={}", encoded(value)),
        });
        let query = pairs.collect::<Vec<_>>().join("&");
        if query.is_empty() { self.path.clone() } else { format!("{}?{query}", self.path) }
    }
}

/// An answer of COS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The `<Code>` of an error.
    pub(super) code: Option<String>,
    /// Whether the request was a `HEAD`: its answer has no code.
    pub(super) is_of_head: bool,
    pub(super) body: String,
    /// The time from the request's first byte to the answer's last.
    pub(super) took: Duration,
}

impl Answer {
    pub(super) fn new(method: &str, status: u16, body: String, took: Duration) -> Self {
        Self { status, code: error_code(&body), is_of_head: method == "HEAD", body, took }
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Answer {
    /// Returns the id of the upload that was begun.
    pub(super) fn upload_id(&self) -> Option<String> {
        let (_, rest) = self.body.split_once("<UploadId>")?;
        let (id, _) = rest.split_once("</UploadId>")?;
        self.is_success().then(|| id.to_owned())
    }
}

/// Returns the `<Code>` of an error. It is printed to logs and terminals, so only letters and digits pass.
fn error_code(body: &str) -> Option<String> {
    let (_, rest) = body.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric());
    is_code.then(|| code.to_owned())
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{} {code}", self.status),
            None => write!(f, "{}", self.status),
        }
    }
}
