//! Suggestions for misspelt names.

/// Returns the known name that a misspelt one is most likely meant to be, if any is near.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (distance(written, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(written.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Returns the edit distance without regard to case. The beginning of a name counts as near.
fn distance(written: &str, name: &str) -> usize {
    let (written, name) = (written.to_lowercase(), name.to_lowercase());
    let is_beginning = written.len() >= 3 && name.starts_with(&written);
    if is_beginning { 1 } else { strsim::damerau_levenshtein(&written, &name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        for (written, expected) in [
            ("lisen", Some("listen")),
            ("Listen", Some("listen")),
            ("temp", Some("templates")),
            ("te", None),
            ("colour", None),
        ] {
            assert_eq!(nearest(written, ["listen", "templates"]), expected, "{written}");
        }
    }
}
