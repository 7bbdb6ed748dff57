//! What the policies of a template's users have in common: the text with the home cut out. It is in memory once, and not
//! once for each user.
//!
//! JSON has no control characters in its text (RFC 8259, 7), so that two of them can stand for the home.

use std::sync::{Arc, OnceLock};

use super::wire::percent_encode;
use crate::fingerprint::Fingerprint;

const HOME: char = '\0';
/// The home in a condition on `cos:prefix`, which has it percent-encoded.
const ENCODED_HOME: char = '\u{1}';

/// The shape of the first policy that a template was rendered to. Another claim beside the home gives another shape.
#[derive(Debug, Default)]
pub(crate) struct CommonShape(OnceLock<Arc<Text>>);

/// A policy's text without the home.
#[derive(Debug)]
pub(super) struct Text {
    text: Box<str>,
    /// Its hash, once there is a grant.
    fingerprint: OnceLock<Fingerprint>,
}

impl CommonShape {
    /// Cuts the home out of a policy. Most users of a template have the same shape, which they share. `None` if the shape
    /// does not give the policy's text back.
    pub(super) fn of(&self, json: &str, home: &str) -> Option<Shape> {
        if let Some(common) = self.0.get().filter(|common| fill(&common.text, home) == json) {
            return Some(Shape::Common(Arc::clone(common)));
        }
        let cut = json.replace(&percent_encode(home), &ENCODED_HOME.to_string());
        let cut = cut.replace(home, &HOME.to_string());
        let common =
            self.0.get_or_init(|| Text { text: cut.as_str().into(), fingerprint: OnceLock::new() }.into());
        let is_common = *common.text == *cut;
        let shape = if is_common { Shape::Common(Arc::clone(common)) } else { Shape::Own(cut.into()) };
        (shape.with_home(home) == json).then_some(shape)
    }
}

/// A policy's text without the home.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Common(Arc<Text>),
    Own(Box<str>),
}

impl Shape {
    /// Returns the policy's text with this home.
    pub(super) fn with_home(&self, home: &str) -> String {
        let text = match self {
            Self::Common(common) => &common.text,
            Self::Own(text) => text,
        };
        fill(text, home)
    }

    /// Returns a hash of the text without the home.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Common(common) => *common.fingerprint.get_or_init(|| Fingerprint::of(&[&*common.text])),
            Self::Own(text) => Fingerprint::of(&[&**text]),
        }
    }

    /// Returns the bytes that are not shared.
    pub(super) fn own_bytes(&self) -> usize {
        match self {
            Self::Common(_) => 0,
            Self::Own(text) => text.len(),
        }
    }
}

fn fill(text: &str, home: &str) -> String {
    text.replace(ENCODED_HOME, &percent_encode(home)).replace(HOME, home)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_policy_comes_back_as_it_was(
            parts in proptest::collection::vec("[ -~é]{0,12}", 1..6),
            home in "[a-z]{1,3}(/[a-z!]{1,4}){0,2}/",
            common in "[ -~]{0,20}",
        ) {
            let json = parts.join(&home) + &percent_encode(&home);
            let shapes = CommonShape::default();
            for text in [&common, &json, &json] {
                prop_assert_eq!(&shapes.of(text, &home).unwrap().with_home(&home), text);
            }
        }
    }

    #[test]
    fn policies_that_differ_in_the_home_alone_share_their_text() {
        let shapes = CommonShape::default();
        let of = |home: &str| {
            let json = format!(r#"{{"resource":"{home}*","cos:prefix":"{}"}}"#, percent_encode(home));
            shapes.of(&json, home).unwrap()
        };
        assert_eq!(of("users/alice/").own_bytes() + of("users/bob/").own_bytes(), 0);
        assert_ne!(shapes.of(r#"{"team":"red"}"#, "users/alice/").unwrap().own_bytes(), 0);
    }

    #[test]
    fn a_text_that_stands_for_the_home_itself_has_no_shape() {
        for text in ["a\0b", "a\u{1}b"] {
            assert!(CommonShape::default().of(text, "users/alice/").is_none());
        }
    }
}
