//! Patterns of CAM resources and values: literal text in which `*` stands for any run of characters,
//! `/` included (`docs/tencent.md`; docs 598/10606).

use std::collections::VecDeque;

/// Whether everything that `inner` matches, `outer` matches too.
///
/// A `*` of `inner` stands for text nobody has chosen yet, so only a `*` of `outer` can take it in: which is
/// what matching makes of it, for no other part of a pattern matches the character `*`.
pub fn contains(outer: &str, inner: &str) -> bool {
    matches(outer, inner)
}

/// Whether `text` matches `pattern`: greedily, with one point to go back to, so never exponential.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    let mut last_star = None;
    while let Some(found) = text.get(seen) {
        match pattern.get(at) {
            Some(b'*') => {
                last_star = Some((at, seen));
                at += 1;
            }
            Some(wanted) if wanted == found => {
                at += 1;
                seen += 1;
            }
            _ => match last_star {
                Some((star, start)) => {
                    last_star = Some((star, start + 1));
                    at = star + 1;
                    seen = start + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// More pairs of places than these are not searched: keys end at 850 bytes.
const MOST_PLACES: usize = 4 << 20;

/// A text that both patterns match, if there is one; none longer than it must be. None is found either where
/// the patterns are longer than keys can be.
pub fn common(a: &str, b: &str) -> Option<String> {
    if a.len().saturating_mul(b.len()) > MOST_PLACES {
        return None;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    // How each pair of places was come to: from where, and over which character.
    let mut seen: Vec<Option<(usize, Option<char>)>> = vec![None; (a.len() + 1) * width];
    let mut todo = VecDeque::from([(0, 0)]);
    *seen.first_mut()? = Some((0, None));
    while let Some((at, bt)) = todo.pop_front() {
        let here = at * width + bt;
        if at == a.len() && bt == b.len() {
            return Some(way_to(here, &seen));
        }
        let mut step = |to: (usize, usize), over: Option<char>| {
            if let Some(place @ None) = seen.get_mut(to.0 * width + to.1) {
                *place = Some((here, over));
                // A step over nothing comes first, so that the way found is a short one.
                if over.is_some() { todo.push_back(to) } else { todo.push_front(to) }
            }
        };
        match (a.get(at), b.get(bt)) {
            (Some('*'), Some('*')) => {
                step((at + 1, bt), None);
                step((at, bt + 1), None);
            }
            (Some('*'), other) => {
                step((at + 1, bt), None);
                if let Some(c) = other {
                    step((at, bt + 1), Some(*c));
                }
            }
            (other, Some('*')) => {
                step((at, bt + 1), None);
                if let Some(c) = other {
                    step((at + 1, bt), Some(*c));
                }
            }
            (Some(c), Some(d)) if c == d => step((at + 1, bt + 1), Some(*c)),
            _ => {}
        }
    }
    None
}

/// Whether some text may match both patterns; in doubt, yes.
pub fn may_meet(a: &str, b: &str) -> bool {
    a.len().saturating_mul(b.len()) > MOST_PLACES || common(a, b).is_some()
}

/// The characters on the way to a place.
fn way_to(mut here: usize, seen: &[Option<(usize, Option<char>)>]) -> String {
    let mut backwards: Vec<char> = Vec::new();
    while let Some(Some((from, over))) = seen.get(here).filter(|_| here != 0) {
        backwards.extend(over);
        here = *from;
    }
    backwards.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_takes_any_run_and_crosses_slashes() {
        for (pattern, text, expected) in [
            ("users/alice/*", "users/alice/a/b.jpg", true),
            ("users/alice/*", "users/alice/", true),
            ("users/alice/*", "users/alice", false),
            ("users/1*", "users/10/x", true),
            ("*.jpg", "a/b.jpg", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("", "", true),
            ("", "x", false),
            ("*", "", true),
            ("**", "anything", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_wider_pattern_contains_a_narrower_one() {
        for (outer, inner, expected) in [
            ("users/a/*", "users/a/photos/*", true),
            ("users/a/*", "users/a/x.jpg", true),
            ("users/a/*", "users/*", false),
            ("users/a/*", "users/a*", false),
            ("users/a/*", "*", false),
            ("*.jpg", "photos/*.jpg", true),
            ("*.jpg", "photos/*", false),
            ("a", "*", false),
            ("*", "*", true),
        ] {
            assert_eq!(contains(outer, inner), expected, "{outer} over {inner}");
        }
    }

    proptest! {
        #[test]
        fn what_a_contained_pattern_matches_its_container_matches(
            outer in "[ab*]{0,6}", inner in "[ab*]{0,6}", text in "[abc]{0,8}",
        ) {
            if contains(&outer, &inner) && matches(&inner, &text) {
                prop_assert!(matches(&outer, &text));
            }
        }

        #[test]
        fn a_common_text_is_found_exactly_where_there_is_one(
            a in "[ab*]{0,5}", b in "[ab*]{0,5}", text in "[ab]{0,6}",
        ) {
            match common(&a, &b) {
                Some(found) => prop_assert!(matches(&a, &found) && matches(&b, &found), "{found}"),
                None => prop_assert!(!(matches(&a, &text) && matches(&b, &text))),
            }
        }

        #[test]
        fn matching_agrees_with_a_regular_expression_like_recursion(
            pattern in "[ab*]{0,6}", text in "[ab]{0,8}",
        ) {
            fn slow(pattern: &[u8], text: &[u8]) -> bool {
                match pattern.split_first() {
                    None => text.is_empty(),
                    Some((b'*', rest)) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
                    Some((byte, rest)) => text.first() == Some(byte) && slow(rest, &text[1..]),
                }
            }
            prop_assert_eq!(matches(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
