//! Accepts connections: each is refused at once, or goes to the next worker. On a thread of its own: a runtime would
//! watch each accepted socket before it goes to the runtime that serves it.

use std::{
    io::{self, ErrorKind, PipeReader},
    net::{SocketAddr, TcpListener, TcpStream},
    thread::sleep,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::retry_on_intr,
};
use socket2::{SockFilter, SockRef};
use tokio::time::Instant;

use super::{
    limiter::{Limiter, Permit},
    refuse::Refuser,
};

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
    socket: TcpListener,
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
fn hold_back_new_connections(socket: &TcpListener) {
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
    pub(super) fn new(socket: TcpListener, limiter: Limiter, refuser: Refuser) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let gate = Gate { limiter, refuser, last_exhausted: None };
        Ok(Self { socket, gate })
    }

    /// Accepts until the other end of `open` is closed, then what the system has accepted for us by then. Blocks.
    ///
    /// # Errors
    /// If the socket cannot be used any more, or `take` fails.
    pub(super) fn run(
        mut self,
        open: &PipeReader,
        mut take: impl FnMut(Accepted) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            let mut watched = [PollFd::new(open, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
            retry_on_intr(|| poll(&mut watched, None))?;
            let [open, _] = watched;
            if !open.revents().is_empty() {
                break;
            }
            self.gate.pass_waiting(&self.socket, &mut take)?;
        }
        hold_back_new_connections(&self.socket);
        self.gate.pass_waiting(&self.socket, &mut take)?;
        sleep(TCP_HANDSHAKE_TIMEOUT);
        self.gate.pass_waiting(&self.socket, &mut take)
    }
}

impl Gate {
    /// Passes on the connections that wait to be accepted.
    fn pass_waiting(
        &mut self,
        socket: &TcpListener,
        take: &mut impl FnMut(Accepted) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            let accepted = socket.accept();
            if accepted.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                return Ok(());
            }
            if self.pass(accepted, take)? == Outcome::Exhausted {
                sleep(EXHAUSTED_DELAY);
                return Ok(());
            }
        }
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
        // It fails only for a socket that is unusable, which is closed here.
        if socket.set_nonblocking(true).is_ok() {
            let at = Instant::now();
            match self.limiter.admit(peer.ip(), at) {
                Ok(permit) => take(Accepted { socket, peer, permit, at })?,
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
