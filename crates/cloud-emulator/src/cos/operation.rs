//! The operation of a request, by its method, its key and its query, and the CAM action of it (docs 436/30580).

use actix_web::http::Method;

use super::error::CosError;

/// An operation that the emulator has.
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

/// Parameters that select an operation which the emulator does not have. They are refused; ignored, `GET /key?acl`
/// would return the object.
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

/// The CAM actions of all operations, without `name/cos:`.
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
    /// Returns the operation of a request.
    pub(super) fn parse(
        method: &Method,
        has_key: bool,
        copies: bool,
        query: &[(String, String)],
    ) -> Result<Self, CosError> {
        if let Some(name) = SUBRESOURCES.into_iter().find(|name| has(query, name)) {
            return Err(CosError::NotImplemented(format!("?{name}")));
        }
        let (upload, part, uploads) =
            (has(query, "uploadId"), has(query, "partNumber"), has(query, "uploads"));
        Ok(match (method.as_str(), has_key) {
            ("GET", false) if uploads => Self::ListUploads,
            ("GET", false) => Self::ListObjects,
            ("HEAD", false) => Self::HeadBucket,
            ("POST", false) => Self::PostObject,
            ("PUT", true) if copies && (upload || part) => {
                return Err(CosError::NotImplemented("a part copied from an object".to_owned()));
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
            (method, _) => return Err(CosError::NotImplemented(method.to_owned())),
        })
    }

    /// Returns the action that a policy must allow.
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

fn has(query: &[(String, String)], parameter: &str) -> bool {
    query.iter().any(|(name, _)| name == parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(method: &str, has_key: bool, copies: bool, query: &str) -> Result<Operation, CosError> {
        let query: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Operation::parse(&method.parse().unwrap(), has_key, copies, &query)
    }

    #[test]
    fn each_operation_is_recognised_as_documented() {
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
    fn unknown_operations_are_refused_and_not_taken_for_others() {
        for name in SUBRESOURCES {
            for method in ["GET", "PUT", "POST", "DELETE"] {
                for query in [name.to_owned(), format!("{name}=1")] {
                    assert!(matches!(
                        operation(method, true, false, &query),
                        Err(CosError::NotImplemented(_))
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
