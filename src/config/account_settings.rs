//! What the operator's account must allow, as far as the configuration says. Read without its secrets, since whoever
//! sets up the account may have none of them.

use std::path::Path;

use super::{RawConfig, StsAction, TemplateSettings};
use diagnostics::{Diagnostic, Source};

/// The settings that decide what the account and its buckets must allow.
#[derive(Debug)]
pub(crate) struct AccountSettings {
    /// The settings of the templates.
    pub(crate) templates: TemplateSettings,
    /// Which call issues keys.
    pub(crate) action: StsAction,
    /// The origins of web pages that use the keys.
    pub(crate) cors_origins: Vec<String>,
}

impl AccountSettings {
    /// Reads these settings of a configuration file; paths in it are relative to it.
    ///
    /// # Errors
    /// When the file is not a configuration, or its action and role do not belong together.
    pub(crate) fn load(path: &Path) -> Result<Self, Diagnostic> {
        let source = Source::read(path)?;
        let raw: RawConfig = source.parse()?;
        let action = raw.sts.get_ref().action(&raw.sts.span(), &source)?;
        let cors_origins = raw.server.cors_origins().map(str::to_owned).collect();
        let base = path.parent().unwrap_or(Path::new(""));
        Ok(Self { action, cors_origins, templates: TemplateSettings::of_raw(raw, base) })
    }
}
