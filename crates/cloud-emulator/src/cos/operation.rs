//! What a request wants, by its method, whether it has a key, and its query; and what CAM calls that
//! (docs 436/30580).

use actix_web::http::Method;

use super::refusal::Refusal;

/// What the emulator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// `GET /`
    ListObjects,
    /// `GET /?uploads`
    ListUploads,
    /// `HEAD /`
    HeadBucket,
    /// `POST /`, a form.
    PostObject,
    /// `PUT /key`
    PutObject,
    /// `PUT /key` with `x-cos-copy-source`
    CopyObject,
    /// `GET /key`
    GetObject,
    /// `HEAD /key`
    HeadObject,
    /// `DELETE /key`
    DeleteObject,
    /// `POST /key?uploads`
    InitiateUpload,
    /// `PUT /key?partNumber=&uploadId=`
    UploadPart,
    /// `GET /key?uploadId=`
    ListParts,
    /// `POST /key?uploadId=`
    CompleteUpload,
    /// `DELETE /key?uploadId=`
    AbortUpload,
}

/// Parts of a bucket or object that have a meaning of their own, which the emulator lacks. Were they taken
/// for no more than parameters, `GET /key?acl` would be answered with the object.
const SUBRESOURCES: [&str; 30] = [
    "accelerate",
    "acl",
    "append",
    "ci-process",
    "cors",
    "delete",
    "domain",
    "encryption",
    "intelligenttiering",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "notification",
    "object-lock",
    "origin",
    "policy",
    "referer",
    "rename",
    "replication",
    "restore",
    "retention",
    "select",
    "symlink",
    "tagging",
    "torrent",
    "versioning",
    "versionId",
    "versions",
    "website",
];

/// What policies call what the emulator does, without `name/cos:`.
pub(crate) const ACTIONS: [&str; 13] = [
    "GetBucket",
    "ListMultipartUploads",
    "HeadBucket",
    "PostObject",
    "PutObject",
    "GetObject",
    "HeadObject",
    "DeleteObject",
    "InitiateMultipartUpload",
    "UploadPart",
    "ListParts",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
];

impl Operation {
    /// What a request wants.
    pub(super) fn of(
        method: &Method,
        has_key: bool,
        copies: bool,
        query: &[(String, String)],
    ) -> Result<Self, Refusal> {
        let has = |name: &str| query.iter().any(|(one, _)| one == name);
        if let Some(name) = SUBRESOURCES.into_iter().find(|name| has(name)) {
            return Err(Refusal::NotImplemented(format!("?{name}")));
        }
        let (upload, part, uploads) = (has("uploadId"), has("partNumber"), has("uploads"));
        Ok(match (method.as_str(), has_key) {
            ("GET", false) if uploads => Self::ListUploads,
            ("GET", false) => Self::ListObjects,
            ("HEAD", false) => Self::HeadBucket,
            ("POST", false) => Self::PostObject,
            ("PUT", true) if copies && (upload || part) => {
                return Err(Refusal::NotImplemented("a part copied from an object".to_owned()));
            }
            ("PUT", true) if upload && part => Self::UploadPart,
            ("PUT", true) if copies => Self::CopyObject,
            ("PUT", true) => Self::PutObject,
            ("GET", true) if upload => Self::ListParts,
            ("GET", true) => Self::GetObject,
            ("HEAD", true) => Self::HeadObject,
            ("DELETE", true) if upload => Self::AbortUpload,
            ("DELETE", true) => Self::DeleteObject,
            ("POST", true) if uploads => Self::InitiateUpload,
            ("POST", true) if upload => Self::CompleteUpload,
            (method, _) => return Err(Refusal::NotImplemented(method.to_owned())),
        })
    }

    /// The action that a policy must allow.
    pub(super) fn action(self) -> &'static str {
        match self {
            Self::ListObjects => "name/cos:GetBucket",
            Self::ListUploads => "name/cos:ListMultipartUploads",
            Self::HeadBucket => "name/cos:HeadBucket",
            Self::PostObject => "name/cos:PostObject",
            Self::PutObject | Self::CopyObject => "name/cos:PutObject",
            Self::GetObject => "name/cos:GetObject",
            Self::HeadObject => "name/cos:HeadObject",
            Self::DeleteObject => "name/cos:DeleteObject",
            Self::InitiateUpload => "name/cos:InitiateMultipartUpload",
            Self::UploadPart => "name/cos:UploadPart",
            Self::ListParts => "name/cos:ListParts",
            Self::CompleteUpload => "name/cos:CompleteMultipartUpload",
            Self::AbortUpload => "name/cos:AbortMultipartUpload",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(method: &str, has_key: bool, copies: bool, query: &str) -> Result<Operation, Refusal> {
        let query: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Operation::of(&method.parse().unwrap(), has_key, copies, &query)
    }

    #[test]
    fn a_request_is_what_the_documents_say_it_is() {
        for (method, has_key, query, expected) in [
            ("GET", false, "", "GetBucket"),
            ("GET", false, "prefix=a&marker=acl", "GetBucket"),
            ("GET", false, "uploads&prefix=a", "ListMultipartUploads"),
            ("HEAD", false, "", "HeadBucket"),
            ("POST", false, "", "PostObject"),
            ("PUT", true, "", "PutObject"),
            ("PUT", true, "partNumber=1&uploadId=x", "UploadPart"),
            ("GET", true, "response-content-type=a", "GetObject"),
            ("GET", true, "uploadId=x", "ListParts"),
            ("HEAD", true, "", "HeadObject"),
            ("DELETE", true, "", "DeleteObject"),
            ("DELETE", true, "uploadId=x", "AbortMultipartUpload"),
            ("POST", true, "uploads", "InitiateMultipartUpload"),
            ("POST", true, "uploadId=x", "CompleteMultipartUpload"),
        ] {
            let action = operation(method, has_key, false, query).unwrap().action();
            assert_eq!(action, format!("name/cos:{expected}"), "{method} {query}");
            assert!(ACTIONS.contains(&expected), "{expected}");
        }
        assert_eq!(operation("PUT", true, true, "").unwrap(), Operation::CopyObject);
    }

    #[test]
    fn what_the_emulator_lacks_is_refused_and_never_taken_for_something_else() {
        for name in SUBRESOURCES {
            for method in ["GET", "PUT", "POST", "DELETE"] {
                for query in [name.to_owned(), format!("{name}=1")] {
                    assert!(matches!(
                        operation(method, true, false, &query),
                        Err(Refusal::NotImplemented(_))
                    ));
                }
            }
        }
        for (method, has_key, copies, query) in [
            ("PUT", false, false, ""),
            ("DELETE", false, false, ""),
            ("POST", true, false, ""),
            ("PUT", true, true, "partNumber=1&uploadId=x"),
        ] {
            assert!(operation(method, has_key, copies, query).is_err(), "{method} {query}");
        }
    }
}
