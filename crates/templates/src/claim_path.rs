//! Paths of claims, such as `team`, `org.id` and `"https://example.com/claims".org`. A name with other characters
//! than letters, digits, `_` and `-` stands in quotes, so that every path has one reading.

use crate::advice::Advice;

/// Parses a path to the names on the way to a claim, the outermost first.
///
/// # Errors
/// When a name is empty, or has a character that needs quotes.
pub fn parse(text: &str) -> Result<Vec<String>, Advice> {
    let mut names = Vec::new();
    let mut rest = Some(text);
    while let Some(current) = rest {
        let (name, next) = match split_once_unquoted(current, '.') {
            Some((name, next)) => (name, Some(next)),
            None => (current, None),
        };
        names.push(parse_name(name).ok_or_else(|| malformed(text))?);
        rest = next;
    }
    Ok(names)
}

/// Writes a path as [`parse`] reads it.
pub fn written(path: &[String]) -> String {
    let names = path.iter().map(|name| if is_plain(name) { name.clone() } else { format!("\"{name}\"") });
    names.collect::<Vec<_>>().join(".")
}

/// Splits a text at the first separator that is not in quotes.
pub(crate) fn split_once_unquoted(text: &str, separator: char) -> Option<(&str, &str)> {
    let mut is_quoted = false;
    let (at, _) = text.char_indices().find(|(_, c)| {
        is_quoted ^= *c == '"';
        *c == separator && !is_quoted
    })?;
    let (before, after) = text.split_at_checked(at)?;
    Some((before, after.strip_prefix(separator)?))
}

fn parse_name(text: &str) -> Option<String> {
    if is_plain(text) {
        return Some(text.to_owned());
    }
    let name = text.strip_prefix('"')?.strip_suffix('"')?;
    let is_name = !name.is_empty() && !name.contains(|c: char| c == '"' || c.is_control());
    is_name.then(|| name.to_owned())
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn malformed(text: &str) -> Advice {
    Advice::new(
        format!("`{text}` is not the path of a claim"),
        "join names by dots, and put a name with other characters than letters, digits, `_` and `-` in quotes, as in claim.\"custom:tenant\"",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_list_of_names_and_prints_as_it_was_written() {
        for (text, names) in [
            ("team", vec!["team"]),
            ("org.id", vec!["org", "id"]),
            ("\"custom:tenant\"", vec!["custom:tenant"]),
            ("\"a.b\"", vec!["a.b"]),
            (
                "\"https://hasura.io/jwt/claims\".\"x hasura}|org\".id",
                vec!["https://hasura.io/jwt/claims", "x hasura}|org", "id"],
            ),
        ] {
            assert_eq!(parse(text).unwrap(), names, "{text}");
            assert_eq!(written(&parse(text).unwrap()), text);
        }
        assert_eq!(parse("\"team\""), parse("team"), "quotes that are not needed change nothing");
    }

    #[test]
    fn a_name_that_needs_quotes_or_is_empty_is_refused() {
        for text in
            ["", ".", "a.", ".a", "a..b", "custom:tenant", "a b", "\"\"", "\"", "\"a", "a\"b\"", "\"a\nb\""]
        {
            assert!(parse(text).unwrap_err().help.contains("in quotes"), "{text}");
        }
    }
}
