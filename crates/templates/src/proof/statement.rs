//! What is proved of one statement.

use std::ops::Range;

use super::{Fault, template::Examined};
use crate::{
    action::{Action, Reach},
    finding::Rule,
    home::Home,
    render,
    template::{Operand, Service, Statement, Template},
    text::Text,
};
use cam::{Comparison, Effect};

/// A statement under examination.
pub(super) struct ExaminedStatement<'a> {
    pub(super) template: &'a Examined<'a>,
    pub(super) statement: &'a Statement,
    pub(super) number: usize,
}

impl ExaminedStatement<'_> {
    fn fault(&self, rule: Rule, message: impl Into<String>, help: impl Into<String>) -> Fault {
        self.at(self.statement.span.clone(), rule, message, help)
    }

    fn at(
        &self,
        span: Range<usize>,
        rule: Rule,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Fault {
        Fault { statement: Some(self.number), ..self.template.fault(rule, span, message, help) }
    }

    fn is_allow(&self) -> bool {
        self.statement.effect == Effect::Allow
    }

    fn home(&self) -> &Text {
        &self.template.template.home
    }

    /// Key patterns must read the same whether slashes are merged, dots resolved or escapes decoded.
    pub(super) fn spelling_is_plain(&self) -> Option<Fault> {
        // A home that is not plain was told already.
        if unplain(self.home()).is_some() {
            return None;
        }
        let fault = |what: &str, text: &Text, span: Range<usize>| {
            let (message, help) = unplain(text)?;
            Some(self.at(span, Rule::PlainSpelling, format!("{what} `{text}` {message}"), help))
        };
        let mut resources = self.statement.resources.iter();
        let in_resource =
            resources.find_map(|resource| fault("resource", &resource.key, resource.span.clone()));
        in_resource.or_else(|| {
            let written = self.statement.condition.values().filter_map(|keys| keys.get("cos:prefix"));
            written.flat_map(|values| values.get_ref().iter().map(|value| (value, values.span()))).find_map(
                |(value, span)| match value {
                    Operand::Text(text) => fault("prefix", text, span),
                    Operand::Number(_) => None,
                },
            )
        })
    }

    /// Rules (b) and (c): every allow lies under the home, or lists it.
    pub(super) fn is_confined(&self) -> Option<Fault> {
        let statement = self.statement;
        if !self.is_allow() {
            let shared = statement.shared.as_ref()?;
            return Some(self.at(
                shared.span(),
                Rule::Shared,
                "shared stands in a deny",
                "remove it: a deny shares nothing",
            ));
        }
        let lists = statement.actions().filter(|action| action.reach() == Reach::List).count();
        let only_lists = lists == statement.actions.len();
        if lists > 0 && !only_lists {
            return Some(self.fault(
                Rule::BoundList,
                "lists and object actions stand in one statement, and the cos:prefix that confines a list would deny the rest",
                "give GetBucket a statement of its own",
            ));
        }
        if let Some(write) = statement.actions().find(|action| action.reach() == Reach::WriteObject)
            && statement.shared.is_some()
        {
            return Some(self.fault(
                Rule::Shared,
                format!("shared allows reading only, and {} writes", write.name()),
                "move the writing actions to a statement under ${home}",
            ));
        }
        for resource in &statement.resources {
            let confined = resource.key.strip_prefix(self.home()).is_some();
            let literal = resource.key.as_literal();
            let whole_bucket = resource.service == Service::Cos && matches!(literal, Some("" | "*"));
            let shared = statement.shared.is_some() && literal.is_some();
            if !(confined || shared || only_lists && whole_bucket) {
                return Some(self.at(
                    resource.span.clone(),
                    Rule::UnderHome,
                    format!("resource `{}` does not begin with the home `{}`", resource.key, self.home()),
                    "begin it with ${home}; for a folder that all may read, say shared = \"<reason>\" and spell it without variables",
                ));
            }
        }
        (only_lists && !self.list_is_bound()).then(|| {
            self.fault(
                Rule::BoundList,
                "a list is not bound to the home: GetBucket's resource is the bucket",
                "add [statement.condition.string_like] \"cos:prefix\" = \"${home}*\"",
            )
        })
    }

    /// Whether some condition lets only prefixes under the home (or the shared folder) through.
    fn list_is_bound(&self) -> bool {
        let bound = |value: &Operand| match value {
            Operand::Number(_) => false,
            Operand::Text(text) => match self.statement.shared {
                Some(_) => {
                    text.as_literal().is_some_and(|prefix| !prefix.is_empty() && !prefix.starts_with('*'))
                }
                None => text.strip_prefix(self.home()).is_some(),
            },
        };
        self.statement.condition.iter().any(|(operator, keys)| {
            !operator.if_exist
                && matches!(operator.comparison, Comparison::StringEqual | Comparison::StringLike)
                && keys.get("cos:prefix").is_some_and(|values| values.get_ref().iter().all(bound))
        })
    }

    /// A shared folder is nobody's: it holds no home and lies in none, of any template of the bucket.
    pub(super) fn shared_spares(&self, at: usize, other: &Template, home: &Home) -> Option<Fault> {
        self.statement.shared.as_ref()?;
        let listed = self.statement.prefixes().filter_map(Operand::as_literal);
        let read = self.statement.resources.iter().filter_map(|resource| resource.key.as_literal());
        let lists = self.statement.actions().all(|action| action.reach() == Reach::List);
        let mut shared = read.filter(|pattern| !(lists && matches!(*pattern, "" | "*"))).chain(listed);
        let reached = shared.find(|pattern| home.touches(pattern.split('*').next().unwrap_or_default()))?;
        let mut fault = self.fault(
            Rule::Shared,
            format!(
                "the shared `{reached}` reaches into the home `{}` of template `{}`",
                other.home, other.name
            ),
            "share a folder that is nobody's home, such as \"public/*\"",
        );
        fault.between.1 = at;
        if other.name != self.template.template.name {
            fault.finding.templates.push(other.name.clone());
        }
        Some(fault)
    }

    /// A template may narrow what the ACL guard allows, never widen it.
    pub(super) fn guard_holds(&self) -> Option<Fault> {
        let writes = self.statement.actions().any(Action::takes_acl);
        if !self.is_allow() || !writes || self.template.template.acl_guard_off.is_some() {
            return None;
        }
        let stated = self.statement.condition.get(&render::ACL_GUARD)?.get(render::ACL_KEY)?;
        let harmless =
            |value: &Operand| value.as_literal().is_some_and(|acl| render::HARMLESS_ACLS.contains(&acl));
        (!stated.get_ref().iter().all(harmless)).then(|| {
            self.at(
                stated.span(),
                Rule::AclGuard,
                format!("{} lets a writer make objects public", render::ACL_KEY),
                "keep to private and default, or say acl_guard_off = \"<reason>\"",
            )
        })
    }
}

/// What about a key pattern could be read in two ways, and the mend.
pub(crate) fn unplain(text: &Text) -> Option<(String, &'static str)> {
    let shape = text.shape();
    if let Some(c) = shape.chars().find(|c| "?%\\".contains(*c) || c.is_control()) {
        let help = "leave it out: it may be read as a wildcard or an escape";
        return Some((format!("holds `{}`", c.escape_default()), help));
    }
    if shape.contains("//") || shape.starts_with('/') {
        return Some(("holds an empty segment".to_owned(), "keys have no leading or double slash"));
    }
    let dots = shape.split('/').any(|segment| segment == "." || segment.contains(".."));
    dots.then(|| ("holds a `.` or `..`".to_owned(), "name the folder itself"))
}
