//! One template file, read and typed: every variable, action and operator in it is known.
//!
//! Whether it confines anybody is for `proof`.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use super::{
    action::{self, Action},
    cam::{Comparison, Effect, Operator},
    home::Home,
    text::Text,
    variable::Subject,
};
use crate::{
    source::{Diagnostic, Source, nearest},
    units::Span,
};

/// A template as its file says it.
#[derive(Debug)]
pub struct Template {
    /// The file's stem.
    pub name: String,
    /// The file.
    pub source: Source,
    /// For people.
    pub description: String,
    /// The bucket everything lies in.
    pub bucket: Bucket,
    /// The folder everything lies under.
    pub home: Home,
    /// Where the home stands in the file.
    pub home_span: Range<usize>,
    /// How long a key lives.
    pub duration: Duration,
    /// Claims a token must carry: path, and the values of which one will do.
    pub require: Vec<(Vec<String>, Vec<Value>)>,
    /// What it grants and denies.
    pub statements: Vec<Statement>,
    /// Why writes may carry ACL headers, if they may.
    pub acl_guard_off: Option<String>,
}

/// A bucket and its region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// With the appid, such as `examplebucket-1250000000`.
    pub name: String,
    /// Such as `ap-guangzhou`.
    pub region: String,
}

/// One `[[statement]]`.
#[derive(Debug)]
pub struct Statement {
    /// Allow or deny.
    pub effect: Effect,
    /// What it speaks of; a deny may also name patterns.
    pub actions: Vec<String>,
    /// The known actions among them: all of them in an allow.
    pub known: Vec<&'static Action>,
    /// Key patterns in the bucket.
    pub resources: Vec<Text>,
    /// operator -> key -> values.
    pub condition: BTreeMap<Operator, BTreeMap<String, Vec<Operand>>>,
    /// Why it may reach beyond the home, if it may.
    pub shared: Option<String>,
    /// Where it stands in the file.
    pub span: Range<usize>,
}

/// A value of a condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// Text, variables and all.
    Text(Text),
    /// A number.
    Number(i64),
}

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

/// Condition keys COS knows (docs 436/46205); an unlisted one passes unless it looks like a slip.
const KEYS: [&str; 19] = [
    "cos:content-type",
    "cos:content-length",
    "cos:x-cos-storage-class",
    "cos:x-cos-acl",
    "cos:x-cos-grant-read",
    "cos:x-cos-grant-read-acp",
    "cos:x-cos-grant-write-acp",
    "cos:x-cos-grant-full-control",
    "cos:x-cos-forbid-overwrite",
    "cos:prefix",
    "cos:delimiter",
    "cos:versionid",
    "cos:response-content-type",
    "cos:secure-transport",
    "cos:tls-version",
    "qcs:ip",
    "qcs:vpc",
    "qcs:request_tag",
    "tls-version",
];

impl Bucket {
    /// The number after the name's last dash.
    pub fn appid(&self) -> &str {
        self.name.rsplit('-').next().unwrap_or_default()
    }

    /// The six segments up to the key.
    pub fn resource(&self) -> String {
        format!(
            "qcs::cos:{}:uid/{}:{}/",
            self.region,
            self.appid(),
            self.name
        )
    }
}

impl Template {
    /// Reads one template file.
    ///
    /// # Errors
    /// Every problem found, each with its line.
    pub fn parse(name: &str, source: Source) -> Result<Self, Vec<Diagnostic>> {
        let file: File = source.parse().map_err(|problem| vec![problem])?;
        let reader = Reader { source: &source };
        let mut problems = Vec::new();
        let mut keep = |problem| problems.push(problem);
        let bucket = reader.bucket(&file).map_err(&mut keep).ok();
        let owner = reader.owner(file.owner.as_ref()).map_err(&mut keep).ok();
        let home = owner.as_ref().and_then(|owner| {
            let parsed = Home::parse(file.home.get_ref(), owner);
            parsed
                .map_err(|fault| keep(reader.problem(file.home.span(), fault)))
                .ok()
        });
        if file.duration.get_ref().0.subsec_nanos() != 0 {
            keep(reader.problem(
                file.duration.span(),
                (
                    "duration is not whole seconds".to_owned(),
                    "STS counts in seconds".to_owned(),
                ),
            ));
        }
        let require = reader
            .require(&file.require)
            .map_err(&mut keep)
            .unwrap_or_default();
        if let Some(reason) = file
            .acl_guard_off
            .as_ref()
            .filter(|reason| reason.get_ref().trim().is_empty())
        {
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
                .filter_map(|statement| {
                    reader
                        .statement(statement, bucket, home)
                        .map_err(&mut keep)
                        .ok()
                })
                .collect(),
            _ => Vec::new(),
        };
        match (bucket, home) {
            (Some(bucket), Some(home)) if problems.is_empty() => Ok(Self {
                name: name.to_owned(),
                description: file.description,
                bucket,
                home,
                home_span: file.home.span(),
                duration: file.duration.get_ref().0,
                require,
                statements,
                acl_guard_off: file.acl_guard_off.map(Spanned::into_inner),
                source,
            }),
            _ => Err(problems),
        }
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
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
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
        Ok(Bucket {
            name: name.clone(),
            region: file.region.get_ref().clone(),
        })
    }

    fn owner(&self, owner: Option<&Spanned<Vec<String>>>) -> Result<Vec<Subject>, Diagnostic> {
        let Some(owner) = owner else {
            return Ok(vec![Subject::Sub]);
        };
        if owner.get_ref().is_empty() {
            return Err(self.problem(
                owner.span(),
                (
                    "owner is empty".to_owned(),
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

    fn require(&self, table: &toml::Table) -> Result<Vec<(Vec<String>, Vec<Value>)>, Diagnostic> {
        let mut requirements = Vec::new();
        let mut todo: Vec<(Vec<String>, &toml::Value)> = table
            .iter()
            .map(|(name, value)| (vec![name.clone()], value))
            .collect();
        while let Some((path, value)) = todo.pop() {
            match value {
                toml::Value::Table(inner) => todo.extend(inner.iter().map(|(name, value)| {
                    (path.iter().cloned().chain([name.clone()]).collect(), value)
                })),
                toml::Value::Array(list) if !list.is_empty() => {
                    let values = list.iter().map(scalar).collect::<Option<_>>();
                    requirements.push((
                        path.clone(),
                        values.ok_or_else(|| self.not_required(&path))?,
                    ));
                }
                one => requirements.push((
                    path.clone(),
                    vec![scalar(one).ok_or_else(|| self.not_required(&path))?],
                )),
            }
        }
        Ok(requirements)
    }

    fn not_required(&self, path: &[String]) -> Diagnostic {
        Diagnostic::of_file(
            self.source.path(),
            format!(
                "[require] {} is not a value or a list of values",
                path.join(".")
            ),
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
                    actions.push(entry.clone())
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
                (
                    "a statement without action or resource".to_owned(),
                    "name at least one of each".to_owned(),
                ),
            ));
        }
        if let Some(reason) = statement
            .shared
            .as_ref()
            .filter(|reason| reason.get_ref().trim().is_empty())
        {
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
                let stem = name
                    .get_ref()
                    .strip_suffix("_if_exist")
                    .unwrap_or(name.get_ref());
                let mend = match nearest(stem, Operator::names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "known: {}",
                        Operator::names().collect::<Vec<_>>().join(", ")
                    ),
                };
                self.problem(
                    name.span(),
                    (format!("unknown operator `{}`", name.get_ref()), mend),
                )
            })?;
            let mut read = BTreeMap::new();
            for (key, value) in keys {
                check_key(key.get_ref()).map_err(|fault| self.problem(key.span(), fault))?;
                let operands = operands(operator, value.get_ref(), home)
                    .map_err(|fault| self.problem(value.span(), fault))?;
                read.insert(key.into_inner(), operands);
            }
            conditions.insert(operator, read);
        }
        Ok(conditions)
    }
}

fn no_reason(field: &str) -> (String, String) {
    (
        format!("{field} is empty"),
        "write down why: the next operator will ask".to_owned(),
    )
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
        !rest.is_empty()
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'*')
    })
}

/// A key pattern in the bucket, from a pattern or from six full segments.
fn resource(text: &str, bucket: &Bucket, home: &Home) -> Result<Text, (String, String)> {
    let key = if text.starts_with("qcs:") {
        text.strip_prefix(&bucket.resource()).ok_or_else(|| {
            (
                format!("resource `{text}` is not in this template's bucket"),
                format!(
                    "begin it with `{}`, or write only the key pattern",
                    bucket.resource()
                ),
            )
        })?
    } else {
        text
    };
    let parsed = Text::parse(key, Some(home.text()))?;
    let literals = parsed.write(
        |_| Ok::<_, std::convert::Infallible>("v".to_owned()),
        str::to_owned,
    );
    let Ok(shape) = literals;
    if let Some(c) = shape
        .chars()
        .find(|c| "?%\\".contains(*c) || c.is_control())
    {
        return Err((
            format!("resource `{text}` holds `{}`", c.escape_default()),
            "leave it out: it may be read as a wildcard or an escape".to_owned(),
        ));
    }
    if shape.contains("//") || shape.starts_with('/') {
        return Err((
            format!("resource `{text}` holds an empty segment"),
            "keys have no leading or double slash".to_owned(),
        ));
    }
    if shape
        .split('/')
        .any(|segment| segment == "." || segment.contains(".."))
    {
        return Err((
            format!("resource `{text}` holds a `.` or `..`"),
            "name the folder itself".to_owned(),
        ));
    }
    Ok(parsed)
}

fn check_key(key: &str) -> Result<(), (String, String)> {
    if KEYS.contains(&key) || key.starts_with("qcs:request_tag/") {
        return Ok(());
    }
    let plain = key
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_:/".contains(&b));
    match nearest(key, KEYS) {
        Some(near) => Err((
            format!("unknown condition key `{key}`"),
            format!("did you mean `{near}`?"),
        )),
        None if plain && (key.starts_with("cos:") || key.starts_with("qcs:")) => Ok(()),
        None => Err((
            format!("`{key}` is not a condition key"),
            format!("known: {}; all lower case", KEYS.join(", ")),
        )),
    }
}

/// The values of one key, checked against what the operator compares.
fn operands(
    operator: Operator,
    value: &toml::Value,
    home: &Home,
) -> Result<Vec<Operand>, (String, String)> {
    use Comparison as C;
    let list = match value {
        toml::Value::Array(list) if !list.is_empty() => list.as_slice(),
        toml::Value::Array(_) => {
            return Err((
                "a condition without a value".to_owned(),
                "give one".to_owned(),
            ));
        }
        one => std::slice::from_ref(one),
    };
    let wrong = |kind: &str, like: &str| {
        (
            format!("{operator} compares {kind}, and {value} is none"),
            format!("write it like {like}"),
        )
    };
    list.iter()
        .map(|value| match (operator.comparison, value) {
            (
                C::NumericEqual
                | C::NumericNotEqual
                | C::NumericLessThan
                | C::NumericLessThanEqual
                | C::NumericGreaterThan
                | C::NumericGreaterThanEqual,
                value,
            ) => match value {
                toml::Value::Integer(number) => Ok(Operand::Number(*number)),
                _ => Err(wrong("numbers", "10485760")),
            },
            (C::BoolEqual, value) => match value {
                toml::Value::Boolean(flag) => Ok(literal(&flag.to_string())),
                toml::Value::String(text) if text == "true" || text == "false" => Ok(literal(text)),
                _ => Err(wrong("booleans", "true")),
            },
            (C::IpEqual | C::IpNotEqual, value) => match value {
                toml::Value::String(text)
                    if text.parse::<ipnet::IpNet>().is_ok()
                        || text.parse::<std::net::IpAddr>().is_ok() =>
                {
                    Ok(literal(text))
                }
                _ => Err(wrong("addresses", "\"10.0.0.0/8\"")),
            },
            (
                C::DateEqual
                | C::DateNotEqual
                | C::DateLessThan
                | C::DateLessThanEqual
                | C::DateGreaterThan
                | C::DateGreaterThanEqual,
                value,
            ) => match value {
                toml::Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => {
                    Ok(literal(text))
                }
                _ => Err(wrong("times", "\"2030-01-01T00:00:00Z\"")),
            },
            (
                C::StringEqual
                | C::StringNotEqual
                | C::StringEqualIgnoreCase
                | C::StringNotEqualIgnoreCase
                | C::StringLike
                | C::StringNotLike,
                toml::Value::String(text),
            ) => {
                if text.contains('?') {
                    return Err((
                        format!("the value `{text}` holds `?`"),
                        "leave it out: it may be read as a wildcard".to_owned(),
                    ));
                }
                Text::parse(text, Some(home.text())).map(Operand::Text)
            }
            _ => Err(wrong("strings", "\"image/*\"")),
        })
        .collect()
}

fn literal(text: &str) -> Operand {
    Operand::Text(Text::parse(text, None).unwrap_or_default())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::policy) const UPLOAD: &str = r#"
description = "Each user's own upload folder"
bucket   = "examplebucket-1250000000"
region   = "ap-guangzhou"
home     = "users/${sub}/"
duration = "30m"
[[statement]]
effect   = "allow"
action   = ["@upload", "@multipart-upload"]
resource = ["${home}*"]
[statement.condition.numeric_less_than_equal]
"cos:content-length" = 10485760
"#;

    fn problems(from: &str, to: &str) -> String {
        assert!(UPLOAD.contains(from), "{from}");
        let text = UPLOAD.replace(from, to);
        let problems = Template::parse("upload", Source::new("upload.toml", text)).expect_err(to);
        problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn the_designs_example_reads() {
        let template = Template::parse("upload", Source::new("upload.toml", UPLOAD)).unwrap();
        assert_eq!(
            template.bucket.resource(),
            "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/"
        );
        assert_eq!(template.statements[0].actions.len(), 8);
        assert_eq!(template.duration, Duration::from_secs(1800));
    }

    #[test]
    fn each_slip_is_one_line_with_its_place_and_mend() {
        for (from, to, line, said) in [
            ("home ", "hmoe ", 5, "did you mean `home`?"),
            ("${sub}", "${sbu}", 5, "did you mean `sub`?"),
            ("${sub}", "${sub|b64}", 5, "unknown filter `b64`"),
            ("\"allow\"", "\"alow\"", 8, "did you mean `allow`?"),
            ("@upload", "@uplod", 9, "did you mean `@upload`?"),
            ("\"@upload\"", "\"*\"", 9, "holds a wildcard"),
            (
                "\"@upload\"",
                "\"name/cos:PutObjectACL\"",
                9,
                "is not one that a template may grant",
            ),
            ("${home}*", "${hme}*", 10, "did you mean `home`?"),
            ("${home}*", "${home}?", 10, "holds `?`"),
            ("${home}*", "${home}../*", 10, "holds a `.` or `..`"),
            ("${home}*", "${home}%2e%2e/*", 10, "holds `%`"),
            ("${home}*", "/${home}*", 10, "empty segment"),
            (
                "${home}*",
                "qcs::cos:ap-guangzhou:uid/1250000000:other-1250000000/${home}*",
                10,
                "bucket",
            ),
            (
                "${home}*",
                "qcs::cos::uid/1250000000:examplebucket-1250000000/${home}*",
                10,
                "bucket",
            ),
            (
                "numeric_less_than_equal",
                "numeric_less_then_equal",
                11,
                "did you mean `numeric_less_than_equal`?",
            ),
            (
                "cos:content-length",
                "cos:content-lenght",
                12,
                "did you mean `cos:content-length`?",
            ),
            ("10485760", "\"10MB\"", 12, "compares numbers"),
            ("30m", "30", 6, "not a duration"),
            ("30m", "1500ms", 6, "not whole seconds"),
            ("-1250000000\"", "\"", 3, "not a bucket's full name"),
            ("ap-guangzhou", "", 4, "not a region"),
            (
                "resource = [\"${home}*\"]",
                "resource = []",
                7,
                "without action or resource",
            ),
            ("effect ", "shared = \" \"\neffect ", 8, "write down why"),
        ] {
            let text = problems(from, to);
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(
                text.starts_with(&format!("upload.toml:{line}:")),
                "{to}: {text}"
            );
            assert!(text.contains(said), "{to}: {text}");
        }
    }

    #[test]
    fn every_problem_of_a_file_is_told() {
        let text = problems(
            "ap-guangzhou\"\nhome     = \"users/${sub}/\"",
            "\"\nhome = \"users/\"",
        );
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
