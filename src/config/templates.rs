//! `[templates]`: the folder of templates.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::context::Context;
use diagnostics::Diagnostic;

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTemplates {
    dir: Spanned<PathBuf>,
    default: Option<String>,
}

/// Where templates are, and which is the default.
#[derive(Debug, Clone)]
pub struct Templates {
    dir: PathBuf,
    default: Option<String>,
}

impl RawTemplates {
    /// The folder must be there, so that a wrong name is told at its line.
    pub(super) fn check(self, context: &Context<'_>) -> Result<Templates, Diagnostic> {
        let span = self.dir.span();
        let templates = self.relative_to(context.base());
        match std::fs::read_dir(&templates.dir) {
            Ok(_) => Ok(templates),
            Err(error) => Err(context.problem(
                span,
                format!("{} cannot be read: {error}", templates.dir.display()),
                "name the folder of your templates, relative to this file",
            )),
        }
    }

    pub(super) fn relative_to(self, base: &Path) -> Templates {
        Templates { dir: base.join(self.dir.into_inner()), default: self.default }
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
