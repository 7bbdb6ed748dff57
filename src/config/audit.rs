//! Checks `[audit]`.

use std::num::NonZeroU32;

use super::{Audit, AuditTarget, Rotation, file, reader::Reader};
use diagnostics::{Diagnostic, SizeLimit};

/// 64 MiB and five older ones: some eight hundred thousand keys, and never 400 MiB of disk.
const MAX_BYTES: u64 = 64 << 20;
const KEEP: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);
/// A line takes up to a kilobyte or two.
const LEAST_BYTES: u64 = 4 << 10;
/// Each one kept costs a rename when the log is turned over.
const MOST_KEPT: u32 = 1000;

impl Reader<'_> {
    pub(super) fn audit(&self, audit: file::Audit) -> Result<Audit, Diagnostic> {
        let file::Audit { path, max_bytes, keep, hits, refusals } = audit;
        let stdout = path.get_ref().as_os_str() == "-";
        let bound = max_bytes.as_ref().map(toml::Spanned::get_ref);
        if path.get_ref().as_os_str().is_empty() {
            let help = "name a file, or \"-\" for stdout";
            return Err(self.problem(path.span(), "audit.path is empty", help));
        }
        if let Some(max_bytes) = &max_bytes
            && (stdout || bound.is_some_and(|bound| bound.0.is_some_and(|bytes| bytes < LEAST_BYTES)))
        {
            let (message, help) = if stdout {
                ("stdout is never turned over", "remove max_bytes")
            } else {
                ("audit.max_bytes is less than some lines take", "give 4KiB or more")
            };
            return Err(self.problem(max_bytes.span(), message, help));
        }
        if let Some(keep) = &keep {
            if stdout || bound == Some(&SizeLimit(None)) {
                let message = "audit.keep counts older files, and this log makes none";
                return Err(self.problem(keep.span(), message, "remove it"));
            }
            if keep.get_ref().get() > MOST_KEPT {
                let message = format!("more than {MOST_KEPT} older files");
                return Err(self.problem(keep.span(), message, "give a larger max_bytes instead"));
            }
        }
        let rotation = bound
            .map_or(Some(MAX_BYTES), |bound| bound.0)
            .map(|max_bytes| Rotation { max_bytes, keep: keep.map_or(KEEP, toml::Spanned::into_inner) });
        let target = if stdout {
            AuditTarget::Stdout
        } else {
            let place = self.source.place(&path.span());
            AuditTarget::File { path: self.base.join(path.get_ref()), rotation, place }
        };
        Ok(Audit { target, hits, refusals })
    }
}
