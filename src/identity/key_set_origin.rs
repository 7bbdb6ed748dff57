//! Where a key set is read from: a URL, a file, or what the issuer's discovery document names.

use std::path::PathBuf;

use url::Url;

use super::{
    discovery::Discovery,
    document_client::{DocumentClient, MAX_DOCUMENT_BYTES},
    key::KeyFault,
};
use diagnostics::read_regular_file;
use runtime::file_work::FileWorker;

/// The place that a set is read from.
#[derive(Debug)]
pub(super) enum KeySetOrigin {
    Url { client: DocumentClient, url: Url },
    File { path: PathBuf, worker: FileWorker },
    Discovery(Discovery),
}

impl KeySetOrigin {
    /// Reads the set, as it is written there.
    pub(super) async fn read(&self) -> Result<Vec<u8>, KeyFault> {
        match self {
            Self::File { path, worker } => {
                let (path, worker) = (path.clone(), worker.clone());
                let read = tokio::task::spawn_blocking(move || read_key_set_file(&worker, path)).await;
                read.unwrap_or_else(|error| Err(KeyFault(format!("cannot be read: {error}"))))
            }
            Self::Url { client, url } => client.get(url).await.map_err(|fault| KeyFault(fault.to_string())),
            Self::Discovery(discovery) => discovery.read_key_set().await,
        }
    }
}

impl std::fmt::Display for KeySetOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url { url, .. } => write!(f, "{url}"),
            Self::File { path, .. } => write!(f, "{}", path.display()),
            Self::Discovery(discovery) => write!(f, "{discovery}"),
        }
    }
}

/// Reads a key set from a file. Blocks for as long as the worker's deadline allows.
pub(super) fn read_key_set_file(worker: &FileWorker, path: PathBuf) -> Result<Vec<u8>, KeyFault> {
    let read = worker.run(move || read_regular_file(&path, MAX_DOCUMENT_BYTES as u64));
    read.map_err(|missing| KeyFault(missing.to_string()))?.map_err(|fault| KeyFault(fault.to_string()))
}
