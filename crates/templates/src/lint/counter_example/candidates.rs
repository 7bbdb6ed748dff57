//! Candidates for a counter-example: identities whose values extend, contain or spell out parts of one another.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    synthetic_identity::{SyntheticIdentity, texts_of_allows},
    template::{ClaimRef, Piece, Template, TemplateString, Variable},
};

/// Templates with more segments, or that need more candidates, are searched only in part.
const MAX_SEGMENTS: usize = 40;
const MAX_CANDIDATES: usize = 80;

/// The maximum number of candidates that are read off one pattern.
const MAX_CANDIDATES_PER_PATTERN: usize = 8;

/// Returns the identities to try on these templates: first the usual ones, then those whose values spell out
/// parts of the templates.
pub(super) fn candidates(templates: &[&Template], several_issuers: bool) -> Vec<SyntheticIdentity> {
    let usual = SyntheticIdentity::usual(templates);
    let mut candidates = SyntheticIdentity::usual_variants(templates, several_issuers);
    // A hash cannot be reversed, so under a hash only equal values overlap.
    candidates.extend(usual.swapped_values(templates));
    let texts = templates.iter().flat_map(|template| texts_of_allows(template));
    let segments: Vec<Segment<'_>> = texts.flat_map(segments).take(MAX_SEGMENTS).collect();
    for spelling in spellings(&segments, &usual) {
        for segment in &segments {
            let Some((claim, value)) = segment.value_spelt(&spelling) else { continue };
            let candidate = usual.with(claim, value);
            if candidates.len() < MAX_CANDIDATES && !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
    }
    candidates
}

/// Literal text, or a variable with the literal text around it up to the next slash, star or variable.
struct Segment<'a> {
    before: &'a str,
    variable: Option<&'a Variable>,
    after: &'a str,
}

impl<'a> Segment<'a> {
    /// Returns the claim's value with which this segment renders to `spelling`.
    fn value_spelt(&self, spelling: &str) -> Option<(&'a ClaimRef, Value)> {
        let variable = self.variable?;
        let text = spelling.strip_prefix(self.before)?.strip_suffix(self.after)?;
        Some((&variable.claim, variable.encoding.decode(text)?))
    }
}

const SEPARATORS: [char; 2] = ['/', '*'];

fn segments(text: &TemplateString) -> Vec<Segment<'_>> {
    let pieces = text.pieces();
    let mut segments = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Literal(literal) => {
                let parts = literal.split(SEPARATORS).filter(|part| !part.is_empty());
                segments.extend(parts.map(|before| Segment { before, variable: None, after: "" }));
            }
            Piece::Variable(variable) => {
                let (previous, next) = (index.checked_sub(1), index.checked_add(1));
                segments.push(Segment {
                    before: literal_at(pieces, previous).rsplit(SEPARATORS).next().unwrap_or_default(),
                    variable: Some(variable),
                    after: literal_at(pieces, next).split(SEPARATORS).next().unwrap_or_default(),
                });
            }
        }
    }
    segments
}

/// Returns the literal at a position, or an empty text if there is none.
fn literal_at(pieces: &[Piece], index: Option<usize>) -> &str {
    match index.and_then(|index| pieces.get(index)) {
        Some(Piece::Literal(literal)) => literal,
        Some(Piece::Variable(_)) | None => "",
    }
}

/// Returns texts that a segment of a path could be: each segment as it renders, and with the end of one after
/// the beginning of another.
fn spellings(segments: &[Segment<'_>], usual: &SyntheticIdentity) -> BTreeSet<String> {
    let Some(identity) = usual.identity() else { return BTreeSet::new() };
    let mut spellings = BTreeSet::new();
    for segment in segments {
        let value = segment.variable.and_then(|variable| variable.render(&identity).ok()).unwrap_or_default();
        spellings.insert(format!("{}{value}{}", segment.before, segment.after));
        // If a text joins two variables, a value may contain that text itself.
        spellings.insert(format!("{0}{value}{0}{value}{1}", segment.before, segment.after));
        for other in segments.iter().filter(|other| other.variable.is_some()) {
            spellings.insert(format!("{}{value}{}", segment.before, other.after));
            spellings.insert(format!("{}{value}{}", other.before, segment.after));
        }
    }
    spellings
}

/// Returns identities for which a template's text can render to a match of `pattern`, which another identity can
/// reach. Their values are read off that pattern.
pub(super) fn matching(
    pattern: &str,
    template: &Template,
    base: &SyntheticIdentity,
) -> Vec<SyntheticIdentity> {
    let mut reader = PatternReader { base, values: BTreeMap::new(), found: Vec::new() };
    for text in texts_of_allows(template) {
        reader.read(pattern, text.pieces());
    }
    reader.found
}

/// Reads the values of variables off a pattern.
struct PatternReader<'a> {
    base: &'a SyntheticIdentity,
    values: BTreeMap<ClaimRef, Value>,
    found: Vec<SyntheticIdentity>,
}

impl PatternReader<'_> {
    /// Matches pieces against a pattern from the left, and tries every end of every variable. At a star both may
    /// go on in any way; the evaluator decides later whether they match.
    fn read(&mut self, pattern: &str, pieces: &[Piece]) {
        if self.found.len() >= MAX_CANDIDATES_PER_PATTERN {
            return;
        }
        match pieces.split_first() {
            Some((Piece::Literal(literal), rest)) if !is_open(pattern) => {
                if let Some(remaining) = match_literal(pattern, literal) {
                    self.read(remaining, rest);
                }
            }
            Some((Piece::Variable(variable), rest)) if !is_open(pattern) => {
                self.read_variable(pattern, variable, rest);
            }
            _ => {
                let identity = self.base.with_all(&self.values);
                if !self.found.contains(&identity) {
                    self.found.push(identity);
                }
            }
        }
    }

    fn read_variable(&mut self, pattern: &str, variable: &Variable, rest: &[Piece]) {
        let max_end = pattern.find(SEPARATORS).unwrap_or(pattern.len());
        for end in (1..=max_end).rev() {
            let Some((text, remaining)) = pattern.split_at_checked(end) else { continue };
            let Some(value) = variable.encoding.decode(text) else { continue };
            let before = self.values.insert(variable.claim.clone(), value.clone());
            if before.as_ref().is_none_or(|before| *before == value) {
                self.read(remaining, rest);
            }
            match before {
                Some(before) => self.values.insert(variable.claim.clone(), before),
                None => self.values.remove(&variable.claim),
            };
        }
    }
}

/// Whether a pattern is at its end or at a star.
fn is_open(pattern: &str) -> bool {
    pattern.is_empty() || pattern.starts_with('*')
}

/// Matches a literal with the start of a pattern, and returns the rest of the pattern. The rest is empty if a
/// star on either side makes it irrelevant.
fn match_literal<'a>(pattern: &'a str, literal: &str) -> Option<&'a str> {
    let (start, literal_has_star) = before_star(literal);
    let (certain, pattern_has_star) = before_star(pattern);
    if !literal_has_star && let Some(rest) = pattern.strip_prefix(start) {
        return Some(rest);
    }
    (certain.starts_with(start) || start.starts_with(certain) && pattern_has_star).then_some("")
}

/// Returns the text before the first star, and whether there is a star.
fn before_star(text: &str) -> (&str, bool) {
    match text.split_once('*') {
        Some((before, _)) => (before, true),
        None => (text, false),
    }
}
