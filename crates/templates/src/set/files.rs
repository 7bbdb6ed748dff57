//! The files of a templates' folder at one moment.

use diagnostics::{Diagnostic, Source};

use crate::fingerprint::Fingerprint;

/// Every template file of a folder, and a fingerprint of them all.
///
/// The caller reads the files; this crate does no input or output.
#[derive(Debug)]
pub struct TemplateFiles {
    files: Vec<Result<Source, Diagnostic>>,
    version: Fingerprint,
}

impl TemplateFiles {
    /// Takes the files of a folder, or why some of them cannot be read.
    pub fn new(files: Vec<Result<Source, Diagnostic>>) -> Self {
        let parts: Vec<String> = files
            .iter()
            .flat_map(|file| match file {
                Ok(source) => [source.path().display().to_string(), source.text().to_owned()],
                Err(problem) => [problem.path.display().to_string(), problem.to_string()],
            })
            .collect();
        Self { version: Fingerprint::of(&parts), files }
    }

    /// Returns a fingerprint of all names and contents.
    pub fn version(&self) -> Fingerprint {
        self.version
    }

    /// Returns each file, or why it cannot be read.
    pub fn into_files(self) -> Vec<Result<Source, Diagnostic>> {
        self.files
    }
}
