//! Refusing a connection: at once, and so that the client sees the answer.

use std::{io::Write, net::Shutdown, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Connections that are closed slowly at the same time; each has a file descriptor of the reserve.
pub(super) const MAX_LINGERING_CONNECTIONS: usize = 16;
/// How long a client may take to read the answer and close.
const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

/// Refuses connections with a prepared answer.
#[derive(Debug)]
pub(super) struct Refuser {
    /// None if the listener uses TLS: without a handshake the client would not understand it.
    answer: Option<Bytes>,
    lingering: Arc<Semaphore>,
    runtime: Handle,
}

impl Refuser {
    pub(super) fn new(answer: Option<Bytes>, runtime: Handle) -> Self {
        Self { answer, lingering: Arc::new(Semaphore::new(MAX_LINGERING_CONNECTIONS)), runtime }
    }

    /// Answers and closes. Never waits: an answer of a few hundred bytes fits the socket's buffer.
    pub(super) fn refuse(&self, mut socket: std::net::TcpStream) {
        let Some(answer) = &self.answer else { return };
        if socket.write_all(answer).is_err() || socket.shutdown(Shutdown::Write).is_err() {
            return;
        }
        if let Ok(permit) = Arc::clone(&self.lingering).try_acquire_owned() {
            self.runtime.spawn(linger(socket, permit));
        }
    }
}

/// Reads what the client still sends: if it arrived at a closed socket, the reset could overtake the answer
/// (RFC 9112 §9.6).
async fn linger(socket: std::net::TcpStream, _permit: OwnedSemaphorePermit) {
    let read_to_end = async {
        let mut socket = TcpStream::from_std(socket)?;
        let mut ignored = [0; 1024];
        while socket.read(&mut ignored).await? > 0 {}
        std::io::Result::Ok(())
    };
    // The client is gone either way.
    let _ = timeout(LINGER_TIMEOUT, read_to_end).await;
}
