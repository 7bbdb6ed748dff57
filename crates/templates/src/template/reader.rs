//! From a template's file to a [`Template`]: every name resolved, every problem kept.

use std::{collections::BTreeMap, fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::Value;
use toml::Spanned;

use super::{Bucket, Operands, Requirement, Resource, Service, Statement, Template, condition};
use crate::{
    action::{self, Action},
    text::Text,
    variable::Subject,
};
use cam::{Effect, Operator};
use diagnostics::{Diagnostic, HumanDuration, Source, nearest};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    description: String,
    bucket: Spanned<String>,
    region: Spanned<String>,
    home: Spanned<String>,
    duration: Spanned<HumanDuration>,
    owner: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    require: toml::Table,
    acl_guard_off: Option<Spanned<String>>,
    #[serde(default)]
    statement: Vec<Spanned<FileStatement>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStatement {
    effect: Effect,
    action: Spanned<OneOrMany>,
    resource: Spanned<OneOrMany>,
    #[serde(default)]
    condition: BTreeMap<Spanned<String>, BTreeMap<Spanned<String>, Spanned<toml::Value>>>,
    shared: Option<Spanned<String>>,
}

/// A string, or a list of them. One alone has no place of its own: it stands where the whole does.
struct OneOrMany(Vec<Spanned<String>>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E>(self, one: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![Spanned::new(0..0, one.to_owned())]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = list.next_element()? {
                    entries.push(entry);
                }
                Ok(OneOrMany(entries))
            }
        }
        deserializer.deserialize_any(Entries)
    }
}

/// Each entry and its place.
fn entries(list: &Spanned<OneOrMany>) -> impl Iterator<Item = (&str, Range<usize>)> {
    list.get_ref().0.iter().map(|entry| {
        let span = if entry.span().is_empty() { list.span() } else { entry.span() };
        (entry.get_ref().as_str(), span)
    })
}

/// The shortest statement takes some sixty bytes of a policy.
const MOST_STATEMENTS: usize = 100;

/// Reads one template file.
pub(super) fn read(name: &str, source: Source) -> Result<Template, Vec<Diagnostic>> {
    let file: File = source.parse().map_err(|problem| vec![problem])?;
    let reader = Reader { source: &source };
    let mut problems = Vec::new();
    let mut keep = |problem| problems.push(problem);
    let bucket = reader.bucket(&file).map_err(&mut keep).ok();
    let owner = reader.owner(file.owner.as_ref()).map_err(&mut keep).ok();
    let home = Text::parse(file.home.get_ref(), None);
    let home = home.map_err(|fault| keep(reader.problem(file.home.span(), fault))).ok();
    if file.duration.get_ref().0.subsec_nanos() != 0 {
        keep(reader.problem(
            file.duration.span(),
            ("duration is not whole seconds".to_owned(), "STS counts in seconds".to_owned()),
        ));
    }
    let require = reader.require(&file.require).map_err(&mut keep).unwrap_or_default();
    if let Some(reason) = file.acl_guard_off.as_ref().filter(|reason| reason.get_ref().trim().is_empty()) {
        keep(reader.problem(reason.span(), no_reason("acl_guard_off")));
    }
    if let Some(beyond) = file.statement.get(MOST_STATEMENTS) {
        keep(reader.problem(
            beyond.span(),
            (
                format!("more than {MOST_STATEMENTS} statements, and STS takes a policy of 6144 bytes"),
                "split the template".to_owned(),
            ),
        ));
    }
    if file.statement.is_empty() {
        keep(reader.problem(
            0..0,
            (
                "no [[statement]]: a key of this template could do nothing".to_owned(),
                "add one with effect, action and resource".to_owned(),
            ),
        ));
    }
    let statements = match (&bucket, &home) {
        (Some(bucket), Some(home)) => file
            .statement
            .into_iter()
            .take(MOST_STATEMENTS)
            .filter_map(|statement| reader.statement(statement, bucket, home).map_err(&mut keep).ok())
            .collect(),
        _ => Vec::new(),
    };
    match (bucket, home, owner) {
        (Some(bucket), Some(home), Some(owners)) if problems.is_empty() => Ok(Template {
            name: name.to_owned(),
            description: file.description,
            bucket,
            home,
            home_written: file.home,
            owners,
            duration: file.duration.get_ref().0,
            duration_span: file.duration.span(),
            require,
            statements,
            acl_guard_off: file.acl_guard_off,
            source,
        }),
        _ => Err(problems),
    }
}

struct Reader<'a> {
    source: &'a Source,
}

impl Reader<'_> {
    fn problem(&self, span: Range<usize>, (message, help): (String, String)) -> Diagnostic {
        self.source.problem(span, message, help)
    }

    fn bucket(&self, file: &File) -> Result<Bucket, Diagnostic> {
        let name = file.bucket.get_ref();
        if !Bucket::is_full_name(name) {
            return Err(self.problem(
                file.bucket.span(),
                (
                    format!("`{name}` is not a bucket's full name"),
                    "write it with its appid, like \"examplebucket-1250000000\"".to_owned(),
                ),
            ));
        }
        if !Bucket::is_region(file.region.get_ref()) {
            return Err(self.problem(
                file.region.span(),
                (
                    format!("`{}` is not a region", file.region.get_ref()),
                    "write it like \"ap-guangzhou\"".to_owned(),
                ),
            ));
        }
        Ok(Bucket { name: name.clone(), region: file.region.get_ref().clone() })
    }

    fn owner(&self, owner: Option<&Spanned<Vec<String>>>) -> Result<Vec<Subject>, Diagnostic> {
        let Some(owner) = owner else {
            return Ok(vec![Subject::Sub]);
        };
        // An issuer alone is everybody it signs for.
        if owner.get_ref().iter().all(|text| text == "iss") {
            return Err(self.problem(
                owner.span(),
                (
                    "owner names nobody in particular".to_owned(),
                    "say whose home it is, like [\"sub\"]".to_owned(),
                ),
            ));
        }
        owner
            .get_ref()
            .iter()
            .map(|text| Subject::parse(text).map_err(|fault| self.problem(owner.span(), fault)))
            .collect()
    }

    fn require(&self, table: &toml::Table) -> Result<Vec<Requirement>, Diagnostic> {
        let mut requirements = Vec::new();
        let mut todo: Vec<(Vec<String>, &toml::Value)> =
            table.iter().map(|(name, value)| (vec![name.clone()], value)).collect();
        while let Some((path, value)) = todo.pop() {
            match value {
                toml::Value::Table(inner) if inner.is_empty() => return Err(self.not_required(&path)),
                toml::Value::Table(inner) => todo.extend(
                    inner
                        .iter()
                        .map(|(name, value)| (path.iter().cloned().chain([name.clone()]).collect(), value)),
                ),
                toml::Value::Array(list) if !list.is_empty() => {
                    let values = list.iter().map(scalar).collect::<Option<_>>();
                    requirements.push((path.clone(), values.ok_or_else(|| self.not_required(&path))?));
                }
                one => requirements
                    .push((path.clone(), vec![scalar(one).ok_or_else(|| self.not_required(&path))?])),
            }
        }
        Ok(requirements)
    }

    fn not_required(&self, path: &[String]) -> Diagnostic {
        Diagnostic::of_file(
            self.source.path(),
            format!("[require] {} is not a value or a list of values", path.join(".")),
            "write it like role = [\"member\", \"admin\"]",
        )
    }

    fn statement(
        &self,
        statement: Spanned<FileStatement>,
        bucket: &Bucket,
        home: &Text,
    ) -> Result<Statement, Diagnostic> {
        let span = statement.span();
        let statement = statement.into_inner();
        let mut actions = Vec::new();
        for (entry, span) in entries(&statement.action) {
            match action::expand(entry) {
                Ok(expanded) => {
                    actions.extend(expanded.into_iter().map(|action| Spanned::new(span.clone(), action)));
                }
                Err(_) if statement.effect == Effect::Deny && action::is_deny_pattern(entry) => {
                    actions.push(Spanned::new(span, Action::Pattern(entry.to_owned())));
                }
                Err(fault) => return Err(self.problem(span, fault)),
            }
        }
        let resources = entries(&statement.resource)
            .map(|(text, span)| {
                resource(text, &span, bucket, home).map_err(|fault| self.problem(span, fault))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if actions.is_empty() || resources.is_empty() {
            return Err(self.problem(
                span,
                ("a statement without action or resource".to_owned(), "name at least one of each".to_owned()),
            ));
        }
        if let Some(reason) = statement.shared.as_ref().filter(|reason| reason.get_ref().trim().is_empty()) {
            return Err(self.problem(reason.span(), no_reason("shared")));
        }
        Ok(Statement {
            effect: statement.effect,
            actions,
            resources,
            condition: self.conditions(statement.condition, home)?,
            shared: statement.shared,
            span,
        })
    }

    fn conditions(
        &self,
        written: BTreeMap<Spanned<String>, BTreeMap<Spanned<String>, Spanned<toml::Value>>>,
        home: &Text,
    ) -> Result<BTreeMap<Operator, BTreeMap<String, Operands>>, Diagnostic> {
        let mut conditions = BTreeMap::new();
        for (name, keys) in written {
            let operator: Operator = name.get_ref().parse().map_err(|_| {
                let stem = name.get_ref().strip_suffix("_if_exist").unwrap_or(name.get_ref());
                let help = match nearest(stem, Operator::names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known: {}", Operator::names().collect::<Vec<_>>().join(", ")),
                };
                self.problem(name.span(), (format!("unknown operator `{}`", name.get_ref()), help))
            })?;
            let mut read = BTreeMap::new();
            for (key, value) in keys {
                condition::check_key(key.get_ref()).map_err(|fault| self.problem(key.span(), fault))?;
                let operands = condition::operands(operator, value.get_ref(), home)
                    .map_err(|fault| self.problem(value.span(), fault))?;
                read.insert(key.into_inner(), Spanned::new(value.span(), operands));
            }
            conditions.insert(operator, read);
        }
        Ok(conditions)
    }
}

fn no_reason(field: &str) -> (String, String) {
    (format!("{field} is empty"), "write down why: the next operator will ask".to_owned())
}

fn scalar(value: &toml::Value) -> Option<Value> {
    match value {
        toml::Value::String(text) => Some(Value::from(text.as_str())),
        toml::Value::Integer(number) => Some(Value::from(*number)),
        toml::Value::Boolean(flag) => Some(Value::from(*flag)),
        _ => None,
    }
}

/// A key pattern in the bucket, from a pattern or from six full segments.
fn resource(
    text: &str,
    span: &Range<usize>,
    bucket: &Bucket,
    home: &Text,
) -> Result<Resource, (String, String)> {
    let of = |service| text.strip_prefix(&bucket.resource(service)).map(|key| (service, key));
    let (service, key) = if text.starts_with("qcs:") {
        of(Service::Cos).or_else(|| of(Service::Ci)).ok_or_else(|| {
            (
                format!("resource `{text}` is not in this template's bucket"),
                format!(
                    "begin it with `{}` (data processing: `{}`), or write only the key pattern",
                    bucket.resource(Service::Cos),
                    bucket.resource(Service::Ci)
                ),
            )
        })?
    } else {
        (Service::Cos, text)
    };
    Ok(Resource { service, key: Text::parse(key, Some(home))?, span: span.clone() })
}
