//! Checks `[canary]`.

use std::time::Duration;

use super::{Canary, Templates, file, reader::Reader};
use diagnostics::Diagnostic;

/// Each run costs two calls to STS.
const EVERY: Duration = Duration::from_mins(5);
const LEAST_EVERY: Duration = Duration::from_mins(1);

impl Reader<'_> {
    pub(super) fn canary(
        &self,
        section: toml::Spanned<file::Canary>,
        templates: &Templates,
    ) -> Result<Canary, Diagnostic> {
        let span = section.span();
        let file::Canary { every, template, endpoint } = section.into_inner();
        if let Some(every) = every.as_ref().filter(|every| every.get_ref().0 < LEAST_EVERY) {
            return Err(self.problem(
                every.span(),
                "canary.every is less than a minute, and each run costs two calls to STS",
                "give \"1m\" or more; \"5m\" is usual",
            ));
        }
        let template = template.or_else(|| templates.default.clone()).ok_or_else(|| {
            self.problem(
                span.clone(),
                "[canary] names no template, and there is no default",
                "add template = \"<name>\", one that lets users write",
            )
        })?;
        let endpoint = endpoint.map(|endpoint| {
            let url = self.url(&endpoint)?;
            if url.path() == "/" && url.query().is_none() {
                return Ok(url);
            }
            let message = format!("canary.endpoint `{url}` has a path");
            Err(self.problem(endpoint.span(), message, "give scheme, host and port only"))
        });
        Ok(Canary {
            every: every.map_or(EVERY, |every| every.into_inner().0),
            template,
            endpoint: endpoint.transpose()?,
            place: self.source.place(&span),
        })
    }
}
