//! Makes text that others chose safe to print in a terminal, a log or a page.

/// Longer texts are cut by [`to_single_line`].
const MAX_LINE_CHARS: usize = 1000;

/// Returns the text as one printable line of at most 1000 characters; a longer text ends in `…`.
pub fn to_single_line(text: &str) -> String {
    match text.char_indices().nth(MAX_LINE_CHARS).and_then(|(end, _)| text.get(..end)) {
        Some(start) => format!("{}…", printable(start)),
        None => printable(text),
    }
}

/// Returns the text with every misleading character written as an escape.
pub fn printable(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else if is_misleading(c) {
            line.extend(c.escape_unicode());
        } else {
            line.push(c);
        }
    }
    line
}

/// Returns whether a character can make a text look like another: it moves the cursor, starts a new line, or
/// changes the direction of text.
pub fn is_misleading(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || changes_direction(c)
}

/// Unicode UAX #9: marks that change the direction of the text after them.
fn changes_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misleading_characters_are_escaped() {
        for (text, printed) in [
            ("a\r\nb\u{1b}[2J", "a\\r\\nb\\u{1b}[2J"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\u{2028}b", "a\\u{2028}b"),
            ("用户/é", "用户/é"),
        ] {
            assert_eq!(to_single_line(text), printed);
            assert!(!printable(text).chars().any(is_misleading));
        }
    }

    #[test]
    fn a_long_text_is_cut_only_for_a_single_line() {
        assert_eq!(to_single_line(&"x".repeat(5000)).chars().count(), 1001);
        assert_eq!(printable(&"x".repeat(5000)).chars().count(), 5000);
    }
}
