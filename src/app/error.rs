//! Why the service cannot start.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
};

use crate::{
    audit::CannotWrite, canary, identity::KeyFault, replicas::CannotShare, sts, telemetry::CannotExport,
};
use diagnostics::Diagnostic;

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration or a template has problems.
    #[error("{}", lines(.0))]
    Problems(Vec<Diagnostic>),
    /// A key of an issuer cannot be used.
    #[error("{0}; fix that section or the file it names")]
    Key(KeyFault),
    /// The HTTP client for STS cannot be created.
    #[error("the client of STS cannot be created")]
    Client(#[from] sts::NoStsClient),
    /// The audit log cannot be written.
    #[error(transparent)]
    Audit(#[from] CannotWrite),
    /// Nothing can be shared with other replicas.
    #[error(transparent)]
    Replicas(#[from] CannotShare),
    /// Traces cannot be exported.
    #[error(transparent)]
    Tracing(#[from] CannotExport),
    /// The canary cannot run with its template.
    #[error("{place}: {unfit}; name one in canary.template that lets each user write in their own folder")]
    Canary {
        /// Where the configuration has the section.
        place: String,
        /// Why the template does not fit.
        unfit: Box<canary::Unfit>,
    },
    /// The HTTP client for COS cannot be created.
    #[error(transparent)]
    Cos(#[from] canary::NoClient),
    /// A listener cannot take its address.
    #[error("cannot listen on {address}: {error}; {} ({})", listen_help(error), listener.setting())]
    Listen {
        /// Which listener.
        listener: Listener,
        /// The configured address.
        address: SocketAddr,
        /// The error of the operating system.
        error: io::Error,
    },
    /// A server or a signal handler failed.
    #[error("cannot serve")]
    Serve(#[from] io::Error),
}

// Not `#[from]`: its message is part of this one, and a source would be printed once more.
impl From<KeyFault> for StartError {
    fn from(fault: KeyFault) -> Self {
        Self::Key(fault)
    }
}

impl From<Diagnostic> for StartError {
    fn from(problem: Diagnostic) -> Self {
        Self::Problems(vec![problem])
    }
}

/// One of the two listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// The one that applications call.
    Public,
    /// The one that operators call.
    Operators,
}

impl Listener {
    fn setting(self) -> &'static str {
        match self {
            Self::Public => "server.listen",
            Self::Operators => "admin.listen",
        }
    }
}

/// How to fix what keeps a listener from its address.
pub(crate) fn listen_help(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            "choose a port of 1024 or more, or give the service CAP_NET_BIND_SERVICE"
        }
        ErrorKind::AddrNotAvailable => "choose an address of this machine",
        _ => "stop the process that listens there, or choose another address",
    }
}

fn lines(problems: &[Diagnostic]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
