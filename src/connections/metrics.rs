//! Metrics of a listener's connections.

use std::fmt;

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::counter::Counter, registry::Registry,
};

use super::limiter::Limiter;
use crate::metrics::{MetricsWriter, StaticFamily};

/// Why a connection was refused or closed before its request was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// There are as many as there may be.
    Connections,
    /// The client has as many as it may have.
    ConnectionsOfAddress,
    /// It gave way to a newer one.
    Silent,
    /// Its TLS handshake took too long.
    HandshakeTimeout,
    /// Its TLS handshake failed.
    HandshakeFailed,
    /// The head of its request took too long.
    HeadTimeout,
    /// Its request is no HTTP/1.1.
    Malformed,
}

impl Reason {
    const ALL: [Self; 7] = [
        Self::Connections,
        Self::ConnectionsOfAddress,
        Self::Silent,
        Self::HandshakeTimeout,
        Self::HandshakeFailed,
        Self::HeadTimeout,
        Self::Malformed,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Connections => "max_connections",
            Self::ConnectionsOfAddress => "max_connections_per_address",
            Self::Silent => "silent",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HandshakeFailed => "handshake_failed",
            Self::HeadTimeout => "head_timeout",
            Self::Malformed => "malformed",
        }
    }
}

/// Counts refused connections.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    refused: StaticFamily<Reason, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            refused: StaticFamily::new(Reason::ALL, |reason| [("reason", reason.name())], Counter::default),
        }
    }
}

impl Metrics {
    pub(super) fn add_refused(&self, reason: Reason) {
        if let Some(refused) = self.refused.of(reason) {
            refused.inc();
        }
    }

    pub(super) fn register(&self, limiter: Limiter, registry: &mut Registry) {
        registry.register(
            "cosbroker_connections_refused",
            "Connections to the public listener that were refused, or closed before a request was served, by reason",
            self.refused.clone(),
        );
        registry.register_collector(Box::new(OpenConnections(limiter)));
    }
}

/// Exports the number of open connections.
#[derive(Debug)]
struct OpenConnections(Limiter);

impl Collector for OpenConnections {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = MetricsWriter::new(encoder);
        let (open, limit) = (self.0.open(), self.0.limit());
        let as_i64 = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        writer.gauge(
            "cosbroker_connections_open",
            "Open connections to the public listener",
            as_i64(open),
        )?;
        writer.gauge(
            "cosbroker_connections_limit",
            "Connections that may be open: server.max_connections, or what the limit of open files allows",
            as_i64(limit),
        )
    }
}
