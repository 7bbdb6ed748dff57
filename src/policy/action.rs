//! The COS actions a template may grant, and what each of them can reach.
//!
//! An allow-list: an action that is not here cannot be granted, for nobody has proved what it
//! touches. Names are COS's own and case-sensitive (docs 436/30580, 598/11085).

use crate::source::nearest;

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

/// One action of COS.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Action {
    /// As CAM spells it, such as `name/cos:PutObject`.
    pub name: &'static str,
    /// What it works on.
    pub reach: Reach,
    /// Whether its request may carry `x-cos-acl` and `x-cos-grant-*` headers, with which its holder
    /// could make the object public.
    pub takes_acl: bool,
}

const fn action(name: &'static str, reach: Reach) -> Action {
    Action { name, reach, takes_acl: false }
}

const fn creates(name: &'static str) -> Action {
    Action { name, reach: Reach::WriteObject, takes_acl: true }
}

static ACTIONS: [Action; 20] = [
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
static SETS: [(&str, &[&str]); 5] = [
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
pub(super) fn find(name: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|action| action.name == name)
}

/// What one entry of a template's `action` list stands for: a set's members, or one action.
///
/// # Errors
/// Why the entry cannot be granted, and how to mend it.
pub(super) fn expand(entry: &str) -> Result<Vec<&'static Action>, (String, String)> {
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
    let known = SETS.iter().map(|(name, _)| *name).chain(ACTIONS.iter().map(|action| action.name));
    let mend = if let Some(near) = nearest(entry, known) {
        format!("did you mean `{near}`?")
    } else if entry.contains("Bucket") || entry.contains("ACL") || entry.contains("Service") {
        "it changes or shows what belongs to all users; no template may grant it".to_owned()
    } else {
        format!(
            "sets: {}; or an object action such as name/cos:GetObject",
            SETS.map(|(name, _)| name).join(", ")
        )
    };
    Err((format!("action `{entry}` is not one that a template may grant"), mend))
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
            "cos:PutObject",
            "name/cos:putobject",
            "name/cos:PutObjectACL",
            "name/cos:GetObjectACL",
            "name/cos:PutBucketPolicy",
            "name/cos:PutBucketACL",
            "name/cos:DeleteBucket",
            "name/cos:GetService",
            "name/cos:DeleteMultipleObjects",
            "name/sts:AssumeRole",
            "name/cam:*",
            "",
        ] {
            assert!(expand(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_misspelt_action_is_told_its_nearest_name() {
        assert_eq!(expand("name/cos:PutObjct").unwrap_err().1, "did you mean `name/cos:PutObject`?");
        assert_eq!(expand("@uplaod").unwrap_err().1, "did you mean `@upload`?");
    }
}
