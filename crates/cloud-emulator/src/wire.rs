//! Header names as COS writes them. To HTTP their case is nothing (RFC 9110 §5.1); the Python SDK hands them
//! on as they came, so that its callers ask for `ETag` and `Content-Length` (`cos_client.py`), while actix
//! writes every name in lower case.
//!
//! Heads are known among the bytes of a connection by a mark that they carry: a random header that no body
//! can contain, because it never leaves this process.

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

const MARK: HeaderName = HeaderName::from_static("cosbroker-sandbox-head");

/// Marks heads, and rewrites those that are marked.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    mark: Arc<str>,
    finder: Arc<Finder<'static>>,
}

impl Wire {
    /// With a mark that nobody can guess.
    pub(super) fn new(mark: &str) -> Self {
        Self { mark: mark.into(), finder: Arc::new(Finder::new(mark).into_owned()) }
    }

    /// Marks every answer's head.
    pub(super) fn marks(&self) -> DefaultHeaders {
        DefaultHeaders::new().add((MARK, &*self.mark))
    }

    /// A connection on which marked heads leave as COS writes them.
    pub(super) fn cased<T>(&self, io: T) -> Cased<T> {
        Cased { io, finder: Arc::clone(&self.finder), head: BytesMut::new() }
    }
}

/// A connection.
pub(super) struct Cased<T> {
    io: T,
    finder: Arc<Finder<'static>>,
    /// What of a head is still to be written.
    head: BytesMut,
}

impl<T> Cased<T> {
    /// The connection underneath.
    pub(super) fn socket(&self) -> &T {
        &self.io
    }
}

impl<T: AsyncWrite + Unpin> Cased<T> {
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.head.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.head))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.head.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Cased<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_head(cx))?;
        match this.finder.find(bytes).and_then(|mark| split(bytes, mark)) {
            None => Pin::new(&mut this.io).poll_write(cx, bytes),
            Some(([], head)) => {
                this.head = rewritten(head);
                // What cannot be written now is written before anything else is.
                if let Poll::Ready(Err(error)) = this.poll_head(cx) {
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(head.len()))
            }
            Some((before, _)) => Pin::new(&mut this.io).poll_write(cx, before),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_head(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_head(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Cased<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

/// What goes before the head in which the mark stands, and that head.
fn split(bytes: &[u8], mark: usize) -> Option<(&[u8], &[u8])> {
    let before = bytes.get(..mark)?;
    // A header's value may look like the beginning of a head, so the first that can be it is.
    let alone = before.starts_with(b"HTTP/1.") && memmem::find(before, b"\r\n\r\n").is_none();
    let start = if alone { 0 } else { memmem::rfind(before, b"HTTP/1.")? };
    let end = mark + memmem::find(bytes.get(mark..)?, b"\r\n\r\n")? + 4;
    Some((bytes.get(..start)?, bytes.get(start..end)?))
}

/// The head as COS writes it, without the mark.
fn rewritten(head: &[u8]) -> BytesMut {
    let mut rewritten = BytesMut::with_capacity(head.len());
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        match memmem::find(line, b":").and_then(|colon| line.split_at_checked(colon)) {
            Some((name, _)) if name == MARK.as_str().as_bytes() => {}
            Some((name, rest)) if !name.contains(&b' ') => {
                rewritten.extend_from_slice(&cased(name));
                rewritten.extend_from_slice(rest);
            }
            _ => rewritten.extend_from_slice(line),
        }
    }
    rewritten
}

/// `ETag`, `Content-Length`, but `x-cos-request-id` (docs 436/7729).
fn cased(name: &[u8]) -> Vec<u8> {
    let mut cased = name.to_ascii_lowercase();
    match cased.as_slice() {
        b"etag" => return b"ETag".to_vec(),
        [b'x', b'-', ..] => return cased,
        _ => {}
    }
    let mut first = true;
    for byte in &mut cased {
        if first {
            byte.make_ascii_uppercase();
        }
        first = *byte == b'-';
    }
    cased
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\netag: \"1\"\r\ncosbroker-sandbox-head: 5ec4e7\r\nx-cos-meta-a: b\r\ncontent-length: 9\r\n\r\n";
    const WRITTEN: &str = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nx-cos-meta-a: b\r\nContent-Length: 9\r\n\r\n";

    /// Writes through a pipe that takes so few bytes at a time, and reads what comes out.
    async fn through(pieces: &[String], room: usize) -> String {
        let (near, mut far) = tokio::io::duplex(room);
        let mut near = Wire::new("5ec4e7").cased(near);
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
    async fn heads_are_rewritten_wherever_they_stand_and_bodies_never() {
        let body = WRITTEN.replace("ETag", "etag").replace("Content-Length", "content-length");
        for room in [1, 7, 64, 4096] {
            let pieces = [format!("{HEAD}{body}{HEAD}"), body.clone(), body.clone(), HEAD.to_owned()];
            let expected = format!("{WRITTEN}{body}{WRITTEN}{body}{body}{WRITTEN}");
            assert_eq!(through(&pieces, room).await, expected, "{room}");
        }
    }

    #[tokio::test]
    async fn a_value_that_looks_like_a_head_begins_none() {
        let told = "x-cos-meta-a: HTTP/1.1 200 OK\r\ncosbroker";
        let head = HEAD.replacen("cosbroker", told, 1);
        let expected =
            WRITTEN.replacen("x-cos-meta-a: b", "x-cos-meta-a: HTTP/1.1 200 OK\r\nx-cos-meta-a: b", 1);
        assert_eq!(through(&[head], 4096).await, expected);
    }

    #[test]
    fn names_are_as_cos_writes_them() {
        for (name, expected) in [
            ("etag", "ETag"),
            ("content-length", "Content-Length"),
            ("last-modified", "Last-Modified"),
            ("date", "Date"),
            ("x-cos-hash-crc64ecma", "x-cos-hash-crc64ecma"),
        ] {
            assert_eq!(cased(name.as_bytes()), expected.as_bytes());
        }
    }
}
