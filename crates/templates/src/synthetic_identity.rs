//! Synthetic identities: made-up users for the search of `lint`, the trial when templates are loaded, the canary
//! and `check`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    identity::Identity,
    template::{self, ClaimRef, Encoding, Operand, Template, TemplateString, Variable},
};

/// The issuer of synthetic identities, unless two are needed.
pub(super) const ISSUER: &str = "https://id.example.com/";
const OTHER_ISSUER: &str = "https://login.example.org/";

/// The claims of a synthetic identity, by what reads each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntheticIdentity(BTreeMap<ClaimRef, Value>);

/// The values of a synthetic identity's claims.
#[derive(Debug, Clone, Copy)]
pub struct SyntheticClaims<'a> {
    /// The value of claims that are strings, such as `sub`.
    pub text: &'a str,
    /// The value of claims that a template reads as an integer.
    pub number: u64,
}

impl SyntheticIdentity {
    /// Makes an identity that carries what a template reads and requires.
    ///
    /// Claims that identify the owner of the home always have the given values, even if the template requires
    /// others: the home of a required value may belong to a real user.
    pub(super) fn for_template(template: &Template, issuer: &str, claims: SyntheticClaims<'_>) -> Self {
        let read = ClaimsRead::by(&[template]);
        let issuer = template.only_issuer().unwrap_or(issuer);
        let mut values =
            BTreeMap::from([(ClaimRef::Sub, Value::from(claims.text)), (ClaimRef::Iss, Value::from(issuer))]);
        let required = template::examples(&template.require).into_iter();
        let required = required.filter(|(path, _)| *path != ["sub"] && *path != ["iss"]);
        values.extend(required.map(|(path, value)| (ClaimRef::Path(path.to_vec()), value)));
        for claim in read.claims.iter().copied().filter(|claim| **claim != ClaimRef::Iss) {
            let value =
                if read.is_integer(claim) { Value::from(claims.number) } else { Value::from(claims.text) };
            if template.owners.contains(claim) {
                values.insert(claim.clone(), value);
            } else {
                values.entry(claim.clone()).or_insert(value);
            }
        }
        Self(values)
    }

    /// Makes the first identity to try on these templates.
    pub(super) fn usual(templates: &[&Template]) -> Self {
        ClaimsRead::by(templates).identity("alice", ("red", 7), ISSUER)
    }

    /// Makes the identities to try first: two subjects, two values of every other claim, values of which one
    /// begins with another, and two issuers if there are several.
    pub(super) fn usual_variants(templates: &[&Template], several_issuers: bool) -> Vec<Self> {
        let claims = ClaimsRead::by(templates);
        let (red, blue) = (("red", 7), ("blue", 8));
        let second_issuer = if several_issuers { OTHER_ISSUER } else { ISSUER };
        vec![
            claims.identity("alice", red, ISSUER),
            claims.identity("bob", red, ISSUER),
            claims.identity("alice", blue, ISSUER),
            claims.identity("bob", blue, ISSUER),
            claims.identity("alice", red, second_issuer),
            claims.identity("alice0", red, ISSUER),
            claims.identity("alice", ("red0", 70), ISSUER),
        ]
    }

    /// Makes variants of an identity in which one claim has the value that another usually has.
    pub(super) fn swapped_values(&self, templates: &[&Template]) -> Vec<Self> {
        let read = ClaimsRead::by(templates);
        let texts = read.claims.iter().copied();
        let texts: Vec<&ClaimRef> =
            texts.filter(|claim| **claim != ClaimRef::Iss && !read.is_integer(claim)).collect();
        ["red", "alice", ISSUER]
            .iter()
            .flat_map(|value| texts.iter().map(|claim| self.with(claim, Value::from(*value))))
            .collect()
    }

    /// Returns a copy with another value of one claim.
    pub(super) fn with(&self, claim: &ClaimRef, value: Value) -> Self {
        let mut changed = self.clone();
        changed.0.insert(claim.clone(), value);
        changed
    }

    /// Returns a copy with other values of some claims.
    pub(super) fn with_all(&self, values: &BTreeMap<ClaimRef, Value>) -> Self {
        let mut changed = self.clone();
        changed.0.extend(values.clone());
        changed
    }

    pub(super) fn value(&self, claim: &ClaimRef) -> Option<&Value> {
        self.0.get(claim)
    }

    /// Returns all claims of the token, with `iss` and `sub`.
    pub(super) fn claims(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        for (claim, value) in &self.0 {
            match claim {
                ClaimRef::Sub => drop(claims.insert("sub".to_owned(), value.clone())),
                ClaimRef::Iss => drop(claims.insert("iss".to_owned(), value.clone())),
                ClaimRef::Path(path) => insert_at(&mut claims, path, value),
            }
        }
        claims
    }

    /// Returns the identity that a token with these claims has. `None` if it has no valid subject.
    pub(super) fn identity(&self) -> Option<Identity> {
        let issuer = self.value(&ClaimRef::Iss).and_then(Value::as_str).unwrap_or(ISSUER);
        Identity::from_claims(issuer.into(), self.claims()).ok()
    }
}

fn insert_at(claims: &mut Map<String, Value>, path: &[String], value: &Value) {
    match path {
        [] => {}
        [last] => drop(claims.insert(last.clone(), value.clone())),
        [first, rest @ ..] => {
            let inner = claims.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert_at(inner, rest, value);
            }
        }
    }
}

/// The claims that templates read.
struct ClaimsRead<'a> {
    claims: BTreeSet<&'a ClaimRef>,
    integers: BTreeSet<&'a ClaimRef>,
}

impl<'a> ClaimsRead<'a> {
    fn by(templates: &[&'a Template]) -> Self {
        let variables: Vec<&Variable> = templates
            .iter()
            .flat_map(|template| texts_of_allows(template))
            .flat_map(TemplateString::variables)
            .collect();
        let owners = templates.iter().flat_map(|template| &template.owners);
        let integers = variables.iter().filter(|variable| variable.encoding == Encoding::Integer);
        Self {
            claims: variables
                .iter()
                .map(|variable| &variable.claim)
                .chain(owners)
                .chain([&ClaimRef::Sub, &ClaimRef::Iss])
                .collect(),
            integers: integers.map(|variable| &variable.claim).collect(),
        }
    }

    fn is_integer(&self, claim: &ClaimRef) -> bool {
        self.integers.contains(claim)
    }

    /// Makes an identity with this subject and issuer, and one value for all other claims.
    fn identity(&self, subject: &str, (text, number): (&str, u32), issuer: &str) -> SyntheticIdentity {
        let mut values = BTreeMap::new();
        for claim in &self.claims {
            let value = match claim {
                ClaimRef::Sub if self.is_integer(claim) => Value::from(as_integer(subject)),
                ClaimRef::Sub => Value::from(subject),
                ClaimRef::Iss => Value::from(issuer),
                ClaimRef::Path(_) if self.is_integer(claim) => Value::from(number),
                ClaimRef::Path(_) => Value::from(text),
            };
            values.insert((*claim).clone(), value);
        }
        SyntheticIdentity(values)
    }
}

/// Returns another integer for each subject. Like the texts, one begins with another.
fn as_integer(subject: &str) -> u32 {
    match subject {
        "alice" => 1,
        "alice0" => 10,
        _ => 2,
    }
}

/// Iterates over the strings that decide what a template allows: resources and listed prefixes.
pub(super) fn texts_of_allows(template: &Template) -> impl Iterator<Item = &TemplateString> {
    template.allows().flat_map(|statement| {
        let resources = statement.resources.iter().map(|resource| &resource.key);
        resources.chain(statement.prefixes().filter_map(Operand::as_text))
    })
}
