//! Listening sockets.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use tokio::net::TcpSocket;

use super::{Listener, StartError};

/// Connections that may wait to be accepted. After an outage all users of an app reconnect at once, and the standard
/// library's 128 would make them wait for a second SYN.
const ACCEPT_BACKLOG: u32 = 4096;

/// Takes an address; returns it with the port that was chosen if the configured one is 0.
pub(super) fn listen(
    listener: Listener,
    address: SocketAddr,
) -> Result<(SocketAddr, TcpListener), StartError> {
    bind(address).map_err(|error| StartError::Listen { listener, address, error })
}

fn bind(address: SocketAddr) -> io::Result<(SocketAddr, TcpListener)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(ACCEPT_BACKLOG)?.into_std()?;
    Ok((listener.local_addr()?, listener))
}
