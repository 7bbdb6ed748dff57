//! Renders a template and an identity to a CAM policy. Adds the guard that keeps writers from making objects
//! public.

use std::{collections::BTreeMap, convert::Infallible};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    identity::Identity,
    template::{Action, Operand, Service, Statement, Template, Unrenderable, Variable},
};
use cam::{Comparison, Conditions, Effect, Operator, Policy};

/// The maximum size of a custom policy in CAM (docs 598/10609). STS documents no number of its own.
pub const MAX_POLICY_BYTES: usize = 6144;

/// The characters that STS percent-encodes: all but the unreserved ones of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The same without the wildcard.
const RESERVED_EXCEPT_STAR: &AsciiSet = &RESERVED.remove(b'*');

/// Headers with which a writer could give others permissions on an object.
const GRANT_HEADERS: [&str; 4] = [
    "cos:x-cos-grant-read",
    "cos:x-cos-grant-read-acp",
    "cos:x-cos-grant-write-acp",
    "cos:x-cos-grant-full-control",
];

/// The guard's condition on the ACL header, and the values it allows.
pub(super) const ACL_GUARD: Operator = Operator { comparison: Comparison::StringEqual, if_exist: true };
pub(super) const ACL_KEY: &str = "cos:x-cos-acl";
pub(super) const HARMLESS_ACLS: [&str; 2] = ["private", "default"];

const STRING_LIKE: Operator = Operator { comparison: Comparison::StringLike, if_exist: false };

/// Renders an identity's policy to the bytes that STS gets.
pub(super) fn render(template: &Template, identity: &Identity) -> Result<String, Unrenderable> {
    Ok(to_wire(&policy_of(template, identity)?))
}

/// Renders an identity's policy. The template need not be proved, so the result must not be sent.
pub(super) fn policy_of(template: &Template, identity: &Identity) -> Result<Policy, Unrenderable> {
    render_policy(template, |variable| variable.render(identity))
}

/// Renders the policy with every variable left in place, written by `spell`.
pub(super) fn symbolic_policy(template: &Template, spell: impl Fn(&Variable) -> String + Copy) -> Policy {
    let Ok(policy) =
        render_policy(template, |variable| Ok::<_, Infallible>(literal_pattern(&spell(variable))));
    policy
}

/// Writes a text so that it is no pattern. The name of a claim may have any character.
fn literal_pattern(text: &str) -> String {
    text.replace('\\', "\\\\").replace('*', "\\u{2a}")
}

/// Encodes a policy as STS takes it: compact JSON, percent-encoded once (`docs/understand/tencent.md`).
pub(super) fn to_wire(policy: &Policy) -> String {
    let json = policy.to_json();
    let mut wire = String::with_capacity(json.len() * 2);
    wire.extend(utf8_percent_encode(&json, RESERVED));
    wire
}

/// Returns the size of the largest policy that a template can render to.
pub(super) fn max_policy_bytes(template: &Template) -> usize {
    let Ok(policy) = render_policy(template, |variable| Ok::<_, Infallible>(variable.encoding.longest()));
    policy.to_json().len()
}

fn render_policy<E>(
    template: &Template,
    fill: impl Fn(&Variable) -> Result<String, E> + Copy,
) -> Result<Policy, E> {
    let mut statements = Vec::new();
    let mut guarded = Vec::new();
    for statement in &template.statements {
        let mut rendered = render_statement(template, statement, fill)?;
        if template.acl_guard_off.is_none() && statement.is_allow() {
            let writes: Vec<&str> =
                statement.actions().filter(|action| action.takes_acl()).map(Action::name).collect();
            if !writes.is_empty() {
                guard_acl(&mut rendered.condition);
            }
            guarded.extend(writes);
        }
        statements.push(rendered);
    }
    if !guarded.is_empty() {
        guarded.sort_unstable();
        guarded.dedup();
        let home = template.home.render(fill, str::to_owned)?;
        let resource = format!("{}{home}*", template.bucket.resource(Service::Cos));
        // A statement per header: the keys of one condition are ANDed, so a single deny would apply only to a
        // request with all four.
        statements.extend(GRANT_HEADERS.map(|header| deny_header(header, &guarded, &resource)));
    }
    Ok(Policy::new(statements))
}

/// Limits the ACL header to harmless values. Values that the template states itself were proved to be harmless,
/// and may be fewer.
fn guard_acl(condition: &mut Conditions) {
    let harmless = HARMLESS_ACLS.map(|acl| cam::Operand::Text(acl.to_owned()));
    let keys = condition.0.entry(ACL_GUARD).or_default();
    keys.entry(ACL_KEY.to_owned()).or_insert_with(|| harmless.into());
}

fn deny_header(header: &str, actions: &[&str], resource: &str) -> cam::Statement {
    let any_value = vec![cam::Operand::Text("*".to_owned())];
    cam::Statement {
        effect: Effect::Deny,
        action: actions.iter().map(|name| (*name).to_owned()).collect(),
        resource: vec![resource.to_owned()],
        condition: Conditions(BTreeMap::from([(
            STRING_LIKE,
            BTreeMap::from([(header.to_owned(), any_value)]),
        )])),
    }
}

fn render_statement<E>(
    template: &Template,
    statement: &Statement,
    fill: impl Fn(&Variable) -> Result<String, E> + Copy,
) -> Result<cam::Statement, E> {
    let mut resources = Vec::new();
    for resource in &statement.resources {
        let start = template.bucket.resource(resource.service);
        resources.push(start + &resource.key.render(fill, str::to_owned)?);
    }
    let mut condition = BTreeMap::new();
    for (operator, keys) in &statement.condition {
        let mut rendered = BTreeMap::new();
        for (key, values) in keys {
            let values = values.get_ref().iter().map(|value| render_operand(key, value, fill));
            rendered.insert(key.clone(), values.collect::<Result<_, E>>()?);
        }
        condition.insert(*operator, rendered);
    }
    Ok(cam::Statement {
        effect: statement.effect,
        action: statement.actions().map(|action| action.name().to_owned()).collect(),
        resource: resources,
        condition: Conditions(condition),
    })
}

fn render_operand<E>(
    key: &str,
    value: &Operand,
    fill: impl Fn(&Variable) -> Result<String, E>,
) -> Result<cam::Operand, E> {
    match value {
        Operand::Number(number) => Ok(cam::Operand::Number(number.clone())),
        Operand::Text(text) if is_parameter(key) => {
            text.render(fill, encode_parameter).map(cam::Operand::Text)
        }
        Operand::Text(text) => text.render(fill, str::to_owned).map(cam::Operand::Text),
    }
}

/// Whether a condition key is a request parameter. Its value must be URL-encoded (docs 436/46205).
pub(super) fn is_parameter(key: &str) -> bool {
    matches!(key, "cos:prefix" | "cos:delimiter" | "cos:versionid") || key.starts_with("cos:response-")
}

/// Encodes a request parameter's value as CAM compares it.
pub(super) fn encode_parameter(value: &str) -> String {
    utf8_percent_encode(value, RESERVED_EXCEPT_STAR).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::tests::UPLOAD;
    use diagnostics::Source;

    fn rendered(text: &str) -> serde_json::Value {
        let template = Template::parse("t", Source::new("t.toml", text)).unwrap();
        let wire = render(&template, &Identity::for_tests("i", "alice", &[])).unwrap();
        assert!(wire.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%-_.~".contains(&byte)), "{wire}");
        serde_json::from_str(&percent_encoding::percent_decode_str(&wire).decode_utf8().unwrap()).unwrap()
    }

    #[test]
    fn the_example_template_renders_to_a_cam_policy() {
        let policy = rendered(UPLOAD);
        assert_eq!(policy["version"], "2.0");
        let allow = &policy["statement"][0];
        assert_eq!(
            allow["resource"],
            serde_json::json!([
                "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/users/alice/*"
            ])
        );
        assert_eq!(
            allow["condition"]["numeric_less_than_equal"],
            serde_json::json!({"cos:content-length": [10_485_760]})
        );
    }

    #[test]
    fn writes_have_the_acl_guard_and_four_separate_denies() {
        let policy = rendered(UPLOAD);
        let guard = &policy["statement"][0]["condition"]["string_equal_if_exist"]["cos:x-cos-acl"];
        assert_eq!(*guard, serde_json::json!(["private", "default"]));
        let denies: Vec<_> = policy["statement"].as_array().unwrap()[1..].to_vec();
        assert_eq!(denies.len(), 4);
        for (deny, key) in denies.iter().zip(GRANT_HEADERS) {
            assert_eq!(deny["effect"], "deny");
            assert_eq!(deny["condition"], serde_json::json!({"string_like": {key: ["*"]}}));
        }
    }

    #[test]
    fn a_stricter_acl_condition_of_the_template_is_kept() {
        let stricter = "[statement.condition.string_equal_if_exist]\n\"cos:x-cos-acl\" = \"private\"\n";
        let policy = rendered(&format!("{UPLOAD}{stricter}"));
        let guard = &policy["statement"][0]["condition"]["string_equal_if_exist"]["cos:x-cos-acl"];
        assert_eq!(*guard, serde_json::json!(["private"]));
    }

    #[test]
    fn the_acl_guard_is_left_out_for_a_stated_reason_or_if_nothing_is_written() {
        let off = UPLOAD.replace("duration", "acl_guard_off = \"public avatars\"\nduration");
        let reads = UPLOAD.replace("[\"@upload\", \"@multipart-upload\"]", "\"@download\"");
        for text in [off, reads] {
            assert_eq!(rendered(&text)["statement"].as_array().unwrap().len(), 1, "{text}");
        }
    }

    #[test]
    fn a_prefix_condition_is_url_encoded_as_the_vendor_requires() {
        let text = UPLOAD
            .replace("[\"@upload\", \"@multipart-upload\"]", "\"@list\"")
            .replace("numeric_less_than_equal", "string_like")
            .replace("\"cos:content-length\" = 10485760", "\"cos:prefix\" = \"${home}*\"");
        let policy = rendered(&text);
        assert_eq!(policy["statement"][0]["condition"]["string_like"]["cos:prefix"][0], "users%2Falice%2F*");
    }

    #[test]
    fn the_denies_apply_to_the_whole_home_and_every_guarded_action() {
        let policy = rendered(UPLOAD);
        for deny in &policy["statement"].as_array().unwrap()[1..] {
            assert_eq!(
                deny["action"],
                serde_json::json!([
                    "name/cos:InitiateMultipartUpload",
                    "name/cos:PostObject",
                    "name/cos:PutObject"
                ])
            );
            assert_eq!(
                deny["resource"],
                serde_json::json!([
                    "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/users/alice/*"
                ])
            );
        }
    }

    #[test]
    fn only_allows_of_writes_have_the_acl_guard() {
        let more = |effect: &str, action: &str| {
            format!(
                "{UPLOAD}[[statement]]\neffect = \"{effect}\"\naction = \"{action}\"\nresource = \"${{home}}*\"\n"
            )
        };
        for text in [more("deny", "@upload"), more("allow", "@download")] {
            assert!(rendered(&text)["statement"][1].get("condition").is_none(), "{text}");
        }
    }

    #[test]
    fn every_parameter_is_encoded_and_no_header_is() {
        for (key, value, expected) in [
            ("cos:delimiter", "/", "%2F"),
            ("cos:versionid", "a/b", "a%2Fb"),
            ("cos:response-content-type", "image/*", "image%2F*"),
            ("cos:content-type", "image/*", "image/*"),
        ] {
            let text = UPLOAD
                .replace("numeric_less_than_equal", "string_like")
                .replace("\"cos:content-length\" = 10485760", &format!("\"{key}\" = \"{value}\""));
            assert_eq!(rendered(&text)["statement"][0]["condition"]["string_like"][key][0], expected);
        }
    }
}
