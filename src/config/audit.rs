//! `[audit]`: the audit log.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use super::context::Context;
use diagnostics::{Diagnostic, Rate, SizeLimit};

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAudit {
    path: Spanned<PathBuf>,
    max_bytes: Option<Spanned<SizeLimit>>,
    keep: Option<Spanned<NonZeroU32>>,
    #[serde(default)]
    hits: bool,
    #[serde(default = "default_refusals")]
    refusals: Rate,
}

fn default_refusals() -> Rate {
    Rate::Per { count: NonZeroU32::MIN.saturating_add(599), period: Duration::from_mins(1) }
}

/// Settings of the audit log.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Where lines are written.
    pub target: AuditTarget,
    /// Whether each served key has a line, not only each issued one.
    pub hits: bool,
    /// How many refusals of one kind have a line each.
    pub refusals: Rate,
}

/// Where the audit log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditTarget {
    /// The standard output of this process.
    Stdout,
    /// A file.
    File {
        /// The current file; older ones have a number appended.
        path: PathBuf,
        /// When it is rotated; never if absent.
        rotation: Option<Rotation>,
        /// Where the configuration names it, for messages: `file:line:column`.
        place: String,
    },
}

/// How a log is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Maximum size of a file, except for one line that is longer.
    pub max_bytes: u64,
    /// Number of older files kept.
    pub keep: NonZeroU32,
}

/// 64 MiB and five older files: some eight hundred thousand keys, and never 400 MiB of disk.
const DEFAULT_MAX_BYTES: u64 = 64 << 20;
const DEFAULT_KEPT_FILES: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);
/// One line takes one or two kilobytes.
const MIN_MAX_BYTES: u64 = 4 << 10;
/// Each kept file costs one rename per rotation.
const MAX_KEPT_FILES: u32 = 1000;

impl RawAudit {
    pub(super) fn check(self, context: &Context<'_>) -> Result<Audit, Diagnostic> {
        if self.path.get_ref().as_os_str().is_empty() {
            let help = "name a file, or \"-\" for stdout";
            return Err(context.problem(self.path.span(), "audit.path is empty", help));
        }
        let target = if self.path.get_ref().as_os_str() == "-" {
            self.check_stdout(context)?;
            AuditTarget::Stdout
        } else {
            AuditTarget::File {
                path: context.resolve(self.path.get_ref()),
                rotation: self.rotation(context)?,
                place: context.place(&self.path.span()),
            }
        };
        Ok(Audit { target, hits: self.hits, refusals: self.refusals })
    }

    fn check_stdout(&self, context: &Context<'_>) -> Result<(), Diagnostic> {
        if let Some(max_bytes) = &self.max_bytes {
            return Err(context.problem(max_bytes.span(), "stdout is never rotated", "remove max_bytes"));
        }
        self.keep.as_ref().map_or(Ok(()), |keep| Err(kept_without_rotation(keep, context)))
    }

    fn rotation(&self, context: &Context<'_>) -> Result<Option<Rotation>, Diagnostic> {
        let limit = self.max_bytes.as_ref().map_or(Some(DEFAULT_MAX_BYTES), |limit| limit.get_ref().0);
        if let (Some(written), Some(bytes)) = (&self.max_bytes, limit)
            && bytes < MIN_MAX_BYTES
        {
            let message = "audit.max_bytes is smaller than some lines";
            return Err(context.problem(written.span(), message, "give 4KiB or more"));
        }
        match (limit, &self.keep) {
            (None, None) => Ok(None),
            (None, Some(keep)) => Err(kept_without_rotation(keep, context)),
            (Some(_), Some(keep)) if keep.get_ref().get() > MAX_KEPT_FILES => {
                let message = format!("more than {MAX_KEPT_FILES} older files");
                Err(context.problem(keep.span(), message, "give a larger max_bytes instead"))
            }
            (Some(max_bytes), keep) => {
                let keep = keep.as_ref().map_or(DEFAULT_KEPT_FILES, |keep| *keep.get_ref());
                Ok(Some(Rotation { max_bytes, keep }))
            }
        }
    }
}

fn kept_without_rotation(keep: &Spanned<NonZeroU32>, context: &Context<'_>) -> Diagnostic {
    context.problem(
        keep.span(),
        "audit.keep counts older files, and this log has none: it is not rotated",
        "remove it",
    )
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{MINIMAL, assert_refused, parse};
    use super::*;

    fn target(keys: &str) -> Option<(String, Option<Rotation>)> {
        let audit = parse(&format!("{MINIMAL}\n[audit]\n{keys}")).unwrap().into_parts().audit.unwrap();
        assert!(!audit.hits);
        match audit.target {
            AuditTarget::Stdout => None,
            AuditTarget::File { path, rotation, .. } => Some((path.display().to_string(), rotation)),
        }
    }

    fn rotation(max_bytes: u64, keep: u32) -> Rotation {
        Rotation { max_bytes, keep: keep.try_into().unwrap() }
    }

    #[test]
    fn an_audit_log_is_written_only_if_configured_and_is_rotated_by_default() {
        assert!(parse(MINIMAL).unwrap().audit().is_none());
        assert_eq!(target("path = \"a.jsonl\""), Some(("a.jsonl".to_owned(), Some(rotation(64 << 20, 5)))));
        assert_eq!(
            target("path = \"/a\"\nmax_bytes = \"1MiB\"\nkeep = 1"),
            Some(("/a".to_owned(), Some(rotation(1 << 20, 1))))
        );
        assert_eq!(target("path = \"a\"\nmax_bytes = \"off\""), Some(("a".to_owned(), None)));
        assert_eq!(target("path = \"-\""), None);
    }

    #[test]
    fn bad_values_are_refused() {
        for (section, message) in [
            ("[audit]\npath = \"\"", "audit.path is empty"),
            ("[audit]\nhits = true", "missing"),
            ("[audit]\npath = \"-\"\nmax_bytes = \"1MiB\"", "never rotated"),
            ("[audit]\npath = \"-\"\nkeep = 2", "has none"),
            ("[audit]\npath = \"a\"\nmax_bytes = \"off\"\nkeep = 2", "has none"),
            ("[audit]\npath = \"a\"\nmax_bytes = \"1KiB\"", "smaller than some lines"),
            ("[audit]\npath = \"a\"\nkeep = 1001", "more than 1000"),
            ("[audit]\npath = \"a\"\nkeep = 0", "a whole number from 1"),
        ] {
            assert_refused(section, message);
        }
    }
}
