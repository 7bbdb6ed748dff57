//! Makes connections: TCP or TLS by `[network]`, login, the way from a sentinel or a node of a cluster to the master.

use std::{io, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Cmd, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, Value,
    aio::MultiplexedConnection, cmd,
};
use rustls::{
    ClientConfig,
    pki_types::{InvalidDnsNameError, ServerName},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
    time,
};
use tokio_rustls::TlsConnector;

use super::names::Names;
use crate::config::{Redis, RedisServer};

/// How long a server may take until it can be used; no request waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Redirections of a cluster that are followed: the second one may come while slots are moved.
const MAX_REDIRECTIONS: usize = 3;
/// How long the key lives with which a server is asked whether it takes writes.
const PROBE_TTL_MS: u64 = 1000;

/// Receives what others publish. It must not block.
pub(super) type PushHandler = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// Makes connections to the server that takes writes.
pub(super) struct Connector {
    config: Redis,
    tls: Arc<ClientConfig>,
    probe_key: String,
    channels: [String; 2],
}

/// Why no server could be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("its name is not one that a certificate can have: {0}")]
    Name(#[from] InvalidDnsNameError),
    #[error("no sentinel knows a master `{0}`")]
    UnknownMaster(String),
    #[error("it does not answer in time")]
    Slow,
    #[error("{server}: {error}")]
    At { server: String, error: Box<Self> },
    #[error("the cluster redirects without end")]
    Redirections,
}

/// A connection and the task that drives it.
pub(super) type Connected = (MultiplexedConnection, JoinHandle<()>);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Connector {
    pub(super) fn new(config: Redis, tls: ClientConfig, names: &Names) -> Self {
        Self {
            config,
            tls: Arc::new(tls),
            probe_key: names.probe(),
            channels: [names.done_channel(), names.revoked_channel()],
        }
    }

    /// Connects to the first server that can be used.
    pub(super) async fn connect(
        &self,
        on_push: PushHandler,
        timeout: Duration,
    ) -> Result<Connected, ConnectError> {
        let mut last = ConnectError::Redirections;
        for server in &self.config.servers {
            let connecting = self.connect_by(server, &on_push, timeout);
            match time::timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or(Err(ConnectError::Slow)) {
                Ok(connected) => return Ok(connected),
                Err(error) => {
                    let server = format!("{}:{}", server.host, server.port);
                    last = ConnectError::At { server, error: Box::new(error) };
                }
            }
        }
        Err(last)
    }

    /// Connects to a server, or to the master that it knows as a sentinel.
    async fn connect_by(
        &self,
        server: &RedisServer,
        on_push: &PushHandler,
        timeout: Duration,
    ) -> Result<Connected, ConnectError> {
        let master = match &self.config.sentinel_master {
            None => server.clone(),
            Some(name) => self.master(server, name).await?,
        };
        self.connect_to(master, on_push, timeout).await
    }

    /// Connects to a server, or to the node of its cluster that has the keys, and subscribes to the channels.
    async fn connect_to(
        &self,
        mut server: RedisServer,
        on_push: &PushHandler,
        timeout: Duration,
    ) -> Result<Connected, ConnectError> {
        for _ in 0..MAX_REDIRECTIONS {
            let push = Arc::clone(on_push);
            let config = AsyncConnectionConfig::new().set_push_sender(move |info: PushInfo| {
                push(info);
                Ok::<(), ()>(())
            });
            let password = self.config.password.as_ref();
            let (mut connection, driver) = self.open(&server, password, config).await?;
            let error = match self.probe(&mut connection, timeout).await {
                Ok(()) => {
                    connection.subscribe(&self.channels[..]).await?;
                    return Ok((connection, driver));
                }
                Err(error) => error,
            };
            driver.abort();
            let ConnectError::Redis(redirect) = &error else { return Err(error) };
            let Some(node) = redirect.redirect_node().and_then(|(address, _slot)| node(address)) else {
                return Err(error);
            };
            // A node that does not know its own name says nothing for it: the host is the same.
            let host = if node.0.is_empty() { server.host } else { node.0.to_owned() };
            server = RedisServer { host, port: node.1, ..server };
        }
        Err(ConnectError::Redirections)
    }

    /// Asks whether the server takes writes and answers in time. One whose memory is full is used: it can be read.
    async fn probe(
        &self,
        connection: &mut MultiplexedConnection,
        timeout: Duration,
    ) -> Result<(), ConnectError> {
        let mut set = cmd("SET");
        set.arg(&self.probe_key).arg("").arg("PX").arg(PROBE_TTL_MS);
        match time::timeout(timeout, set.query_async::<Value>(connection)).await {
            Err(_) => Err(ConnectError::Slow),
            Ok(Err(error)) if error.code() != Some("OOM") => Err(error.into()),
            Ok(_) => Ok(()),
        }
    }

    /// Asks a sentinel where the master is.
    async fn master(&self, sentinel: &RedisServer, name: &str) -> Result<RedisServer, ConnectError> {
        let config = AsyncConnectionConfig::new();
        let password = self.config.sentinel_password.as_ref();
        let at = RedisServer { database: 0, ..sentinel.clone() };
        let (mut connection, driver) = self.open(&at, password, config).await?;
        let mut ask: Cmd = cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let answer = ask.query_async::<Option<(String, u16)>>(&mut connection).await;
        driver.abort();
        let (host, port) = answer?.ok_or_else(|| ConnectError::UnknownMaster(name.to_owned()))?;
        Ok(RedisServer { host, port, ..sentinel.clone() })
    }

    async fn open(
        &self,
        server: &RedisServer,
        password: Option<&SecretString>,
        config: AsyncConnectionConfig,
    ) -> Result<Connected, ConnectError> {
        let stream = self.stream(server).await?;
        let mut login = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_skip_set_lib_name()
            .set_db(server.database);
        if let Some(password) = password {
            login = login.set_password(password.expose_secret());
            if let Some(username) = &self.config.username {
                login = login.set_username(username);
            }
        }
        let config = config.set_response_timeout(None);
        let (connection, driver) = MultiplexedConnection::new_with_config(&login, stream, config).await?;
        Ok((connection, tokio::spawn(driver)))
    }

    async fn stream(&self, server: &RedisServer) -> Result<Box<dyn Stream>, ConnectError> {
        let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
        stream.set_nodelay(true)?;
        if !server.tls {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(server.host.clone())?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        Ok(Box::new(stream))
    }
}

/// The host and port of a redirection.
fn node(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_names_a_host_an_address_or_only_a_port() {
        assert_eq!(node("10.0.0.7:6379"), Some(("10.0.0.7", 6379)));
        assert_eq!(node("[::1]:7000"), Some(("::1", 7000)));
        assert_eq!(node("::1:7000"), Some(("::1", 7000)), "as Redis writes it");
        assert_eq!(node(":7001"), Some(("", 7001)));
        assert_eq!(node("a.internal"), None);
    }
}
