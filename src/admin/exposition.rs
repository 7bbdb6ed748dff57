//! The formats of `/metrics`: OpenMetrics 1.0 and Prometheus' text format 0.0.4.
//!
//! The registry writes OpenMetrics; the older format is made of it.

use std::fmt::Write;

/// A format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Text,
}

impl Format {
    /// Returns the format for a client by its `Accept`: the older one only for those that name it and not the newer.
    pub(super) fn of(accept: &str) -> Self {
        let names = |media_type| {
            accept
                .split(',')
                .any(|range| range.split(';').next().is_some_and(|name| name.trim() == media_type))
        };
        let is_older = names("text/plain") && !names("application/openmetrics-text");
        if is_older { Self::Text } else { Self::OpenMetrics }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Returns OpenMetrics in this format.
    pub(super) fn of_open_metrics(self, metrics: String) -> String {
        match self {
            Self::OpenMetrics => metrics,
            Self::Text => to_text(&metrics),
        }
    }
}

/// Writes OpenMetrics in the text format. There, a counter has its `_total` in its name, there is no type `info`, no
/// unit and no end, and a help text has no escaped quotes.
fn to_text(metrics: &str) -> String {
    let mut text = String::with_capacity(metrics.len());
    // The help comes before the type, which decides the name.
    let mut help = "";
    for line in metrics.lines() {
        let mut words = line.splitn(4, ' ');
        let [hash, word, name, rest] = [words.next(), words.next(), words.next(), words.next()];
        if hash != Some("#") {
            push(&mut text, line);
            continue;
        }
        match (word, name, rest) {
            (Some("HELP"), Some(_), rest) => help = rest.unwrap_or_default(),
            (Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    other => ("", other),
                };
                let help = help.replace("\\\"", "\"");
                push(&mut text, &format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}"));
            }
            _ => {}
        }
    }
    text
}

fn push(text: &mut String, line: &str) {
    // Writing to a string never fails.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_the_format() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("", Format::OpenMetrics),
            ("*/*", Format::OpenMetrics),
            ("text/plain", Format::Text),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Format::Text),
        ] {
            assert_eq!(Format::of(accept), format, "{accept}");
        }
    }

    #[test]
    fn the_older_format_has_its_own_names_and_types() {
        let metrics = "# HELP a_calls Calls \\\"now\\\".\n# TYPE a_calls counter\n# UNIT a_calls calls\n\
            a_calls_total{b=\"c\"} 1\n# HELP build What.\n# TYPE build info\nbuild_info{version=\"1\"} 1\n\
            # HELP up Up.\n# TYPE up gauge\nup 1\n# EOF\n";
        let text = "# HELP a_calls_total Calls \"now\".\n# TYPE a_calls_total counter\na_calls_total{b=\"c\"} 1\n\
            # HELP build_info What.\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n\
            # HELP up Up.\n# TYPE up gauge\nup 1\n";
        assert_eq!(Format::Text.of_open_metrics(metrics.to_owned()), text);
        assert_eq!(Format::OpenMetrics.of_open_metrics(metrics.to_owned()), metrics);
    }
}
