//! What a process that holds secrets tells the kernel: its memory goes into no core dump.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids core dumps of this process, and that other processes of its user read its memory (prctl(2),
/// `PR_SET_DUMPABLE`). The limit alone would not hold where the kernel pipes dumps to a program (core(5)).
///
/// # Errors
/// When the kernel refuses.
pub(super) fn forbid_core_dumps() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}
