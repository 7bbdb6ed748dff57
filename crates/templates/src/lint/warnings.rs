//! Warnings: what serves, but is probably not intended.

use std::{ops::Range, time::Duration};

use toml::Spanned;

use super::finding::{Finding, Level};
use crate::{
    advice::Advice,
    render,
    rule::Rule,
    serving_constraints::ServingConstraints,
    template::{
        Action, ClaimRef, Encoding, Statement, Template,
        action::{self, SETS, short_name},
    },
};
use cam::{Comparison, Operator};

/// The actions whose requests carry a condition key (docs 436/46205). Other keys are carried by all requests, or
/// not documented.
const CARRIED_BY: [(&str, &[&str]); 7] = [
    // Requests with a body.
    (
        "cos:content-length",
        &[
            "PutObject",
            "PostObject",
            "AppendObject",
            "UploadPart",
            "CompleteMultipartUpload",
            "PutObjectTagging",
            "PostObjectRestore",
        ],
    ),
    // The type of a form is multipart/form-data.
    ("cos:content-type", &["PutObject", "AppendObject", "InitiateMultipartUpload"]),
    ("cos:x-cos-storage-class", &["PutObject", "PostObject", "AppendObject", "InitiateMultipartUpload"]),
    ("cos:x-cos-acl", &["PutObject", "PostObject", "AppendObject", "InitiateMultipartUpload"]),
    (
        "cos:versionid",
        &[
            "GetObject",
            "HeadObject",
            "DeleteObject",
            "PostObjectRestore",
            "PutObjectTagging",
            "GetObjectTagging",
            "DeleteObjectTagging",
        ],
    ),
    ("cos:prefix", &["GetBucket", "GetBucketObjectVersions", "ListMultipartUploads"]),
    ("cos:response-content-type", &["GetObject"]),
];

/// The set of actions that upload in parts.
const MULTIPART_SET: &str = "@multipart-upload";

/// The actions that show that a template allows uploads in parts.
const MULTIPART_ACTIONS: [&str; 2] = ["name/cos:InitiateMultipartUpload", "name/cos:UploadPart"];

/// Two actions that belong together: an action, the one it needs, what fails without it, and the set of both.
const PAIRED_ACTIONS: [(&str, &str, &str, &str); 2] = [
    (
        "name/cos:PutObject",
        "name/cos:PostObject",
        "uploads by a form, as mini-programs make them, fail",
        "@upload",
    ),
    ("name/cos:GetObject", "name/cos:HeadObject", "SDKs ask for a file's size first", "@download"),
];

/// The maximum duration of `GetFederationToken` for a main account (docs 1312/48195).
const MAX_MAIN_ACCOUNT_DURATION: Duration = Duration::from_hours(2);

/// The maximum duration of `AssumeRole`. A longer limit means that `GetFederationToken` is configured.
const MAX_ROLE_DURATION: Duration = Duration::from_hours(12);

/// A policy of this size has little room for another statement.
const NEAR_MAX_POLICY_BYTES: usize = render::MAX_POLICY_BYTES * 4 / 5;

/// Returns every warning about a template.
pub(super) fn of(template: &Template, constraints: &ServingConstraints) -> Vec<Finding> {
    let linted = LintedTemplate { template };
    let mut findings = Vec::new();
    for statement in template.allows() {
        findings.extend(statement.actions.iter().filter_map(|action| linted.unknown_action(action)));
        findings.extend(linted.conditions_not_carried(statement));
        findings.extend(linted.unused_shared(statement));
    }
    for statement in &template.statements {
        findings.extend(linted.negated_lists(statement));
    }
    findings.extend(linted.partial_multipart());
    findings.extend(linted.unpaired_actions());
    findings.extend(linted.long_duration(constraints));
    findings.extend(linted.large_policy());
    findings.extend(linted.unused_acl_guard());
    findings.extend(linted.repeated_owners());
    findings.extend(linted.bare_issuer());
    findings.extend(linted.refused_ids());
    findings
}

/// Warns about a shadow without a template.
pub(super) fn orphan(shadow: &Template) -> Finding {
    LintedTemplate { template: shadow }.warn(
        Rule::Unused,
        shadow.home_written.span(),
        Advice::new(
            "there is no template for this one to follow, so it does nothing",
            "take `.next` out of its name to let it serve",
        ),
    )
}

/// A template that is searched for what is probably not intended.
pub(super) struct LintedTemplate<'a> {
    pub(super) template: &'a Template,
}

impl<'a> LintedTemplate<'a> {
    pub(super) fn warn(&self, rule: Rule, span: Range<usize>, advice: Advice) -> Finding {
        let diagnostic = advice.at(&self.template.source, span);
        Finding::new(Level::Warning, rule, &self.template.name, diagnostic)
    }

    fn unknown_action(&self, action: &Spanned<Action>) -> Option<Finding> {
        let advice = match action.get_ref() {
            Action::Unlisted(name) => Advice::new(
                format!("`{name}` is not an action of COS that this version knows"),
                match action::nearest_action(name) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "check its spelling against docs 598/57092; it is granted as written".to_owned(),
                },
            ),
            Action::Processing(name) => Advice::new(
                format!(
                    "`{name}`: no documented action of data processing has an object's path for its resource, so this may grant nothing (docs 460/41742)"
                ),
                "start jobs from a server of yours: their requests name any object of the bucket",
            ),
            Action::Known(_) | Action::Pattern(_) => return None,
        };
        Some(self.warn(Rule::UnknownAction, action.span(), advice))
    }

    fn conditions_not_carried(&self, statement: &Statement) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (operator, keys) in &statement.condition {
            for (key, values) in keys {
                findings.extend(self.key_not_carried(statement, *operator, key, values.span()));
                if operator.if_exist && key == "cos:content-length" {
                    let advice = Advice::new(
                        format!(
                            "{operator} on `{key}` limits nothing: an upload may be sent without a length (docs 436/7749)"
                        ),
                        "leave `_if_exist` out",
                    );
                    findings.push(self.warn(Rule::Condition, values.span(), advice));
                }
            }
        }
        findings
    }

    /// Warns about a condition on a key that the requests of some actions do not carry.
    fn key_not_carried(
        &self,
        statement: &Statement,
        operator: Operator,
        key: &str,
        span: Range<usize>,
    ) -> Option<Finding> {
        let (_, carriers) = CARRIED_BY.iter().find(|(known, _)| *known == key)?;
        let lacking: Vec<&str> = statement
            .actions()
            .filter(|action| matches!(action, Action::Known(_)))
            .map(Action::short_name)
            .filter(|name| !carriers.contains(name))
            .collect();
        if lacking.is_empty() {
            return None;
        }
        let effect = if operator.if_exist { "are not held to it" } else { "may all be refused" };
        let lacking = lacking.join(", ");
        let advice = Advice::new(
            format!("`{key}` says nothing of {lacking}, whose requests {effect}"),
            format!("grant {lacking} in another statement, without this condition"),
        );
        Some(self.warn(Rule::Condition, span, advice))
    }

    /// Warns about several values under a negated operator, whose meaning CAM does not document. The broker
    /// assumes that it holds if no value matches.
    fn negated_lists(&self, statement: &Statement) -> Vec<Finding> {
        let negated = statement.condition.iter().filter(|(operator, _)| is_negated(operator.comparison));
        negated
            .flat_map(|(operator, keys)| keys.values().map(move |values| (operator, values)))
            .filter(|(_, values)| values.get_ref().len() > 1)
            .map(|(operator, values)| {
                let advice = Advice::new(
                    format!(
                        "what {operator} makes of several values is documented nowhere: it may hold always"
                    ),
                    "give one value, or say what is allowed",
                );
                self.warn(Rule::Condition, values.span(), advice)
            })
            .collect()
    }

    fn unused_shared(&self, statement: &Statement) -> Option<Finding> {
        let reason = statement.shared.as_ref()?;
        let home = &self.template.home;
        if statement.resources.iter().any(|resource| resource.key.strip_prefix(home).is_none()) {
            return None;
        }
        let advice = Advice::new(
            "shared, and nothing here lies outside the home",
            "remove it: it would hide a later mistake",
        );
        Some(self.warn(Rule::Unused, reason.span(), advice))
    }

    /// Finds where the template allows an action.
    fn allowed(&self, name: &str) -> Option<&'a Spanned<Action>> {
        self.template
            .allows()
            .flat_map(|statement| &statement.actions)
            .find(|action| action.get_ref().name() == name)
    }

    fn partial_multipart(&self) -> Option<Finding> {
        let first = MULTIPART_ACTIONS.into_iter().find_map(|name| self.allowed(name))?;
        let (_, members) = SETS.iter().find(|(set, _)| *set == MULTIPART_SET)?;
        let missing: Vec<&str> =
            members.iter().filter(|name| self.allowed(name).is_none()).map(|name| short_name(name)).collect();
        if missing.is_empty() {
            return None;
        }
        let advice = Advice::new(
            format!(
                "uploads in parts are granted without {}: they, or resuming them, fail when it is needed",
                missing.join(", ")
            ),
            format!("grant {MULTIPART_SET}"),
        );
        Some(self.warn(Rule::PartialFamily, first.span(), advice))
    }

    fn unpaired_actions(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (has, lacks, consequence, set) in PAIRED_ACTIONS {
            let Some(action) = self.allowed(has) else { continue };
            // A condition on the type leaves forms out on purpose.
            let is_intended = has == "name/cos:PutObject" && self.limits_content_type();
            if is_intended || self.allowed(lacks).is_some() {
                continue;
            }
            let advice = Advice::new(
                format!("{} is granted without {}: {consequence}", short_name(has), short_name(lacks)),
                format!("grant {set}"),
            );
            findings.push(self.warn(Rule::PartialFamily, action.span(), advice));
        }
        findings
    }

    fn limits_content_type(&self) -> bool {
        let conditions = self.template.statements.iter().flat_map(|statement| statement.condition.values());
        conditions.into_iter().any(|keys| keys.contains_key("cos:content-type"))
    }

    /// Warns about a duration that a main account does not allow. A duration beyond the constraints is an error
    /// already.
    fn long_duration(&self, constraints: &ServingConstraints) -> Option<Finding> {
        let may_be_main_account =
            constraints.longest > MAX_ROLE_DURATION && constraints.check_duration(self.template).is_ok();
        if !may_be_main_account || self.template.duration <= MAX_MAIN_ACCOUNT_DURATION {
            return None;
        }
        let advice = Advice::new(
            "a main account's GetFederationToken gives 2 h at most, AssumeRole 12 h, a sub-account 36 h",
            "shorten it, or be sure that the broker's keys are a sub-account's",
        );
        Some(self.warn(Rule::Duration, self.template.duration_span.clone(), advice))
    }

    fn large_policy(&self) -> Option<Finding> {
        let max_bytes = render::max_policy_bytes(self.template);
        if !(NEAR_MAX_POLICY_BYTES..=render::MAX_POLICY_BYTES).contains(&max_bytes) {
            return None;
        }
        let advice = Advice::new(
            format!(
                "the policy can grow to {max_bytes} of {} bytes, for the longest names",
                render::MAX_POLICY_BYTES
            ),
            "write fewer or shorter resources; long claims take less room under the filter sha256",
        );
        Some(self.warn(Rule::PolicySize, self.template.home_written.span(), advice))
    }

    fn unused_acl_guard(&self) -> Option<Finding> {
        let reason = self.template.acl_guard_off.as_ref()?;
        if self.template.statements.iter().flat_map(Statement::actions).any(Action::takes_acl) {
            return None;
        }
        let advice =
            Advice::new("acl_guard_off, and nothing here writes", "remove it: it would hide a later mistake");
        Some(self.warn(Rule::Unused, reason.span(), advice))
    }

    fn repeated_owners(&self) -> Vec<Finding> {
        let owners = self.template.owners.iter().enumerate();
        let repeated =
            owners.filter(|(index, owner)| self.template.owners.iter().take(*index).any(|one| one == *owner));
        repeated
            .map(|(_, owner)| {
                let advice = Advice::new(format!("owner lists `{owner}` twice"), "once is enough");
                self.warn(Rule::Unused, self.template.home_written.span(), advice)
            })
            .collect()
    }

    fn bare_issuer(&self) -> Option<Finding> {
        let mut variables = self.template.home.variables();
        variables.find(|one| one.claim == ClaimRef::Iss && one.encoding == Encoding::Bare)?;
        let advice = Advice::new(
            "an issuer is an address, which `${iss}` never takes: no user would get a key",
            "write ${iss|sha256}",
        );
        Some(self.warn(Rule::Unused, self.template.home_written.span(), advice))
    }
}

fn is_negated(comparison: Comparison) -> bool {
    use Comparison as C;
    matches!(
        comparison,
        C::StringNotEqual
            | C::StringNotEqualIgnoreCase
            | C::StringNotLike
            | C::NumericNotEqual
            | C::DateNotEqual
            | C::IpNotEqual
    )
}
