//! The limit of open files: each connection takes one file descriptor, and the rest of the process needs some.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// File descriptors that connections to the public listener leave free: for calls to STS and issuers, files, the
/// operators' listener, and connections that are being closed.
const RESERVED_DESCRIPTORS: usize = 128;

/// How many connections to the public listener may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capacity {
    /// As many as the configuration says.
    AsConfigured(usize),
    /// Fewer, because the process may open only so many files.
    Fewer { connections: usize, open_files: usize },
}

impl Capacity {
    /// Returns what fits into the limit of open files, none being no limit.
    fn new(max_connections: usize, open_files: Option<usize>) -> Self {
        let Some(open_files) = open_files else { return Self::AsConfigured(max_connections) };
        let connections = open_files - RESERVED_DESCRIPTORS.min(open_files / 2);
        if connections < max_connections {
            Self::Fewer { connections, open_files }
        } else {
            Self::AsConfigured(max_connections)
        }
    }

    /// Returns the number of connections.
    pub(crate) fn connections(self) -> usize {
        match self {
            Self::AsConfigured(connections) | Self::Fewer { connections, .. } => connections,
        }
    }
}

/// Raises the limit of open files as far as the process may, and returns how many connections fit into it.
pub(crate) fn raise_open_file_limit(max_connections: usize) -> Capacity {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    // A process may always raise its limit up to the maximum; should it fail, the old limit still holds.
    let open_files = if raised.is_ok() { limit.maximum } else { limit.current };
    let capacity = Capacity::new(max_connections, open_files.and_then(|files| usize::try_from(files).ok()));
    if let Capacity::Fewer { connections, open_files } = capacity {
        tracing::warn!(
            max_connections,
            open_files,
            connections,
            "the limit of open files allows fewer connections than server.max_connections; raise LimitNOFILE= of the \
             service, ulimit -n, or lower server.max_connections"
        );
    }
    capacity
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_file_descriptors_for_the_rest_of_the_process() {
        for (max_connections, open_files, connections) in [
            (25_000, None, 25_000),
            (25_000, Some(1_000_000), 25_000),
            (25_000, Some(25_128), 25_000),
            (25_000, Some(25_127), 24_999),
            (25_000, Some(256), 128),
            (25_000, Some(100), 50),
            (10, Some(256), 10),
        ] {
            let capacity = Capacity::new(max_connections, open_files);
            assert_eq!(capacity.connections(), connections, "{max_connections} {open_files:?}");
            let is_fewer = matches!(capacity, Capacity::Fewer { .. });
            assert_eq!(is_fewer, connections < max_connections, "{max_connections} {open_files:?}");
        }
    }
}
