//! Answers that end before their time: in the middle of the body, or before the first byte.

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

/// Of a body whose length nobody announced, so much comes.
const START: u64 = 1024;

/// A hold on the connection that a request came by: the server closes it, this says how.
#[derive(Debug)]
pub(super) struct Connection(Socket);

/// Keeps the hold with the connection, for [`Connection::end_with_a_reset`].
pub(crate) fn connected(stream: &TcpStream, data: &mut Extensions) {
    if let Ok(socket) = SockRef::from(stream).try_clone() {
        data.insert(Connection(socket));
    }
}

impl Connection {
    /// Once it is closed, the client sees a reset rather than an orderly end (`SO_LINGER` of zero; socket(7)).
    pub(super) fn end_with_a_reset(&self) {
        if let Err(error) = self.0.set_linger(Some(Duration::ZERO)) {
            tracing::warn!(%error, "the connection ends without a reset");
        }
    }
}

/// A body that announces its whole length, gives some of it and then fails; the server answers a failing
/// body by closing the connection.
pub(super) struct CutShort {
    body: BoxBody,
    announced: BodySize,
    left: u64,
    /// Whether what came before the failure is on its way: the server drops what it has not yet sent.
    sent: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("cut off by a fault on demand")]
struct Cut;

impl CutShort {
    /// Half of a body; of an empty one, the promise of a byte.
    pub(super) fn of(body: BoxBody) -> Self {
        let (announced, left) = match body.size() {
            BodySize::Stream => (BodySize::Stream, START),
            BodySize::Sized(length) => (BodySize::Sized(length.max(1)), length / 2),
            BodySize::None => (BodySize::Sized(1), 0),
        };
        Self { body, announced, left, sent: false }
    }

    /// Fails so early that not even the status line is sent.
    pub(super) fn before_its_head() -> Self {
        Self { body: BoxBody::new(()), announced: BodySize::Sized(1), left: 0, sent: true }
    }
}

impl MessageBody for CutShort {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.announced
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.left > 0 {
            match Pin::new(&mut self.body).poll_next(context) {
                Poll::Ready(Some(Ok(mut chunk))) => {
                    chunk.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
                    self.left = self.left.saturating_sub(chunk.len() as u64);
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Poll::Ready(None) => self.left = 0,
                other => return other,
            }
        }
        if !self.sent {
            self.sent = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(Cut.into())))
    }
}

#[cfg(test)]
mod tests {
    use futures::future::poll_fn;

    use super::*;

    async fn read(mut body: CutShort) -> Vec<u8> {
        let mut read = Vec::new();
        while let Some(Ok(chunk)) = poll_fn(|context| Pin::new(&mut body).poll_next(context)).await {
            read.extend_from_slice(&chunk);
        }
        read
    }

    #[tokio::test]
    async fn half_of_what_is_announced_comes() {
        for (whole, announced, comes) in [("0123456789", 10, "01234"), ("", 1, ""), ("x", 1, "")] {
            let body = CutShort::of(BoxBody::new(whole));
            assert_eq!(body.size(), BodySize::Sized(announced));
            assert_eq!(read(body).await, comes.as_bytes());
        }
    }

    #[tokio::test]
    async fn what_comes_is_sent_before_the_failure_ends_it() {
        let mut body = CutShort::of(BoxBody::new("ab"));
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
