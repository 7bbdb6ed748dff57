//! Accepts connections: each is refused at once, or goes to the next worker.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    limiter::{Limiter, Permit},
    refuse::Refuser,
};

/// How long to wait if the system is out of something that a connection needs.
const EXHAUSTED_DELAY: Duration = Duration::from_millis(50);
/// The interval at which that is logged.
const EXHAUSTED_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A connection that was accepted, on its way to a worker.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) socket: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) permit: Permit,
    pub(super) at: Instant,
}

/// The listening socket and what decides over its connections.
#[derive(Debug)]
pub(super) struct Acceptor {
    socket: tokio::net::TcpListener,
    gate: Gate,
}

/// Decides over each new connection.
#[derive(Debug)]
struct Gate {
    limiter: Limiter,
    refuser: Refuser,
    last_exhausted: Option<Instant>,
}

/// What became of an attempt to accept a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The system is out of something that a connection needs.
    Exhausted,
}

impl Acceptor {
    /// Must be called within a runtime.
    pub(super) fn new(socket: TcpListener, limiter: Limiter, refuser: Refuser) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let gate = Gate { limiter, refuser, last_exhausted: None };
        Ok(Self { socket: tokio::net::TcpListener::from_std(socket)?, gate })
    }

    /// Accepts until `closing`, then what the system has accepted for us by then.
    ///
    /// # Errors
    /// If the socket cannot be used any more, or `take` fails.
    pub(super) async fn run(
        self,
        closing: &CancellationToken,
        mut take: impl FnMut(Accepted) -> io::Result<()>,
    ) -> io::Result<()> {
        let Self { socket, mut gate } = self;
        while let Some(accepted) = closing.run_until_cancelled(socket.accept()).await {
            // The worker's runtime watches it, not this one.
            let accepted = accepted.and_then(|(socket, peer)| Ok((socket.into_std()?, peer)));
            if gate.pass(accepted, &mut take)? == Outcome::Exhausted {
                sleep(EXHAUSTED_DELAY).await;
            }
        }
        let socket = socket.into_std()?;
        loop {
            let accepted = socket.accept();
            let is_empty = accepted.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            if is_empty || gate.pass(accepted, &mut take)? == Outcome::Exhausted {
                return Ok(());
            }
        }
    }
}

impl Gate {
    /// Refuses a connection, or passes it on.
    fn pass(
        &mut self,
        accepted: io::Result<(TcpStream, SocketAddr)>,
        take: &mut impl FnMut(Accepted) -> io::Result<()>,
    ) -> io::Result<Outcome> {
        let (socket, peer) = match accepted {
            Ok((socket, peer)) => (socket, peer),
            Err(error) => return Ok(self.failed(&error)),
        };
        // It fails only for a socket that is unusable, which is closed here.
        if socket.set_nonblocking(true).is_ok() {
            match self.limiter.admit(peer.ip()) {
                Ok(permit) => take(Accepted { socket, peer, permit, at: Instant::now() })?,
                Err(_) => self.refuser.refuse(socket),
            }
        }
        Ok(Outcome::Done)
    }

    fn failed(&mut self, error: &io::Error) -> Outcome {
        // accept(2): these are errors of the new connection, which its client has ended already.
        if matches!(
            error.kind(),
            ErrorKind::Interrupted
                | ErrorKind::ConnectionAborted
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionRefused
        ) {
            return Outcome::Done;
        }
        if self.last_exhausted.is_none_or(|last| last.elapsed() >= EXHAUSTED_LOG_INTERVAL) {
            self.last_exhausted = Some(Instant::now());
            tracing::error!(%error, "connections cannot be accepted; check the limits of open files and memory");
        }
        Outcome::Exhausted
    }
}
