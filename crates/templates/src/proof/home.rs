//! Homes: what a template may call its owner's folder, and when the folders of two owners can overlap.
//!
//! A home is a list of segments between slashes, each literal or around one owner variable. No value holds a
//! slash and every segment is closed by one. So two renderings are equal or nested only if they agree segment
//! by segment, which [`Home::may_overlap`] decides.

use crate::{
    advice::Advice,
    template::{ClaimRef, Piece, TemplateString, Variable},
};

/// A home that ends in `/` and identifies its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    max_len: usize,
    segments: Vec<Segment>,
}

/// A segment: literal text, or a variable with literal text around it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    before: String,
    variable: Option<Variable>,
    after: String,
}

/// How two segments at the same position relate.
enum SegmentOverlap<'a> {
    /// They are never equal.
    Never,
    /// They are equal only if this claim has one value on both sides. Equal literals have no claim.
    SameValue(Option<&'a ClaimRef>),
    /// They can be equal for different owners.
    Possible,
}

/// COS keys have at most 850 bytes (docs 436/13324). A home must leave room for a file name.
const MAX_HOME_BYTES: usize = 700;

impl Home {
    /// Proves rule (a) of a template's `home`: every segment is a literal or holds one owner variable, all
    /// owners are present, and it ends in `/`.
    pub(crate) fn prove(text: &TemplateString, owners: &[ClaimRef]) -> Result<Self, Advice> {
        if text.pieces().is_empty() {
            return Err(Advice::new(
                "home is empty, which is the whole bucket",
                "name a folder per owner, such as \"users/${sub}/\"",
            ));
        }
        let mut segments = split_segments(text)?;
        if segments.pop() != Some(Segment::empty()) {
            return Err(Advice::new(
                "home does not end in `/`, so `users/1` also reaches `users/10/`",
                "end it with `/`",
            ));
        }
        let home = Self { max_len: text.max_len(), segments };
        home.check(owners)?;
        Ok(home)
    }

    fn check(&self, owners: &[ClaimRef]) -> Result<(), Advice> {
        for segment in &self.segments {
            segment.check()?;
            if let Some(variable) = &segment.variable
                && !owners.contains(&variable.claim)
                && variable.claim != ClaimRef::Iss
            {
                return Err(Advice::new(
                    format!("home holds {variable}, which is not an owner"),
                    format!(
                        "add {} to owner if it says whose folder it is, or leave it out",
                        toml::Value::from(variable.claim.to_string())
                    ),
                ));
            }
        }
        if let Some(missing) = owners.iter().find(|owner| !self.claims().any(|claim| claim == *owner)) {
            return Err(Advice::new(
                format!("home does not hold the owner `{missing}`, so two owners share it"),
                format!("add a segment with ${{{missing}}}"),
            ));
        }
        if self.max_len > MAX_HOME_BYTES {
            return Err(Advice::new(
                format!("home can grow to {} bytes; COS keys end at 850", self.max_len),
                "use the filter sha256 for long values",
            ));
        }
        Ok(())
    }

    fn claims(&self) -> impl Iterator<Item = &ClaimRef> {
        self.segments.iter().filter_map(|segment| segment.variable.as_ref()).map(|variable| &variable.claim)
    }

    /// Whether an owner's folder here can equal, contain or lie in a different owner's folder there.
    ///
    /// Exact for literals. Two different variable segments are assumed to overlap, unless the text around them
    /// rules it out.
    pub(crate) fn may_overlap(&self, other: &Self) -> bool {
        let mut same_values = Vec::new();
        let mut possible = false;
        for (a, b) in self.segments.iter().zip(&other.segments) {
            match a.overlap(b) {
                SegmentOverlap::Never => return false,
                SegmentOverlap::SameValue(claim) => same_values.extend(claim),
                SegmentOverlap::Possible => possible = true,
            }
        }
        possible || self.claims().chain(other.claims()).any(|claim| !same_values.contains(&claim))
    }

    /// Whether a folder here can equal, contain or lie in a folder there, of the same owner or another.
    pub(crate) fn may_meet(&self, other: &Self) -> bool {
        let mut segments = self.segments.iter().zip(&other.segments);
        segments.all(|(a, b)| !matches!(a.overlap(b), SegmentOverlap::Never))
    }

    /// Whether an owner's folder can contain, or lie under, a key that begins with `prefix`. An unfinished last
    /// segment counts as a possible match.
    pub(crate) fn may_contain_prefix(&self, prefix: &str) -> bool {
        let mut parts: Vec<&str> = prefix.split('/').collect();
        let unfinished = parts.pop().unwrap_or_default();
        let finished_match =
            self.segments.iter().zip(&parts).all(|(segment, part)| segment.may_equal_literal(part));
        finished_match
            && self.segments.get(parts.len()).is_none_or(|segment| match &segment.variable {
                None => segment.before.starts_with(unfinished),
                Some(_) => is_prefix_of_other(&segment.before, unfinished),
            })
    }
}

fn split_segments(text: &TemplateString) -> Result<Vec<Segment>, Advice> {
    let mut segments = Vec::new();
    let mut current = Segment::empty();
    for piece in text.pieces() {
        match piece {
            Piece::Literal(literal) => {
                for (index, part) in literal.split('/').enumerate() {
                    if index > 0 {
                        segments.push(std::mem::replace(&mut current, Segment::empty()));
                    }
                    current.push_literal(part);
                }
            }
            Piece::Variable(variable) if current.variable.is_none() => {
                current.variable = Some(variable.clone());
            }
            Piece::Variable(_) => {
                return Err(Advice::new(
                    "home joins two variables in one segment, so `a-b` + `c` and `a` + `b-c` are one folder",
                    "put a `/` between them",
                ));
            }
        }
    }
    segments.push(current);
    Ok(segments)
}

impl Segment {
    fn empty() -> Self {
        Self { before: String::new(), variable: None, after: String::new() }
    }

    fn push_literal(&mut self, part: &str) {
        if self.variable.is_none() { &mut self.before } else { &mut self.after }.push_str(part);
    }

    /// Checks that the literals are plain, so that a home has one meaning whether slashes are merged, dots
    /// resolved, escapes decoded or wildcards expanded.
    fn check(&self) -> Result<(), Advice> {
        for literal in [&self.before, &self.after] {
            if let Some(c) = literal.chars().find(|c| !c.is_ascii_alphanumeric() && !"._-~=@".contains(*c)) {
                return Err(Advice::new(
                    format!("home holds `{}`", c.escape_default()),
                    "use only A-Z a-z 0-9 . _ - ~ = @ around variables: nothing that COS or CAM may read as special",
                ));
            }
            if literal.contains("..") {
                return Err(Advice::new("home holds `..`", "name the folder itself"));
            }
        }
        match (&self.variable, self.before.as_str()) {
            (None, "") => Err(Advice::new(
                "home holds an empty segment (a leading `/` or `//`)",
                "remove the extra slash",
            )),
            (None, ".") => Err(Advice::new("home holds the segment `.`", "remove it")),
            _ => Ok(()),
        }
    }

    fn overlap<'a>(&'a self, other: &'a Self) -> SegmentOverlap<'a> {
        match (&self.variable, &other.variable) {
            (None, None) if self.before == other.before => SegmentOverlap::SameValue(None),
            (Some(variable), Some(_)) if self.agrees_with(other) => {
                SegmentOverlap::SameValue(Some(&variable.claim))
            }
            (Some(_), Some(_)) if self.may_equal(other) => SegmentOverlap::Possible,
            (Some(_), None) if self.may_equal_literal(&other.before) => SegmentOverlap::Possible,
            (None, Some(_)) if other.may_equal_literal(&self.before) => SegmentOverlap::Possible,
            _ => SegmentOverlap::Never,
        }
    }

    fn may_equal_literal(&self, literal: &str) -> bool {
        let Some(variable) = &self.variable else { return self.before == literal };
        literal
            .strip_prefix(self.before.as_str())
            .and_then(|rest| rest.strip_suffix(self.after.as_str()))
            .is_some_and(|value| variable.encoding.can_yield(value))
    }

    /// Returns what every rendering begins with.
    fn fixed_start(&self) -> String {
        format!("{}{}", self.before, self.variable.as_ref().map_or("", |variable| variable.encoding.tag()))
    }

    /// Whether equal renderings of two segments come from one value of one claim.
    fn agrees_with(&self, other: &Self) -> bool {
        let variables = self.variable.as_ref().zip(other.variable.as_ref());
        self.before == other.before
            && self.after == other.after
            && variables.is_some_and(|(a, b)| a.claim == b.claim && a.encoding.agrees_with(b.encoding))
    }

    fn keeps_plain_values(&self) -> bool {
        self.variable.as_ref().is_some_and(|variable| variable.encoding.keeps_plain_values())
    }

    /// Whether two different variable segments can render to the same text.
    ///
    /// They cannot if the literals before or after the variables differ, or if the part by which one literal is
    /// longer could not begin or end a plain value of the other. An escape could not either: no literal has `!`.
    fn may_equal(&self, other: &Self) -> bool {
        // Two encodings at one position count as equal even with tags: rule (e) requires one encoding per owner.
        let may_begin_alike =
            self.before == other.before || is_prefix_of_other(&self.fixed_start(), &other.fixed_start());
        let may_end_alike = self.after.ends_with(&other.after) || other.after.ends_with(&self.after);
        if !may_begin_alike || !may_end_alike {
            return false;
        }
        if !self.keeps_plain_values() || !other.keeps_plain_values() {
            return true;
        }
        let shared_before = self.before.len().min(other.before.len());
        let extra_before = longer(&self.before, &other.before).as_bytes().get(shared_before);
        let shared_after = self.after.len().min(other.after.len());
        let extra_after = longer(&self.after, &other.after).bytes().rev().nth(shared_after);
        extra_before.is_none_or(u8::is_ascii_alphanumeric)
            && extra_after.is_none_or(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    }
}

fn longer<'a>(a: &'a str, b: &'a str) -> &'a str {
    if a.len() > b.len() { a } else { b }
}

fn is_prefix_of_other(a: &str, b: &str) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(text: &str) -> Home {
        let text = TemplateString::parse(text, None).unwrap();
        let owners: Vec<ClaimRef> = text
            .pieces()
            .iter()
            .filter_map(|piece| match piece {
                Piece::Variable(variable) => Some(variable.claim.clone()),
                Piece::Literal(_) => None,
            })
            .collect();
        Home::prove(&text, &owners).unwrap()
    }

    #[test]
    fn homes_that_can_be_equal_or_nested_for_different_owners_overlap() {
        for (a, b, expected) in [
            ("u/${sub}/", "u/${sub}/", false),
            ("u/${sub}/", "v/${sub}/", false),
            ("u/${sub}/", "u/${sub}/inbox/", false),
            ("u/${sub}/", "${sub}/", true),
            ("u/${sub}/", "u/${sub|hex}/", true),
            ("u/${sub}/", "u/${claim.x}/", true),
            ("u/${sub}/", "u/a-${sub}/", true),
            ("u/a-${sub}/", "u/b-${sub}/", false),
            ("u/${sub}/", "u/-${sub}/", false),
            ("u/${sub}/", "u/${sub}.d/", true),
            ("u/${sub}/a/", "u/${claim.x}/b/", false),
            ("t/${claim.t}/", "t/${claim.t}/${sub}/", true),
            ("t/${claim.t}/", "t/${claim.t}/x/", false),
            ("t/${claim.t}/${sub}/", "t/${claim.t}/${sub}/x/", false),
            ("t/${claim.t}/x/", "t/${claim.t}/${sub}/", true),
            ("u/${sub|hex}/", "u/_hex_zz-${sub}/", true),
            ("u/${sub|hex}/", "u/${iss|sha256}/", true),
            ("u/${sub}/", "u/${sub|base64url}/", true),
            ("u/u-${sub}/", "u/${iss|sha256}/", false),
            ("u/${sub|escape}/", "u/${sub|escape}/inbox/", false),
            ("u/${sub|escape}/", "u/${sub}/", false),
            ("u/${sub|escape}/", "u/${sub}/inbox/", false),
            ("u/a-${sub|escape}-x/", "u/a-${sub}-x/", false),
            ("u/${sub|escape}/", "${sub}/", true),
            ("u/${sub|escape}/", "u/${claim.x}/", true),
            ("u/${sub|escape}/", "u/${claim.x|escape}/", true),
            ("u/${sub|escape}/", "u/${sub|hex}/", true),
            ("u/${sub|escape}/", "u/${sub|base64url}/", true),
            ("u/${sub|escape}/", "u/a-${sub}/", true),
            ("u/${sub|escape}/", "u/${sub|escape}-/", true),
            ("u/${sub|escape}/", "u/_${sub|escape}/", false),
            ("u/${sub|escape}/", "u/_hex_${sub}/", false),
            ("u/${sub|escape}/", "u/users/", true),
            ("u/${sub|escape}/", "u/_x/", false),
            ("t/${claim.t}/${sub|escape}/", "t/${claim.t|escape}/${sub}/", false),
        ] {
            assert_eq!(home(a).may_overlap(&home(b)), expected, "{a} beside {b}");
            assert_eq!(home(b).may_overlap(&home(a)), expected, "{b} beside {a}");
        }
    }

    #[test]
    fn a_prefix_may_be_in_a_home_that_contains_it_or_lies_under_it() {
        for (prefix, expected) in [
            ("", true),
            ("u", true),
            ("users", true),
            ("users/", true),
            ("users/al", true),
            ("users/alice/x", true),
            ("users/_x/", false),
            ("public/", false),
            ("users2/", false),
        ] {
            assert_eq!(home("users/${sub}/").may_contain_prefix(prefix), expected, "{prefix}");
        }
        assert!(!home("u/${sub|hex}/").may_contain_prefix("u/public/"));
    }

    #[test]
    fn each_problem_of_a_home_is_reported() {
        let owner = [ClaimRef::Sub];
        for (text, part) in [
            ("", "whole bucket"),
            ("users/${sub}", "does not end in `/`"),
            ("/users/${sub}/", "empty segment"),
            ("users//${sub}/", "empty segment"),
            ("users/../${sub}/", "`..`"),
            ("users/./${sub}/", "segment `.`"),
            ("users/*/${sub}/", "`*`"),
            ("users/?/${sub}/", "`?`"),
            ("users/%41/${sub}/", "`%`"),
            ("用户/${sub}/", "home holds"),
            ("users/${sub}${sub}/", "joins two variables"),
            ("users/${claim.nick}/", "not an owner"),
            ("users/", "does not hold the owner"),
        ] {
            let message =
                Home::prove(&TemplateString::parse(text, None).unwrap(), &owner).unwrap_err().message;
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn a_home_leaves_room_for_a_file_name() {
        let home_of = |letters: usize| {
            let text =
                TemplateString::parse(&format!("{}/${{sub|sha256}}/", "a".repeat(letters)), None).unwrap();
            (text.max_len(), Home::prove(&text, &[ClaimRef::Sub]).is_ok())
        };
        let max = MAX_HOME_BYTES - home_of(0).0;
        assert_eq!(home_of(max), (MAX_HOME_BYTES, true));
        assert_eq!(home_of(max + 1), (MAX_HOME_BYTES + 1, false));
    }

    #[test]
    fn segments_are_compared_to_the_byte() {
        for (a, b, expected) in [
            ("u/${sub}/", "u/${sub}-/", true),
            ("u/${sub}/", "u/${sub}./", false),
            ("u/${sub}/", "u/${sub}~/", false),
            ("u/${sub|hex}.d/", "u/_hex_61.d/${sub}/", true),
            ("u/${sub|hex}.d/", "u/_hex_61/${sub}/", false),
        ] {
            assert_eq!(home(a).may_overlap(&home(b)), expected, "{a} beside {b}");
            assert_eq!(home(b).may_overlap(&home(a)), expected, "{b} beside {a}");
        }
        assert!(!home("users/${sub}/").may_contain_prefix("users2"));
        let long = format!("{}/${{sub}}/", "a".repeat(700));
        for (text, part) in [
            ("a..b/${sub}/", "`..`"),
            ("x..${sub}/", "`..`"),
            ("a+b/${sub}/", "`+`"),
            ("a b/${sub}/", "` `"),
            (long.as_str(), "can grow to"),
        ] {
            let message = Home::prove(&TemplateString::parse(text, None).unwrap(), &[ClaimRef::Sub])
                .unwrap_err()
                .message;
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
