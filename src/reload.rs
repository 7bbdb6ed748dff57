//! Hot reload of templates. A changed folder is loaded as a whole or not at all; if it cannot be loaded, the last
//! good set stays active.

pub(crate) mod folder;
mod metrics;
mod queue;
mod watch;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde::Serialize;

pub use self::queue::ReloadFailed;
pub(crate) use self::watch::watch;

use self::{
    metrics::{Metrics, MetricsCollector},
    queue::ReloadQueue,
};
use crate::audit::{Audit, Event, ReloadedBy};
use diagnostics::{Diagnostic, Source, to_single_line};
use runtime::file_work::FileWorker;
use templates::{
    Finding, Report, ServingConstraints, TemplateFiles, TemplateSet, TemplateStatus,
    fingerprint::Fingerprint, lint,
};

/// Reads and proves every template of a folder, all or none.
///
/// # Errors
/// Every problem found.
pub fn load(
    dir: &Path,
    constraints: &ServingConstraints,
    now: Timestamp,
) -> Result<TemplateSet, Vec<Diagnostic>> {
    let files =
        read_within_timeout(&FileWorker::default(), dir, folder::read).map_err(|problem| vec![problem])?;
    TemplateSet::of_folder(files, dir, constraints, now, None)
}

/// Reads a folder; one that lies on a stalled mount is a problem of the folder.
fn read_within_timeout(
    worker: &FileWorker,
    dir: &Path,
    read: fn(&Path) -> Result<TemplateFiles, Diagnostic>,
) -> Result<TemplateFiles, Diagnostic> {
    let folder = dir.to_owned();
    worker
        .run(move || read(&folder))
        .unwrap_or_else(|missing| Err(Diagnostic::of_file(dir, missing.to_string(), missing.help())))
}

/// The active templates of a folder.
#[derive(Debug)]
pub struct TemplateStore {
    dir: PathBuf,
    constraints: ServingConstraints,
    active: ArcSwap<TemplateSet>,
    files: FileWorker,
    /// Held while the folder is loaded, so that of two concurrent reloads the later one wins.
    loading: Mutex<()>,
    queue: ReloadQueue,
    last_attempt: Mutex<Attempt>,
    metrics: Metrics,
}

/// The last attempt to load the folder.
#[derive(Debug)]
struct Attempt {
    at: Timestamp,
    version: Fingerprint,
    problems: Vec<Diagnostic>,
}

/// The outcome of a reload.
#[derive(Debug)]
pub enum Reload {
    /// The folder is active. Each changed template with its change.
    Loaded(Vec<(String, String)>),
    /// The folder has not changed.
    Unchanged,
    /// The folder cannot be loaded, and the last good set stays active.
    Refused(Vec<Diagnostic>),
}

/// What caused a reload.
#[derive(Debug, Clone, Copy)]
pub enum ReloadCause {
    /// The folder changed.
    Folder,
    /// The process got a SIGHUP.
    Signal,
    /// A client called `POST /api/reload`.
    Api {
        /// The client's address, if it is known.
        client: Option<IpAddr>,
    },
}

/// What operators see of the templates.
#[derive(Debug, Serialize)]
pub struct StoreStatus {
    /// The version of the active set.
    pub version: String,
    /// When the active set was loaded.
    pub loaded_at: Timestamp,
    /// When the last attempt to load was made.
    pub last_attempt_at: Timestamp,
    /// Why the folder as it is now cannot be loaded, if it cannot.
    pub problems: Vec<String>,
    /// `<name>.next.toml` files without a `<name>.toml`, which have no effect.
    pub orphans: Vec<String>,
    /// The active templates.
    pub templates: Vec<TemplateStatus>,
}

/// The folder as it is now, and what `policy lint` finds in it.
#[derive(Debug)]
pub struct Inspection {
    sources: Vec<Source>,
    report: Report,
}

impl Inspection {
    /// Returns the file of a template; `<name>.next` is its shadow.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| is_file_of(source.path(), name))
    }

    /// Returns what is found in that file, errors first.
    pub fn findings(&self, name: &str) -> impl Iterator<Item = &Finding> {
        self.report.findings.iter().filter(move |finding| is_file_of(&finding.diagnostic.path, name))
    }
}

fn is_file_of(path: &Path, name: &str) -> bool {
    path.file_name().and_then(|file| file.to_str()).and_then(|file| file.strip_suffix(".toml")) == Some(name)
}

/// The maximum number of problems that are reported of one folder.
const MAX_PROBLEMS: usize = 100;

/// Stands for the version of a folder that cannot be listed.
fn version_of_unlisted(problem: &Diagnostic) -> Fingerprint {
    Fingerprint::of(&[problem.to_string()])
}

impl TemplateStore {
    /// Loads a folder for the first time.
    ///
    /// # Errors
    /// Every problem found.
    pub fn open(
        dir: PathBuf,
        constraints: ServingConstraints,
        now: Timestamp,
    ) -> Result<Self, Vec<Diagnostic>> {
        let set = load(&dir, &constraints, now)?;
        let last = Attempt { at: now, version: set.version(), problems: Vec::new() };
        Ok(Self {
            dir,
            constraints,
            active: ArcSwap::from_pointee(set),
            files: FileWorker::default(),
            loading: Mutex::new(()),
            queue: ReloadQueue::default(),
            last_attempt: Mutex::new(last),
            metrics: Metrics::default(),
        })
    }

    /// Returns the active set. A request takes it once, so that it never sees two.
    pub fn current(&self) -> Arc<TemplateSet> {
        self.active.load_full()
    }

    /// Loads the folder again if it has changed, and reports the outcome to metrics, log and audit log. It reads
    /// files, so it must not run on a thread that serves requests.
    pub fn reload(&self, audit: &Audit, cause: ReloadCause, now: Timestamp) -> Reload {
        let _alone = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let reload = self.load_if_changed(now);
        self.metrics.reloaded(&reload);
        let active = self.current();
        reload.log(&active);
        audit.record(reload.event(cause, &active));
        reload
    }

    fn load_if_changed(&self, now: Timestamp) -> Reload {
        let active = self.current();
        let (version, loaded) = match read_within_timeout(&self.files, &self.dir, folder::read) {
            Ok(files) if files.version() == active.version() => (files.version(), Ok(None)),
            Ok(files) => {
                let version = files.version();
                let set = TemplateSet::of_folder(files, &self.dir, &self.constraints, now, Some(&active));
                (version, set.map(Some))
            }
            Err(problem) => (version_of_unlisted(&problem), Err(vec![problem])),
        };
        let (reload, problems) = match loaded {
            // The folder is again what is active, so nothing is wrong any more.
            Ok(None) if self.is_stale() => (Reload::Loaded(Vec::new()), Vec::new()),
            Ok(None) => (Reload::Unchanged, Vec::new()),
            Ok(Some(set)) => {
                let changes = set.revisions(&active);
                self.active.store(Arc::new(set));
                (Reload::Loaded(changes), Vec::new())
            }
            Err(mut problems) => {
                problems.truncate(MAX_PROBLEMS);
                (Reload::Refused(problems.clone()), problems)
            }
        };
        *self.last_attempt() = Attempt { at: now, version, problems };
        reload
    }

    fn last_attempt(&self) -> MutexGuard<'_, Attempt> {
        self.last_attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stale(&self) -> bool {
        !self.last_attempt().problems.is_empty()
    }

    /// Reads the folder and returns its version as it is now.
    pub fn poll(&self) -> Fingerprint {
        match read_within_timeout(&self.files, &self.dir, folder::read_once) {
            Ok(files) => files.version(),
            Err(problem) => version_of_unlisted(&problem),
        }
    }

    /// Returns the folder's version at the last attempt to load it.
    pub fn last_tried(&self) -> Fingerprint {
        self.last_attempt().version
    }

    /// Reads the folder and checks it as `policy lint` does. Nothing that serves changes.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn inspect(&self) -> Result<Inspection, Diagnostic> {
        let files = read_within_timeout(&self.files, &self.dir, folder::read)?.into_files();
        let sources = files.iter().filter_map(|file| file.as_ref().ok().cloned()).collect();
        Ok(Inspection { sources, report: lint(files, Some(&self.constraints)) })
    }

    /// Returns what operators see.
    pub fn status(&self) -> StoreStatus {
        let (last_attempt_at, problems) = {
            let last = self.last_attempt();
            (last.at, last.problems.iter().map(ToString::to_string).collect())
        };
        let active = self.current();
        StoreStatus {
            version: active.version().short().to_string(),
            loaded_at: active.loaded_at(),
            last_attempt_at,
            problems,
            orphans: active.orphans().to_vec(),
            templates: active.status(),
        }
    }

    /// Adds the metrics of reloads and templates to a registry.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        self.metrics.register(registry);
        registry.register_collector(Box::new(MetricsCollector(Arc::clone(self))));
    }
}

impl Reload {
    /// Returns the outcome's name in metrics and the audit log.
    fn name(&self) -> &'static str {
        match self {
            Self::Loaded(_) => "loaded",
            Self::Unchanged => "unchanged",
            Self::Refused(_) => "refused",
        }
    }

    fn log(&self, active: &TemplateSet) {
        match self {
            Self::Unchanged => tracing::info!("templates unchanged"),
            Self::Loaded(changes) => {
                for (template, change) in changes {
                    tracing::info!(template, change, "template changed");
                }
                tracing::info!(version = %active.version().short(), "templates loaded");
            }
            Self::Refused(problems) => {
                for problem in problems {
                    tracing::error!(%problem, "templates not loaded, the last good ones stay active");
                }
            }
        }
    }

    fn event(&self, cause: ReloadCause, active: &TemplateSet) -> Event {
        let (changes, problems) = match self {
            Self::Loaded(changes) => (changes.as_slice(), &[][..]),
            Self::Unchanged => (&[][..], &[][..]),
            Self::Refused(problems) => (&[][..], problems.as_slice()),
        };
        let (by, client) = match cause {
            ReloadCause::Folder => (ReloadedBy::Folder, None),
            ReloadCause::Signal => (ReloadedBy::Signal, None),
            ReloadCause::Api { client } => (ReloadedBy::Api, client),
        };
        let versions = active.versions();
        Event::Reload {
            outcome: self.name(),
            by,
            client,
            template_set: active.version().short().to_string(),
            templates: versions.map(|(name, version)| (name.to_owned(), version.to_owned())).collect(),
            changes: changes.iter().cloned().collect(),
            problems: problems.iter().map(|problem| to_single_line(&problem.to_string())).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
