//! A home: the folder that everything a template grants lies under, and when two homes can meet.
//!
//! A home is segments between slashes, each literal or around exactly one owner variable. Since no
//! value holds a slash and every segment is closed by one, two renderings are equal or nested only if
//! they agree segment by segment; that is what [`Home::clash`] unifies.

use super::{
    text::{Piece, Text},
    variable::{Encoding, Subject, Variable},
};

/// A home that ends in `/` and names its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Home {
    longest: usize,
    segments: Vec<Segment>,
}

/// One segment: literal text, or literal text around a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    before: String,
    variable: Option<Variable>,
    after: String,
}

/// What two segments at the same place can be to each other.
enum Meeting<'a> {
    /// They are never equal.
    Apart,
    /// They are equal only if this variable has one value on both sides (literals: always).
    Forced(Option<&'a Subject>),
    /// They can be equal for different owners.
    Open,
}

/// COS keys end at 850 bytes (docs 436/13324); a home must leave room for a file's name.
const LONGEST_HOME: usize = 700;

impl Home {
    /// Proves rule (a) of a template's `home`: literal segments and variable segments, each with one owner
    /// variable, all owners present, ending in `/`.
    ///
    /// # Errors
    /// What cannot be proved, and the mend.
    pub(super) fn prove(text: &Text, owners: &[Subject]) -> Result<Self, (String, String)> {
        if text.pieces().is_empty() {
            return Err((
                "home is empty, which is the whole bucket".to_owned(),
                "name a folder per owner, such as \"users/${sub}/\"".to_owned(),
            ));
        }
        let mut segments = vec![Segment::empty()];
        for piece in text.pieces() {
            match piece {
                Piece::Literal(literal) => {
                    for (index, part) in literal.split('/').enumerate() {
                        if index > 0 {
                            segments.push(Segment::empty());
                        }
                        if let Some(last) = segments.last_mut() {
                            last.push_literal(part);
                        }
                    }
                }
                Piece::Variable(variable) => match segments.last_mut() {
                    Some(segment) if segment.variable.is_none() => {
                        segment.variable = Some(variable.clone());
                    }
                    _ => {
                        return Err((
                            "home joins two variables in one segment, so `a-b` + `c` and `a` + `b-c` are one folder"
                                .to_owned(),
                            "put a `/` between them".to_owned(),
                        ));
                    }
                },
            }
        }
        if segments.pop() != Some(Segment::empty()) {
            return Err((
                "home does not end in `/`, so `users/1` also reaches `users/10/`".to_owned(),
                "end it with `/`".to_owned(),
            ));
        }
        let home = Self { longest: text.longest(), segments };
        home.check(owners)?;
        Ok(home)
    }

    fn check(&self, owners: &[Subject]) -> Result<(), (String, String)> {
        for segment in &self.segments {
            segment.check()?;
            if let Some(variable) = &segment.variable
                && !owners.contains(&variable.subject)
                && variable.subject != Subject::Iss
            {
                return Err((
                    format!("home holds {variable}, which is not an owner"),
                    format!(
                        "add \"{}\" to owner if it says whose folder it is, or leave it out",
                        variable.subject
                    ),
                ));
            }
        }
        if let Some(missing) = owners.iter().find(|owner| !self.subjects().any(|subject| subject == *owner)) {
            return Err((
                format!("home does not hold the owner `{missing}`, so two owners share it"),
                format!("add a segment with ${{{missing}}}"),
            ));
        }
        if self.longest > LONGEST_HOME {
            return Err((
                format!("home can grow to {} bytes; COS keys end at 850", self.longest),
                "use the filter sha256 for long values".to_owned(),
            ));
        }
        Ok(())
    }

    fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.segments.iter().filter_map(|segment| segment.variable.as_ref()).map(|variable| &variable.subject)
    }

    /// Whether some owner's folder here can equal, hold or lie in a different owner's folder there.
    ///
    /// Exact on literals; where two variable segments differ, taken to meet unless the text around
    /// them keeps them apart.
    pub(super) fn clash(&self, other: &Self) -> bool {
        let mut forced = Vec::new();
        let mut open = false;
        for (a, b) in self.segments.iter().zip(&other.segments) {
            match a.meet(b) {
                Meeting::Apart => return false,
                Meeting::Forced(subject) => forced.extend(subject),
                Meeting::Open => open = true,
            }
        }
        open || self.subjects().chain(other.subjects()).any(|subject| !forced.contains(&subject))
    }

    /// Whether some owner's folder can hold, or lie under, a key that begins with `prefix`; in doubt
    /// about an unfinished segment, yes.
    pub(super) fn touches(&self, prefix: &str) -> bool {
        let mut parts: Vec<&str> = prefix.split('/').collect();
        let begun = parts.pop().unwrap_or_default();
        let whole = self.segments.iter().zip(&parts).all(|(segment, part)| {
            let literal = Segment { before: (*part).to_owned(), ..Segment::empty() };
            !matches!(segment.meet(&literal), Meeting::Apart)
        });
        whole
            && self.segments.get(parts.len()).is_none_or(|segment| match &segment.variable {
                None => segment.before.starts_with(begun),
                Some(_) => one_begins_other(&segment.before, begun),
            })
    }
}

impl Segment {
    fn empty() -> Self {
        Self { before: String::new(), variable: None, after: String::new() }
    }

    fn push_literal(&mut self, part: &str) {
        if self.variable.is_none() { &mut self.before } else { &mut self.after }.push_str(part);
    }

    /// Literals are plain, so that a home reads the same whether slashes are merged, dots resolved,
    /// escapes decoded or wildcards expanded.
    fn check(&self) -> Result<(), (String, String)> {
        let refuse = |fault: &str, help: &str| Err((format!("home holds {fault}"), help.to_owned()));
        for literal in [&self.before, &self.after] {
            if let Some(c) = literal.chars().find(|c| !c.is_ascii_alphanumeric() && !"._-~=@".contains(*c)) {
                return refuse(
                    &format!("`{}`", c.escape_default()),
                    "use only A-Z a-z 0-9 . _ - ~ = @ around variables: nothing that COS or CAM may read as special",
                );
            }
            if literal.contains("..") {
                return refuse("`..`", "name the folder itself");
            }
        }
        match (&self.variable, self.before.as_str()) {
            (None, "") => refuse("an empty segment (a leading `/` or `//`)", "remove the extra slash"),
            (None, ".") => refuse("the segment `.`", "remove it"),
            _ => Ok(()),
        }
    }

    fn meet<'a>(&'a self, other: &'a Self) -> Meeting<'a> {
        match (&self.variable, &other.variable) {
            (None, None) if self.before == other.before => Meeting::Forced(None),
            (Some(variable), Some(_)) if self == other => Meeting::Forced(Some(&variable.subject)),
            (Some(_), Some(_)) if self.can_equal(other) => Meeting::Open,
            (Some(variable), None) if self.can_be(variable.encoding, &other.before) => Meeting::Open,
            (None, Some(variable)) if other.can_be(variable.encoding, &self.before) => Meeting::Open,
            _ => Meeting::Apart,
        }
    }

    fn can_be(&self, encoding: Encoding, literal: &str) -> bool {
        literal
            .strip_prefix(self.before.as_str())
            .and_then(|rest| rest.strip_suffix(self.after.as_str()))
            .is_some_and(|value| encoding.can_yield(value))
    }

    /// What it begins with, whatever its variable's value.
    fn start(&self) -> String {
        format!("{}{}", self.before, self.variable.as_ref().map_or("", |variable| variable.encoding.tag()))
    }

    /// Whether two different variable segments can render alike: unless the text before or after the
    /// variables differs, or what one has more of it could not begin or end a bare value.
    fn can_equal(&self, other: &Self) -> bool {
        // Two encodings in one place stay refused, tags or not: rule (e) wants one owner in one way.
        let begin_alike = self.before == other.before || one_begins_other(&self.start(), &other.start());
        if !begin_alike || !one_ends_other(&self.after, &other.after) {
            return false;
        }
        let bare = [self, other]
            .iter()
            .all(|segment| segment.variable.as_ref().is_some_and(|v| v.encoding == Encoding::Bare));
        let longer = |a: &'_ str, b: &'_ str| {
            if a.len() > b.len() { a.to_owned() } else { b.to_owned() }
        };
        let shared_before = self.before.len().min(other.before.len());
        let more_before = longer(&self.before, &other.before).split_off(shared_before);
        let mut more_after = longer(&self.after, &other.after);
        more_after.truncate(more_after.len() - self.after.len().min(other.after.len()));
        let starts = more_before.bytes().next().is_none_or(|byte| byte.is_ascii_alphanumeric());
        let ends = more_after.bytes().next_back().is_none_or(|byte| byte.is_ascii_alphanumeric());
        !bare || (starts && ends)
    }
}

fn one_begins_other(a: &str, b: &str) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

fn one_ends_other(a: &str, b: &str) -> bool {
    a.ends_with(b) || b.ends_with(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(text: &str) -> Home {
        let text = Text::parse(text, None).unwrap();
        let owners: Vec<Subject> = text
            .pieces()
            .iter()
            .filter_map(|piece| match piece {
                Piece::Variable(variable) => Some(variable.subject.clone()),
                Piece::Literal(_) => None,
            })
            .collect();
        Home::prove(&text, &owners).unwrap()
    }

    #[test]
    fn homes_that_can_meet_for_different_owners_clash() {
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
        ] {
            assert_eq!(home(a).clash(&home(b)), expected, "{a} beside {b}");
            assert_eq!(home(b).clash(&home(a)), expected, "{b} beside {a}");
        }
    }

    #[test]
    fn a_shared_prefix_touches_a_home_it_holds_or_lies_in() {
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
            assert_eq!(home("users/${sub}/").touches(prefix), expected, "{prefix}");
        }
        assert!(!home("u/${sub|hex}/").touches("u/public/"));
    }

    #[test]
    fn each_fault_of_a_home_is_named() {
        let owner = [Subject::Sub];
        for (text, said) in [
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
            let (message, _) = Home::prove(&Text::parse(text, None).unwrap(), &owner).unwrap_err();
            assert!(message.contains(said), "{text}: {message}");
        }
    }

    #[test]
    fn a_home_leaves_room_for_the_name_of_a_file() {
        let longest = |letters: usize| {
            let text = Text::parse(&format!("{}/${{sub|sha256}}/", "a".repeat(letters)), None).unwrap();
            (text.longest(), Home::prove(&text, &[Subject::Sub]).is_ok())
        };
        let most = LONGEST_HOME - longest(0).0;
        assert_eq!(longest(most), (LONGEST_HOME, true));
        assert_eq!(longest(most + 1), (LONGEST_HOME + 1, false));
    }

    #[test]
    fn segments_are_told_apart_to_the_byte() {
        for (a, b, expected) in [
            ("u/${sub}/", "u/${sub}-/", false),
            ("u/${sub|hex}.d/", "u/_hex_61.d/${sub}/", true),
            ("u/${sub|hex}.d/", "u/_hex_61/${sub}/", false),
        ] {
            assert_eq!(home(a).clash(&home(b)), expected, "{a} beside {b}");
            assert_eq!(home(b).clash(&home(a)), expected, "{b} beside {a}");
        }
        assert!(!home("users/${sub}/").touches("users2"));
        let long = format!("{}/${{sub}}/", "a".repeat(700));
        for (text, said) in [
            ("a..b/${sub}/", "`..`"),
            ("x..${sub}/", "`..`"),
            ("a+b/${sub}/", "`+`"),
            ("a b/${sub}/", "` `"),
            (long.as_str(), "can grow to"),
        ] {
            let (message, _) = Home::prove(&Text::parse(text, None).unwrap(), &[Subject::Sub]).unwrap_err();
            assert!(message.contains(said), "{text}: {message}");
        }
    }
}
