//! The templates that serve at this moment, and how a changed folder comes to serve: all templates or none,
//! the last good set kept.

mod metrics;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde::Serialize;

use self::metrics::{Metrics, MetricsCollector};
use diagnostics::Diagnostic;
use templates::{Folder, ServingConstraints, TemplateSet, TemplateStatus, fingerprint::Fingerprint};

/// A folder of templates, hot-reloaded.
#[derive(Debug)]
pub struct TemplateStore {
    dir: PathBuf,
    terms: ServingConstraints,
    serving: ArcSwap<TemplateSet>,
    /// Held while the folder is loaded, so that of two reloads at once the later folder comes last.
    loading: Mutex<()>,
    last: Mutex<Attempt>,
    metrics: Metrics,
}

/// The last attempt to load.
#[derive(Debug)]
struct Attempt {
    at: Timestamp,
    version: Fingerprint,
    problems: Vec<Diagnostic>,
}

/// What became of a reload.
#[derive(Debug)]
pub enum Reload {
    /// The folder serves; what changed, template by template.
    Loaded(Vec<(String, String)>),
    /// Nothing in the folder has changed.
    Unchanged,
    /// The last good set goes on.
    Refused(Vec<Diagnostic>),
}

/// What operators see of all templates.
#[derive(Debug, Serialize)]
pub struct StoreStatus {
    /// Names the whole set.
    pub version: String,
    /// When it was loaded.
    pub loaded_at: Timestamp,
    /// When a load was last tried.
    pub last_attempt_at: Timestamp,
    /// Why the folder as it stands now does not serve, if it does not.
    pub problems: Vec<String>,
    /// `<name>.next.toml` files without a `<name>.toml` to follow: they do nothing.
    pub orphans: Vec<String>,
    /// Each template.
    pub templates: Vec<TemplateStatus>,
}

/// Problems told of one folder; the first hundred are enough to begin with.
const MOST_PROBLEMS: usize = 100;

/// Names a folder that cannot be listed, by why.
fn unlisted(problem: &Diagnostic) -> Fingerprint {
    Fingerprint::of(&[problem.to_string()])
}

impl TemplateStore {
    /// Loads a folder for the first time.
    ///
    /// # Errors
    /// Every problem found, each with its place and mend.
    pub fn open(dir: PathBuf, terms: ServingConstraints, now: Timestamp) -> Result<Self, Vec<Diagnostic>> {
        let set = TemplateSet::load(&dir, &terms, now)?;
        let last = Attempt { at: now, version: set.version(), problems: Vec::new() };
        Ok(Self {
            dir,
            terms,
            serving: ArcSwap::from_pointee(set),
            loading: Mutex::new(()),
            last: Mutex::new(last),
            metrics: Metrics::default(),
        })
    }

    /// The set that serves. One ask takes it once, so that it never sees two.
    pub fn current(&self) -> Arc<TemplateSet> {
        self.serving.load_full()
    }

    /// Loads the folder anew, if it changed. Reads files: not for a thread that serves.
    pub fn reload(&self, now: Timestamp) -> Reload {
        let _alone = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.load(now);
        self.metrics.reloaded(&outcome);
        match &outcome {
            Reload::Unchanged => tracing::info!("templates unchanged"),
            Reload::Loaded(changes) => {
                for (template, change) in changes {
                    tracing::info!(template, change, "template changed");
                }
                tracing::info!(version = %self.current().version().short(), "templates loaded");
            }
            Reload::Refused(problems) => {
                for problem in problems {
                    tracing::error!(%problem, "templates not loaded, the last good ones go on");
                }
            }
        }
        outcome
    }

    fn load(&self, now: Timestamp) -> Reload {
        let serving = self.current();
        let (version, loaded) = match Folder::read(&self.dir) {
            Ok(folder) if folder.version() == serving.version() => (folder.version(), Ok(None)),
            Ok(folder) => {
                let version = folder.version();
                let set = TemplateSet::of_folder(folder, &self.dir, &self.terms, now, Some(&serving));
                (version, set.map(Some))
            }
            Err(problem) => (unlisted(&problem), Err(vec![problem])),
        };
        let (outcome, problems) = match loaded {
            // Back to what serves: nothing is wrong any more.
            Ok(None) if self.is_stale() => (Reload::Loaded(Vec::new()), Vec::new()),
            Ok(None) => (Reload::Unchanged, Vec::new()),
            Ok(Some(set)) => {
                let changes = set.revisions(&serving);
                self.serving.store(Arc::new(set));
                (Reload::Loaded(changes), Vec::new())
            }
            Err(mut problems) => {
                problems.truncate(MOST_PROBLEMS);
                (Reload::Refused(problems.clone()), problems)
            }
        };
        *self.last() = Attempt { at: now, version, problems };
        outcome
    }

    fn last(&self) -> MutexGuard<'_, Attempt> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stale(&self) -> bool {
        !self.last().problems.is_empty()
    }

    /// What the folder holds right now. Reads files.
    pub fn look(&self) -> Fingerprint {
        Folder::glance(&self.dir).map_or_else(|problem| unlisted(&problem), |folder| folder.version())
    }

    /// What the last attempt to load found in the folder.
    pub fn last_tried(&self) -> Fingerprint {
        self.last().version
    }

    /// All that operators see.
    pub fn status(&self) -> StoreStatus {
        let (last_attempt_at, problems) = {
            let last = self.last();
            (last.at, last.problems.iter().map(ToString::to_string).collect())
        };
        let serving = self.current();
        StoreStatus {
            version: serving.version().short().to_string(),
            loaded_at: serving.loaded_at(),
            last_attempt_at,
            problems,
            orphans: serving.orphans().to_vec(),
            templates: serving.status(),
        }
    }

    /// Adds this room's figures to a registry.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        self.metrics.register(registry);
        registry.register_collector(Box::new(MetricsCollector(Arc::clone(self))));
    }
}
