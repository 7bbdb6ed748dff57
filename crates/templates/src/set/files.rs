//! The files of a templates' folder at one moment.

use diagnostics::{Diagnostic, Source};

use crate::fingerprint::Fingerprint;

/// Every template file of a folder.
///
/// The caller reads the files; this crate does no input or output.
#[derive(Debug, PartialEq, Eq)]
pub struct TemplateFiles {
    files: Vec<Result<Source, Diagnostic>>,
}

impl TemplateFiles {
    /// Takes the files of a folder, or why some of them cannot be read.
    pub fn new(files: Vec<Result<Source, Diagnostic>>) -> Self {
        Self { files }
    }

    /// Computes a fingerprint of all names and contents.
    pub fn version(&self) -> Fingerprint {
        let parts: Vec<String> = self
            .files
            .iter()
            .flat_map(|file| match file {
                Ok(source) => [source.path().display().to_string(), source.text().to_owned()],
                Err(problem) => [problem.path.display().to_string(), problem.to_string()],
            })
            .collect();
        Fingerprint::of(&parts)
    }

    /// Returns each file, or why it cannot be read.
    pub fn into_files(self) -> Vec<Result<Source, Diagnostic>> {
        self.files
    }
}
