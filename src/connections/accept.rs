//! Accepts connections: each is refused at once, or goes to the next worker.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use socket2::{SockFilter, SockRef};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    limiter::{Limiter, Permit},
    refuse::Refuser,
};

/// Connections that are taken before other tasks of the runtime get a turn.
const MAX_BURST_CONNECTIONS: usize = 64;
/// How long to wait if the system is out of something that a connection needs.
const EXHAUSTED_DELAY: Duration = Duration::from_millis(50);
/// The interval at which that is logged.
const EXHAUSTED_LOG_INTERVAL: Duration = Duration::from_secs(10);
/// How long handshakes of TCP that have begun may take when the listener closes.
const TCP_HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(100);

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

/// Makes the kernel ignore packets that begin a connection. A listening socket that is closed resets connections that the
/// kernel has accepted since the last look; a client whose first packet is ignored tries again after a second, and is
/// refused then. Best effort: where it is not allowed, a connection may be lost.
fn hold_back_new_connections(socket: &tokio::net::TcpListener) {
    /// The byte of a TCP header with the flags (RFC 9293 §3.1).
    const FLAGS_OFFSET: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_AND_ACK: u32 = 0x12;
    // Instructions of the classic BPF (linux/bpf_common.h): load a byte, and, jump if equal, return how much of the packet passes.
    let (load, and, jump_if_equal, result) = (0x30, 0x54, 0x15, 0x06);
    let filter = [
        SockFilter::new(load, 0, 0, FLAGS_OFFSET),
        SockFilter::new(and, 0, 0, SYN_AND_ACK),
        SockFilter::new(jump_if_equal, 0, 1, SYN),
        SockFilter::new(result, 0, 0, 0),
        SockFilter::new(result, 0, 0, u32::MAX),
    ];
    if let Err(error) = SockRef::from(socket).attach_filter(&filter) {
        tracing::debug!(%error, "new connections cannot be held back before the listener closes");
    }
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
            gate.pass_burst(accepted, &socket, &mut take).await?;
        }
        hold_back_new_connections(&socket);
        let end = Instant::now() + TCP_HANDSHAKE_TIMEOUT;
        while let Ok(accepted) = timeout_at(end, socket.accept()).await {
            gate.pass_burst(accepted, &socket, &mut take).await?;
        }
        // The last look before the socket is closed does not depend on the runtime's turns.
        while let Some(accepted) = accept_at_once(&socket) {
            if gate.pass(accepted, &mut take)? == Outcome::Exhausted {
                break;
            }
        }
        Ok(())
    }
}

/// Accepts a connection that is waiting, if there is one.
fn accept_at_once(socket: &tokio::net::TcpListener) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    let accepted = SockRef::from(socket).accept();
    if accepted.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
        return None;
    }
    Some(accepted.and_then(|(socket, address)| {
        let peer = address.as_socket().ok_or(ErrorKind::InvalidData)?;
        socket.set_nonblocking(true)?;
        Ok((socket.into(), peer))
    }))
}

impl Gate {
    /// Passes a connection on, and those that wait behind it: they need not be registered with this runtime first.
    async fn pass_burst(
        &mut self,
        first: io::Result<(tokio::net::TcpStream, SocketAddr)>,
        socket: &tokio::net::TcpListener,
        take: &mut impl FnMut(Accepted) -> io::Result<()>,
    ) -> io::Result<()> {
        let first = first.and_then(|(socket, peer)| Ok((socket.into_std()?, peer)));
        let rest = (1..MAX_BURST_CONNECTIONS).map_while(|_| accept_at_once(socket));
        for accepted in std::iter::once(first).chain(rest) {
            if self.pass(accepted, take)? == Outcome::Exhausted {
                sleep(EXHAUSTED_DELAY).await;
            }
        }
        Ok(())
    }

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
        let at = Instant::now();
        match self.limiter.admit(peer.ip(), at) {
            Ok(permit) => take(Accepted { socket, peer, permit, at })?,
            Err(_) => self.refuser.refuse(socket),
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
