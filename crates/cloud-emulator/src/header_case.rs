//! Writes response header names in COS's case (`ETag`, `Content-Length`).
//!
//! HTTP ignores the case of header names (RFC 9110 §5.1), but the Python SDK passes them on unchanged and its
//! callers read `ETag` and `Content-Length` (`cos_client.py`), while actix writes every name in lower case.
//! Response heads are found in a connection's bytes by a marker header with a random value, which no body can
//! contain, because it never leaves this process.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use actix_web::{http::header::HeaderName, middleware::DefaultHeaders};
use bytes::{Buf, BytesMut};
use memchr::memmem::{self, Finder};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const MARKER: HeaderName = HeaderName::from_static("cosbroker-sandbox-head");

/// Marks response heads, and rewrites the header names of the marked ones.
#[derive(Debug, Clone)]
pub(crate) struct HeaderCaseRewriter {
    marker_value: Arc<str>,
    finder: Arc<Finder<'static>>,
}

impl HeaderCaseRewriter {
    /// Creates a rewriter. The marker value must not be guessable.
    pub(crate) fn new(marker_value: &str) -> Self {
        Self { marker_value: marker_value.into(), finder: Arc::new(Finder::new(marker_value).into_owned()) }
    }

    /// Returns the middleware that marks every response head.
    pub(crate) fn marker_middleware(&self) -> DefaultHeaders {
        DefaultHeaders::new().add((MARKER, &*self.marker_value))
    }

    /// Wraps a connection, so that marked heads are rewritten as they are sent.
    pub(crate) fn wrap<T>(&self, io: T) -> HeaderCaseStream<T> {
        HeaderCaseStream { io, finder: Arc::clone(&self.finder), unsent_head: BytesMut::new() }
    }
}

/// A connection that rewrites marked response heads.
pub(crate) struct HeaderCaseStream<T> {
    io: T,
    finder: Arc<Finder<'static>>,
    /// The rest of a rewritten head, which is sent before anything else.
    unsent_head: BytesMut,
}

impl<T> HeaderCaseStream<T> {
    /// Returns the wrapped connection.
    pub(crate) fn get_ref(&self) -> &T {
        &self.io
    }
}

impl<T: AsyncWrite + Unpin> HeaderCaseStream<T> {
    fn poll_unsent_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent_head.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.unsent_head))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent_head.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for HeaderCaseStream<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_unsent_head(cx))?;
        match this.finder.find(bytes).and_then(|marker| split_at_head(bytes, marker)) {
            None => Pin::new(&mut this.io).poll_write(cx, bytes),
            Some(([], head)) => {
                this.unsent_head = rewrite_head(head);
                // What cannot be sent now is sent before anything else.
                if let Poll::Ready(Err(error)) = this.poll_unsent_head(cx) {
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(head.len()))
            }
            Some((before, _)) => Pin::new(&mut this.io).poll_write(cx, before),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent_head(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent_head(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for HeaderCaseStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

/// Returns the bytes before the head that holds the marker, and that head.
fn split_at_head(bytes: &[u8], marker: usize) -> Option<(&[u8], &[u8])> {
    let before = bytes.get(..marker)?;
    // A header's value may look like the start of a head, so the first possible start counts.
    let starts_with_head = before.starts_with(b"HTTP/1.") && memmem::find(before, b"\r\n\r\n").is_none();
    let start = if starts_with_head { 0 } else { memmem::rfind(before, b"HTTP/1.")? };
    let end = marker + memmem::find(bytes.get(marker..)?, b"\r\n\r\n")? + 4;
    Some((bytes.get(..start)?, bytes.get(start..end)?))
}

/// Returns the head with COS's header names and without the marker.
fn rewrite_head(head: &[u8]) -> BytesMut {
    let mut rewritten = BytesMut::with_capacity(head.len());
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        match memmem::find(line, b":").and_then(|colon| line.split_at_checked(colon)) {
            Some((name, _)) if name == MARKER.as_str().as_bytes() => {}
            Some((name, rest)) if !name.contains(&b' ') => {
                rewritten.extend_from_slice(&cos_case(name));
                rewritten.extend_from_slice(rest);
            }
            _ => rewritten.extend_from_slice(line),
        }
    }
    rewritten
}

/// Returns a header name in COS's case: `ETag`, `Content-Length`, but `x-cos-request-id` (docs 436/7729).
fn cos_case(name: &[u8]) -> Vec<u8> {
    let mut cased = name.to_ascii_lowercase();
    match cased.as_slice() {
        b"etag" => return b"ETag".to_vec(),
        [b'x', b'-', ..] => return cased,
        _ => {}
    }
    let mut starts_word = true;
    for byte in &mut cased {
        if starts_word {
            byte.make_ascii_uppercase();
        }
        starts_word = *byte == b'-';
    }
    cased
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\netag: \"1\"\r\ncosbroker-sandbox-head: 5ec4e7\r\nx-cos-meta-a: b\r\ncontent-length: 9\r\n\r\n";
    const REWRITTEN: &str = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nx-cos-meta-a: b\r\nContent-Length: 9\r\n\r\n";

    /// Writes through a pipe with this buffer size, and returns what comes out.
    async fn send(pieces: &[String], buffer_bytes: usize) -> String {
        let (near, mut far) = tokio::io::duplex(buffer_bytes);
        let mut near = HeaderCaseRewriter::new("5ec4e7").wrap(near);
        let write = async {
            for piece in pieces {
                near.write_all(piece.as_bytes()).await.unwrap();
            }
            near.shutdown().await.unwrap();
            drop(near);
        };
        let mut out = String::new();
        let ((), read) = tokio::join!(write, far.read_to_string(&mut out));
        read.unwrap();
        out
    }

    #[tokio::test]
    async fn heads_are_rewritten_at_any_position_and_bodies_never() {
        let body = REWRITTEN.replace("ETag", "etag").replace("Content-Length", "content-length");
        for buffer_bytes in [1, 7, 64, 4096] {
            let pieces = [format!("{HEAD}{body}{HEAD}"), body.clone(), body.clone(), HEAD.to_owned()];
            let expected = format!("{REWRITTEN}{body}{REWRITTEN}{body}{body}{REWRITTEN}");
            assert_eq!(send(&pieces, buffer_bytes).await, expected, "{buffer_bytes}");
        }
    }

    #[tokio::test]
    async fn a_header_value_that_looks_like_a_head_starts_none() {
        let value = "x-cos-meta-a: HTTP/1.1 200 OK\r\ncosbroker";
        let head = HEAD.replacen("cosbroker", value, 1);
        let expected =
            REWRITTEN.replacen("x-cos-meta-a: b", "x-cos-meta-a: HTTP/1.1 200 OK\r\nx-cos-meta-a: b", 1);
        assert_eq!(send(&[head], 4096).await, expected);
    }

    #[test]
    fn header_names_are_in_the_case_of_cos() {
        for (name, expected) in [
            ("etag", "ETag"),
            ("content-length", "Content-Length"),
            ("last-modified", "Last-Modified"),
            ("date", "Date"),
            ("x-cos-hash-crc64ecma", "x-cos-hash-crc64ecma"),
        ] {
            assert_eq!(cos_case(name.as_bytes()), expected.as_bytes());
        }
    }
}
