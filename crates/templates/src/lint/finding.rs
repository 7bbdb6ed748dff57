//! One finding of `lint`.

use serde::Serialize;

use super::counter_example::CounterExample;
use crate::rule::Rule;
use diagnostics::Diagnostic;

/// One problem of a template.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Whether it keeps the template from serving.
    pub level: Level,
    /// The rule that is broken.
    pub rule: Rule,
    /// The templates it concerns. The one it is found in comes first.
    pub templates: Vec<String>,
    /// The place, the message and the help.
    pub diagnostic: Diagnostic,
    /// Two users who could both reach one object, where such a pair was found.
    pub counter_example: Option<CounterExample>,
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The template serves, but probably not as intended.
    Warning,
    /// The template does not serve.
    Error,
}

impl Finding {
    /// Makes a finding about one template, without a counter-example.
    pub(super) fn new(level: Level, rule: Rule, template: &str, diagnostic: Diagnostic) -> Self {
        Self { level, rule, templates: vec![template.to_owned()], diagnostic, counter_example: None }
    }
}
