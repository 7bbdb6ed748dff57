//! The settings that decide which templates may be served. They are read without the secrets of the
//! configuration, for commands that run where the secrets are not available.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use toml::Spanned;

use super::{
    Config, RawConfig, Templates,
    issuer::{RawIssuer, TENANT_CLAIM},
};
use diagnostics::{Diagnostic, Source};
use templates::{IssuerTrust, ServingConstraints};

/// The part of a configuration that decides which templates may be served.
#[derive(Debug)]
pub struct TemplateSettings {
    templates: Templates,
    issuers: Vec<IssuerSettings>,
    max_lifetime: Duration,
    min_remaining: Option<Duration>,
}

/// What templates need to know about an issuer.
#[derive(Debug)]
pub(super) struct IssuerSettings {
    pub(super) name: String,
    pub(super) has_tenants: bool,
    pub(super) subject_claim: Vec<String>,
    pub(super) trusted_claims: Vec<Vec<String>>,
}

impl TemplateSettings {
    /// Reads these settings of a configuration file; paths in it are relative to it.
    ///
    /// # Errors
    /// When the file is not a configuration.
    pub fn load(path: &Path) -> Result<Self, Diagnostic> {
        let source = Source::read(path)?;
        let raw: RawConfig = source.parse()?;
        Ok(Self::of_raw(raw, path.parent().unwrap_or(Path::new(""))))
    }

    /// Takes these settings from a configuration in the folder `base`.
    pub(super) fn of_raw(raw: RawConfig, base: &Path) -> Self {
        Self {
            max_lifetime: raw.sts.get_ref().max_lifetime(),
            min_remaining: raw.cache.min_remaining(),
            templates: raw.templates.relative_to(base),
            issuers: raw
                .issuer
                .into_iter()
                .map(Spanned::into_inner)
                .map(RawIssuer::unchecked_settings)
                .collect(),
        }
    }

    /// The folder of templates.
    pub(crate) fn into_dir(self) -> PathBuf {
        self.templates.dir().to_owned()
    }

    /// The name of the first issuer.
    pub(crate) fn first_issuer(&self) -> Option<&str> {
        self.issuers.first().map(|issuer| issuer.name.as_str())
    }

    /// The claim with the user's id, in the tokens of an issuer; of the first, if the name is of none.
    pub(crate) fn subject_claim(&self, issuer: &str) -> Option<&[String]> {
        let named = self.issuers.iter().find(|one| one.name == issuer).or(self.issuers.first());
        named.map(|issuer| issuer.subject_claim.as_slice())
    }

    /// What every template must satisfy besides the proof.
    pub fn serving_constraints(&self) -> ServingConstraints {
        ServingConstraints {
            issuer_trust: IssuerTrust {
                several: self.issuers.len() > 1 || self.issuers.iter().any(|issuer| issuer.has_tenants),
                tenant_claim: self.tenant_claim(),
                trusted_claims: self.claims_trusted_by_all(),
            },
            longest: self.max_lifetime,
            min_remaining: self.min_remaining,
            default: self.templates.default().map(str::to_owned),
        }
    }

    /// With one issuer, its tenants are all that tells issuers apart.
    fn tenant_claim(&self) -> Option<Vec<String>> {
        match self.issuers.as_slice() {
            [issuer] if issuer.has_tenants => Some(vec![TENANT_CLAIM.to_owned()]),
            _ => None,
        }
    }

    /// A claim is trusted only if every issuer vouches for it.
    fn claims_trusted_by_all(&self) -> Vec<Vec<String>> {
        let trusted = self.issuers.iter().flat_map(|issuer| &issuer.trusted_claims);
        trusted
            .filter(|claim| self.issuers.iter().all(|issuer| issuer.trusted_claims.contains(claim)))
            .cloned()
            .collect()
    }
}

impl Config {
    /// The settings that decide which templates may be served.
    pub(crate) fn template_settings(&self) -> TemplateSettings {
        TemplateSettings {
            templates: self.templates.clone(),
            issuers: self
                .issuers
                .iter()
                .map(|issuer| IssuerSettings {
                    name: issuer.name.canonical().to_owned(),
                    has_tenants: issuer.name.has_tenants(),
                    subject_claim: issuer.subject_claim.clone(),
                    trusted_claims: issuer.trusted_claims.clone(),
                })
                .collect(),
            max_lifetime: self.sts.max_lifetime(),
            min_remaining: self.cache.min_remaining,
        }
    }
}
