//! `[templates]`: the folder of templates.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::context::Context;

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTemplates {
    dir: PathBuf,
    default: Option<String>,
}

/// Where templates are, and which is the default.
#[derive(Debug, Clone)]
pub struct Templates {
    dir: PathBuf,
    default: Option<String>,
}

impl RawTemplates {
    pub(super) fn check(self, context: &Context<'_>) -> Templates {
        self.relative_to(context.base())
    }

    pub(super) fn relative_to(self, base: &Path) -> Templates {
        Templates { dir: base.join(self.dir), default: self.default }
    }
}

impl Templates {
    /// The folder of `*.toml` templates.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The template of requests that name none.
    pub(crate) fn default(&self) -> Option<&str> {
        self.default.as_deref()
    }
}
