//! The templates that serve at this moment, and how a changed folder comes to serve: all templates or none,
//! the last good set kept.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use serde::Serialize;

use super::{
    folder::Folder,
    set::{TemplateSet, TemplateStatus},
    terms::Terms,
};
use crate::{fingerprint::Fingerprint, source::Diagnostic};

/// A folder of templates, hot-reloaded.
#[derive(Debug)]
pub struct TemplateStore {
    dir: PathBuf,
    terms: Terms,
    serving: ArcSwap<TemplateSet>,
    last: Mutex<Attempt>,
    reloads: Family<ReloadLabels, Counter>,
    stale: Gauge,
}

/// The last attempt to load.
#[derive(Debug)]
struct Attempt {
    at: Timestamp,
    version: Option<Fingerprint>,
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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    outcome: &'static str,
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

impl TemplateStore {
    /// Loads a folder for the first time.
    ///
    /// # Errors
    /// Every problem found, each with its place and mend.
    pub fn open(dir: PathBuf, terms: Terms, now: Timestamp) -> Result<Self, Vec<Diagnostic>> {
        let set = TemplateSet::load(&dir, &terms, now)?;
        let last = Attempt { at: now, version: Some(set.version()), problems: Vec::new() };
        Ok(Self {
            dir,
            terms,
            serving: ArcSwap::from_pointee(set),
            last: Mutex::new(last),
            reloads: Family::default(),
            stale: Gauge::default(),
        })
    }

    /// The set that serves. One ask takes it once, so that it never sees two.
    pub fn current(&self) -> Arc<TemplateSet> {
        self.serving.load_full()
    }

    /// Loads the folder anew, if it changed. Reads files: not for a thread that serves.
    pub fn reload(&self, now: Timestamp) -> Reload {
        // Held throughout, so that two reloads at once cannot put the older folder last.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.load(&mut last, now);
        let labels = |outcome| ReloadLabels { outcome };
        match &outcome {
            Reload::Unchanged => self.reloads.get_or_create(&labels("unchanged")).inc(),
            Reload::Loaded(changes) => {
                self.stale.set(0);
                for (template, change) in changes {
                    tracing::info!(template, change, "template changed");
                }
                tracing::info!(version = %self.current().version().short(), "templates loaded");
                self.reloads.get_or_create(&labels("loaded")).inc()
            }
            Reload::Refused(problems) => {
                self.stale.set(1);
                for problem in problems {
                    tracing::error!(%problem, "templates not loaded, the last good ones go on");
                }
                self.reloads.get_or_create(&labels("refused")).inc()
            }
        };
        outcome
    }

    fn load(&self, last: &mut Attempt, now: Timestamp) -> Reload {
        let serving = self.current();
        last.at = now;
        let loaded = match Folder::read(&self.dir) {
            Ok(folder) if folder.version() == serving.version() => {
                last.version = Some(folder.version());
                // Back to what serves: nothing is wrong any more.
                if std::mem::take(&mut last.problems).is_empty() {
                    return Reload::Unchanged;
                }
                return Reload::Loaded(Vec::new());
            }
            Ok(folder) => {
                last.version = Some(folder.version());
                TemplateSet::of_folder(folder, &self.dir, &self.terms, now, Some(&serving))
            }
            Err(problem) => {
                last.version = None;
                Err(vec![problem])
            }
        };
        match loaded {
            Ok(set) => {
                let changes = set.revisions(&serving);
                last.problems.clear();
                self.serving.store(Arc::new(set));
                Reload::Loaded(changes)
            }
            Err(problems) => {
                last.problems.clone_from(&problems);
                Reload::Refused(problems)
            }
        }
    }

    /// What the folder holds right now; none where it cannot be listed. Reads files.
    pub fn look(&self) -> Option<Fingerprint> {
        Folder::glance(&self.dir).ok().map(|folder| folder.version())
    }

    /// What the last attempt to load found in the folder.
    pub fn last_tried(&self) -> Option<Fingerprint> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).version
    }

    /// All that operators see.
    pub fn status(&self) -> StoreStatus {
        let (last_attempt_at, problems) = {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Names the figures that this room counts.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "cosbroker_template_reloads",
            "Attempts to load the templates' folder anew, by what became of them",
            self.reloads.clone(),
        );
        registry.register(
            "cosbroker_templates_stale",
            "1 while the folder holds something that cannot serve, and the last good set goes on",
            self.stale.clone(),
        );
    }
}
