//! `[limits]`: bounds for each user, and the file of revoked users.

use std::{
    io::ErrorKind,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use toml::Spanned;

use super::{context::Context, revoked::RevokedFile};
use diagnostics::{Diagnostic, Rate};

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    per_user: Rate,
    scopes_per_user: NonZeroU32,
    revoked_file: Option<Spanned<PathBuf>>,
}

/// The vendor's Android SDK keeps keys for 100 scopes, one for each action and file (`STSScopeLimitCredentialProvider`).
const DEFAULT_SCOPES_PER_USER: NonZeroU32 = NonZeroU32::MIN.saturating_add(127);

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            per_user: Rate::Per { count: NonZeroU32::MIN.saturating_add(59), period: Duration::from_mins(1) },
            scopes_per_user: DEFAULT_SCOPES_PER_USER,
            revoked_file: None,
        }
    }
}

/// Bounds for each user.
#[derive(Debug)]
pub struct Limits {
    /// Requests of one user, hits included.
    pub per_user: Rate,
    /// Keys for narrower scopes that one user may hold at once.
    pub scopes_per_user: NonZeroU32,
    /// Where revocations are kept over restarts; only in memory if absent.
    pub revoked: Option<RevokedFile>,
}

impl RawLimits {
    pub(super) fn check(self, context: &Context<'_>) -> Result<Limits, Diagnostic> {
        let revoked = self.revoked_file.map(|path| open_revoked_file(&path, context)).transpose()?;
        Ok(Limits { per_user: self.per_user, scopes_per_user: self.scopes_per_user, revoked })
    }
}

/// Opens the file of revoked users. It need not exist yet, but its folder must exist and be writable.
fn open_revoked_file(path: &Spanned<PathBuf>, context: &Context<'_>) -> Result<RevokedFile, Diagnostic> {
    let file = context.resolve(path.get_ref());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match tempfile::tempfile_in(folder).map_err(|error| error.kind()) {
        Err(ErrorKind::NotFound | ErrorKind::NotADirectory) => Err(context.problem(
            path.span(),
            format!("there is no folder for {}", path.get_ref().display()),
            "create it, or mount it: without it, revoked users would be served",
        )),
        Err(ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => Err(context.problem(
            path.span(),
            format!("the folder of {} cannot be written", path.get_ref().display()),
            "let the service's user write there: a revocation would not survive a restart",
        )),
        // Other reasons, such as a full disk, may pass.
        Ok(_) | Err(_) => RevokedFile::open(file),
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::assert_refused;

    #[test]
    fn bad_values_are_refused() {
        for (section, message) in [
            ("[limits]\nper_user = \"many\"", "not a rate"),
            (
                "[limits]\nrevoked_file = \"nowhere/revoked.toml\"",
                "there is no folder for nowhere/revoked.toml",
            ),
        ] {
            assert_refused(section, message);
        }
    }
}
