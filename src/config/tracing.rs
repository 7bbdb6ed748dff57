//! `[tracing]`: the export of traces.

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::context::{Context, url_without_credentials};
use diagnostics::Diagnostic;

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTracing {
    otlp_endpoint: Spanned<String>,
    #[serde(default = "default_sample")]
    sample: Spanned<f64>,
    #[serde(default = "default_service_name")]
    service_name: Spanned<String>,
}

fn default_sample() -> Spanned<f64> {
    Spanned::new(0..0, 0.01)
}

fn default_service_name() -> Spanned<String> {
    Spanned::new(0..0, "cosbroker".to_owned())
}

/// Settings of the export of traces.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// The URL of an OTLP collector.
    pub otlp_endpoint: Url,
    /// The name of this service in traces; never empty.
    pub service_name: String,
    /// The share of traces started here that are exported; in `0.0..=1.0`.
    pub sample: f64,
}

impl RawTracing {
    pub(super) fn check(self, context: &Context<'_>) -> Result<Tracing, Diagnostic> {
        if !(0.0..=1.0).contains(self.sample.get_ref()) {
            return Err(context.problem(
                self.sample.span(),
                format!("sample = {} is not a share of all traces", self.sample.get_ref()),
                "give a number from 0.0 to 1.0, like 0.01 for one in a hundred",
            ));
        }
        if self.service_name.get_ref().trim().is_empty() {
            let help = "name this service as it should appear in traces, or leave it out for `cosbroker`";
            return Err(context.problem(self.service_name.span(), "service_name is empty", help));
        }
        Ok(Tracing {
            otlp_endpoint: collector_url(&self.otlp_endpoint, context)?,
            service_name: self.service_name.into_inner(),
            sample: self.sample.into_inner(),
        })
    }
}

/// Accepts plain HTTP to any host, unlike other URLs: collectors are in the operator's own network, mostly without
/// TLS, and a span contains no secret and no user.
fn collector_url(text: &Spanned<String>, context: &Context<'_>) -> Result<Url, Diagnostic> {
    let help = "write it like \"http://127.0.0.1:4318/v1/traces\", which is OTLP over HTTP";
    let message = match url_without_credentials(text.get_ref()) {
        Err(error) => error.to_string(),
        Ok(url) if !["http", "https"].contains(&url.scheme()) => {
            format!("`{url}` is neither http:// nor https://")
        }
        Ok(url) if url.path() == "/" => format!("`{url}` has no path"),
        Ok(url) => return Ok(url),
    };
    Err(context.problem(text.span(), message, help))
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{MINIMAL, assert_refused, parse};

    #[test]
    fn traces_are_exported_only_if_a_collector_is_configured() {
        assert_eq!(parse(MINIMAL).unwrap().into_parts().tracing, None);
        let section = "[tracing]\notlp_endpoint = \"http://otel:4318/v1/traces\"";
        let tracing = parse(&format!("{MINIMAL}\n{section}")).unwrap().into_parts().tracing.unwrap();
        assert_eq!(tracing.otlp_endpoint.as_str(), "http://otel:4318/v1/traces");
        assert_eq!((tracing.service_name.as_str(), tracing.sample), ("cosbroker", 0.01));
    }

    #[test]
    fn bad_values_are_refused() {
        for (keys, message) in [
            ("sample = 0.5", "missing"),
            ("otlp_endpoint = \"collector\"", "not a URL"),
            ("otlp_endpoint = \"http://127.0.0.1:4318\"", "has no path"),
            ("otlp_endpoint = \"grpc://127.0.0.1:4317/v1/traces\"", "neither http:// nor https://"),
            ("otlp_endpoint = \"https://me:pw@otel.test/v1/traces\"", "credentials in it"),
            ("otlp_endpoint = \"http://otel/v1/traces\"\nsample = 1.5", "not a share"),
            ("otlp_endpoint = \"http://otel/v1/traces\"\nsample = nan", "not a share"),
            ("otlp_endpoint = \"http://otel/v1/traces\"\nservice_name = \" \"", "service_name is empty"),
        ] {
            assert_refused(&format!("[tracing]\n{keys}"), message);
        }
    }
}
