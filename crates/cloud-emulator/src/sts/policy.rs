//! Decodes and checks the policy of a call, as the server does: percent-decoding, conversion from the older form,
//! parsing.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::error::StsError;
use cam::Policy;

/// CAM's limit for a policy (docs 598/10609).
const MAX_POLICY_BYTES: usize = 6144;

/// Returns the policy in the parameter `Policy`: as it was sent, or converted from the older form.
pub(super) fn decode(encoded: &str) -> Result<String, StsError> {
    let decoded = percent_decode_str(encoded)
        .decode_utf8()
        .map_err(|_| format_error("the policy is not UTF-8"))?
        .into_owned();
    if decoded.len() > MAX_POLICY_BYTES {
        let message = format!("at most {MAX_POLICY_BYTES} bytes");
        return Err(StsError::new("InvalidParameter.PolicyTooLong", message));
    }
    let value =
        strict_json::from_slice(decoded.as_bytes()).map_err(|error| format_error(error.to_string()))?;
    let current = to_current_form(&value);
    let policy = if current == value { decoded } else { current.to_string() };
    check(&Policy::parse(policy.as_bytes()).map_err(|error| format_error(error.to_string()))?)?;
    Ok(policy)
}

fn format_error(message: impl Into<String>) -> StsError {
    StsError::new("InvalidParameter.StrategyFormatError", message)
}

fn check(policy: &Policy) -> Result<(), StsError> {
    for statement in &policy.statement {
        for action in &statement.action {
            let is_action = action == "*" || action.starts_with("name/") || action.contains(':');
            if !is_action {
                return Err(StsError::new(
                    "InvalidParameter.StrategyInvalid",
                    format!("`{action}` is not an action"),
                ));
            }
        }
        for resource in &statement.resource {
            let segments = resource.splitn(6, ':').collect::<Vec<_>>();
            let is_complete = matches!(segments.as_slice(), ["qcs", "", _, _, account, key]
                if (account.is_empty() || *account == "*" || account.starts_with("uid/")) && !key.is_empty());
            if resource != "*" && !is_complete {
                return Err(StsError::new(
                    "InvalidParameter.ResouceError",
                    format!("`{resource}` is not a six-segment resource"),
                ));
            }
        }
    }
    Ok(())
}

/// Converts what only the vendor's older SDKs write: removes a `principal` of `*`, which has no meaning in the
/// policy of a temporary key, and rewrites resources of the older form.
fn to_current_form(policy: &Value) -> Value {
    let mut policy = policy.clone();
    let statements = policy.get_mut("statement").and_then(Value::as_array_mut);
    for statement in statements.into_iter().flatten().filter_map(Value::as_object_mut) {
        let any_principal = [json!({"qcs": "*"}), json!({"qcs": ["*"]})];
        if statement.get("principal").is_some_and(|principal| any_principal.contains(principal)) {
            statement.remove("principal");
        }
        let resources = match statement.get_mut("resource") {
            Some(Value::Array(list)) => list.as_mut_slice(),
            Some(one) => std::slice::from_mut(one),
            None => &mut [],
        };
        for resource in resources {
            if let Some(current) = resource.as_str().and_then(current_resource) {
                *resource = Value::from(current);
            }
        }
    }
    policy
}

/// Rewrites `qcs::cos:<region>:uid/<appid>:prefix//<appid>/<bucket>/<key>` to
/// `qcs::cos:<region>:uid/<appid>:<bucket>-<appid>/<key>`.
fn current_resource(resource: &str) -> Option<String> {
    let (account, path) = resource.split_once(":prefix//")?;
    let (_, appid) = account.rsplit_once(":uid/")?;
    let (bucket, key) = path.strip_prefix(appid)?.strip_prefix('/')?.split_once('/')?;
    Some(format!("{account}:{bucket}-{appid}/{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(statement: &str) -> String {
        format!(r#"{{"version":"2.0","statement":[{statement}]}}"#)
    }

    /// A valid policy with this text added to its statement.
    fn policy_with(addition: &str) -> String {
        policy(&format!(
            r#"{{"effect":"allow","action":"name/cos:PutObject","resource":"qcs::cos:r:uid/1:b-1/*"{addition}}}"#
        ))
    }

    #[test]
    fn a_policy_of_the_current_form_is_kept_byte_for_byte() {
        let sent = policy(
            r#" {"resource":["qcs::cos:ap-guangzhou:uid/1:b-1/a/*"],"effect":"allow","action":"name/cos:PutObject"}"#,
        );
        assert_eq!(decode(&sent), Ok(sent.clone()));
        assert_eq!(decode(&sent.replace('"', "%22")), Ok(sent));
    }

    #[test]
    fn the_older_form_is_converted() {
        let sent = policy(
            r#"{"action":"name/cos:PutObject","effect":"allow","principal":{"qcs":"*"},
                "resource":"qcs::cos:ap-guangzhou:uid/1250000000:prefix//1250000000/my-bucket/users/a:b/*"}"#,
        );
        let converted = Policy::parse(decode(&sent).unwrap().as_bytes()).unwrap();
        assert_eq!(
            converted.statement[0].resource,
            ["qcs::cos:ap-guangzhou:uid/1250000000:my-bucket-1250000000/users/a:b/*"]
        );
        assert_eq!(converted.statement[0].action, ["name/cos:PutObject"]);
    }

    #[test]
    fn only_resources_of_the_older_form_are_rewritten() {
        assert_eq!(
            current_resource("qcs::cos:r:uid/1:prefix//1/b/").as_deref(),
            Some("qcs::cos:r:uid/1:b-1/")
        );
        for resource in [
            "*",
            "qcs::cos:r:uid/1:b-1/prefix//1/b/x",
            "qcs::cos:r:uid/1:b-1/x:prefix//1/b/x",
            "qcs::cos:r:uid/1:prefix//2/b/x",
            "qcs::cos:r:uid/1:prefix//1/b",
        ] {
            assert_eq!(current_resource(resource), None, "{resource}");
        }
    }

    #[test]
    fn an_invalid_policy_is_refused_with_tencents_codes() {
        assert!(decode(&policy_with("")).is_ok());
        for (from, to) in
            [("name/cos:", "cos:"), ("qcs::cos:r:uid/1:", "qcs:::::"), (":r:uid/1:", ":ap-*:uid/*:")]
        {
            assert!(decode(&policy_with("").replace(from, to)).is_ok(), "{to}");
        }
        for (text, code) in [
            (String::new(), "StrategyFormatError"),
            ("{".to_owned(), "StrategyFormatError"),
            ("%FF".to_owned(), "StrategyFormatError"),
            (policy_with(r#","principal":{"qcs":["qcs::cam::uin/1:uin/2"]}"#), "StrategyFormatError"),
            (policy_with(r#","effect":"deny""#), "StrategyFormatError"),
            (policy_with("").replace("name/cos:", ""), "StrategyInvalid"),
            (policy_with("").replace("qcs::cos:r:uid/1:", ""), "ResouceError"),
            (policy_with(&" ".repeat(MAX_POLICY_BYTES)), "PolicyTooLong"),
        ] {
            let found = decode(&text).unwrap_err().code;
            assert_eq!(found, format!("InvalidParameter.{code}"), "{text:.200}");
        }
    }
}
