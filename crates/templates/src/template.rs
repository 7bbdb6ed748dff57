//! One template file, parsed: every variable, action and operator in it is known.
//!
//! Whether the template confines its users is for [`proof`](crate::proof).

pub(super) mod action;
pub(super) mod condition;
mod encoding;
mod escape;
mod file;
mod name;
mod reader;
mod requirement;
mod string;
mod variable;

use std::{collections::BTreeMap, ops::Range, time::Duration};

use toml::Spanned;

pub use self::{action::action_names, variable::Unrenderable};
pub(super) use self::{
    action::{Action, Reach},
    encoding::Encoding,
    name::FileName,
    requirement::{Parts, Quantity, Requirement, examples},
    string::{Piece, TemplateString},
    variable::{ClaimRef, Variable},
};
use cam::{Effect, Operator};
use diagnostics::{Diagnostic, Source};

/// A parsed template. Nothing about it is proved.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) description: String,
    pub(super) bucket: Bucket,
    /// The folder that confines every allow.
    pub(super) home: TemplateString,
    /// The home as the file writes it.
    pub(super) home_written: Spanned<String>,
    /// The claims that identify whose home it is.
    pub(super) owners: Vec<ClaimRef>,
    pub(super) duration: Duration,
    pub(super) duration_span: Range<usize>,
    /// Claims that a token must carry.
    pub(super) require: Vec<Requirement>,
    pub(super) statements: Vec<Statement>,
    /// The reason why writes may carry ACL headers, if they may.
    pub(super) acl_guard_off: Option<Spanned<String>>,
}

/// A bucket and its region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The name with the appid, such as `examplebucket-1250000000`.
    pub name: String,
    /// The region, such as `ap-guangzhou`.
    pub region: String,
}

/// The service that a resource belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// COS itself, for objects.
    Cos,
    /// Data processing (CI) of objects.
    Ci,
}

/// One `[[statement]]` of the file.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) effect: Effect,
    pub(super) actions: Vec<Spanned<Action>>,
    pub(super) resources: Vec<Resource>,
    /// operator -> key -> values.
    pub(super) condition: BTreeMap<Operator, BTreeMap<String, Operands>>,
    /// The reason why it may reach a folder outside the home, if it may.
    pub(super) shared: Option<Spanned<String>>,
    pub(super) span: Range<usize>,
}

/// A key pattern in the bucket, under one service.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) service: Service,
    pub(super) key: TemplateString,
    pub(super) span: Range<usize>,
}

/// The values of one condition key.
pub(super) type Operands = Spanned<Vec<Operand>>;

/// A value of a condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Text(TemplateString),
    Number(serde_json::Number),
}

impl Bucket {
    /// Returns the host of the bucket (docs 436/6224).
    pub fn host(&self) -> String {
        format!("{}.cos.{}.myqcloud.com", self.name, self.region)
    }

    /// Whether this can be the name of a bucket with its appid.
    pub(super) fn is_full_name(name: &str) -> bool {
        name.rsplit_once('-').is_some_and(|(short, appid)| {
            is_plain(short) && !appid.is_empty() && appid.bytes().all(|byte| byte.is_ascii_digit())
        })
    }

    /// Whether this can be the name of a region.
    pub(super) fn is_region(name: &str) -> bool {
        is_plain(name)
    }

    /// Returns the number after the last dash of the name.
    pub fn appid(&self) -> &str {
        self.name.rsplit('-').next().unwrap_or_default()
    }

    /// Returns a service's resources in this bucket, up to the key.
    pub fn resource(&self, service: Service) -> String {
        let Self { name, region } = self;
        match service {
            Service::Cos => format!("qcs::cos:{region}:uid/{}:{name}/", self.appid()),
            Service::Ci => format!("qcs::ci:{region}:uid/{}:bucket/{name}/", self.appid()),
        }
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl Service {
    /// Returns the service of an action, by the action's name.
    pub fn of(action: &str) -> Self {
        if action.starts_with("name/ci:") { Self::Ci } else { Self::Cos }
    }
}

impl Statement {
    pub(super) fn is_allow(&self) -> bool {
        self.effect == Effect::Allow
    }

    pub(super) fn actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.iter().map(Spanned::get_ref)
    }

    /// Iterates over the values of `cos:prefix` under all operators.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = &Operand> {
        self.condition.values().filter_map(|keys| keys.get("cos:prefix")).flat_map(Spanned::get_ref)
    }
}

impl Operand {
    pub(super) fn as_text(&self) -> Option<&TemplateString> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) => None,
        }
    }

    /// Returns the text, if it is one without variables.
    pub(super) fn as_literal(&self) -> Option<&str> {
        self.as_text().and_then(TemplateString::as_literal)
    }
}

impl Template {
    /// Returns the issuer whose users alone it serves, if `[require]` names one.
    pub(super) fn only_issuer(&self) -> Option<&str> {
        self.require.iter().find_map(Requirement::only_issuer)
    }

    /// Parses a file. The template has the file's name.
    pub(super) fn from_file(source: Source) -> Result<Self, Vec<Diagnostic>> {
        let path = source.path().to_owned();
        let name = FileName::of(&path);
        match name.check() {
            Ok(()) => Self::parse(name.as_str(), source),
            Err(advice) => Err(vec![Diagnostic::of_file(path, advice.message, advice.help)]),
        }
    }

    /// Parses a template's text.
    ///
    /// # Errors
    /// Every problem found.
    pub(super) fn parse(name: &str, source: Source) -> Result<Self, Vec<Diagnostic>> {
        reader::read(name, source)
    }

    /// Returns the name of the serving template, if this is its shadow.
    pub(super) fn shadow_of(&self) -> Option<&str> {
        FileName::of(self.source.path()).shadow_of()
    }

    pub(super) fn allows(&self) -> impl Iterator<Item = &Statement> {
        self.statements.iter().filter(|statement| statement.is_allow())
    }

    /// Iterates over every variable that is replaced when the template is rendered.
    pub(super) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let of_statements = self.statements.iter().flat_map(|statement| {
            let resources = statement.resources.iter().map(|resource| &resource.key);
            let operands = statement.condition.values().flat_map(BTreeMap::values).flat_map(Spanned::get_ref);
            resources.chain(operands.filter_map(Operand::as_text))
        });
        of_statements.chain([&self.home]).flat_map(TemplateString::variables)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const UPLOAD: &str = r#"
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
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_template_parses() {
        let template = Template::parse("upload", Source::new("upload.toml", UPLOAD)).unwrap();
        assert_eq!(
            template.bucket.resource(Service::Cos),
            "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/"
        );
        assert_eq!(template.statements[0].actions.len(), 8);
        assert_eq!(template.duration, Duration::from_mins(30));
    }

    #[test]
    fn each_mistake_is_reported_in_one_line_with_its_place_and_help() {
        for (from, to, line, part) in [
            ("home ", "hmoe ", 5, "did you mean `home`?"),
            ("${sub}", "${sbu}", 5, "did you mean `sub`?"),
            ("${sub}", "${sub|b64}", 5, "unknown filter `b64`"),
            ("\"allow\"", "\"alow\"", 8, "did you mean `allow`?"),
            ("@upload", "@uplod", 9, "did you mean `@upload`?"),
            ("\"@upload\"", "\"*\"", 9, "holds a wildcard"),
            ("\"@upload\"", "\"name/cos:PutObjectACL\"", 9, "is not one that a template may grant"),
            ("${home}*", "${hme}*", 10, "did you mean `home`?"),
            ("${home}*", "qcs::cos:ap-guangzhou:uid/1250000000:other-1250000000/${home}*", 10, "bucket"),
            ("${home}*", "qcs::cos::uid/1250000000:examplebucket-1250000000/${home}*", 10, "bucket"),
            (
                "numeric_less_than_equal",
                "numeric_less_then_equal",
                11,
                "did you mean `numeric_less_than_equal`?",
            ),
            ("cos:content-length", "cos:content-lenght", 12, "did you mean `cos:content-length`?"),
            ("10485760", "\"10MB\"", 12, "compares numbers"),
            ("home ", "owner = []\nhome ", 5, "owner names no user"),
            ("home ", "owner = [\"iss\"]\nhome ", 5, "owner names no user"),
            ("home ", "owner = [\"tenant\"]\nhome ", 5, "perhaps `claim.tenant`?"),
            ("30m", "30", 6, "not a duration"),
            ("30m", "1500ms", 6, "not whole seconds"),
            ("-1250000000\"", "\"", 3, "not a bucket's full name"),
            ("ap-guangzhou", "", 4, "not a region"),
            ("resource = [\"${home}*\"]", "resource = []", 7, "without action or resource"),
            ("effect ", "shared = \" \"\neffect ", 8, "write down why"),
        ] {
            let text = problems(from, to);
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(text.starts_with(&format!("upload.toml:{line}:")), "{to}: {text}");
            assert!(text.contains(part), "{to}: {text}");
        }
    }

    #[test]
    fn every_problem_of_a_file_is_reported() {
        let text = problems("ap-guangzhou\"\nhome     = \"users/${sub}/\"", "\"\nhome = \"users/${sbu}/\"");
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
