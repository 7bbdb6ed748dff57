//! The parameters and headers that each operation knows. What COS would act on and the emulator does not is refused,
//! because a request that silently does something else hides a mistake until production.

use super::Operation;
use crate::cos::error::CosError;

/// Parameters of every request: its signature, also in the older form `sign` (docs 436/36162), and its session token.
/// `x-cos-traffic-limit` slows a transfer down (docs 436/40140), which is ignored here.
const PARAMETERS_OF_EVERY_REQUEST: [&str; 11] = [
    "sign",
    "q-sign-algorithm",
    "q-ak",
    "q-sign-time",
    "q-key-time",
    "q-header-list",
    "q-url-param-list",
    "q-signature",
    "x-cos-security-token",
    "x-ci-security-token",
    "x-cos-traffic-limit",
];

/// Parameters that SDKs send without a value where they were not given, such as Go's `Object.Download`.
const ABSENT_IF_EMPTY: [&str; 3] = ["versionId", "uploadId", "partNumber"];

/// Parameters that set a header of the response (docs 436/7753).
const RESPONSE_PARAMETERS: [&str; 6] = [
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];

/// Headers of every request. Ignored are the mark of a retry and the limit of the speed, both of which change
/// nothing that is stored, a checksum of old SDKs that COS no longer documents, and a header that means nothing, with
/// which the vendor tests its SDKs (`test/test.js` of cos-nodejs-sdk-v5).
const HEADERS_OF_EVERY_REQUEST: [&str; 6] = [
    "x-cos-security-token",
    "x-ci-security-token",
    "x-cos-sdk-retry",
    "x-cos-traffic-limit",
    "x-cos-content-sha1",
    "x-cos-test",
];

/// Headers that give rights to others. The emulator has no ACLs; a policy can refuse the headers.
const ACL_HEADERS: [&str; 6] = [
    "x-cos-acl",
    "x-cos-grant-read",
    "x-cos-grant-write",
    "x-cos-grant-read-acp",
    "x-cos-grant-write-acp",
    "x-cos-grant-full-control",
];

const COPY_HEADERS: [&str; 5] = [
    "x-cos-copy-source",
    "x-cos-copy-source-if-match",
    "x-cos-copy-source-if-none-match",
    "x-cos-copy-source-if-modified-since",
    "x-cos-copy-source-if-unmodified-since",
];

/// Whether a parameter may stand in every request.
pub(in crate::cos) fn is_of_every_request(parameter: &str) -> bool {
    PARAMETERS_OF_EVERY_REQUEST.contains(&parameter)
}

/// Whether a header may stand in every request: those that are not COS's own, and those of [`HEADERS_OF_EVERY_REQUEST`].
pub(in crate::cos) fn is_header_of_every_request(name: &str) -> bool {
    // Rules for processing an upload (docs 460/18147), a header without COS's prefix.
    let is_of_cos = name.starts_with("x-cos-") || name == "pic-operations";
    !is_of_cos || HEADERS_OF_EVERY_REQUEST.contains(&name)
}

impl Operation {
    /// Refuses a request with a parameter or header that COS may act on and this operation does not know.
    pub(in crate::cos) fn refuse_unknown(
        self,
        query: &[(String, String)],
        headers: &[(String, String)],
    ) -> Result<(), CosError> {
        let parameter = query.iter().find(|(name, value)| !self.knows_parameter(name, value));
        if let Some((name, _)) = parameter {
            return Err(CosError::NotImplemented(format!("?{name} of {}", self.action())));
        }
        // SDKs send empty headers for options that were not given.
        let header = headers.iter().find(|(name, value)| !value.is_empty() && !self.knows_header(name));
        match header {
            Some((name, _)) => Err(CosError::NotImplemented(format!("{name} of {}", self.action()))),
            None => Ok(()),
        }
    }

    fn knows_parameter(self, name: &str, value: &str) -> bool {
        is_of_every_request(name)
            || self.parameters().contains(&name)
            || value.is_empty() && ABSENT_IF_EMPTY.contains(&name)
    }

    fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::ListObjects => &["prefix", "delimiter", "marker", "max-keys", "encoding-type"],
            Self::ListUploads => &[
                "uploads",
                "prefix",
                "delimiter",
                "key-marker",
                "upload-id-marker",
                "max-uploads",
                "encoding-type",
            ],
            Self::GetObject | Self::HeadObject => &RESPONSE_PARAMETERS,
            Self::InitiateUpload => &["uploads"],
            Self::UploadPart | Self::UploadPartCopy => &["partNumber", "uploadId"],
            Self::ListParts => &["uploadId", "max-parts", "part-number-marker", "encoding-type"],
            Self::CompleteUpload | Self::AbortUpload => &["uploadId"],
            Self::DeleteObjects => &["delete"],
            Self::AppendObject => &["append", "position"],
            Self::ProcessObject => &["image_process"],
            Self::PutTagging | Self::GetTagging | Self::DeleteTagging => &["tagging"],
            Self::PutBucketPolicy | Self::GetBucketPolicy | Self::DeleteBucketPolicy => &["policy"],
            Self::HeadBucket
            | Self::PutBucket
            | Self::PostObject
            | Self::PutObject
            | Self::CopyObject
            | Self::OptionsObject
            | Self::DeleteObject => &[],
        }
    }

    /// Whether the operation knows a header.
    fn knows_header(self, name: &str) -> bool {
        // COS ignores metadata where no object is created.
        if is_header_of_every_request(name) || name.starts_with("x-cos-meta-") {
            return true;
        }
        let creates = matches!(
            self,
            Self::PutObject | Self::CopyObject | Self::PostObject | Self::InitiateUpload | Self::AppendObject
        );
        let keeps_existing = creates && self != Self::AppendObject || self == Self::CompleteUpload;
        let copies = matches!(self, Self::CopyObject | Self::UploadPartCopy);
        let finishes = matches!(self, Self::PutObject | Self::PostObject | Self::CompleteUpload);
        (creates || self == Self::PutBucket) && ACL_HEADERS.contains(&name)
            || creates && name == "x-cos-storage-class"
            || creates && self != Self::AppendObject && name == "x-cos-tagging"
            || keeps_existing && name == "x-cos-forbid-overwrite"
            || finishes && (name == "pic-operations" || name == "x-cos-callback")
            || self == Self::ProcessObject && name == "pic-operations"
            || copies && COPY_HEADERS.contains(&name)
            || self == Self::CopyObject
                && (name == "x-cos-metadata-directive" || name == "x-cos-tagging-directive")
            || self == Self::UploadPartCopy && name == "x-cos-copy-source-range"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATIONS: [Operation; 26] = [
        Operation::ProcessObject,
        Operation::OptionsObject,
        Operation::PutTagging,
        Operation::GetTagging,
        Operation::DeleteTagging,
        Operation::PutBucketPolicy,
        Operation::GetBucketPolicy,
        Operation::DeleteBucketPolicy,
        Operation::PutBucket,
        Operation::DeleteObjects,
        Operation::UploadPartCopy,
        Operation::AppendObject,
        Operation::ListObjects,
        Operation::ListUploads,
        Operation::HeadBucket,
        Operation::PostObject,
        Operation::PutObject,
        Operation::CopyObject,
        Operation::GetObject,
        Operation::HeadObject,
        Operation::DeleteObject,
        Operation::InitiateUpload,
        Operation::UploadPart,
        Operation::ListParts,
        Operation::CompleteUpload,
        Operation::AbortUpload,
    ];

    fn pair(name: &str, value: &str) -> [(String, String); 1] {
        [(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn one_unknown_parameter_is_refused_at_every_operation_and_named() {
        for operation in OPERATIONS {
            for name in ["acl", "versions", "v", "imageMogr2/thumbnail/!50p", "ci-process", "Acl"] {
                for value in ["", "1"] {
                    let refused = operation.refuse_unknown(&pair(name, value), &[]);
                    let message = refused.unwrap_err().to_string();
                    assert!(message.contains(&format!("?{name} ")), "{operation:?}: {message}");
                }
            }
            assert!(operation.refuse_unknown(&pair("versionId", "1"), &[]).is_err(), "{operation:?}");
            assert!(operation.refuse_unknown(&pair("versionId", ""), &[]).is_ok(), "{operation:?}");
        }
    }

    #[test]
    fn one_unknown_header_of_cos_is_refused_at_every_operation_and_named() {
        for operation in OPERATIONS {
            for name in ["x-cos-server-side-encryption", "x-cos-return-body", "x-cos-unheard-of"] {
                let refused = operation.refuse_unknown(&[], &pair(name, "1"));
                assert!(refused.unwrap_err().to_string().contains(name), "{operation:?}");
                assert!(operation.refuse_unknown(&[], &pair(name, "")).is_ok(), "{operation:?}");
            }
            for name in
                ["x-cos-meta-a", "x-cos-security-token", "x-cos-test", "content-type", "x-requested-with"]
            {
                assert!(operation.refuse_unknown(&[], &pair(name, "1")).is_ok(), "{operation:?}");
            }
        }
        for name in ["x-cos-acl", "x-cos-callback", "x-cos-tagging", "pic-operations"] {
            assert!(Operation::GetObject.refuse_unknown(&[], &pair(name, "1")).is_err(), "{name}");
        }
    }
}
