//! The actions a template may name, and what each of them can reach.
//!
//! Names are COS's own and case-sensitive (docs 436/30580, 598/11085). What the table does not list may be
//! younger than the table: it is taken for a write on the objects its resource names, guarded like one, and
//! `lint` says so. What by its name touches more than one user's objects is never granted.

use std::borrow::Cow;

use cam::pattern;
use diagnostics::nearest;

/// What an action works on, which decides how it is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Reads one object: its resource names it.
    ReadObject,
    /// Changes one object: its resource names it.
    WriteObject,
    /// Lists a bucket: its resource is the bucket, so `cos:prefix` must confine it.
    List,
}

/// One action of COS that this version knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    name: &'static str,
    reach: Reach,
    takes_acl: bool,
}

/// What a statement speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// One of the table.
    Known(&'static Known),
    /// An object action of COS that the table lacks.
    Unlisted(String),
    /// An action of data processing, such as `name/ci:CreateMediaJobs`.
    Processing(String),
    /// A pattern of actions, in a deny only.
    Pattern(String),
}

impl Action {
    /// As CAM spells it, such as `name/cos:PutObject`.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Known(known) => known.name,
            Self::Unlisted(name) | Self::Processing(name) | Self::Pattern(name) => name,
        }
    }

    /// What it works on.
    pub(super) fn reach(&self) -> Reach {
        match self {
            Self::Known(known) => known.reach,
            Self::Unlisted(_) | Self::Processing(_) | Self::Pattern(_) => Reach::WriteObject,
        }
    }

    /// Whether its request may carry `x-cos-acl` and `x-cos-grant-*` headers, with which its holder could
    /// make the object public.
    pub(super) fn takes_acl(&self) -> bool {
        match self {
            Self::Known(known) => known.takes_acl,
            Self::Unlisted(_) => true,
            Self::Processing(_) | Self::Pattern(_) => false,
        }
    }
}

const fn action(name: &'static str, reach: Reach) -> Known {
    Known { name, reach, takes_acl: false }
}

const fn creates(name: &'static str) -> Known {
    Known { name, reach: Reach::WriteObject, takes_acl: true }
}

static ACTIONS: [Known; 20] = [
    creates("name/cos:PutObject"),
    creates("name/cos:PostObject"),
    creates("name/cos:AppendObject"),
    creates("name/cos:InitiateMultipartUpload"),
    action("name/cos:UploadPart", Reach::WriteObject),
    action("name/cos:UploadPartCopy", Reach::WriteObject),
    action("name/cos:CompleteMultipartUpload", Reach::WriteObject),
    action("name/cos:AbortMultipartUpload", Reach::WriteObject),
    action("name/cos:ListParts", Reach::ReadObject),
    // Granted on a folder like its five sisters (docs 436/30580): where COS takes the bucket for its
    // resource instead, a resource under the home does not match and the call is merely denied.
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

/// A named set of actions, and what it stands for.
pub(super) static SETS: [(&str, &[&str]); 5] = [
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

/// The action of this exact name.
pub(super) fn find(name: &str) -> Option<Action> {
    ACTIONS.iter().find(|action| action.name == name).map(Action::Known)
}

/// The actions of the table that a pattern of names takes in.
pub(super) fn matching(pattern: &str) -> impl Iterator<Item = Action> {
    ACTIONS.iter().filter(move |action| pattern::matches(pattern, action.name)).map(Action::Known)
}

/// What others call actions of COS: S3, and the label of a vendor's SDK.
static ELSEWHERE: [(&str, &str); 10] = [
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

/// What COS calls an action that others call so.
pub(super) fn renamed(name: &str) -> Option<&'static str> {
    let bare = name.rsplit(':').next().unwrap_or(name);
    ELSEWHERE.iter().find(|(theirs, _)| *theirs == bare).map(|(_, ours)| *ours)
}

/// The action of the table that a person most likely meant by an unknown name.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    renamed(name).or_else(|| nearest(name, ACTIONS.iter().map(|action| action.name)))
}

/// What one entry of a template's `action` list stands for: a set's members, or one action.
///
/// # Errors
/// Why the entry cannot be granted, and how to mend it.
pub(super) fn expand(entry: &str) -> Result<Vec<Action>, (String, String)> {
    if let Some((_, members)) = SETS.iter().find(|(name, _)| *name == entry) {
        return Ok(members.iter().filter_map(|name| find(name)).collect());
    }
    if let Some(action) = find(entry) {
        return Ok(vec![action]);
    }
    if entry.contains(['*', '?']) {
        return Err((
            format!("action `{entry}` holds a wildcard"),
            "name each action, or use a set such as @upload: a wildcard grants what COS adds tomorrow"
                .to_owned(),
        ));
    }
    let named = |service: &str| entry.strip_prefix(service).filter(|name| is_word(name));
    match (named("name/cos:"), named("name/ci:")) {
        (Some(name), _) if !is_everybodys(name) => Ok(vec![Action::Unlisted(entry.to_owned())]),
        (_, Some(name)) if !is_everybodys(name) => Ok(vec![Action::Processing(entry.to_owned())]),
        _ => Err(refused(entry)),
    }
}

/// Whether a deny may name this: it only takes away, so a pattern of actions will do.
pub(super) fn is_deny_pattern(entry: &str) -> bool {
    ["name/cos:", "name/ci:"]
        .iter()
        .filter_map(|service| entry.strip_prefix(service))
        .any(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'*'))
}

fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether an action, by its name, changes or shows what belongs to all users, or who may do what: buckets,
/// the account, ACLs, policies; or works on many objects under one resource (`DeleteMultipleObjects`).
pub(super) fn is_everybodys(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["bucket", "service", "acl", "policy", "multipleobjects"].iter().any(|part| name.contains(part))
}

/// The set or action that comes near to an unknown name; none where the name speaks of rights, as
/// `PutObjectACL` is no slip of `PutObject`.
fn near(entry: &str) -> Option<&'static str> {
    let known = SETS.iter().map(|(name, _)| *name).chain(ACTIONS.iter().map(|action| action.name));
    // CAM's newer documents leave `name/` out.
    let full = if entry.starts_with("cos:") { format!("name/{entry}") } else { entry.to_owned() };
    let rights = ["ACL", "Acl", "Policy"].iter().any(|part| entry.contains(part));
    renamed(&full).or_else(|| nearest(&full, known)).filter(|_| !rights)
}

/// COS's own name is meant where only its end is written: `PutObject` for `name/cos:PutObject`.
pub(super) fn in_full(written: &str) -> Cow<'_, str> {
    match written {
        one if one.contains(':') || one.starts_with('@') => Cow::Borrowed(one),
        one => Cow::Owned(format!("name/cos:{one}")),
    }
}

/// Why a question about an action that the table lacks is likely not the one that was meant, and how to ask
/// it.
pub(super) fn misasked(name: &str) -> Option<String> {
    if let Some((set, members)) = SETS.iter().find(|(set, _)| *set == name) {
        return Some(format!("`{set}` is a set; ask about one action of it: {}", members.join(", ")));
    }
    let help = match near(name) {
        _ if find(name).is_some() || name.starts_with("name/ci:") => return None,
        Some(near) if !near.starts_with('@') => format!("did you mean `{near}`?"),
        _ if name.starts_with('@') || name.contains(['*', '?']) => {
            "name one action, not a set, such as name/cos:PutObject".to_owned()
        }
        _ if is_everybodys(name) => "no template may grant what changes or shows all users'".to_owned(),
        _ => "docs/templates.md lists them".to_owned(),
    };
    Some(format!("COS has no action `{name}` that this version knows; {help}"))
}

fn refused(entry: &str) -> (String, String) {
    let help = if let Some(near) = near(entry) {
        format!("did you mean `{near}`?")
    } else if is_everybodys(entry) {
        "it changes or shows what belongs to all users; no template may grant it".to_owned()
    } else {
        format!(
            "sets: {}; or an object action such as name/cos:GetObject",
            SETS.map(|(name, _)| name).join(", ")
        )
    };
    (format!("action `{entry}` is not one that a template may grant"), help)
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
    fn what_reaches_beyond_one_users_objects_cannot_be_granted() {
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
    fn an_action_younger_than_the_table_is_taken_for_a_guarded_write() {
        let [action] = expand("name/cos:PutSymlink").unwrap().try_into().unwrap();
        assert_eq!(action, Action::Unlisted("name/cos:PutSymlink".to_owned()));
        assert_eq!((action.reach(), action.takes_acl()), (Reach::WriteObject, true));
    }

    #[test]
    fn what_makes_or_changes_an_object_is_never_taken_for_reading() {
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
    fn a_misspelt_action_is_told_its_nearest_name() {
        assert_eq!(meant("name/cos:PutObjct"), Some("name/cos:PutObject"));
        assert_eq!(meant("name/cos:CreateMultipartUpload"), Some("name/cos:InitiateMultipartUpload"));
        assert_eq!(expand("name/cos:ListBucket").unwrap_err().1, "did you mean `name/cos:GetBucket`?");
        assert_eq!(expand("@uplaod").unwrap_err().1, "did you mean `@upload`?");
        assert_eq!(expand("cos:PutObject").unwrap_err().1, "did you mean `name/cos:PutObject`?");
    }

    #[test]
    fn a_question_about_what_is_no_action_is_told_how_to_ask() {
        for (asked, told) in [
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
            ("PutObjectACL", "no template may grant"),
            ("Fly", "docs/templates.md"),
        ] {
            let said = misasked(&in_full(asked)).unwrap();
            assert!(said.contains(told), "{asked}: {said}");
        }
        for known in ["PutObject", "name/cos:GetBucket", "name/ci:CreateMediaJobs"] {
            assert_eq!(misasked(&in_full(known)), None);
        }
    }
}
