//! Resources of six segments, `qcs:<project>:<service>:<region>:<account>:<resource>` (docs 598/10606).

use std::borrow::Cow;

use crate::pattern;

/// Returns whether a pattern of a policy is about a resource, segment by segment: a `*` stays within its segment.
///
/// An empty service or region stands for all of them, and an empty account for the account that wrote the policy,
/// which here is that of the resource. A text that is no six-segment resource is compared as a whole.
pub(crate) fn matches(pattern: &str, resource: &str) -> bool {
    if !pattern.starts_with("qcs:") {
        return pattern::matches(pattern, resource);
    }
    let (Some(wanted), Some(found)) = (segments(pattern), segments(resource)) else {
        return false;
    };
    let [prefix, project, service, region, account, path] = wanted;
    let [found_prefix, found_project, found_service, found_region, found_account, found_path] = found;
    prefix == found_prefix
        && project == found_project
        && is_all_or_matches(service, found_service)
        && is_all_or_matches(region, found_region)
        && is_all_or_matches(account, found_account)
        && pattern::matches(path, found_path)
}

/// Returns a resource with a `*` for an empty service, region or account.
pub(crate) fn with_stars(resource: &str) -> Cow<'_, str> {
    let Some([prefix, project, service, region, account, path]) = segments(resource) else {
        return Cow::Borrowed(resource);
    };
    let [service, region, account] =
        [service, region, account].map(|segment| if segment.is_empty() { "*" } else { segment });
    Cow::Owned([prefix, project, service, region, account, path].join(":"))
}

fn is_all_or_matches(pattern: &str, segment: &str) -> bool {
    pattern.is_empty() || pattern::matches(pattern, segment)
}

/// Splits a resource into its segments. The last one may have further colons.
fn segments(resource: &str) -> Option<[&str; 6]> {
    let (prefix, rest) = split_at_colon(resource)?;
    let (project, rest) = split_at_colon(rest)?;
    let (service, rest) = split_at_colon(rest)?;
    let (region, rest) = split_at_colon(rest)?;
    let (account, path) = split_at_colon(rest)?;
    Some([prefix, project, service, region, account, path])
}

/// Splits at the first colon. For texts this short, looking at each byte is faster than `split_once`.
fn split_at_colon(text: &str) -> Option<(&str, &str)> {
    let (before, after) = text.split_at_checked(text.bytes().position(|byte| byte == b':')?)?;
    Some((before, after.strip_prefix(':')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &str = "qcs::cos:ap-guangzhou:uid/1250000000:b-1250000000/users/alice/a:b.jpg";

    #[test]
    fn each_segment_is_matched_by_itself() {
        for (pattern, expected) in [
            ("*", true),
            (OBJECT, true),
            ("qcs::cos:ap-*:uid/1250000000:b-1250000000/users/alice/*", true),
            ("qcs::cos::uid/1250000000:b-1250000000/users/alice/*", true),
            ("qcs::cos:*:uid/1250000000:*", true),
            ("qcs::cos:::b-1250000000/users/alice/*", true),
            ("qcs:::ap-guangzhou:uid/1250000000:b-1250000000/*", true),
            ("qcs::*:ap-guangzhou:uid/*:b-1250000000/*", true),
            ("qcs::cos:ap-beijing:uid/1250000000:b-1250000000/*", false),
            ("qcs::cos:ap-guangzhou:uid/1250000001:b-1250000000/*", false),
            ("qcs::cvm:ap-guangzhou:uid/1250000000:*", false),
            ("qcs:1:cos:ap-guangzhou:uid/1250000000:*", false),
            ("qcs::cos:ap-guangzhou:uid/1250000000:", false),
            // A star does not reach over the end of its segment.
            ("qcs::cos:ap-*:b-1250000000/users/alice/*", false),
            ("qcs::cos:*", false),
            ("qcs:*", false),
        ] {
            assert_eq!(matches(pattern, OBJECT), expected, "{pattern}");
        }
        let with_its_own_segments = "qcs::cos:ap-guangzhou:uid/1:b-1/x:uid/1250000000:b-1250000000/a";
        assert!(!matches("qcs::cos:ap-*:uid/1250000000:*", with_its_own_segments));
    }
}
