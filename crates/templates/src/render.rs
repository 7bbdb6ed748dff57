//! A proved template and an identity become a CAM policy, and the guard that keeps a writer from
//! making objects public.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    action::Action,
    template::{Operand, Service, Statement, Template},
    variable::{Unrenderable, Variable},
};
use crate::identity::Identity;
use cam::{self, Comparison, Conditions, Effect, Operator, Policy};

/// The longest custom policy CAM documents (docs 598/10609); STS names no number of its own.
pub(super) const MAX_POLICY_BYTES: usize = 6144;

/// What STS percent-encodes: all but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// As above, the wildcard left standing.
const RESERVED_BUT_STAR: &AsciiSet = &RESERVED.remove(b'*');

/// Headers by which a writer could give others rights on an object.
const GRANTS: [&str; 4] = [
    "cos:x-cos-grant-read",
    "cos:x-cos-grant-read-acp",
    "cos:x-cos-grant-write-acp",
    "cos:x-cos-grant-full-control",
];

/// How the guard looks at the header by which a writer sets an object's ACL, and what it lets through.
pub(super) const ACL_GUARD: Operator = Operator { comparison: Comparison::StringEqual, if_exist: true };
pub(super) const ACL_KEY: &str = "cos:x-cos-acl";
pub(super) const HARMLESS_ACLS: [&str; 2] = ["private", "default"];

const LIKE: Operator = Operator { comparison: Comparison::StringLike, if_exist: false };

/// The policy of one identity, and the bytes of it that go to STS.
pub(super) fn render(template: &Template, identity: &Identity) -> Result<String, Unrenderable> {
    Ok(wire(&policy_for(template, identity)?))
}

/// What a template, proved or not, would have an identity's key do: to be looked at, never sent.
pub(super) fn policy_for(template: &Template, identity: &Identity) -> Result<Policy, Unrenderable> {
    policy(template, |variable| variable.render(identity))
}

/// The same with every variable left standing: what a template grants to whomever it concerns.
pub(super) fn for_everybody(template: &Template) -> Policy {
    let Ok(policy) = policy(template, |variable| Ok::<_, std::convert::Infallible>(variable.to_string()));
    policy
}

/// The policy as STS takes it: compact JSON, percent-encoded once (`docs/tencent.md`).
pub(super) fn wire(policy: &Policy) -> String {
    utf8_percent_encode(&policy.to_json(), RESERVED).to_string()
}

/// The size of the largest policy that a template can render to.
pub(super) fn longest_policy(template: &Template) -> usize {
    let longest =
        |variable: &Variable| Ok::<_, std::convert::Infallible>("v".repeat(variable.encoding.longest()));
    let Ok(policy) = policy(template, longest);
    policy.to_json().len()
}

fn policy<E>(template: &Template, fill: impl Fn(&Variable) -> Result<String, E> + Copy) -> Result<Policy, E> {
    let mut statements = Vec::new();
    let mut guarded = Vec::new();
    for statement in &template.statements {
        let mut rendered = self::statement(template, statement, fill)?;
        if statement.effect == Effect::Allow && template.acl_guard_off.is_none() {
            let before = guarded.len();
            guarded.extend(statement.actions().filter(|action| action.takes_acl()).map(Action::name));
            if guarded.len() > before {
                let harmless = HARMLESS_ACLS.map(|acl| cam::Operand::Text(acl.to_owned()));
                let keys = rendered.condition.0.entry(ACL_GUARD).or_default();
                // What the template states here was proved to be harmless, and may be less.
                keys.entry(ACL_KEY.to_owned()).or_insert_with(|| harmless.into());
            }
        }
        statements.push(rendered);
    }
    if !guarded.is_empty() {
        guarded.sort_unstable();
        guarded.dedup();
        let home = template.home.write(fill, str::to_owned)?;
        let resource = format!("{}{home}*", template.bucket.resource(Service::Cos));
        // One statement each: keys in one block are ANDed, so a combined deny would fire only for a
        // request that carries all four.
        statements.extend(GRANTS.map(|key| cam::Statement {
            effect: Effect::Deny,
            action: guarded.iter().map(|name| (*name).to_owned()).collect(),
            resource: vec![resource.clone()],
            condition: Conditions(BTreeMap::from([(
                LIKE,
                BTreeMap::from([(key.to_owned(), vec![cam::Operand::Text("*".to_owned())])]),
            )])),
        }));
    }
    Ok(Policy::new(statements))
}

fn statement<E>(
    template: &Template,
    statement: &Statement,
    fill: impl Fn(&Variable) -> Result<String, E> + Copy,
) -> Result<cam::Statement, E> {
    let resource = statement
        .resources
        .iter()
        .map(|resource| {
            let start = template.bucket.resource(resource.service);
            Ok(start + &resource.key.write(fill, str::to_owned)?)
        })
        .collect::<Result<_, E>>()?;
    let mut condition = BTreeMap::new();
    for (operator, keys) in &statement.condition {
        let mut rendered = BTreeMap::new();
        for (key, values) in keys {
            let values = values
                .get_ref()
                .iter()
                .map(|value| match value {
                    Operand::Number(number) => Ok(cam::Operand::Number(number.clone())),
                    Operand::Text(text) if is_parameter(key) => {
                        text.write(fill, encode_parameter).map(cam::Operand::Text)
                    }
                    Operand::Text(text) => text.write(fill, str::to_owned).map(cam::Operand::Text),
                })
                .collect::<Result<_, E>>()?;
            rendered.insert(key.clone(), values);
        }
        condition.insert(*operator, rendered);
    }
    Ok(cam::Statement {
        effect: statement.effect,
        action: statement.actions().map(|action| action.name().to_owned()).collect(),
        resource,
        condition: Conditions(condition),
    })
}

/// Whether a condition key stands for a request parameter, whose value the vendor wants URL-encoded
/// (docs 436/46205).
pub(super) fn is_parameter(key: &str) -> bool {
    matches!(key, "cos:prefix" | "cos:delimiter" | "cos:versionid") || key.starts_with("cos:response-")
}

/// A parameter's value as CAM compares it.
pub(super) fn encode_parameter(value: &str) -> String {
    utf8_percent_encode(value, RESERVED_BUT_STAR).to_string()
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
    fn the_designs_example_renders_to_cams_own_words() {
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
    fn writes_carry_the_guard_and_four_separate_denies() {
        let policy = rendered(UPLOAD);
        let guard = &policy["statement"][0]["condition"]["string_equal_if_exist"]["cos:x-cos-acl"];
        assert_eq!(*guard, serde_json::json!(["private", "default"]));
        let denies: Vec<_> = policy["statement"].as_array().unwrap()[1..].to_vec();
        assert_eq!(denies.len(), 4);
        for (deny, key) in denies.iter().zip(GRANTS) {
            assert_eq!(deny["effect"], "deny");
            assert_eq!(deny["condition"], serde_json::json!({"string_like": {key: ["*"]}}));
        }
    }

    #[test]
    fn a_stricter_condition_of_the_template_stays() {
        let stricter = "[statement.condition.string_equal_if_exist]\n\"cos:x-cos-acl\" = \"private\"\n";
        let policy = rendered(&format!("{UPLOAD}{stricter}"));
        let guard = &policy["statement"][0]["condition"]["string_equal_if_exist"]["cos:x-cos-acl"];
        assert_eq!(*guard, serde_json::json!(["private"]));
    }

    #[test]
    fn the_guard_is_left_out_only_for_a_reason_or_where_nothing_is_written() {
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
    fn the_denies_hold_for_the_whole_home_and_every_guarded_action() {
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
    fn the_guard_stands_on_writing_allows_only() {
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
