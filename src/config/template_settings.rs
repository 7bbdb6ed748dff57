//! What a configuration says of its templates, without the secrets it names: for commands that run where
//! those are not.

use std::{path::Path, time::Duration};

use super::{Admin, Config, Environment, StsAction, Templates, file, file::File, reader, secrets::Secrets};
use diagnostics::{Diagnostic, Source};

/// The part of a configuration that decides which templates may serve.
#[derive(Debug)]
pub struct TemplateSettings {
    /// `[templates]`.
    pub templates: Templates,
    /// Each issuer's name and trusted claims.
    pub issuers: Vec<(String, Vec<String>)>,
    /// The longest life the STS action gives.
    pub longest: Duration,
    /// `cache.min_remaining`, if it is set.
    pub min_remaining: Option<Duration>,
}

impl TemplateSettings {
    /// Reads the outline of a configuration file; paths in it are relative to it.
    ///
    /// # Errors
    /// When the file does not read as a configuration.
    pub fn load(path: &Path) -> Result<Self, Diagnostic> {
        let source = Source::read(path)?;
        let file: File = source.parse()?;
        let base = path.parent().unwrap_or(Path::new(""));
        let action = match file.sts.get_ref().action {
            file::StsAction::GetFederationToken => StsAction::GetFederationToken,
            file::StsAction::AssumeRole => {
                StsAction::AssumeRole { role_arn: String::new(), external_id: None }
            }
        };
        Ok(Self {
            templates: reader::templates(file.templates, base),
            issuers: file
                .issuer
                .into_iter()
                .map(toml::Spanned::into_inner)
                .map(|issuer| (issuer.issuer.into_inner(), reader::trusted_claims(issuer.trusted_claims)))
                .collect(),
            longest: action.longest(),
            min_remaining: file.cache.min_remaining.map(|span| span.0),
        })
    }
}

impl Config {
    /// This configuration's outline.
    pub fn outline(&self) -> TemplateSettings {
        TemplateSettings {
            templates: self.templates.clone(),
            issuers: self
                .issuers
                .iter()
                .map(|issuer| (issuer.issuer.clone(), issuer.trusted_claims.clone()))
                .collect(),
            longest: self.sts.action.longest(),
            min_remaining: self.cache.min_remaining,
        }
    }
}

impl Admin {
    /// Reads where the operators' listener stands and its token, and no other secret.
    ///
    /// # Errors
    /// When the file does not read as a configuration, or the token is not there.
    pub fn load(path: &Path, environment: &Environment<'_>) -> Result<Self, Diagnostic> {
        let source = Source::read(path)?;
        let file: File = source.parse()?;
        let base = path.parent().unwrap_or(Path::new(""));
        let secrets = Secrets { source: &source, base, environment };
        reader::Reader { source: &source, secrets, base }.admin(file.admin)
    }
}
