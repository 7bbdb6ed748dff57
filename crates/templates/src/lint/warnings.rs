//! What serves, and is likely not what was meant.

use std::{ops::Range, time::Duration};

use crate::{
    action::{self, Action, SETS},
    finding::{Finding, Level, Rule},
    render,
    template::{Statement, Template},
    terms::ServingConstraints,
    variable::{Encoding, Subject},
};
use cam::{Comparison, Effect};

/// The actions whose requests carry what a condition key speaks of (docs 436/46205); other keys are carried
/// by all, or not documented.
const CARRIED_BY: [(&str, &[&str]); 7] = [
    ("cos:content-length", &["PutObject", "PostObject", "AppendObject"]),
    // A form's own type is multipart/form-data.
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

/// The longest life `GetFederationToken` gives to a main account's keys (docs 1312/48195).
const LONGEST_OF_MAIN_ACCOUNT: Duration = Duration::from_hours(2);

/// A policy this near to the limit has little room for the next statement.
const NEAR_LIMIT: usize = render::MAX_POLICY_BYTES * 4 / 5;

/// Every warning about one template.
pub(super) fn of(template: &Template, terms: &ServingConstraints) -> Vec<Finding> {
    let about = About { template };
    let allows = || template.statements.iter().filter(|statement| statement.effect == Effect::Allow);
    let mut findings = Vec::new();
    for statement in allows() {
        findings.extend(about.unknown_actions(statement));
        findings.extend(about.conditions_not_carried(statement));
        findings.extend(about.shared_for_nothing(statement));
    }
    for statement in &template.statements {
        findings.extend(about.lists_under_a_not(statement));
    }
    findings.extend(about.partial_families());
    findings.extend(about.duration(terms));
    findings.extend(about.size());
    findings.extend(about.unused());
    findings
}

/// A `<name>.next.toml` that has no template to follow.
pub(super) fn orphan(template: &Template) -> Finding {
    About { template }.warn(
        Rule::Unused,
        template.home_written.span(),
        "there is no template for this one to follow, so it does nothing",
        "take `.next` out of its name to let it serve",
    )
}

struct About<'a> {
    template: &'a Template,
}

impl About<'_> {
    fn warn(
        &self,
        rule: Rule,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Finding {
        Finding::new(
            Level::Warning,
            rule,
            &self.template.name,
            self.template.source.problem(span, message, help),
        )
    }

    fn unknown_actions(&self, statement: &Statement) -> impl Iterator<Item = Finding> {
        statement.actions.iter().filter_map(|action| {
            let (message, help) = match action.get_ref() {
                Action::Unlisted(name) => (
                    format!("`{name}` is not an action of COS that this version knows"),
                    match action::meant(name) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "check its spelling against docs 598/57092; it is granted as written".to_owned(),
                    },
                ),
                Action::Processing(name) => (
                    format!("`{name}`: no documented action of data processing has an object's path for its resource, so this may grant nothing (docs 460/41742)"),
                    "start jobs from a server of yours: their requests name any object of the bucket".to_owned(),
                ),
                Action::Known(_) | Action::Pattern(_) => return None,
            };
            Some(self.warn(Rule::UnknownAction, action.span(), message, help))
        })
    }

    fn conditions_not_carried(&self, statement: &Statement) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (operator, keys) in &statement.condition {
            for (key, values) in keys {
                let Some((_, carriers)) = CARRIED_BY.iter().find(|(known, _)| known == key) else { continue };
                let lacking: Vec<&str> = statement
                    .actions()
                    .filter(|action| matches!(action, Action::Known(_)))
                    .map(|action| action.name().trim_start_matches("name/cos:"))
                    .filter(|name| !carriers.contains(name))
                    .collect();
                if !lacking.is_empty() {
                    let then = if operator.if_exist { "are not held to it" } else { "may all be refused" };
                    findings.push(self.warn(
                        Rule::Condition,
                        values.span(),
                        format!("`{key}` says nothing of {}, whose requests {then}", lacking.join(", ")),
                        format!("grant {} in another statement, without this condition", lacking.join(", ")),
                    ));
                }
                if operator.if_exist && key == "cos:content-length" {
                    findings.push(self.warn(
                        Rule::Condition,
                        values.span(),
                        format!("{operator} on `{key}` limits nothing: an upload may be sent without a length (docs 436/7749)"),
                        "leave `_if_exist` out",
                    ));
                }
            }
        }
        findings
    }

    /// CAM's documents do not say what a "not" makes of several values; the broker takes it to hold for none.
    fn lists_under_a_not(&self, statement: &Statement) -> Vec<Finding> {
        use Comparison as C;
        let is_not = |comparison| {
            matches!(
                comparison,
                C::StringNotEqual
                    | C::StringNotEqualIgnoreCase
                    | C::StringNotLike
                    | C::NumericNotEqual
                    | C::DateNotEqual
                    | C::IpNotEqual
            )
        };
        let nots = statement.condition.iter().filter(|(operator, _)| is_not(operator.comparison));
        nots.flat_map(|(operator, keys)| keys.values().map(move |values| (operator, values)))
            .filter(|(_, values)| values.get_ref().len() > 1)
            .map(|(operator, values)| {
                self.warn(
                    Rule::Condition,
                    values.span(),
                    format!(
                        "what {operator} makes of several values is documented nowhere: it may hold always"
                    ),
                    "give one value, or say what is allowed",
                )
            })
            .collect()
    }

    fn shared_for_nothing(&self, statement: &Statement) -> Option<Finding> {
        let reason = statement.shared.as_ref()?;
        let home = &self.template.home;
        let own = statement.resources.iter().all(|resource| resource.key.strip_prefix(home).is_some());
        own.then(|| {
            self.warn(
                Rule::Unused,
                reason.span(),
                "shared, and nothing here lies outside the home",
                "remove it: it would hide a later mistake",
            )
        })
    }

    fn partial_families(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let allowed: Vec<_> = self
            .template
            .statements
            .iter()
            .filter(|statement| statement.effect == Effect::Allow)
            .flat_map(|statement| &statement.actions)
            .collect();
        let named = |name: &str| allowed.iter().find(|action| action.get_ref().name() == name);
        let short = |name: &&str| name.trim_start_matches("name/cos:").to_owned();
        let families = SETS.iter().filter(|(set, _)| *set == "@multipart-upload");
        for (set, members) in families {
            let missing: Vec<&str> = members.iter().copied().filter(|name| named(name).is_none()).collect();
            let uploads = ["name/cos:InitiateMultipartUpload", "name/cos:UploadPart"];
            if let Some(first) = uploads.into_iter().find_map(named)
                && !missing.is_empty()
            {
                let missing: Vec<String> = missing.iter().map(short).collect();
                findings.push(self.warn(
                    Rule::PartialFamily,
                    first.span(),
                    format!(
                        "uploads in parts are granted without {}: they, or resuming them, fail on the day it is needed",
                        missing.join(", ")
                    ),
                    format!("grant {set}"),
                ));
            }
        }
        let twins = [
            (
                "name/cos:PutObject",
                "name/cos:PostObject",
                "uploads by a form, as mini-programs make them, fail",
                "@upload",
            ),
            ("name/cos:GetObject", "name/cos:HeadObject", "SDKs ask for a file's size first", "@download"),
        ];
        let typed =
            self.template.statements.iter().any(|statement| {
                statement.condition.values().any(|keys| keys.contains_key("cos:content-type"))
            });
        for (has, lacks, then, set) in twins {
            // A condition on the type leaves forms out on purpose.
            if let Some(action) = named(has).filter(|_| !(typed && has == "name/cos:PutObject"))
                && named(lacks).is_none()
            {
                let (has, lacks) = (short(&has), short(&lacks));
                findings.push(self.warn(
                    Rule::PartialFamily,
                    action.span(),
                    format!("{has} is granted without {lacks}: {then}"),
                    format!("grant {set}"),
                ));
            }
        }
        findings
    }

    /// What does not fit the terms is an error already.
    fn duration(&self, terms: &ServingConstraints) -> Option<Finding> {
        let may_be_main =
            terms.longest > Duration::from_hours(12) && terms.duration_fits(self.template).is_ok();
        let long = may_be_main && self.template.duration > LONGEST_OF_MAIN_ACCOUNT;
        long.then(|| {
            self.warn(
                Rule::Duration,
                self.template.duration_span.clone(),
                "a main account's GetFederationToken gives 2 h at most, AssumeRole 12 h, a sub-account 36 h",
                "shorten it, or be sure that the broker's keys are a sub-account's",
            )
        })
    }

    fn size(&self) -> Option<Finding> {
        let longest = render::longest_policy(self.template);
        (NEAR_LIMIT..=render::MAX_POLICY_BYTES).contains(&longest).then(|| {
            self.warn(
                Rule::PolicySize,
                self.template.home_written.span(),
                format!(
                    "the policy can grow to {longest} of {} bytes, for the longest names",
                    render::MAX_POLICY_BYTES
                ),
                "write fewer or shorter resources; long claims take less room under the filter sha256",
            )
        })
    }

    fn unused(&self) -> Vec<Finding> {
        let template = self.template;
        let mut findings = Vec::new();
        let home = template.home_written.span();
        if let Some(reason) = &template.acl_guard_off
            && !template.statements.iter().flat_map(Statement::actions).any(Action::takes_acl)
        {
            findings.push(self.warn(
                Rule::Unused,
                reason.span(),
                "acl_guard_off, and nothing here writes",
                "remove it: it would hide a later mistake",
            ));
        }
        for (index, owner) in template.owners.iter().enumerate() {
            if template.owners.iter().take(index).any(|earlier| earlier == owner) {
                findings.push(self.warn(
                    Rule::Unused,
                    home.clone(),
                    format!("owner lists `{owner}` twice"),
                    "once is enough",
                ));
            }
        }
        let bare_issuer = template
            .home
            .variables()
            .any(|one| one.subject == Subject::Iss && one.encoding == Encoding::Bare);
        if bare_issuer {
            findings.push(self.warn(
                Rule::Unused,
                home,
                "an issuer is an address, which `${iss}` never takes: nobody would get a key",
                "write ${iss|sha256}",
            ));
        }
        findings
    }
}
