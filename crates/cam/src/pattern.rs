//! Patterns of resources and values: literal text in which `*` stands for any run of characters, `/` included
//! (docs 598/10606).

use std::collections::VecDeque;

/// Returns whether `outer` matches every text that `inner` matches.
///
/// This is the same as matching `inner` as a text: only a `*` of `outer` matches the character `*`.
pub fn contains(outer: &str, inner: &str) -> bool {
    matches(outer, inner)
}

/// Returns whether `text` matches `pattern`. Greedy with one backtracking point, so never exponential.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    // What precedes the first star is compared at once: most patterns are names of actions, or have only one star.
    let Some(beginning) = pattern.iter().position(|byte| *byte == b'*') else {
        return pattern == text;
    };
    if pattern.get(..beginning) != text.get(..beginning) {
        return false;
    }
    let (mut at, mut seen) = (beginning, beginning);
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

/// The search gives up above this product of lengths; keys have at most 850 bytes.
const MAX_POSITION_PAIRS: usize = 4 << 20;

/// Returns a shortest text that both patterns match. `None` if there is none, or if the patterns are longer
/// than keys can be.
pub fn common_text(a: &str, b: &str) -> Option<String> {
    if is_too_long(a, b) { None } else { Search::new(a, b).run() }
}

/// Returns whether some text may match both patterns; in doubt, `true`.
pub fn may_overlap(a: &str, b: &str) -> bool {
    is_too_long(a, b) || Search::new(a, b).run().is_some()
}

fn is_too_long(a: &str, b: &str) -> bool {
    a.len().saturating_mul(b.len()) > MAX_POSITION_PAIRS
}

/// A search for a text that both patterns match, over pairs of positions in them.
struct Search {
    a: Vec<char>,
    b: Vec<char>,
    /// For each pair of positions, how the search reached it.
    reached: Vec<Option<Step>>,
    queue: VecDeque<(usize, usize)>,
}

#[derive(Clone, Copy)]
struct Step {
    from: usize,
    /// The character that both patterns matched, if any.
    over: Option<char>,
}

impl Search {
    fn new(a: &str, b: &str) -> Self {
        let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
        let mut reached = vec![None; (a.len() + 1) * (b.len() + 1)];
        if let Some(start) = reached.first_mut() {
            *start = Some(Step { from: 0, over: None });
        }
        Self { a, b, reached, queue: VecDeque::from([(0, 0)]) }
    }

    fn run(mut self) -> Option<String> {
        while let Some((i, j)) = self.queue.pop_front() {
            if i == self.a.len() && j == self.b.len() {
                return Some(self.text_to(self.index(i, j)));
            }
            self.expand(i, j);
        }
        None
    }

    /// Takes every step that both patterns allow from here.
    fn expand(&mut self, i: usize, j: usize) {
        let from = self.index(i, j);
        match (self.a.get(i).copied(), self.b.get(j).copied()) {
            (Some('*'), Some('*')) => {
                self.step(from, (i + 1, j), None);
                self.step(from, (i, j + 1), None);
            }
            (Some('*'), other) => {
                self.step(from, (i + 1, j), None);
                if other.is_some() {
                    self.step(from, (i, j + 1), other);
                }
            }
            (other, Some('*')) => {
                self.step(from, (i, j + 1), None);
                if other.is_some() {
                    self.step(from, (i + 1, j), other);
                }
            }
            (Some(c), Some(d)) if c == d => self.step(from, (i + 1, j + 1), Some(c)),
            _ => {}
        }
    }

    fn step(&mut self, from: usize, (i, j): (usize, usize), over: Option<char>) {
        let to = self.index(i, j);
        if let Some(step @ None) = self.reached.get_mut(to) {
            *step = Some(Step { from, over });
            // Steps without a character go first, so that the text found is a short one.
            if over.is_some() { self.queue.push_back((i, j)) } else { self.queue.push_front((i, j)) }
        }
    }

    fn index(&self, i: usize, j: usize) -> usize {
        i * (self.b.len() + 1) + j
    }

    /// Returns the characters on the way to a pair of positions.
    fn text_to(&self, mut index: usize) -> String {
        let mut backwards: Vec<char> = Vec::new();
        while let Some(Some(step)) = self.reached.get(index).filter(|_| index != 0) {
            backwards.extend(step.over);
            index = step.from;
        }
        backwards.into_iter().rev().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_matches_any_run_of_characters_and_crosses_slashes() {
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
        fn a_pattern_matches_what_a_contained_pattern_matches(
            outer in "[ab*]{0,6}", inner in "[ab*]{0,6}", text in "[abc]{0,8}",
        ) {
            if contains(&outer, &inner) && matches(&inner, &text) {
                prop_assert!(matches(&outer, &text));
            }
        }

        #[test]
        fn a_common_text_is_found_if_and_only_if_there_is_one(
            a in "[ab*]{0,5}", b in "[ab*]{0,5}", text in "[ab]{0,6}",
        ) {
            match common_text(&a, &b) {
                Some(found) => prop_assert!(matches(&a, &found) && matches(&b, &found), "{found}"),
                None => prop_assert!(!(matches(&a, &text) && matches(&b, &text))),
            }
        }

        #[test]
        fn matching_agrees_with_a_simple_recursive_matcher(
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
