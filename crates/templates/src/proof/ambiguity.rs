//! Key patterns that could be read in two ways.

use crate::{advice::Advice, template::TemplateString};

/// Returns what makes a key pattern ambiguous, and the help. `None` if it has one meaning whether slashes are
/// merged, dots resolved, escapes decoded or wildcards expanded.
pub(crate) fn ambiguity(text: &TemplateString) -> Option<Advice> {
    let plain = text.with_placeholders();
    if let Some(c) = plain.chars().find(|c| "?%\\".contains(*c) || c.is_control()) {
        let help = "leave it out: it may be read as a wildcard or an escape";
        return Some(Advice::new(format!("holds `{}`", c.escape_default()), help));
    }
    if plain.contains("//") || plain.starts_with('/') {
        return Some(Advice::new("holds an empty segment", "keys have no leading or double slash"));
    }
    let has_dots = plain.split('/').any(|segment| segment == "." || segment.contains(".."));
    has_dots.then(|| Advice::new("holds a `.` or `..`", "name the folder itself"))
}
