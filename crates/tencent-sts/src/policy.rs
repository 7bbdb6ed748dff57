//! The policy of a temporary key: from scopes, from JSON, or as text that is encoded already.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// What STS percent-encodes: all but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A CAM policy as STS takes it: JSON, percent-encoded once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy<'a> {
    encoded: Cow<'a, str>,
}

/// One action on objects of one bucket, in the terms of the vendor's STS SDKs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The action, such as `name/cos:PutObject` or `name/ci:CreateMediaJobs`.
    pub action: &'a str,
    /// The bucket with its appid, such as `photos-1250000000`.
    pub bucket: &'a str,
    /// The region of the bucket, such as `ap-guangzhou`.
    pub region: &'a str,
    /// An object's key, such as `users/7/avatar.png`, or a folder, such as `users/7/*`. No slash stands first.
    pub prefix: &'a str,
}

/// Whether a `*` may stand elsewhere than in a final `/*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpenPrefixes {
    Refused,
    Allowed,
}

/// A scope that no policy is built from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("scope {}: {fault}", index + 1)]
pub struct InvalidScope {
    /// The position in the list, from 0.
    pub index: usize,
    /// What is wrong.
    pub fault: ScopeFault,
}

/// What is wrong with a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScopeFault {
    /// The list is empty, and a policy without a statement grants nothing.
    #[error("there is none; give at least one")]
    Missing,
    /// The action is neither of COS nor of CI.
    #[error("the action is not of COS or CI; write it like `name/cos:PutObject`")]
    Action,
    /// The bucket is not a name with an appid.
    #[error("the bucket is not a name with an appid; write it like `photos-1250000000`")]
    Bucket,
    /// The region is not a name of small letters, digits and `-`.
    #[error("the region is not valid; write it like `ap-guangzhou`")]
    Region,
    /// The prefix is empty or starts with a slash.
    #[error("the prefix is empty or starts with `/`; write it like `users/7/*`")]
    Prefix,
    /// The prefix has a `*` elsewhere than in a final `/*`: `users/7*` reaches `users/70/` as well.
    #[error("the prefix has a `*` that no `/` bounds; end it in `/*`")]
    OpenPrefix,
}

/// A text that is no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// The text is not JSON, or names a key twice.
    #[error("the policy is not JSON")]
    NotJson,
    /// The JSON holds no statement.
    #[error("the policy has no statement; give at least one in `statement`")]
    NoStatement,
}

impl Policy<'_> {
    /// Builds a policy that allows each scope's action on its object or folder, and nothing else.
    ///
    /// Stricter than `getPolicy` of the vendor's SDKs: a `*` may stand only in a final `/*`.
    ///
    /// # Errors
    /// The first scope that is not valid.
    pub fn from_scopes(scopes: &[Scope<'_>]) -> Result<Self, InvalidScope> {
        Self::build(scopes, OpenPrefixes::Refused)
    }

    /// Builds the policy that `getPolicy` of the vendor's SDKs builds: a `*` may stand anywhere in a prefix.
    ///
    /// Insecure for prefixes that a client chooses: `users/7*` reaches `users/70/`, and `*` the whole bucket.
    ///
    /// # Errors
    /// The first scope that is not valid.
    pub fn from_scopes_with_open_prefixes(scopes: &[Scope<'_>]) -> Result<Self, InvalidScope> {
        Self::build(scopes, OpenPrefixes::Allowed)
    }

    /// Takes a policy as JSON, for what scopes cannot say: conditions, denials, several actions at once.
    ///
    /// # Errors
    /// When it is not JSON or has no statement. STS judges the rest.
    pub fn from_json(json: &str) -> Result<Self, InvalidPolicy> {
        let document = strict_json::from_slice(json.as_bytes()).map_err(|_| InvalidPolicy::NotJson)?;
        let statements = document.get("statement").and_then(Value::as_array);
        if statements.is_none_or(Vec::is_empty) {
            return Err(InvalidPolicy::NoStatement);
        }
        Ok(Self::encode(json))
    }

    fn build(scopes: &[Scope<'_>], open_prefixes: OpenPrefixes) -> Result<Self, InvalidScope> {
        if scopes.is_empty() {
            return Err(InvalidScope { index: 0, fault: ScopeFault::Missing });
        }
        let statements = scopes
            .iter()
            .enumerate()
            .map(|(index, scope)| {
                scope.statement(open_prefixes).map_err(|fault| InvalidScope { index, fault })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::encode(&json!({"version": "2.0", "statement": statements}).to_string()))
    }

    fn encode(json: &str) -> Self {
        Self { encoded: utf8_percent_encode(json, RESERVED).to_string().into() }
    }
}

impl<'a> Policy<'a> {
    /// Takes a policy that is percent-encoded already. It is sent byte for byte.
    pub fn from_encoded(encoded: impl Into<Cow<'a, str>>) -> Self {
        Self { encoded: encoded.into() }
    }

    /// Returns the percent-encoded JSON.
    pub fn encoded(&self) -> &str {
        &self.encoded
    }
}

impl Scope<'_> {
    fn statement(&self, open_prefixes: OpenPrefixes) -> Result<Value, ScopeFault> {
        Ok(json!({"action": [self.action], "effect": "allow", "resource": [self.resource(open_prefixes)?]}))
    }

    /// The resource in six segments: service, region, owner, bucket with key (`docs/understand/tencent.md`).
    fn resource(&self, open_prefixes: OpenPrefixes) -> Result<String, ScopeFault> {
        let Self { bucket, region, .. } = self;
        let service = self.service()?;
        let appid = self.appid()?;
        if !is_plain_name(region) {
            return Err(ScopeFault::Region);
        }
        let prefix = self.checked_prefix(open_prefixes)?;
        Ok(match service {
            Service::Cos => format!("qcs::cos:{region}:uid/{appid}:{bucket}/{prefix}"),
            Service::Ci => format!("qcs::ci:{region}:uid/{appid}:bucket/{bucket}/{prefix}"),
        })
    }

    fn service(&self) -> Result<Service, ScopeFault> {
        let action = self.action.strip_prefix("name/").unwrap_or(self.action);
        match action.split_once(':') {
            Some(("cos", operation)) if !operation.is_empty() => Ok(Service::Cos),
            Some(("ci", operation)) if !operation.is_empty() => Ok(Service::Ci),
            _ => Err(ScopeFault::Action),
        }
    }

    /// The digits after the last `-` of the bucket.
    fn appid(&self) -> Result<&str, ScopeFault> {
        let (name, appid) = self.bucket.rsplit_once('-').ok_or(ScopeFault::Bucket)?;
        let is_number = !appid.is_empty() && appid.bytes().all(|byte| byte.is_ascii_digit());
        if is_plain_name(name) && is_number { Ok(appid) } else { Err(ScopeFault::Bucket) }
    }

    fn checked_prefix(&self, open_prefixes: OpenPrefixes) -> Result<&str, ScopeFault> {
        if self.prefix.is_empty() || self.prefix.starts_with('/') {
            return Err(ScopeFault::Prefix);
        }
        let bounded = self.prefix.strip_suffix("/*").unwrap_or(self.prefix);
        match open_prefixes {
            OpenPrefixes::Refused if bounded.contains('*') => Err(ScopeFault::OpenPrefix),
            OpenPrefixes::Refused | OpenPrefixes::Allowed => Ok(self.prefix),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Service {
    Cos,
    Ci,
}

fn is_plain_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use cam::evaluate::{Request, evaluate};
    use percent_encoding::percent_decode_str;

    use super::*;

    const FOLDER: Scope<'_> = Scope {
        action: "name/cos:PutObject",
        bucket: "photos-1250000000",
        region: "ap-guangzhou",
        prefix: "users/7/*",
    };

    fn json_of(policy: &Policy<'_>) -> String {
        percent_decode_str(policy.encoded()).decode_utf8().unwrap().into_owned()
    }

    fn allows(policy: &Policy<'_>, action: &str, resource: &str) -> bool {
        let policy = cam::Policy::parse(json_of(policy).as_bytes()).unwrap();
        evaluate(&policy, &Request { action, resource, ..Request::default() }).is_allowed()
    }

    #[test]
    fn a_policy_from_scopes_has_a_statement_for_each_with_a_resource_of_its_service() {
        let processing = Scope { action: "name/ci:CreateMediaJobs", prefix: "a b.mp4", ..FOLDER };
        let policy = Policy::from_scopes(&[FOLDER, processing]).unwrap();
        let expected = json!({
            "version": "2.0",
            "statement": [
                {
                    "action": ["name/cos:PutObject"],
                    "effect": "allow",
                    "resource": ["qcs::cos:ap-guangzhou:uid/1250000000:photos-1250000000/users/7/*"],
                },
                {
                    "action": ["name/ci:CreateMediaJobs"],
                    "effect": "allow",
                    "resource": ["qcs::ci:ap-guangzhou:uid/1250000000:bucket/photos-1250000000/a b.mp4"],
                },
            ],
        });
        assert_eq!(serde_json::from_str::<Value>(&json_of(&policy)).unwrap(), expected);
        assert!(
            policy.encoded().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%-_.~".contains(&byte))
        );
    }

    #[test]
    fn a_folder_grants_what_lies_in_it_and_an_open_prefix_its_neighbours_too() {
        let [own, neighbour] = ["users/7/a", "users/70/a"]
            .map(|key| format!("qcs::cos:ap-guangzhou:uid/1250000000:photos-1250000000/{key}"));
        let folder = Policy::from_scopes(&[FOLDER]).unwrap();
        assert!(allows(&folder, FOLDER.action, &own));
        assert!(!allows(&folder, FOLDER.action, &neighbour));
        assert!(!allows(&folder, "name/cos:GetObject", &own));
        let open = Policy::from_scopes_with_open_prefixes(&[Scope { prefix: "users/7*", ..FOLDER }]).unwrap();
        assert!(allows(&open, FOLDER.action, &own) && allows(&open, FOLDER.action, &neighbour));
    }

    #[test]
    fn a_star_that_no_slash_bounds_is_refused_unless_it_is_asked_for() {
        for prefix in ["*", "users/7*", "users/*/a", "*/*", "users/**", "a*/b"] {
            let scope = Scope { prefix, ..FOLDER };
            let refused = Policy::from_scopes(&[FOLDER, scope]).unwrap_err();
            assert_eq!(refused, InvalidScope { index: 1, fault: ScopeFault::OpenPrefix }, "{prefix}");
            assert!(refused.to_string().starts_with("scope 2: "), "{refused}");
            assert!(Policy::from_scopes_with_open_prefixes(&[FOLDER, scope]).is_ok(), "{prefix}");
        }
        for prefix in ["a.png", "users/7/a.png", "a/*"] {
            assert!(Policy::from_scopes(&[Scope { prefix, ..FOLDER }]).is_ok(), "{prefix}");
        }
    }

    #[test]
    fn a_malformed_scope_is_refused_in_either_way() {
        for (scope, fault) in [
            (Scope { action: "", ..FOLDER }, ScopeFault::Action),
            (Scope { action: "*", ..FOLDER }, ScopeFault::Action),
            (Scope { action: "name/cos:", ..FOLDER }, ScopeFault::Action),
            (Scope { action: "name/cam:GetUser", ..FOLDER }, ScopeFault::Action),
            (Scope { bucket: "photos", ..FOLDER }, ScopeFault::Bucket),
            (Scope { bucket: "photos-", ..FOLDER }, ScopeFault::Bucket),
            (Scope { bucket: "photos-12x", ..FOLDER }, ScopeFault::Bucket),
            (Scope { bucket: "*-1250000000", ..FOLDER }, ScopeFault::Bucket),
            (Scope { bucket: "a/b-1250000000", ..FOLDER }, ScopeFault::Bucket),
            (Scope { region: "", ..FOLDER }, ScopeFault::Region),
            (Scope { region: "*", ..FOLDER }, ScopeFault::Region),
            (Scope { prefix: "", ..FOLDER }, ScopeFault::Prefix),
            (Scope { prefix: "/a", ..FOLDER }, ScopeFault::Prefix),
        ] {
            let refused = Err(InvalidScope { index: 0, fault });
            assert_eq!(Policy::from_scopes(&[scope]), refused, "{scope:?}");
            assert_eq!(Policy::from_scopes_with_open_prefixes(&[scope]), refused, "{scope:?}");
        }
        let missing = Err(InvalidScope { index: 0, fault: ScopeFault::Missing });
        assert_eq!(Policy::from_scopes(&[]), missing);
    }

    #[test]
    fn a_policy_from_json_needs_a_statement() {
        for (json, fault) in [
            ("", InvalidPolicy::NotJson),
            (r#"{"statement": [{}], "statement": []}"#, InvalidPolicy::NotJson),
            ("[]", InvalidPolicy::NoStatement),
            (r#"{"statement": []}"#, InvalidPolicy::NoStatement),
            (r#"{"statement": {}}"#, InvalidPolicy::NoStatement),
        ] {
            assert_eq!(Policy::from_json(json), Err(fault), "{json}");
        }
        let json = r#"{"version": "2.0", "statement": [{"effect": "deny"}]}"#;
        assert_eq!(json_of(&Policy::from_json(json).unwrap()), json);
    }
}
