//! Responses that end too early: in the middle of the body, or before the first byte.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    dev::Extensions,
    rt::net::TcpStream,
};
use bytes::Bytes;
use socket2::{SockRef, Socket};

/// How much is sent of a body without an announced length.
const STREAM_PREFIX_BYTES: u64 = 1024;

/// The socket of a request's connection. The server closes the connection; this determines how.
#[derive(Debug)]
pub(super) struct Connection(Socket);

/// Stores the socket with its connection, for [`Connection::reset_when_closed`].
pub(crate) fn remember_connection(stream: &TcpStream, data: &mut Extensions) {
    if let Ok(socket) = SockRef::from(stream).try_clone() {
        data.insert(Connection(socket));
    }
}

impl Connection {
    /// Makes the client see a reset instead of an orderly close (`SO_LINGER` of zero; socket(7)).
    pub(super) fn reset_when_closed(&self) {
        if let Err(error) = self.0.set_linger(Some(Duration::ZERO)) {
            tracing::warn!(%error, "the connection cannot be reset and is closed normally");
        }
    }
}

/// A body that announces its whole length, sends a part and then fails. The server closes the connection of a
/// failing body.
pub(super) struct TruncatedBody {
    body: BoxBody,
    announced: BodySize,
    remaining: u64,
    /// Whether the part before the failure has been flushed. The server drops what it has not sent yet.
    flushed: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("truncated by an injected fault")]
struct Truncated;

impl TruncatedBody {
    /// Sends half of a body. An empty body announces one byte.
    pub(super) fn half_of(body: BoxBody) -> Self {
        let (announced, remaining) = match body.size() {
            BodySize::Stream => (BodySize::Stream, STREAM_PREFIX_BYTES),
            BodySize::Sized(length) => (BodySize::Sized(length.max(1)), length / 2),
            BodySize::None => (BodySize::Sized(1), 0),
        };
        Self { body, announced, remaining, flushed: false }
    }

    /// Fails before the status line is sent.
    pub(super) fn before_head() -> Self {
        Self { body: BoxBody::new(()), announced: BodySize::Sized(1), remaining: 0, flushed: true }
    }
}

impl MessageBody for TruncatedBody {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.announced
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.remaining > 0 {
            match Pin::new(&mut self.body).poll_next(context) {
                Poll::Ready(Some(Ok(mut chunk))) => {
                    chunk.truncate(usize::try_from(self.remaining).unwrap_or(usize::MAX));
                    self.remaining = self.remaining.saturating_sub(chunk.len() as u64);
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Poll::Ready(None) => self.remaining = 0,
                other => return other,
            }
        }
        if !self.flushed {
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(Truncated.into())))
    }
}

#[cfg(test)]
mod tests {
    use futures::future::poll_fn;

    use super::*;

    async fn read(mut body: TruncatedBody) -> Vec<u8> {
        let mut read = Vec::new();
        while let Some(Ok(chunk)) = poll_fn(|context| Pin::new(&mut body).poll_next(context)).await {
            read.extend_from_slice(&chunk);
        }
        read
    }

    #[tokio::test]
    async fn half_of_the_announced_length_is_sent() {
        for (whole, announced, sent) in [("0123456789", 10, "01234"), ("", 1, ""), ("x", 1, "")] {
            let body = TruncatedBody::half_of(BoxBody::new(whole));
            assert_eq!(body.size(), BodySize::Sized(announced));
            assert_eq!(read(body).await, sent.as_bytes());
        }
    }

    #[tokio::test]
    async fn the_part_before_the_failure_is_flushed_first() {
        let mut body = TruncatedBody::half_of(BoxBody::new("ab"));
        let mut next = async || {
            let mut pending = false;
            let chunk = poll_fn(|context| {
                let poll = Pin::new(&mut body).poll_next(context);
                pending |= poll.is_pending();
                poll
            })
            .await;
            (pending, chunk.unwrap().is_err())
        };
        assert_eq!(next().await, (false, false));
        assert_eq!(next().await, (true, true), "the server sends while it waits");
    }
}
