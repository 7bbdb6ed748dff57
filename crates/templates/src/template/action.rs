//! The actions that a template may name, and what each of them can reach.
//!
//! Names are those of COS and case-sensitive (docs 436/30580, 598/11085). An action that the table lacks may be
//! newer than the table: it is treated as a guarded write on its objects, and `lint` warns about it. An action
//! whose name shows that it affects several users' objects is never granted.

use std::borrow::Cow;

use crate::advice::Advice;
use cam::pattern;
use diagnostics::nearest;

/// What an action works on, which decides how it is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Reads one object, which its resource names.
    ReadObject,
    /// Changes one object, which its resource names.
    WriteObject,
    /// Lists a bucket. Its resource is the bucket, so `cos:prefix` must confine it.
    List,
}

/// An action of COS that this version knows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KnownAction {
    name: &'static str,
    reach: Reach,
    takes_acl: bool,
}

/// An action of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// An action of the table.
    Known(&'static KnownAction),
    /// An object action of COS that the table lacks.
    Unlisted(String),
    /// An action of data processing, such as `name/ci:CreateMediaJobs`.
    Processing(String),
    /// A pattern of actions. Only a deny may have one.
    Pattern(String),
}

impl Action {
    /// Returns the name as CAM spells it, such as `name/cos:PutObject`.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Known(known) => known.name,
            Self::Unlisted(name) | Self::Processing(name) | Self::Pattern(name) => name,
        }
    }

    /// Returns the name without the service: `PutObject` for `name/cos:PutObject`.
    pub(crate) fn short_name(&self) -> &str {
        short_name(self.name())
    }

    pub(crate) fn reach(&self) -> Reach {
        match self {
            Self::Known(known) => known.reach,
            Self::Unlisted(_) | Self::Processing(_) | Self::Pattern(_) => Reach::WriteObject,
        }
    }

    /// Returns the HTTP methods of its requests (docs 436/30580). `DeleteMultipleObjects` asks for the right to
    /// delete each object, and is a `POST`.
    pub(crate) fn methods(&self) -> &'static [&'static str] {
        const BY_VERB: [(&str, &[&str]); 12] = [
            ("Get", &["GET"]),
            ("List", &["GET"]),
            ("Head", &["HEAD"]),
            ("Put", &["PUT"]),
            ("UploadPart", &["PUT"]),
            ("Post", &["POST"]),
            ("Append", &["POST"]),
            ("Initiate", &["POST"]),
            ("Complete", &["POST"]),
            ("Create", &["POST"]),
            ("Delete", &["DELETE", "POST"]),
            ("Abort", &["DELETE"]),
        ];
        let name = self.short_name();
        BY_VERB.iter().find(|(verb, _)| name.starts_with(verb)).map_or(&[], |(_, methods)| *methods)
    }

    /// Whether its request may carry `x-cos-acl` and `x-cos-grant-*` headers, which can make an object public.
    pub(crate) fn takes_acl(&self) -> bool {
        match self {
            Self::Known(known) => known.takes_acl,
            Self::Unlisted(_) => true,
            Self::Processing(_) | Self::Pattern(_) => false,
        }
    }
}

const fn action(name: &'static str, reach: Reach) -> KnownAction {
    KnownAction { name, reach, takes_acl: false }
}

const fn creates(name: &'static str) -> KnownAction {
    KnownAction { name, reach: Reach::WriteObject, takes_acl: true }
}

static ACTIONS: [KnownAction; 20] = [
    creates("name/cos:PutObject"),
    creates("name/cos:PostObject"),
    creates("name/cos:AppendObject"),
    creates("name/cos:InitiateMultipartUpload"),
    action("name/cos:UploadPart", Reach::WriteObject),
    action("name/cos:UploadPartCopy", Reach::WriteObject),
    action("name/cos:CompleteMultipartUpload", Reach::WriteObject),
    action("name/cos:AbortMultipartUpload", Reach::WriteObject),
    action("name/cos:ListParts", Reach::ReadObject),
    // Granted on a folder like the other five of multipart uploads (docs 436/30580). If COS uses the bucket as
    // its resource instead, a resource under the home does not match, and the call is denied.
    action("name/cos:ListMultipartUploads", Reach::ReadObject),
    action("name/cos:GetObject", Reach::ReadObject),
    action("name/cos:HeadObject", Reach::ReadObject),
    action("name/cos:OptionsObject", Reach::ReadObject),
    action("name/cos:DeleteObject", Reach::WriteObject),
    action("name/cos:GetObjectTagging", Reach::ReadObject),
    action("name/cos:PutObjectTagging", Reach::WriteObject),
    action("name/cos:DeleteObjectTagging", Reach::WriteObject),
    action("name/cos:PostObjectRestore", Reach::WriteObject),
    action("name/cos:GetBucket", Reach::List),
    action("name/cos:GetBucketObjectVersions", Reach::List),
];

/// Named sets of actions.
pub(crate) static SETS: [(&str, &[&str]); 5] = [
    ("@upload", &["name/cos:PutObject", "name/cos:PostObject"]),
    (
        "@multipart-upload",
        &[
            "name/cos:InitiateMultipartUpload",
            "name/cos:ListMultipartUploads",
            "name/cos:ListParts",
            "name/cos:UploadPart",
            "name/cos:CompleteMultipartUpload",
            "name/cos:AbortMultipartUpload",
        ],
    ),
    ("@download", &["name/cos:GetObject", "name/cos:HeadObject", "name/cos:OptionsObject"]),
    ("@list", &["name/cos:GetBucket"]),
    ("@delete", &["name/cos:DeleteObject"]),
];

/// Iterates over the names that a template's `action` list may have: sets, then actions.
pub fn action_names() -> impl Iterator<Item = &'static str> {
    SETS.iter().map(|(name, _)| *name).chain(ACTIONS.iter().map(|action| action.name))
}

/// Finds the action of this exact name.
pub(crate) fn find(name: &str) -> Option<Action> {
    ACTIONS.iter().find(|action| action.name == name).map(Action::Known)
}

/// Iterates over the actions of the table that match a pattern of names.
pub(crate) fn matching(pattern: &str) -> impl Iterator<Item = Action> {
    ACTIONS.iter().filter(move |action| pattern::matches(pattern, action.name)).map(Action::Known)
}

/// Strips `name/cos:` from a name.
pub(crate) fn short_name(name: &str) -> &str {
    name.trim_start_matches("name/cos:")
}

/// Names of actions in S3 and in the vendor's SDKs that COS does not have.
static FOREIGN_NAMES: [(&str, &str); 10] = [
    ("ListBucket", "name/cos:GetBucket"),
    ("ListObjects", "name/cos:GetBucket"),
    ("ListObjectsV2", "name/cos:GetBucket"),
    ("ListObjectVersions", "name/cos:GetBucketObjectVersions"),
    ("CreateMultipartUpload", "name/cos:InitiateMultipartUpload"),
    ("CopyObject", "name/cos:PutObject` with `name/cos:GetObject"),
    ("PutObjectCopy", "name/cos:PutObject` with `name/cos:GetObject"),
    ("DeleteObjects", "name/cos:DeleteObject"),
    ("DeleteMultipleObjects", "name/cos:DeleteObject"),
    ("RestoreObject", "name/cos:PostObjectRestore"),
];

/// Actions that COS has and no template may grant (docs 598/11085), and why.
static NEVER_GRANTED: [(&[&str], &str); 3] = [
    (
        &["GetService", "PutBucket", "DeleteBucket"],
        "it works on the account's buckets, which belong to all users",
    ),
    (
        &[
            "HeadBucket",
            "GetBucketACL",
            "PutBucketACL",
            "GetBucketCORS",
            "PutBucketCORS",
            "DeleteBucketCORS",
            "GetBucketInventory",
            "PutBucketInventory",
            "DeleteBucketInventory",
            "GetBucketLifecycle",
            "PutBucketLifecycle",
            "DeleteBucketLifecycle",
            "GetBucketLocation",
            "GetBucketLogging",
            "PutBucketLogging",
            "GetBucketPolicy",
            "PutBucketPolicy",
            "DeleteBucketPolicy",
            "GetBucketReferer",
            "PutBucketReferer",
            "GetBucketReplication",
            "PutBucketReplication",
            "DeleteBucketReplication",
            "GetBucketTagging",
            "PutBucketTagging",
            "DeleteBucketTagging",
            "GetBucketVersioning",
            "PutBucketVersioning",
            "GetBucketWebsite",
            "PutBucketWebsite",
            "DeleteBucketWebsite",
        ],
        "its resource is the bucket, which belongs to all users; a user's key cannot be bound to a folder for it",
    ),
    (&["GetObjectACL", "PutObjectACL"], "an ACL can make objects public, or give them away"),
];

/// Returns the name in COS of an action that S3 or an SDK calls `name`.
pub(crate) fn cos_name_of(name: &str) -> Option<&'static str> {
    let bare = name.rsplit(':').next().unwrap_or(name);
    FOREIGN_NAMES.iter().find(|(foreign, _)| *foreign == bare).map(|(_, cos)| *cos)
}

/// Returns the action of the table that an unknown name most likely stands for.
pub(crate) fn nearest_action(name: &str) -> Option<&'static str> {
    cos_name_of(name).or_else(|| nearest(name, ACTIONS.iter().map(|action| action.name)))
}

/// Resolves an entry of a template's `action` list to the members of a set, or to one action.
pub(crate) fn expand(entry: &str) -> Result<Vec<Action>, Advice> {
    if let Some((_, members)) = SETS.iter().find(|(name, _)| *name == entry) {
        return Ok(members.iter().filter_map(|name| find(name)).collect());
    }
    if let Some(action) = find(entry) {
        return Ok(vec![action]);
    }
    if entry.contains(['*', '?']) {
        return Err(Advice::new(
            format!("action `{entry}` holds a wildcard"),
            "name each action, or use a set such as @upload: a wildcard grants what COS adds tomorrow",
        ));
    }
    match (grantable(entry, "name/cos:"), grantable(entry, "name/ci:")) {
        (true, _) => Ok(vec![Action::Unlisted(entry.to_owned())]),
        (_, true) => Ok(vec![Action::Processing(entry.to_owned())]),
        _ => Err(not_grantable(entry)),
    }
}

/// Whether an entry is an action of a service that a template may grant although the table lacks it.
fn grantable(entry: &str, service: &str) -> bool {
    entry.strip_prefix(service).is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && !affects_all_users(name)
    })
}

/// Whether a deny may name this pattern of actions. A deny only takes rights away.
pub(crate) fn is_deny_pattern(entry: &str) -> bool {
    ["name/cos:", "name/ci:"]
        .iter()
        .filter_map(|service| entry.strip_prefix(service))
        .any(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'*'))
}

/// Whether an action, by its name, affects all users: it concerns buckets, the account, ACLs or policies, or
/// several objects under one resource (`DeleteMultipleObjects`).
pub(crate) fn affects_all_users(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["bucket", "service", "acl", "policy", "multipleobjects"].iter().any(|part| name.contains(part))
}

/// Returns the set or action that is similar to an unknown name. There is none for names about permissions:
/// `PutObjectACL` is no misspelling of `PutObject`.
fn similar(entry: &str) -> Option<&'static str> {
    if ["ACL", "Acl", "Policy"].iter().any(|part| entry.contains(part)) {
        return None;
    }
    let known = SETS.iter().map(|(name, _)| *name).chain(ACTIONS.iter().map(|action| action.name));
    // CAM's newer documents leave `name/` out, SDKs and people the service, too.
    let full = if entry.starts_with("cos:") { format!("name/{entry}").into() } else { full_name(entry) };
    cos_name_of(&full).or_else(|| nearest(entry, known.clone())).or_else(|| nearest(&full, known))
}

/// Completes a name without a service: `PutObject` becomes `name/cos:PutObject`.
pub(crate) fn full_name(name: &str) -> Cow<'_, str> {
    if name.contains(':') || name.starts_with('@') {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(format!("name/cos:{name}"))
    }
}

/// Explains a question about an action that the table lacks, and how to ask it. `None` for a valid action.
pub(crate) fn unknown_action_help(name: &str) -> Option<String> {
    if let Some((set, members)) = SETS.iter().find(|(set, _)| *set == name) {
        return Some(format!("`{set}` is a set; ask about one action of it: {}", members.join(", ")));
    }
    if let Some(why) =
        NEVER_GRANTED.iter().find_map(|(names, why)| names.contains(&short_name(name)).then_some(why))
    {
        return Some(format!("COS has it, and no template may grant it: {why}"));
    }
    let help = match similar(name) {
        _ if find(name).is_some() || name.starts_with("name/ci:") => return None,
        Some(near) if !near.starts_with('@') => format!("did you mean `{near}`?"),
        _ if name.starts_with('@') || name.contains(['*', '?']) => {
            "name one action, not a set, such as name/cos:PutObject".to_owned()
        }
        _ if affects_all_users(name) => "no template may grant an action that affects all users".to_owned(),
        _ => "docs/understand/policy-language.md lists them".to_owned(),
    };
    Some(format!("COS has no action `{name}` that this version knows; {help}"))
}

fn not_grantable(entry: &str) -> Advice {
    let help = if let Some(near) = similar(entry) {
        format!("did you mean `{near}`?")
    } else if affects_all_users(entry) {
        "it changes or shows what belongs to all users; no template may grant it".to_owned()
    } else {
        format!(
            "sets: {}; or an object action such as name/cos:GetObject",
            SETS.map(|(name, _)| name).join(", ")
        )
    };
    Advice::new(format!("action `{entry}` is not one that a template may grant"), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_of_a_set_is_an_action_of_the_table() {
        for (set, members) in SETS {
            assert_eq!(expand(set).unwrap().len(), members.len(), "{set}");
        }
    }

    #[test]
    fn an_action_that_affects_several_users_cannot_be_granted() {
        for name in [
            "*",
            "name/cos:*",
            "name/cos:Put*",
            "name/ci:*",
            "cos:PutObject",
            "name/cos:putobject",
            "name/cos:Put Object",
            "name/cos:PutObjectACL",
            "name/cos:PutObjectAcl",
            "name/cos:GetObjectACL",
            "name/cos:PutBucketPolicy",
            "name/cos:PutBucketACL",
            "name/cos:PutAnythingPolicy",
            "name/cos:DeleteBucket",
            "name/cos:GetService",
            "name/cos:DeleteMultipleObjects",
            "name/ci:CreateCIBucket",
            "name/sts:AssumeRole",
            "name/cam:AttachUserPolicy",
            "name/cos:",
            "",
        ] {
            assert!(expand(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_action_missing_from_the_table_is_treated_as_a_guarded_write() {
        let [action] = expand("name/cos:PutSymlink").unwrap().try_into().unwrap();
        assert_eq!(action, Action::Unlisted("name/cos:PutSymlink".to_owned()));
        assert_eq!((action.reach(), action.takes_acl()), (Reach::WriteObject, true));
    }

    #[test]
    fn an_action_that_changes_an_object_is_never_treated_as_a_read() {
        // The second is whether its request may carry ACL headers.
        for (name, takes_acl) in [
            ("PutObject", true),
            ("PostObject", true),
            ("AppendObject", true),
            ("InitiateMultipartUpload", true),
            ("UploadPart", false),
            ("UploadPartCopy", false),
            ("CompleteMultipartUpload", false),
            ("AbortMultipartUpload", false),
            ("DeleteObject", false),
            ("PutObjectTagging", false),
            ("DeleteObjectTagging", false),
            ("PostObjectRestore", false),
        ] {
            let action = find(&format!("name/cos:{name}")).unwrap();
            assert_eq!((action.reach(), action.takes_acl()), (Reach::WriteObject, takes_acl), "{name}");
        }
    }

    #[test]
    fn the_nearest_name_is_suggested_for_a_misspelt_action() {
        assert_eq!(nearest_action("name/cos:PutObjct"), Some("name/cos:PutObject"));
        assert_eq!(
            nearest_action("name/cos:CreateMultipartUpload"),
            Some("name/cos:InitiateMultipartUpload")
        );
        assert_eq!(expand("name/cos:ListBucket").unwrap_err().help, "did you mean `name/cos:GetBucket`?");
        assert_eq!(expand("@uplaod").unwrap_err().help, "did you mean `@upload`?");
        assert_eq!(expand("PutObject").unwrap_err().help, "did you mean `name/cos:PutObject`?");
        assert_eq!(expand("uploads").unwrap_err().help, "did you mean `@upload`?");
        assert_eq!(expand("cos:PutObject").unwrap_err().help, "did you mean `name/cos:PutObject`?");
    }

    #[test]
    fn a_question_about_an_unknown_action_gets_help() {
        for (question, help) in [
            (
                "PutObjct",
                "no action `name/cos:PutObjct` that this version knows; did you mean `name/cos:PutObject`?",
            ),
            ("putobject", "did you mean `name/cos:PutObject`?"),
            ("cos:PutObject", "did you mean `name/cos:PutObject`?"),
            ("ListObjects", "did you mean `name/cos:GetBucket`?"),
            ("@upload", "ask about one action of it: name/cos:PutObject, name/cos:PostObject"),
            ("@uplod", "name one action, not a set"),
            ("name/cos:*", "name one action, not a set"),
            ("PutObjectACL", "COS has it, and no template may grant it: an ACL can"),
            ("HeadBucket", "COS has it, and no template may grant it: its resource is the bucket"),
            ("name/cos:GetService", "COS has it, and no template may grant it"),
            ("GetBuckt", "did you mean `name/cos:GetBucket`?"),
            ("PutBucketAnything", "no template may grant an action that affects all users"),
            ("Fly", "docs/understand/policy-language.md"),
        ] {
            let found = unknown_action_help(&full_name(question)).unwrap();
            assert!(found.contains(help), "{question}: {found}");
        }
        for known in ["PutObject", "name/cos:GetBucket", "name/ci:CreateMediaJobs"] {
            assert_eq!(unknown_action_help(&full_name(known)), None);
        }
    }
}
