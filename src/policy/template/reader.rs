//! From a template's file to a [`Template`]: every name resolved, every problem kept.

use std::{collections::BTreeMap, ops::Range};

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use super::{Bucket, Operand, Requirement, Statement, Template, condition};
use crate::{
    policy::{
        action::{self, Action},
        cam::{Effect, Operator},
        home::Home,
        text::Text,
        variable::Subject,
    },
    source::{Diagnostic, Source, nearest},
    units::Span,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    description: String,
    bucket: Spanned<String>,
    region: Spanned<String>,
    home: Spanned<String>,
    duration: Spanned<Span>,
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

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// Reads one template file.
pub(super) fn read(name: &str, source: Source) -> Result<Template, Vec<Diagnostic>> {
    let file: File = source.parse().map_err(|problem| vec![problem])?;
    let reader = Reader { source: &source };
    let mut problems = Vec::new();
    let mut keep = |problem| problems.push(problem);
    let bucket = reader.bucket(&file).map_err(&mut keep).ok();
    let owner = reader.owner(file.owner.as_ref()).map_err(&mut keep).ok();
    let home = owner.as_ref().and_then(|owner| {
        let parsed = Home::parse(file.home.get_ref(), owner);
        parsed.map_err(|fault| keep(reader.problem(file.home.span(), fault))).ok()
    });
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
            .filter_map(|statement| reader.statement(statement, bucket, home).map_err(&mut keep).ok())
            .collect(),
        _ => Vec::new(),
    };
    match (bucket, home) {
        (Some(bucket), Some(home)) if problems.is_empty() => Ok(Template {
            name: name.to_owned(),
            description: file.description,
            bucket,
            home,
            home_span: file.home.span(),
            duration: file.duration.get_ref().0,
            duration_span: file.duration.span(),
            require,
            statements,
            acl_guard_off: file.acl_guard_off.map(Spanned::into_inner),
            source,
        }),
        _ => Err(problems),
    }
}

struct Reader<'a> {
    source: &'a Source,
}

impl Reader<'_> {
    fn problem(&self, span: Range<usize>, (message, mend): (String, String)) -> Diagnostic {
        self.source.problem(span, message, mend)
    }

    fn bucket(&self, file: &File) -> Result<Bucket, Diagnostic> {
        let name = file.bucket.get_ref();
        let plain = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let appid = name.rsplit_once('-').filter(|(short, appid)| {
            plain(short) && !appid.is_empty() && appid.bytes().all(|byte| byte.is_ascii_digit())
        });
        if appid.is_none() {
            return Err(self.problem(
                file.bucket.span(),
                (
                    format!("`{name}` is not a bucket's full name"),
                    "write it with its appid, like \"examplebucket-1250000000\"".to_owned(),
                ),
            ));
        }
        if !plain(file.region.get_ref()) {
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
        home: &Home,
    ) -> Result<Statement, Diagnostic> {
        let span = statement.span();
        let statement = statement.into_inner();
        let mut known: Vec<&'static Action> = Vec::new();
        let mut actions = Vec::new();
        for entry in statement.action.get_ref().as_slice() {
            match action::expand(entry) {
                Ok(expanded) => known.extend(expanded),
                Err(_) if statement.effect == Effect::Deny && is_deny_pattern(entry) => {
                    actions.push(entry.clone());
                }
                Err(fault) => return Err(self.problem(statement.action.span(), fault)),
            }
        }
        actions.extend(known.iter().map(|action| action.name.to_owned()));
        let resources = statement
            .resource
            .get_ref()
            .as_slice()
            .iter()
            .map(|text| resource(text, bucket, home))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|fault| self.problem(statement.resource.span(), fault))?;
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
            known,
            resources,
            condition: self.conditions(statement.condition, home)?,
            shared: statement.shared.map(Spanned::into_inner),
            span,
        })
    }

    fn conditions(
        &self,
        written: BTreeMap<Spanned<String>, BTreeMap<Spanned<String>, Spanned<toml::Value>>>,
        home: &Home,
    ) -> Result<BTreeMap<Operator, BTreeMap<String, Vec<Operand>>>, Diagnostic> {
        let mut conditions = BTreeMap::new();
        for (name, keys) in written {
            let operator: Operator = name.get_ref().parse().map_err(|_| {
                let stem = name.get_ref().strip_suffix("_if_exist").unwrap_or(name.get_ref());
                let mend = match nearest(stem, Operator::names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known: {}", Operator::names().collect::<Vec<_>>().join(", ")),
                };
                self.problem(name.span(), (format!("unknown operator `{}`", name.get_ref()), mend))
            })?;
            let mut read = BTreeMap::new();
            for (key, value) in keys {
                condition::check_key(key.get_ref()).map_err(|fault| self.problem(key.span(), fault))?;
                let operands = condition::operands(operator, value.get_ref(), home)
                    .map_err(|fault| self.problem(value.span(), fault))?;
                for operand in operands.iter().filter(|_| key.get_ref() == "cos:prefix") {
                    if let Operand::Text(text) = operand {
                        check_shape("prefix", &text.to_string(), text)
                            .map_err(|fault| self.problem(value.span(), fault))?;
                    }
                }
                read.insert(key.into_inner(), operands);
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

/// A deny only takes away, so it may name actions by pattern.
fn is_deny_pattern(entry: &str) -> bool {
    entry.strip_prefix("name/cos:").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'*')
    })
}

/// A key pattern must read the same whether slashes are merged, dots resolved or escapes decoded.
fn check_shape(what: &str, text: &str, parsed: &Text) -> Result<(), (String, String)> {
    let literals = parsed.write(|_| Ok::<_, std::convert::Infallible>("v".to_owned()), str::to_owned);
    let Ok(shape) = literals;
    if let Some(c) = shape.chars().find(|c| "?%\\".contains(*c) || c.is_control()) {
        return Err((
            format!("{what} `{text}` holds `{}`", c.escape_default()),
            "leave it out: it may be read as a wildcard or an escape".to_owned(),
        ));
    }
    if shape.contains("//") || shape.starts_with('/') {
        return Err((
            format!("{what} `{text}` holds an empty segment"),
            "keys have no leading or double slash".to_owned(),
        ));
    }
    if shape.split('/').any(|segment| segment == "." || segment.contains("..")) {
        return Err((format!("{what} `{text}` holds a `.` or `..`"), "name the folder itself".to_owned()));
    }
    Ok(())
}

/// A key pattern in the bucket, from a pattern or from six full segments.
fn resource(text: &str, bucket: &Bucket, home: &Home) -> Result<Text, (String, String)> {
    let key = if text.starts_with("qcs:") {
        text.strip_prefix(&bucket.resource()).ok_or_else(|| {
            (
                format!("resource `{text}` is not in this template's bucket"),
                format!("begin it with `{}`, or write only the key pattern", bucket.resource()),
            )
        })?
    } else {
        text
    };
    let parsed = Text::parse(key, Some(home.text()))?;
    check_shape("resource", text, &parsed)?;
    Ok(parsed)
}
