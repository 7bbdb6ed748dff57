//! Made-up people who could meet: names that extend, swallow or spell out parts of one another.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::{
    identity::Identity,
    template::{Operand, Template},
    text::{Piece, Text},
    variable::{Encoding, Subject, Variable},
};
use cam::Effect;

/// Whose word it is, unless two are needed.
pub(super) const ISSUER: &str = "https://id.example.com/";
const OTHER_ISSUER: &str = "https://login.example.org/";

/// What their token would say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principal(BTreeMap<Subject, Value>);

impl Principal {
    fn with(&self, subject: &Subject, value: Value) -> Self {
        let mut changed = self.clone();
        changed.0.insert(subject.clone(), value);
        changed
    }

    pub(super) fn value(&self, subject: &Subject) -> Option<&Value> {
        self.0.get(subject)
    }

    /// All claims of their token, `iss` and `sub` among them.
    pub(super) fn claims(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        for (subject, value) in &self.0 {
            match subject {
                Subject::Sub => drop(claims.insert("sub".to_owned(), value.clone())),
                Subject::Iss => drop(claims.insert("iss".to_owned(), value.clone())),
                Subject::Claim(path) => put(&mut claims, path, value),
            }
        }
        claims
    }

    /// As the broker would know them; nobody without a subject.
    pub(super) fn identity(&self) -> Option<Identity> {
        let issuer = self.value(&Subject::Iss).and_then(Value::as_str).unwrap_or(ISSUER);
        Identity::from_claims(issuer.into(), self.claims()).ok()
    }
}

fn put(claims: &mut Map<String, Value>, path: &[String], value: &Value) {
    match path {
        [] => {}
        [last] => drop(claims.insert(last.clone(), value.clone())),
        [first, rest @ ..] => {
            let inner = claims.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Somebody made up, all of whose claims are `name` or `number`, and who carries what the template requires.
/// A claim that decides whose home it is is never one that the template names: that home may be somebody's.
pub(super) fn made_up(template: &Template, issuer: &str, name: &str, number: u64) -> Option<Identity> {
    let variables: Vec<&Variable> = reaching(template).flat_map(Text::variables).collect();
    let mut principal =
        Principal(BTreeMap::from([(Subject::Sub, name.into()), (Subject::Iss, issuer.into())]));
    for (path, values) in template.require.iter().filter(|(path, _)| *path != ["sub"]) {
        principal.0.insert(Subject::Claim(path.clone()), values.first()?.clone());
    }
    for subject in variables.iter().map(|variable| &variable.subject).chain(&template.owners) {
        let is_integer =
            variables.iter().any(|one| one.subject == *subject && one.encoding == Encoding::Integer);
        let value = if is_integer { Value::from(number) } else { Value::from(name) };
        if template.owners.contains(subject) && *subject != Subject::Iss {
            principal.0.insert(subject.clone(), value);
        } else {
            principal.0.entry(subject.clone()).or_insert(value);
        }
    }
    principal.identity()
}

/// A template that has more segments or calls for more people is searched in part.
const MOST_SEGMENTS: usize = 40;
const MOST_PEOPLE: usize = 80;

/// How many of [`around`] are the usual ones: two names, two values of every claim, a name that begins with
/// another, and where it matters two issuers.
pub(super) const USUAL: usize = 7;

/// People worth trying on these templates: first the usual ones, then those whose values spell out a part of
/// the templates themselves.
pub(super) fn around(templates: &[&Template], several_issuers: bool) -> Vec<Principal> {
    let texts: Vec<&Text> = templates.iter().flat_map(|template| reaching(template)).collect();
    let variables: Vec<_> = texts.iter().flat_map(|text| text.variables()).collect();
    let is_integer = |subject: &Subject| {
        variables.iter().any(|one| one.subject == *subject && one.encoding == Encoding::Integer)
    };
    let owners = templates.iter().flat_map(|template| &template.owners);
    let subjects: BTreeSet<&Subject> = variables
        .iter()
        .map(|variable| &variable.subject)
        .chain(owners)
        .chain([&Subject::Sub, &Subject::Iss])
        .collect();
    let principal = |name: &str, (claim, number): (&str, u32), issuer: &str| {
        let value = |subject: &Subject| match subject {
            Subject::Sub => Value::from(name),
            Subject::Iss => Value::from(issuer),
            Subject::Claim(_) if is_integer(subject) => Value::from(number),
            Subject::Claim(_) => Value::from(claim),
        };
        Principal(subjects.iter().map(|subject| ((*subject).clone(), value(subject))).collect())
    };
    let (red, blue) = (("red", 7), ("blue", 8));
    let elsewhere = if several_issuers { OTHER_ISSUER } else { ISSUER };
    let usual = principal("alice", red, ISSUER);
    let mut people = vec![
        usual.clone(),
        principal("bob", red, ISSUER),
        principal("alice", blue, ISSUER),
        principal("bob", blue, ISSUER),
        principal("alice", red, elsewhere),
        principal("alice0", red, ISSUER),
        principal("alice", ("red0", 70), ISSUER),
    ];
    // A hash cannot be read backwards, so that only equal values meet under it.
    let borrowed = [red.0, "alice", ISSUER].into_iter().flat_map(|value| {
        let text = subjects.iter().filter(|subject| **subject != &Subject::Iss && !is_integer(subject));
        text.map(move |subject| (subject, Value::from(value)))
    });
    people.extend(borrowed.map(|(subject, value)| usual.with(subject, value)));
    let segments: Vec<Segment<'_>> =
        texts.iter().flat_map(|text| segments(text)).take(MOST_SEGMENTS).collect();
    for (written, segment) in spellings(&segments, &usual).iter().flat_map(|written| {
        segments.iter().filter(|segment| segment.variable.is_some()).map(move |one| (written, one))
    }) {
        let stripped = written.strip_prefix(segment.before).and_then(|rest| rest.strip_suffix(segment.after));
        let value = stripped.zip(segment.variable).and_then(|(text, one)| one.encoding.value_of(text));
        if let Some((value, variable)) = value.zip(segment.variable) {
            let unusual = usual.with(&variable.subject, value);
            if people.len() < MOST_PEOPLE && !people.contains(&unusual) {
                people.push(unusual);
            }
        }
    }
    people
}

/// The texts that decide what a template's keys reach.
fn reaching(template: &Template) -> impl Iterator<Item = &Text> {
    let allows = template.statements.iter().filter(|statement| statement.effect == Effect::Allow);
    allows.flat_map(|statement| {
        let prefixes = statement.prefixes().filter_map(|value| match value {
            Operand::Text(text) => Some(text),
            Operand::Number(_) => None,
        });
        statement.resources.iter().map(|resource| &resource.key).chain(prefixes)
    })
}

/// A variable with the literal text around it, up to the next slash, star or variable; or literal text alone.
struct Segment<'a> {
    before: &'a str,
    variable: Option<&'a Variable>,
    after: &'a str,
}

fn segments(text: &Text) -> Vec<Segment<'_>> {
    let pieces = text.pieces();
    let literal = |index: Option<usize>| match index.and_then(|index| pieces.get(index)) {
        Some(Piece::Literal(literal)) => literal.as_str(),
        Some(Piece::Variable(_)) | None => "",
    };
    let cuts = ['/', '*'];
    let mut segments = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Literal(literal) => {
                let parts = literal.split(cuts).filter(|part| !part.is_empty());
                segments.extend(parts.map(|before| Segment { before, variable: None, after: "" }));
            }
            Piece::Variable(variable) => segments.push(Segment {
                before: literal(index.checked_sub(1)).rsplit(cuts).next().unwrap_or_default(),
                variable: Some(variable),
                after: literal(index.checked_add(1)).split(cuts).next().unwrap_or_default(),
            }),
        }
    }
    segments
}

/// What a path's segment could be: as each one renders, and with the end of one after the beginning of
/// another.
fn spellings(segments: &[Segment<'_>], usual: &Principal) -> BTreeSet<String> {
    let Some(identity) = usual.identity() else { return BTreeSet::new() };
    let rendered = |segment: &Segment<'_>| match segment.variable {
        Some(variable) => variable.render(&identity).unwrap_or_default(),
        None => String::new(),
    };
    let mut spellings = BTreeSet::new();
    for segment in segments {
        let core = rendered(segment);
        spellings.insert(format!("{}{core}{}", segment.before, segment.after));
        // Where two variables are joined by a text, a value may hold that text itself.
        spellings.insert(format!("{0}{core}{0}{core}{1}", segment.before, segment.after));
        for other in segments.iter().filter(|other| other.variable.is_some()) {
            spellings.insert(format!("{}{core}{}", segment.before, other.after));
            spellings.insert(format!("{}{core}{}", other.before, segment.after));
        }
    }
    spellings
}

/// People for whom a template's text can be written like `keys`, a pattern that somebody else's key reaches:
/// their values are read off that pattern.
pub(super) fn written_alike(keys: &str, template: &Template, like: &Principal) -> Vec<Principal> {
    let mut people = Vec::new();
    for text in reaching(template) {
        read_off(keys, text.pieces(), like, &mut BTreeMap::new(), &mut people);
    }
    people
}

/// More than these are not worth trying.
const MOST_READINGS: usize = 8;

/// Matches a text's pieces against a written pattern from the left, trying every end of every variable. At
/// a star, either side may go on as it likes: whether it does is for the evaluator.
fn read_off(
    written: &str,
    pieces: &[Piece],
    like: &Principal,
    values: &mut BTreeMap<Subject, Value>,
    people: &mut Vec<Principal>,
) {
    if people.len() >= MOST_READINGS {
        return;
    }
    let (piece, rest) = match pieces.split_first() {
        Some(split) if !written.is_empty() && !written.starts_with('*') => split,
        _ => {
            let mut principal = like.clone();
            principal.0.extend(values.clone());
            if !people.contains(&principal) {
                people.push(principal);
            }
            return;
        }
    };
    match piece {
        Piece::Literal(literal) => {
            let upto_star = |text: &str| text.find('*').unwrap_or(text.len());
            let (wanted, found) = (upto_star(literal), upto_star(written));
            let (start, starred) = (literal.get(..wanted).unwrap_or_default(), wanted < literal.len());
            let certain = written.get(..found).unwrap_or_default();
            if let Some(left) = written.strip_prefix(start).filter(|_| !starred) {
                read_off(left, rest, like, values, people);
            } else if certain.starts_with(start) || start.starts_with(certain) && found < written.len() {
                read_off("", rest, like, values, people);
            }
        }
        Piece::Variable(variable) => {
            let ends = written.find(['/', '*']).unwrap_or(written.len());
            for end in (1..=ends).rev() {
                let Some((captured, left)) = written.split_at_checked(end) else { continue };
                let Some(value) = variable.encoding.value_of(captured) else { continue };
                let before = values.insert(variable.subject.clone(), value.clone());
                if before.as_ref().is_none_or(|before| *before == value) {
                    read_off(left, rest, like, values, people);
                }
                match before {
                    Some(before) => values.insert(variable.subject.clone(), before),
                    None => values.remove(&variable.subject),
                };
            }
        }
    }
}
