//! The rules for one statement.

use std::ops::Range;

use super::{Home, Violation, ambiguity::ambiguity, template::CheckedTemplate};
use crate::{
    advice::Advice,
    render,
    rule::Rule,
    template::{Action, Operand, Reach, Resource, Service, Statement, Template, TemplateString},
};
use cam::{Comparison, Operator};

/// A statement that is being checked, and its position in the template.
pub(super) struct CheckedStatement<'a> {
    pub(super) template: &'a CheckedTemplate<'a>,
    pub(super) statement: &'a Statement,
    pub(super) index: usize,
}

impl CheckedStatement<'_> {
    fn violation(&self, rule: Rule, advice: Advice) -> Violation {
        self.violation_at(self.statement.span.clone(), rule, advice)
    }

    fn violation_at(&self, span: Range<usize>, rule: Rule, advice: Advice) -> Violation {
        Violation { statement: Some(self.index), ..self.template.violation(rule, span, advice) }
    }

    fn home(&self) -> &TemplateString {
        &self.template.template.home
    }

    pub(super) fn is_shared(&self) -> bool {
        self.statement.shared.is_some()
    }

    fn lists_only(&self) -> bool {
        self.statement.actions().all(|action| action.reach() == Reach::List)
    }

    /// Checks that key patterns have one meaning whether slashes are merged, dots resolved or escapes decoded.
    pub(super) fn check_spelling(&self) -> Option<Violation> {
        // An ambiguous home has been reported already.
        if ambiguity(self.home()).is_some() {
            return None;
        }
        let resources = self.statement.resources.iter();
        let resources = resources.map(|resource| ("resource", &resource.key, resource.span.clone()));
        let prefixes = self.statement.condition.values().filter_map(|keys| keys.get("cos:prefix"));
        let prefixes = prefixes
            .flat_map(|values| values.get_ref().iter().map(|value| (value.as_text(), values.span())))
            .filter_map(|(text, span)| Some(("prefix", text?, span)));
        resources.chain(prefixes).find_map(|(what, text, span)| {
            let Advice { message, help } = ambiguity(text)?;
            let advice = Advice::new(format!("{what} `{text}` {message}"), help);
            Some(self.violation_at(span, Rule::PlainSpelling, advice))
        })
    }

    /// Checks rules (b) and (c): an allow lies under the home, or lists it.
    pub(super) fn check_confinement(&self) -> Option<Violation> {
        if !self.statement.is_allow() {
            return self.check_shared_deny();
        }
        self.check_mixed_lists()
            .or_else(|| self.check_shared_writes())
            .or_else(|| self.statement.resources.iter().find_map(|resource| self.check_resource(resource)))
            .or_else(|| self.check_list_is_bound())
    }

    fn check_shared_deny(&self) -> Option<Violation> {
        let shared = self.statement.shared.as_ref()?;
        let advice = Advice::new("shared stands in a deny", "remove it: a deny shares nothing");
        Some(self.violation_at(shared.span(), Rule::Shared, advice))
    }

    fn check_mixed_lists(&self) -> Option<Violation> {
        let has_list = self.statement.actions().any(|action| action.reach() == Reach::List);
        if !has_list || self.lists_only() {
            return None;
        }
        let advice = Advice::new(
            "lists and object actions stand in one statement, and the cos:prefix that confines a list would deny the rest",
            "give GetBucket a statement of its own",
        );
        Some(self.violation(Rule::BoundList, advice))
    }

    fn check_shared_writes(&self) -> Option<Violation> {
        if !self.is_shared() {
            return None;
        }
        let write = self.statement.actions().find(|action| action.reach() == Reach::WriteObject)?;
        let advice = Advice::new(
            format!("shared allows reading only, and {} writes", write.name()),
            "move the writing actions to a statement under ${home}",
        );
        Some(self.violation(Rule::Shared, advice))
    }

    fn check_resource(&self, resource: &Resource) -> Option<Violation> {
        let literal = resource.key.as_literal();
        let is_under_home = resource.key.strip_prefix(self.home()).is_some();
        let is_shared = self.is_shared() && literal.is_some();
        let is_listed_bucket =
            self.lists_only() && resource.service == Service::Cos && matches!(literal, Some("" | "*"));
        if is_under_home || is_shared || is_listed_bucket {
            return None;
        }
        let advice = Advice::new(
            format!("resource `{}` does not begin with the home `{}`", resource.key, self.home()),
            "begin it with ${home}; for a folder that all may read, say shared = \"<reason>\" and spell it without variables",
        );
        Some(self.violation_at(resource.span.clone(), Rule::UnderHome, advice))
    }

    fn check_list_is_bound(&self) -> Option<Violation> {
        if !self.lists_only() || self.list_is_bound() {
            return None;
        }
        let advice = Advice::new(
            "a list is not bound to the home: GetBucket's resource is the bucket",
            "add [statement.condition.string_like] \"cos:prefix\" = \"${home}*\"",
        );
        Some(self.violation(Rule::BoundList, advice))
    }

    /// Whether a condition limits the prefix to the home, or to the shared folder.
    fn list_is_bound(&self) -> bool {
        self.statement.condition.iter().any(|(operator, keys)| {
            binds_prefix(*operator)
                && keys
                    .get("cos:prefix")
                    .is_some_and(|values| values.get_ref().iter().all(|value| self.is_bound_prefix(value)))
        })
    }

    fn is_bound_prefix(&self, value: &Operand) -> bool {
        let Some(text) = value.as_text() else { return false };
        if self.is_shared() {
            text.as_literal().is_some_and(|prefix| !prefix.is_empty() && !prefix.starts_with('*'))
        } else {
            text.strip_prefix(self.home()).is_some()
        }
    }

    /// Checks that a shared folder overlaps no home of a template of the same bucket.
    pub(super) fn check_shared_folder(
        &self,
        other_index: usize,
        other: &Template,
        home: &Home,
    ) -> Option<Violation> {
        self.statement.shared.as_ref()?;
        let lists_only = self.lists_only();
        let resources = self.statement.resources.iter().filter_map(|resource| resource.key.as_literal());
        let resources = resources.filter(|pattern| !(lists_only && matches!(*pattern, "" | "*")));
        let prefixes = self.statement.prefixes().filter_map(Operand::as_literal);
        let overlapping = resources
            .chain(prefixes)
            .find(|pattern| home.may_contain_prefix(pattern.split('*').next().unwrap_or_default()))?;
        let advice = Advice::new(
            format!(
                "the shared `{overlapping}` reaches into the home `{}` of template `{}`",
                other.home, other.name
            ),
            "share a folder that is no user's home, such as \"public/*\"",
        );
        let mut violation = self.violation(Rule::Shared, advice);
        violation.between.1 = other_index;
        if other.name != self.template.template.name {
            violation.templates.push(other.name.clone());
        }
        Some(violation)
    }

    /// Checks that a template narrows the values that the ACL guard allows, and does not widen them.
    pub(super) fn check_acl_guard(&self) -> Option<Violation> {
        let writes = self.statement.actions().any(Action::takes_acl);
        if !self.statement.is_allow() || !writes || self.template.template.acl_guard_off.is_some() {
            return None;
        }
        let stated = self.statement.condition.get(&render::ACL_GUARD)?.get(render::ACL_KEY)?;
        if stated.get_ref().iter().all(is_harmless_acl) {
            return None;
        }
        let advice = Advice::new(
            format!("{} lets a writer make objects public", render::ACL_KEY),
            "keep to private and default, or say acl_guard_off = \"<reason>\"",
        );
        Some(self.violation_at(stated.span(), Rule::AclGuard, advice))
    }
}

/// Whether an operator denies a request whose prefix is another, or that has none.
fn binds_prefix(operator: Operator) -> bool {
    !operator.if_exist && matches!(operator.comparison, Comparison::StringEqual | Comparison::StringLike)
}

fn is_harmless_acl(value: &Operand) -> bool {
    value.as_literal().is_some_and(|acl| render::HARMLESS_ACLS.contains(&acl))
}
