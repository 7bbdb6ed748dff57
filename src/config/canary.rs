//! `[canary]`: the isolation canary.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::{
    Templates,
    context::{Context, has_path},
};
use diagnostics::{Diagnostic, HumanDuration};

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCanary {
    interval: Option<Spanned<HumanDuration>>,
    template: Option<String>,
    endpoint: Option<Spanned<String>>,
}

/// Settings of the isolation canary.
#[derive(Debug)]
pub struct Canary(CanaryParts);

/// The settings of `[canary]`, one by one.
#[derive(Debug, Clone)]
pub struct CanaryParts {
    /// Time from one run to the next.
    pub interval: Duration,
    /// The template whose keys are tried.
    pub template: String,
    /// The URL of COS; that of the bucket if absent.
    pub endpoint: Option<Url>,
    /// Where the configuration has the section, for messages: `file:line:column`.
    pub place: String,
}

/// Each run costs two calls to STS.
const DEFAULT_INTERVAL: Duration = Duration::from_mins(5);
const MIN_INTERVAL: Duration = Duration::from_mins(1);

impl RawCanary {
    pub(super) fn check(
        section: Spanned<Self>,
        templates: &Templates,
        context: &Context<'_>,
    ) -> Result<Canary, Diagnostic> {
        let span = section.span();
        let raw = section.into_inner();
        let interval = raw.interval(context)?;
        let template = raw.template.as_deref().or(templates.default()).ok_or_else(|| {
            context.problem(
                span.clone(),
                "[canary] names no template, and there is no default",
                "add template = \"<name>\", one that lets users write",
            )
        })?;
        let endpoint = raw.endpoint.as_ref().map(|endpoint| cos_endpoint(endpoint, context)).transpose()?;
        let template = template.to_owned();
        Ok(Canary(CanaryParts { interval, template, endpoint, place: context.place(&span) }))
    }

    fn interval(&self, context: &Context<'_>) -> Result<Duration, Diagnostic> {
        match &self.interval {
            None => Ok(DEFAULT_INTERVAL),
            Some(interval) if interval.get_ref().0 < MIN_INTERVAL => Err(context.problem(
                interval.span(),
                "canary.interval is less than a minute, and each run costs two calls to STS",
                "give \"1m\" or more; \"5m\" is usual",
            )),
            Some(interval) => Ok(interval.get_ref().0),
        }
    }
}

fn cos_endpoint(endpoint: &Spanned<String>, context: &Context<'_>) -> Result<Url, Diagnostic> {
    let url = context.url(endpoint)?;
    if has_path(&url) {
        let message = format!("canary.endpoint `{url}` has a path");
        return Err(context.problem(endpoint.span(), message, "give scheme, host and port only"));
    }
    Ok(url)
}

impl Canary {
    /// The template whose keys are tried.
    pub(crate) fn template(&self) -> &str {
        &self.0.template
    }

    /// Where the configuration has the section, for messages.
    pub(crate) fn place(&self) -> &str {
        &self.0.place
    }

    /// The settings, one by one.
    pub(crate) fn into_parts(self) -> CanaryParts {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{MINIMAL, assert_refused, parse, problem};
    use super::*;

    #[test]
    fn by_default_the_canary_is_off_and_then_runs_every_five_minutes_with_the_default_template() {
        assert!(parse(MINIMAL).unwrap().canary().is_none());
        let text = MINIMAL.replace("dir = \"policies\"", "dir = \"policies\"\ndefault = \"upload\"");
        let canary = parse(&format!("{text}\n[canary]")).unwrap().into_parts().canary.unwrap().into_parts();
        assert_eq!((canary.interval, canary.template.as_str()), (Duration::from_mins(5), "upload"));
        assert!(canary.endpoint.is_none() && canary.place.starts_with("config.toml:"));
    }

    #[test]
    fn bad_values_are_refused() {
        for (section, message) in [
            ("[canary]", "there is no default"),
            ("[canary]\ntemplate = \"upload\"\ninterval = \"59s\"", "less than a minute"),
            ("[canary]\ntemplate = \"upload\"\nendpoint = \"http://cos.example.com\"", "not a safe URL"),
            ("[canary]\ntemplate = \"upload\"\nendpoint = \"https://cos.example.com/b\"", "has a path"),
        ] {
            assert_refused(section, message);
        }
    }

    #[test]
    fn the_key_every_of_earlier_versions_is_unknown() {
        let text = problem(&format!("{MINIMAL}\n[canary]\nevery = \"5m\""));
        assert!(text.contains("unknown key `every`") && text.contains("interval"), "{text}");
    }
}
