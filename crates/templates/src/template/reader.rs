//! From a template's file to a [`Template`]: resolves every name and collects every problem.

use std::{collections::BTreeMap, ops::Range};

use toml::Spanned;

use super::{
    Bucket, ClaimRef, Operands, Requirement, Resource, Service, Statement, Template, TemplateString,
    action::{self, Action},
    condition,
    file::{File, FileConditions, FileStatement, entries},
    requirement,
};
use crate::advice::Advice;
use cam::{Effect, Operator};
use diagnostics::{Diagnostic, HumanDuration, Source, nearest};

/// STS accepts a policy of 6144 bytes, and the shortest statement takes some 60 of them.
const MAX_STATEMENTS: usize = 100;

/// Reads a template file.
pub(super) fn read(name: &str, source: Source) -> Result<Template, Vec<Diagnostic>> {
    let file: File = source.parse().map_err(|problem| vec![problem])?;
    let mut reader = Reader { source: &source, problems: Vec::new() };
    let bucket = reader.bucket(&file);
    let owners = reader.owners(file.owner.as_ref());
    let home = reader.value(TemplateString::parse(file.home.get_ref(), None), file.home.span());
    reader.check_duration(&file.duration);
    let require = reader.requirements(&file.require);
    reader.check_reason("acl_guard_off", file.acl_guard_off.as_ref());
    reader.check_count(&file.statement);
    let statements = match (&bucket, &home) {
        (Some(bucket), Some(home)) => reader.statements(file.statement, bucket, home),
        _ => Vec::new(),
    };
    let problems = reader.problems;
    match (bucket, home, owners) {
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

/// Reads the parts of a file. Each method records the problems of its part.
struct Reader<'a> {
    source: &'a Source,
    problems: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn problem(&mut self, span: Range<usize>, advice: Advice) {
        self.problems.push(advice.at(self.source, span));
    }

    /// Unwraps a value of the part at `span`, or records its problem.
    fn value<T>(&mut self, value: Result<T, Advice>, span: Range<usize>) -> Option<T> {
        value.map_err(|advice| self.problem(span, advice)).ok()
    }

    fn bucket(&mut self, file: &File) -> Option<Bucket> {
        let (name, region) = (file.bucket.get_ref(), file.region.get_ref());
        if !Bucket::is_full_name(name) {
            let message = format!("`{name}` is not a bucket's full name");
            let help = "write it with its appid, like \"examplebucket-1250000000\"";
            self.problem(file.bucket.span(), Advice::new(message, help));
            return None;
        }
        if !Bucket::is_region(region) {
            let message = format!("`{region}` is not a region");
            self.problem(file.region.span(), Advice::new(message, "write it like \"ap-guangzhou\""));
            return None;
        }
        Some(Bucket { name: name.clone(), region: region.clone() })
    }

    fn owners(&mut self, owner: Option<&Spanned<Vec<String>>>) -> Option<Vec<ClaimRef>> {
        match owner {
            None => Some(vec![ClaimRef::Sub]),
            Some(owner) => self.value(parse_owners(owner.get_ref()), owner.span()),
        }
    }

    fn check_duration(&mut self, duration: &Spanned<HumanDuration>) {
        if duration.get_ref().0.subsec_nanos() != 0 {
            let advice = Advice::new("duration is not whole seconds", "STS counts in seconds");
            self.problem(duration.span(), advice);
        }
    }

    /// Checks that a setting that weakens a rule has a reason.
    fn check_reason(&mut self, setting: &str, reason: Option<&Spanned<String>>) {
        if let Some(reason) = reason.filter(|reason| reason.get_ref().trim().is_empty()) {
            self.problem(reason.span(), no_reason(setting));
        }
    }

    fn check_count(&mut self, statements: &[Spanned<FileStatement>]) {
        if let Some(statement) = statements.get(MAX_STATEMENTS) {
            let message =
                format!("more than {MAX_STATEMENTS} statements, and STS takes a policy of 6144 bytes");
            self.problem(statement.span(), Advice::new(message, "split the template"));
        }
        if statements.is_empty() {
            let message = "no [[statement]]: a key of this template could do nothing";
            self.problem(0..0, Advice::new(message, "add one with effect, action and resource"));
        }
    }

    fn requirements(&mut self, table: &toml::Table) -> Vec<Requirement> {
        requirement::read(table).unwrap_or_else(|Advice { message, help }| {
            self.problems.push(Diagnostic::of_file(self.source.path(), message, help));
            Vec::new()
        })
    }

    fn statements(
        &mut self,
        statements: Vec<Spanned<FileStatement>>,
        bucket: &Bucket,
        home: &TemplateString,
    ) -> Vec<Statement> {
        let statements = statements.into_iter().take(MAX_STATEMENTS);
        statements.filter_map(|one| self.statement(one.span(), one.into_inner(), bucket, home)).collect()
    }

    fn statement(
        &mut self,
        span: Range<usize>,
        statement: FileStatement,
        bucket: &Bucket,
        home: &TemplateString,
    ) -> Option<Statement> {
        let mut actions = Vec::new();
        for (entry, span) in entries(&statement.action) {
            let found = self.value(resolve(entry, statement.effect), span.clone())?;
            actions.extend(found.into_iter().map(|action| Spanned::new(span.clone(), action)));
        }
        let mut resources = Vec::new();
        for (text, span) in entries(&statement.resource) {
            let (service, key) = self.value(resource(text, bucket, home), span.clone())?;
            resources.push(Resource { service, key, span });
        }
        if actions.is_empty() || resources.is_empty() {
            let message = "a statement without action or resource";
            self.problem(span, Advice::new(message, "name at least one of each"));
            return None;
        }
        if let Some(reason) = statement.shared.as_ref().filter(|reason| reason.get_ref().trim().is_empty()) {
            self.problem(reason.span(), no_reason("shared"));
            return None;
        }
        let condition = self.conditions(statement.condition, home)?;
        Some(Statement {
            effect: statement.effect,
            actions,
            resources,
            condition,
            shared: statement.shared,
            span,
        })
    }

    fn conditions(
        &mut self,
        conditions: FileConditions,
        home: &TemplateString,
    ) -> Option<BTreeMap<Operator, BTreeMap<String, Operands>>> {
        let mut read = BTreeMap::new();
        for (name, keys) in conditions {
            let operator = self.value(operator(name.get_ref()), name.span())?;
            let mut operands_by_key = BTreeMap::new();
            for (key, value) in keys {
                self.value(condition::check_key(key.get_ref()), key.span())?;
                let operands =
                    self.value(condition::operands(operator, value.get_ref(), home), value.span())?;
                operands_by_key.insert(key.into_inner(), Spanned::new(value.span(), operands));
            }
            read.insert(operator, operands_by_key);
        }
        Some(read)
    }
}

fn parse_owners(names: &[String]) -> Result<Vec<ClaimRef>, Advice> {
    // The issuer alone does not identify a user.
    if names.iter().all(|name| name == "iss") {
        return Err(Advice::new("owner names no user", "say whose home it is, like [\"sub\"]"));
    }
    names.iter().map(|name| ClaimRef::parse(name)).collect()
}

fn no_reason(setting: &str) -> Advice {
    Advice::new(format!("{setting} is empty"), "write down why: the next operator will want to know")
}

/// Resolves an entry of `action`. A deny may have a pattern.
fn resolve(entry: &str, effect: Effect) -> Result<Vec<Action>, Advice> {
    match action::expand(entry) {
        Err(_) if effect == Effect::Deny && action::is_deny_pattern(entry) => {
            Ok(vec![Action::Pattern(entry.to_owned())])
        }
        expanded => expanded,
    }
}

fn operator(name: &str) -> Result<Operator, Advice> {
    name.parse().map_err(|_| {
        let stem = name.strip_suffix("_if_exist").unwrap_or(name);
        let help = match nearest(stem, Operator::names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", Operator::names().collect::<Vec<_>>().join(", ")),
        };
        Advice::new(format!("unknown operator `{name}`"), help)
    })
}

/// Reads a key pattern in the bucket, written alone or as a resource of six segments.
fn resource(text: &str, bucket: &Bucket, home: &TemplateString) -> Result<(Service, TemplateString), Advice> {
    if !text.starts_with("qcs:") {
        return Ok((Service::Cos, TemplateString::parse(text, Some(home))?));
    }
    for service in [Service::Cos, Service::Ci] {
        if let Some(key) = text.strip_prefix(&bucket.resource(service)) {
            return Ok((service, TemplateString::parse(key, Some(home))?));
        }
    }
    Err(Advice::new(
        format!("resource `{text}` is not in this template's bucket"),
        format!(
            "begin it with `{}` (data processing: `{}`), or write only the key pattern",
            bucket.resource(Service::Cos),
            bucket.resource(Service::Ci)
        ),
    ))
}
