//! A policy as the server reads it: decoded once, brought to today's form, then parsed.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::Fault;
use cam::Policy;

/// CAM's bound on a policy (docs 598/10609).
const LARGEST: usize = 6144;

/// The policy in the parameter `Policy`: as it was sent, unless it was in the older form.
pub(super) fn read(encoded: &str) -> Result<String, Fault> {
    let broken = |why: String| Fault("InvalidParameter.StrategyFormatError", why);
    let decoded = percent_decode_str(encoded)
        .decode_utf8()
        .map_err(|_| broken("the policy is not UTF-8".to_owned()))?
        .into_owned();
    if decoded.len() > LARGEST {
        return Err(Fault("InvalidParameter.PolicyTooLong", format!("at most {LARGEST} bytes")));
    }
    let value = strict_json::from_slice(decoded.as_bytes()).map_err(|error| broken(error.to_string()))?;
    let modern = modernised(&value);
    let policy = if modern == value { decoded } else { modern.to_string() };
    check(&Policy::parse(policy.as_bytes()).map_err(|error| broken(error.to_string()))?)?;
    Ok(policy)
}

fn check(policy: &Policy) -> Result<(), Fault> {
    for statement in &policy.statement {
        for action in &statement.action {
            if action != "*" && !action.starts_with("name/") {
                return Err(Fault(
                    "InvalidParameter.StrategyInvalid",
                    format!("`{action}` is not an action"),
                ));
            }
        }
        for resource in &statement.resource {
            let segments = resource.splitn(6, ':').collect::<Vec<_>>();
            let whole = matches!(segments.as_slice(), ["qcs", "", service, _, account, key]
                if !service.is_empty() && account.starts_with("uid/") && !key.is_empty());
            if resource != "*" && !whole {
                return Err(Fault(
                    "InvalidParameter.ResouceError",
                    format!("`{resource}` is not a six-segment resource"),
                ));
            }
        }
    }
    Ok(())
}

/// The policy without what only the vendor's older SDKs write: a `principal` that is anybody, which says
/// nothing of a key's own policy, and resources in the form they had once.
fn modernised(policy: &Value) -> Value {
    let mut policy = policy.clone();
    let statements = policy.get_mut("statement").and_then(Value::as_array_mut);
    for statement in statements.into_iter().flatten().filter_map(Value::as_object_mut) {
        let anybody = [json!({"qcs": "*"}), json!({"qcs": ["*"]})];
        if statement.get("principal").is_some_and(|principal| anybody.contains(principal)) {
            statement.remove("principal");
        }
        let resources = match statement.get_mut("resource") {
            Some(Value::Array(list)) => list.as_mut_slice(),
            Some(one) => std::slice::from_mut(one),
            None => &mut [],
        };
        for resource in resources {
            if let Some(modern) = resource.as_str().and_then(modern_resource) {
                *resource = Value::from(modern);
            }
        }
    }
    policy
}

/// `qcs::cos:<region>:uid/<appid>:prefix//<appid>/<bucket>/<key>` is
/// `qcs::cos:<region>:uid/<appid>:<bucket>-<appid>/<key>`.
fn modern_resource(resource: &str) -> Option<String> {
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

    #[test]
    fn a_policy_of_today_is_kept_to_the_byte() {
        let sent = policy(
            r#" {"resource":["qcs::cos:ap-guangzhou:uid/1:b-1/a/*"],"effect":"allow","action":"name/cos:PutObject"}"#,
        );
        assert_eq!(read(&sent), Ok(sent.clone()));
        assert_eq!(read(&sent.replace('"', "%22")), Ok(sent));
    }

    #[test]
    fn the_older_form_becomes_todays() {
        let sent = policy(
            r#"{"action":"name/cos:PutObject","effect":"allow","principal":{"qcs":"*"},
                "resource":"qcs::cos:ap-guangzhou:uid/1250000000:prefix//1250000000/my-bucket/users/a:b/*"}"#,
        );
        let kept = Policy::parse(read(&sent).unwrap().as_bytes()).unwrap();
        assert_eq!(
            kept.statement[0].resource,
            ["qcs::cos:ap-guangzhou:uid/1250000000:my-bucket-1250000000/users/a:b/*"]
        );
        assert_eq!(kept.statement[0].action, ["name/cos:PutObject"]);
    }

    #[test]
    fn only_the_older_form_itself_is_rewritten() {
        assert_eq!(
            modern_resource("qcs::cos:r:uid/1:prefix//1/b/").as_deref(),
            Some("qcs::cos:r:uid/1:b-1/")
        );
        for resource in [
            "*",
            "qcs::cos:r:uid/1:b-1/prefix//1/b/x",
            "qcs::cos:r:uid/1:b-1/x:prefix//1/b/x",
            "qcs::cos:r:uid/1:prefix//2/b/x",
            "qcs::cos:r:uid/1:prefix//1/b",
        ] {
            assert_eq!(modern_resource(resource), None, "{resource}");
        }
    }

    #[test]
    fn what_is_no_policy_is_refused_in_tencents_codes() {
        let with = |more: &str| {
            policy(&format!(
                r#"{{"effect":"allow","action":"name/cos:PutObject","resource":"qcs::cos:r:uid/1:b-1/*"{more}}}"#
            ))
        };
        assert!(read(&with("")).is_ok());
        for (text, code) in [
            (String::new(), "StrategyFormatError"),
            ("{".to_owned(), "StrategyFormatError"),
            ("%FF".to_owned(), "StrategyFormatError"),
            (with(r#","principal":{"qcs":["qcs::cam::uin/1:uin/2"]}"#), "StrategyFormatError"),
            (with(r#","effect":"deny""#), "StrategyFormatError"),
            (with("").replace("name/cos:", "cos:"), "StrategyInvalid"),
            (with("").replace("qcs::cos:r:uid/1:", ""), "ResouceError"),
            (with(&" ".repeat(LARGEST)), "PolicyTooLong"),
        ] {
            let Fault(found, _) = read(&text).unwrap_err();
            assert_eq!(found, format!("InvalidParameter.{code}"), "{text:.200}");
        }
    }
}
