//! Checks `[tracing]`.

use url::Url;

use super::{Tracing, file, reader::Reader};
use diagnostics::Diagnostic;

impl Reader<'_> {
    pub(super) fn tracing(&self, tracing: file::Tracing) -> Result<Tracing, Diagnostic> {
        let file::Tracing { otlp_endpoint, sample, service_name } = tracing;
        if !(0.0..=1.0).contains(sample.get_ref()) {
            return Err(self.problem(
                sample.span(),
                format!("sample = {} is not a share of all traces", sample.get_ref()),
                "give a number from 0.0 to 1.0, like 0.01 for one in a hundred",
            ));
        }
        if service_name.get_ref().trim().is_empty() {
            let help = "name this service as it is to stand in traces, or leave it out for `cosbroker`";
            return Err(self.problem(service_name.span(), "service_name is empty", help));
        }
        Ok(Tracing {
            otlp_endpoint: self.collector(&otlp_endpoint)?,
            service_name: service_name.into_inner(),
            sample: sample.into_inner(),
        })
    }

    /// Plain HTTP anywhere, unlike other addresses: collectors stand in one's own network, mostly without TLS,
    /// and nothing in a span opens anything or names anybody.
    fn collector(&self, text: &toml::Spanned<String>) -> Result<Url, Diagnostic> {
        let problem = |message: String| {
            let help = "write it like \"http://127.0.0.1:4318/v1/traces\", which is OTLP over HTTP";
            self.problem(text.span(), message, help)
        };
        let url = Url::parse(text.get_ref())
            .map_err(|error| problem(format!("`{}` is not a URL: {error}", text.get_ref())))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(problem("a URL with credentials in it".to_owned()));
        }
        if !["http", "https"].contains(&url.scheme()) {
            return Err(problem(format!("`{url}` is neither http:// nor https://")));
        }
        if url.path() == "/" {
            return Err(problem(format!("`{url}` has no path")));
        }
        Ok(url)
    }
}
