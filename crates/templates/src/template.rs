//! One template file, read and typed: every variable, action and operator in it is known.
//!
//! Whether it confines anybody is for `proof`.

pub(super) mod condition;
mod reader;

use std::{collections::BTreeMap, ops::Range, time::Duration};

use serde_json::Value;
use toml::Spanned;

use super::{action::Action, text::Text, variable::Subject};
use cam::{Effect, Operator};
use diagnostics::{Diagnostic, Source};

/// A template as its file says it: every name in it is known, and nothing about it is proved.
#[derive(Debug)]
pub(super) struct Template {
    /// The file's stem.
    pub name: String,
    /// The file.
    pub source: Source,
    /// For people.
    pub description: String,
    /// The bucket everything lies in.
    pub bucket: Bucket,
    /// The folder everything lies under.
    pub home: Text,
    /// The same as the file writes it, and where.
    pub home_written: Spanned<String>,
    /// Whose home it is.
    pub owners: Vec<Subject>,
    /// How long a key lives.
    pub duration: Duration,
    /// Where that stands in the file.
    pub duration_span: Range<usize>,
    /// Claims a token must carry: path, and the values of which one will do.
    pub require: Vec<Requirement>,
    /// What it grants and denies.
    pub statements: Vec<Statement>,
    /// Why writes may carry ACL headers, if they may.
    pub acl_guard_off: Option<Spanned<String>>,
}

/// A claim, by its path, and the values of which one will do.
pub(super) type Requirement = (Vec<String>, Vec<Value>);

/// A bucket and its region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// With the appid, such as `examplebucket-1250000000`.
    pub name: String,
    /// Such as `ap-guangzhou`.
    pub region: String,
}

impl Bucket {
    /// Where COS serves it (docs 436/6224).
    pub fn host(&self) -> String {
        format!("{}.cos.{}.myqcloud.com", self.name, self.region)
    }
}

/// The service that a resource belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The objects themselves.
    Cos,
    /// Data processing (CI) of objects.
    Ci,
}

/// One `[[statement]]`.
#[derive(Debug)]
pub(super) struct Statement {
    /// Allow or deny.
    pub effect: Effect,
    /// What it speaks of.
    pub actions: Vec<Spanned<Action>>,
    /// On what.
    pub resources: Vec<Resource>,
    /// operator -> key -> values.
    pub condition: BTreeMap<Operator, BTreeMap<String, Operands>>,
    /// Why it may reach beyond the home, if it may.
    pub shared: Option<Spanned<String>>,
    /// Where it stands in the file.
    pub span: Range<usize>,
}

/// A key pattern in the bucket, under one service.
#[derive(Debug)]
pub(super) struct Resource {
    /// Whose resource it is.
    pub service: Service,
    /// The key pattern.
    pub key: Text,
    /// Where it stands in the file.
    pub span: Range<usize>,
}

/// The values of one condition key, and where they stand.
pub(super) type Operands = Spanned<Vec<Operand>>;

/// A value of a condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    /// Text, variables and all.
    Text(Text),
    /// A number.
    Number(serde_json::Number),
}

impl Bucket {
    /// Whether this can be a bucket's name with its appid.
    pub(super) fn is_full_name(name: &str) -> bool {
        name.rsplit_once('-').is_some_and(|(short, appid)| {
            is_plain(short) && !appid.is_empty() && appid.bytes().all(|byte| byte.is_ascii_digit())
        })
    }

    /// Whether this can be a region's name.
    pub(super) fn is_region(name: &str) -> bool {
        is_plain(name)
    }

    /// The number after the name's last dash.
    pub fn appid(&self) -> &str {
        self.name.rsplit('-').next().unwrap_or_default()
    }

    /// The six segments of a service's resources up to the key.
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
    /// The service an action belongs to, by its name.
    pub fn of(action: &str) -> Self {
        if action.starts_with("name/ci:") { Self::Ci } else { Self::Cos }
    }
}

impl Statement {
    /// What it speaks of.
    pub(super) fn actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.iter().map(Spanned::get_ref)
    }

    /// The values of `cos:prefix`, under whatever operator.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = &Operand> {
        self.condition.values().filter_map(|keys| keys.get("cos:prefix")).flat_map(Spanned::get_ref)
    }
}

impl Operand {
    /// The text, if it is one without variables.
    pub(super) fn as_literal(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.as_literal(),
            Self::Number(_) => None,
        }
    }
}

impl Template {
    /// Reads one template file.
    ///
    /// # Errors
    /// Every problem found, each with its line.
    pub(super) fn parse(name: &str, source: Source) -> Result<Self, Vec<Diagnostic>> {
        reader::read(name, source)
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
    fn the_designs_example_reads() {
        let template = Template::parse("upload", Source::new("upload.toml", UPLOAD)).unwrap();
        assert_eq!(
            template.bucket.resource(Service::Cos),
            "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/"
        );
        assert_eq!(template.statements[0].actions.len(), 8);
        assert_eq!(template.duration, Duration::from_mins(30));
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
            ("home ", "owner = []\nhome ", 5, "nobody in particular"),
            ("home ", "owner = [\"iss\"]\nhome ", 5, "nobody in particular"),
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
            assert!(text.contains(said), "{to}: {text}");
        }
    }

    #[test]
    fn every_problem_of_a_file_is_told() {
        let text = problems("ap-guangzhou\"\nhome     = \"users/${sub}/\"", "\"\nhome = \"users/${sbu}/\"");
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
