//! The operation of a request, by its method, its key and its query, and the CAM action of it (docs 436/30580).

mod known;

use actix_web::http::Method;

pub(super) use self::known::{is_header_of_every_request, is_of_every_request};
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
    /// `PUT /`
    PutBucket,
    /// `POST /`, a form.
    PostObject,
    /// `POST /?delete`
    DeleteObjects,
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
    /// `PUT /key?partNumber=&uploadId=` with `x-cos-copy-source`
    UploadPartCopy,
    /// `GET /key?uploadId=`
    ListParts,
    /// `POST /key?uploadId=`
    CompleteUpload,
    /// `DELETE /key?uploadId=`
    AbortUpload,
    /// `POST /key?append&position=`
    AppendObject,
    /// `POST /key?image_process` with `Pic-Operations`
    ProcessObject,
    /// `OPTIONS /key`
    OptionsObject,
    /// `PUT /key?tagging`
    PutTagging,
    /// `GET /key?tagging`
    GetTagging,
    /// `DELETE /key?tagging`
    DeleteTagging,
    /// `PUT /?policy`
    PutBucketPolicy,
    /// `GET /?policy`
    GetBucketPolicy,
    /// `DELETE /?policy`
    DeleteBucketPolicy,
}

/// The CAM actions of all operations, without `name/cos:`.
pub(crate) const ACTIONS: [&str; 23] = [
    "GetBucket",
    "ListMultipartUploads",
    "HeadBucket",
    "PutBucket",
    "PostObject",
    "PutObject",
    "GetObject",
    "HeadObject",
    "DeleteObject",
    "InitiateMultipartUpload",
    "UploadPart",
    "UploadPartCopy",
    "ListParts",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
    "AppendObject",
    "OptionsObject",
    "PutObjectTagging",
    "GetObjectTagging",
    "DeleteObjectTagging",
    "PutBucketPolicy",
    "GetBucketPolicy",
    "DeleteBucketPolicy",
];

impl Operation {
    /// Returns the operation of a request.
    pub(super) fn parse(
        method: &Method,
        has_key: bool,
        copies: bool,
        query: &[(String, String)],
    ) -> Result<Self, CosError> {
        let (upload, part, uploads) =
            (has_value(query, "uploadId"), has_value(query, "partNumber"), has(query, "uploads"));
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        // Taken as absent, an empty `uploadId` would make of an abort a delete.
        if !is_read && !upload && has(query, "uploadId") {
            return Err(CosError::InvalidArgument("uploadId is empty.".to_owned()));
        }
        if *method == Method::PUT && upload != part {
            return Err(CosError::InvalidArgument("A part has both partNumber and uploadId.".to_owned()));
        }
        let (policy, tagging) = (has(query, "policy"), has(query, "tagging"));
        Ok(match (method.as_str(), has_key) {
            ("PUT", false) if policy => Self::PutBucketPolicy,
            ("GET", false) if policy => Self::GetBucketPolicy,
            ("DELETE", false) if policy => Self::DeleteBucketPolicy,
            ("PUT", true) if tagging => Self::PutTagging,
            ("GET", true) if tagging => Self::GetTagging,
            ("DELETE", true) if tagging => Self::DeleteTagging,
            ("OPTIONS", true) => Self::OptionsObject,
            ("GET", false) if uploads => Self::ListUploads,
            ("GET", false) => Self::ListObjects,
            ("HEAD", false) => Self::HeadBucket,
            ("PUT", false) => Self::PutBucket,
            ("POST", false) if has(query, "delete") => Self::DeleteObjects,
            ("POST", false) => Self::PostObject,
            ("PUT", true) if copies && upload => Self::UploadPartCopy,
            ("PUT", true) if upload => Self::UploadPart,
            ("PUT", true) if copies => Self::CopyObject,
            ("PUT", true) => Self::PutObject,
            ("GET", true) if upload => Self::ListParts,
            ("GET", true) => Self::GetObject,
            ("HEAD", true) => Self::HeadObject,
            ("DELETE", true) if upload => Self::AbortUpload,
            ("DELETE", true) => Self::DeleteObject,
            ("POST", true) if has(query, "append") => Self::AppendObject,
            ("POST", true) if has(query, "image_process") => Self::ProcessObject,
            ("POST", true) if uploads => Self::InitiateUpload,
            ("POST", true) if upload => Self::CompleteUpload,
            (method, _) => return Err(CosError::NotImplemented(unknown_operation(method, query))),
        })
    }

    /// Returns the action that a policy must allow.
    pub(super) fn action(self) -> &'static str {
        match self {
            Self::ListObjects => "name/cos:GetBucket",
            Self::ListUploads => "name/cos:ListMultipartUploads",
            Self::HeadBucket => "name/cos:HeadBucket",
            Self::PutBucket => "name/cos:PutBucket",
            Self::PostObject => "name/cos:PostObject",
            Self::PutObject | Self::CopyObject => "name/cos:PutObject",
            // The pages name no action for the processing of a stored object, which reads it.
            Self::GetObject | Self::ProcessObject => "name/cos:GetObject",
            Self::HeadObject => "name/cos:HeadObject",
            // Each object is checked by itself (docs 436/8289).
            Self::DeleteObject | Self::DeleteObjects => "name/cos:DeleteObject",
            Self::InitiateUpload => "name/cos:InitiateMultipartUpload",
            Self::UploadPart => "name/cos:UploadPart",
            Self::UploadPartCopy => "name/cos:UploadPartCopy",
            Self::ListParts => "name/cos:ListParts",
            Self::CompleteUpload => "name/cos:CompleteMultipartUpload",
            Self::AbortUpload => "name/cos:AbortMultipartUpload",
            Self::AppendObject => "name/cos:AppendObject",
            Self::OptionsObject => "name/cos:OptionsObject",
            Self::PutTagging => "name/cos:PutObjectTagging",
            Self::GetTagging => "name/cos:GetObjectTagging",
            Self::DeleteTagging => "name/cos:DeleteObjectTagging",
            Self::PutBucketPolicy => "name/cos:PutBucketPolicy",
            Self::GetBucketPolicy => "name/cos:GetBucketPolicy",
            Self::DeleteBucketPolicy => "name/cos:DeleteBucketPolicy",
        }
    }
}

impl Operation {
    /// Returns whether the operation's request has a body, and so a length that a policy can check (docs 436/46205).
    pub(super) fn has_body(self) -> bool {
        match self {
            Self::PutObject
            | Self::PostObject
            | Self::AppendObject
            | Self::UploadPart
            | Self::CompleteUpload
            | Self::DeleteObjects
            | Self::PutTagging
            | Self::PutBucketPolicy => true,
            Self::ListObjects
            | Self::ListUploads
            | Self::HeadBucket
            | Self::PutBucket
            | Self::CopyObject
            | Self::GetObject
            | Self::HeadObject
            | Self::DeleteObject
            | Self::InitiateUpload
            | Self::UploadPartCopy
            | Self::ListParts
            | Self::AbortUpload
            | Self::ProcessObject
            | Self::OptionsObject
            | Self::GetTagging
            | Self::DeleteTagging
            | Self::GetBucketPolicy
            | Self::DeleteBucketPolicy => false,
        }
    }
}

fn has(query: &[(String, String)], parameter: &str) -> bool {
    query.iter().any(|(name, _)| name == parameter)
}

fn has_value(query: &[(String, String)], parameter: &str) -> bool {
    query.iter().any(|(name, value)| name == parameter && !value.is_empty())
}

/// Returns what to call a request that is no operation of the emulator.
fn unknown_operation(method: &str, query: &[(String, String)]) -> String {
    match query.iter().find(|(name, _)| !is_of_every_request(name)) {
        Some((name, _)) => format!("{method} with ?{name}"),
        None => method.to_owned(),
    }
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
            ("PUT", false, "", "PutBucket"),
            ("POST", false, "", "PostObject"),
            ("POST", false, "delete", "DeleteObject"),
            ("PUT", true, "", "PutObject"),
            ("PUT", true, "partNumber=1&uploadId=x", "UploadPart"),
            ("GET", true, "response-content-type=a", "GetObject"),
            ("GET", true, "uploadId=x", "ListParts"),
            ("HEAD", true, "", "HeadObject"),
            ("DELETE", true, "", "DeleteObject"),
            ("DELETE", true, "uploadId=x", "AbortMultipartUpload"),
            ("POST", true, "uploads", "InitiateMultipartUpload"),
            ("POST", true, "uploadId=x", "CompleteMultipartUpload"),
            ("POST", true, "append&position=0", "AppendObject"),
            ("POST", true, "image_process", "GetObject"),
            ("OPTIONS", true, "", "OptionsObject"),
            ("PUT", true, "tagging", "PutObjectTagging"),
            ("GET", true, "tagging", "GetObjectTagging"),
            ("DELETE", true, "tagging", "DeleteObjectTagging"),
            ("PUT", false, "policy", "PutBucketPolicy"),
            ("GET", false, "policy", "GetBucketPolicy"),
            ("DELETE", false, "policy", "DeleteBucketPolicy"),
        ] {
            let action = operation(method, has_key, false, query).unwrap().action();
            assert_eq!(action, format!("name/cos:{expected}"), "{method} {query}");
            assert!(ACTIONS.contains(&expected), "{expected}");
        }
        assert_eq!(operation("PUT", true, true, "").unwrap(), Operation::CopyObject);
        let part = operation("PUT", true, true, "partNumber=1&uploadId=x").unwrap();
        assert_eq!((part, ACTIONS.contains(&"UploadPartCopy")), (Operation::UploadPartCopy, true));
    }

    #[test]
    fn a_part_without_its_upload_and_an_upload_without_a_name_are_refused() {
        for (method, query) in [
            ("PUT", "partNumber=1"),
            ("PUT", "partNumber=1&uploadId="),
            ("PUT", "uploadId=x"),
            ("DELETE", "uploadId="),
            ("POST", "uploadId="),
        ] {
            let refused = operation(method, true, false, query);
            assert!(matches!(refused, Err(CosError::InvalidArgument(_))), "{method} {query}: {refused:?}");
        }
        assert_eq!(operation("GET", true, false, "uploadId=").unwrap(), Operation::GetObject);
    }

    #[test]
    fn unknown_operations_are_refused_and_not_taken_for_others() {
        for (method, has_key, query) in
            [("DELETE", false, ""), ("POST", true, ""), ("POST", true, "restore"), ("PATCH", true, "")]
        {
            let refused = operation(method, has_key, false, query);
            assert!(matches!(refused, Err(CosError::NotImplemented(_))), "{method} {query}");
        }
    }
}
