mod left_out;

use serde_json::json;

use super::*;
use crate::{
    grant::confined_policy,
    identity::Identity,
    proof::{Proved, prove},
    serving_constraints::IssuerTrust,
    template::Template,
};
use cam::{
    Policy,
    evaluate::{Request, evaluate},
};

/// What a proved import lets `alice` do.
pub(super) fn alices(imported: &Imported) -> Policy {
    let alice = Identity::for_tests("https://id.example/", "alice", &[]);
    confined_policy(&proved(imported), &alice).unwrap().policy()
}

pub(super) fn proved(imported: &Imported) -> Proved {
    let template = Template::from_file(Source::new(FILE_NAME, imported.template.as_str())).unwrap();
    let [proved] = prove(vec![template], &IssuerTrust::default()).unwrap().try_into().unwrap();
    proved
}

fn allows(imported: &Imported, action: &str, key: &str, context: &[(&'static str, &str)]) -> bool {
    let bucket = proved(imported).template().bucket.resource(crate::Service::Cos);
    let resource = format!("{bucket}{key}");
    let context = context.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    evaluate(&alices(imported), &Request { action, resource: &resource, context }).is_allowed()
}

/// Imports a policy of these statements.
pub(super) fn of(statements: &serde_json::Value) -> Result<Imported, ImportFault> {
    import(&json!({"version": "2.0", "statement": statements}).to_string(), None)
}

pub(super) const PUT: &str = "name/cos:PutObject";
pub(super) const LIST: &str = "name/cos:GetBucket";

pub(super) fn resource(key: &str) -> String {
    format!("qcs::cos:ap-beijing:uid/1250000000:examplebucket-1250000000/{key}")
}

fn example(name: &str) -> Result<Imported, ImportFault> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/cam/examples");
    let file = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name));
    import(&std::fs::read_to_string(file.unwrap()).unwrap(), None)
}

#[test]
fn the_vendors_examples_become_proved_templates() {
    for (name, home, resources, parts) in [
        (
            "01",
            "users/${sub|escape}/",
            &["${home}doc/*", "${home}doc2/*"][..],
            &["reached in the bucket"][..],
        ),
        (
            "02",
            "users/${sub|escape}/",
            &["${home}*"],
            &["principal is left out", "examplebucket-gz-1250000000/exampleobject"],
        ),
        ("03", "users/${sub|escape}/", &["${home}*"], &["principal is left out"]),
        (
            "04",
            "dir1/${sub|escape}/",
            &["${home}*", "${home}Object1"],
            &["`cos:*` is written out", "in lower case"],
        ),
        ("05", "users/${sub|escape}/", &["${home}*"], &["set bucket", "set region", "reached every bucket"]),
        ("07", "users/${sub|escape}/", &["*"], &["principal"]),
        ("09", "users/${sub|escape}/", &["bucket/examplebucket-1250000001/${home}*"], &["may grant nothing"]),
        (
            "10",
            "users/${sub|escape}/",
            &["${home}exampleobject"],
            &["CreateMediaBucket` is left out", "principal"],
        ),
        ("11", "users/${sub|escape}/", &["${home}exampleobject"], &["principal"]),
        ("12", "users/${sub|escape}/", &["${home}*"], &["set region", "`cos:Get*` is written out"]),
        (
            "13",
            "users/${sub|escape}/",
            &["${home}*"],
            &["`*` is written out", "set bucket", "reached every bucket"],
        ),
        ("15", "users/${sub|escape}/", &["${home}*"], &["whose requests may all be refused"]),
    ] {
        let imported = example(name).unwrap();
        let template = &imported.template;
        assert!(template.contains(&format!("home = \"{home}\"")), "{name}: {template}");
        for resource in resources {
            assert!(template.contains(&format!("{resource}\"")), "{name}: {template}");
        }
        let notes = imported.notes.join("\n");
        for part in parts {
            assert!(notes.contains(part), "{name}: {part}: {notes}");
        }
        assert!(!notes.contains("not proved"), "{name}: {notes}");
        assert!(lint(vec![Ok(Source::new(FILE_NAME, template.as_str()))], None).is_proved(), "{name}");
        // Reading the rendering back is part of it.
        alices(&imported);
    }
}

#[test]
fn a_user_reaches_their_own_folder_and_no_other() {
    for (name, folder) in [("01", "doc/"), ("04", ""), ("13", ""), ("12", "")] {
        let imported = example(name).unwrap();
        let home = if name == "04" { "dir1" } else { "users" };
        let action = if name == "12" { "name/cos:GetObject" } else { PUT };
        assert!(allows(&imported, action, &format!("{home}/alice/{folder}a.jpg"), &[]), "{name}");
        for key in ["bob/doc/a.jpg", "alice", "alice2/doc/a.jpg"].map(|key| format!("{home}/{key}")) {
            assert!(!allows(&imported, action, &key, &[]), "{name}: {key}");
        }
        for key in ["doc/a.jpg", "a.jpg", "dir1/a.jpg"] {
            assert!(!allows(&imported, action, key, &[]), "{name}: {key}");
        }
    }
}

#[test]
fn conditions_and_denies_are_kept() {
    let small = [("cos:content-length", "10")];
    let large = [("cos:content-length", "11")];
    let sized = example("03").unwrap();
    assert!(allows(&sized, PUT, "users/alice/a", &small));
    assert!(!allows(&sized, PUT, "users/alice/a", &large) && !allows(&sized, PUT, "users/alice/a", &[]));
    let from = example("02").unwrap();
    assert!(allows(&from, PUT, "users/alice/a", &[("qcs:ip", "192.168.1.7")]));
    assert!(!allows(&from, PUT, "users/alice/a", &[("qcs:ip", "192.168.2.7")]));
    let denied = example("04").unwrap();
    assert!(!allows(&denied, PUT, "dir1/alice/Object1", &[]));
    assert!(allows(&denied, PUT, "dir1/alice/Object2", &[]));
    // The vendor's own slip: its deny takes back what its allow gives.
    assert!(!allows(&example("07").unwrap(), LIST, "", &[("cos:prefix", "users%2Falice%2Ffolder1")]));
}

#[test]
fn a_list_is_bound_to_the_home() {
    let listing = example("13").unwrap();
    let list = |prefix| allows(&listing, LIST, "", &[("cos:prefix", prefix)]);
    assert!(list("users%2Falice%2F") && list("users%2Falice%2Fa"));
    assert!(!list("") && !list("users%2F") && !list("users%2Fbob%2F"));
    let statement = |prefix| {
        of(&json!([
            {"effect": "allow", "action": [PUT, LIST], "resource": resource("doc/*")},
            {"effect": "deny", "action": LIST, "resource": "*",
             "condition": {"string_not_equal": {"cos:prefix": prefix}}},
        ]))
        .unwrap()
    };
    // Encoded, as policies have it, or not; with its slash or without.
    for prefix in ["doc%2F", "doc/", "doc"] {
        let only = statement(prefix);
        assert!(allows(&only, LIST, "", &[("cos:prefix", "doc%2Falice%2F")]), "{prefix}");
        assert!(!allows(&only, LIST, "", &[("cos:prefix", "doc%2Falice%2Fa")]), "{prefix}");
    }
    let elsewhere = statement("other%2F");
    assert!(elsewhere.notes.iter().any(|note| note.contains("DENY")), "{:?}", elsewhere.notes);
}

#[test]
fn values_are_converted_to_a_templates_spelling() {
    let imported =
        of(&json!([{"effect": "ALLOW", "Action": "cos:GetObject", "RESOURCE": resource("*"), "condition": {
            "numeric_less_than": {"cos:content-length": "10"},
            "bool_equal": {"cos:secure-transport": true},
            "string_like": {"cos:response-content-type": ["image%2F*"], "cos:content-type": "image/*"},
        }}]))
        .unwrap();
    for line in [
        "\"cos:content-length\" = 10\n",
        "\"cos:secure-transport\" = \"true\"\n",
        "\"cos:response-content-type\" = \"image/*\"\n",
        "\"cos:content-type\" = \"image/*\"\n",
    ] {
        assert!(imported.template.contains(line), "{line}: {}", imported.template);
    }
}

#[test]
fn the_common_folder_of_all_allowed_keys_becomes_the_home() {
    for (keys, home, resources) in [
        (&["doc/*"][..], "doc/${sub|escape}/", &["*"][..]),
        (&["a/b/*", "a/b.jpg"], "a/${sub|escape}/", &["b/*", "b.jpg"]),
        (&["a/b/c/*", "a/b/d/e*"], "a/b/${sub|escape}/", &["c/*", "d/e*"]),
        (&["doc/*", "*"], "users/${sub|escape}/", &["doc/*", "*"]),
        (&["*.jpg"], "users/${sub|escape}/", &["*.jpg"]),
        (&["users/${uin}/*"], "users/${sub|escape}/", &["*"]),
        (&["users/${uin}/photos/*"], "users/${sub|escape}/", &["photos/*"]),
        (&["users/u${uin}*"], "users/${sub|escape}/", &["*"]),
        // No home takes these letters, so the folder stays in the keys.
        (&["文档/*"], "users/${sub|escape}/", &["文档/*"]),
    ] {
        let list: Vec<String> = keys.iter().map(|key| resource(key)).collect();
        let imported = of(&json!([{"effect": "allow", "action": PUT, "resource": list}])).unwrap();
        assert!(imported.template.contains(&format!("home = \"{home}\"")), "{keys:?}: {}", imported.template);
        for resource in resources {
            assert!(
                imported.template.contains(&format!("\"${{home}}{resource}\"")),
                "{keys:?}: {}",
                imported.template
            );
        }
        alices(&imported);
    }
}

#[test]
fn a_requested_home_becomes_the_templates_home() {
    let text =
        json!({"statement": {"effect": "allow", "action": PUT, "resource": resource("doc/*")}}).to_string();
    let imported = import(&text, Some("avatars/${sub|hex}/")).unwrap();
    assert!(imported.template.contains("home = \"avatars/${sub|hex}/\"\n"));
    assert!(imported.template.contains("\"${home}*\""));
    alices(&imported);
    let open = import(&text, Some("avatars/")).unwrap();
    assert!(open.notes.iter().any(|note| note.starts_with("not proved: ")), "{:?}", open.notes);
    assert!(matches!(import(&text, Some("a/${sbu}/")), Err(ImportFault::Home { .. })));
}

#[test]
fn a_deny_applies_in_every_home() {
    for (denied, forbidden, allowed) in [
        ("*", Some("a"), None),
        ("doc/*", Some("a"), None),
        ("d*", Some("a"), None),
        ("*.exe", Some("b/a.exe"), Some("a.jpg")),
        ("doc/secret/*", Some("secret/a"), Some("a")),
        ("d*c/x/*", Some("x/a"), Some("a")),
        ("other/*", None, Some("a")),
    ] {
        let imported = of(&json!([
            {"effect": "allow", "action": PUT, "resource": resource("doc/*")},
            {"effect": "deny", "action": ["name/cos:Put*", "*"], "resource": resource(denied)},
        ]))
        .unwrap();
        let puts = |key| allows(&imported, PUT, &format!("doc/alice/{key}"), &[]);
        assert!(!forbidden.is_some_and(puts), "{denied}: {}", imported.template);
        assert!(allowed.is_none_or(puts), "{denied}: {}", imported.template);
    }
}

#[test]
fn a_policy_is_found_in_what_wraps_it() {
    let policy = json!({"version": "2.0", "statement": [{"effect": "allow", "action": PUT, "resource": resource("*")}]});
    let plain = import(&policy.to_string(), None).unwrap();
    for wrapped in [
        json!({"policy": policy}),
        json!({"Policy": policy.to_string(), "Name": "x"}),
        json!({"Response": {"PolicyDocument": policy.to_string()}}),
        json!(policy.to_string()),
    ] {
        assert_eq!(import(&wrapped.to_string(), None), Ok(plain.clone()), "{wrapped}");
    }
}

#[test]
fn a_narrower_list_is_kept_as_narrow() {
    let imported = of(&json!([
        {"effect": "allow", "action": PUT, "resource": resource("doc/*")},
        {"effect": "allow", "action": LIST, "resource": "*",
         "condition": {"string_like": {"cos:prefix": "doc%2Fphotos%2F*"}}},
    ]))
    .unwrap();
    let list = |prefix| allows(&imported, LIST, "", &[("cos:prefix", prefix)]);
    assert!(list("doc%2Falice%2Fphotos%2F"), "{}", imported.template);
    assert!(!list("doc%2Falice%2F") && !list("doc%2Fphotos%2F"), "{}", imported.template);
}

#[test]
fn a_list_of_one_object_is_not_a_list_of_the_home() {
    let imported = of(&json!([
        {"effect": "allow", "action": [PUT, LIST], "resource": resource("doc/a.jpg")},
    ]))
    .unwrap();
    assert!(
        imported.notes.join("\n").contains("a list works on the bucket or a folder"),
        "{:?}",
        imported.notes
    );
    assert!(!allows(&imported, LIST, "", &[("cos:prefix", "doc%2Falice%2F")]), "{}", imported.template);
}

#[test]
fn a_deny_of_everything_forbids_lists_and_processing_too() {
    let imported = of(&json!([
        {"effect": "allow", "action": [PUT, LIST, "name/ci:CreateMediaJobs"], "resource": "*"},
        {"effect": "deny", "action": "*", "resource": "*", "condition": {"ip_not_equal": {"qcs:ip": "10.0.0.0/8"}}},
    ]))
    .unwrap();
    let template = proved(&imported);
    let bucket = &template.template().bucket;
    let policy = alices(&imported);
    for (action, resource) in [
        (PUT, bucket.resource(crate::Service::Cos) + "users/alice/a"),
        (LIST, bucket.resource(crate::Service::Cos)),
        ("name/ci:CreateMediaJobs", bucket.resource(crate::Service::Ci) + "users/alice/a"),
    ] {
        for (address, allowed) in [("10.1.1.1", true), ("11.1.1.1", false)] {
            let context =
                [("qcs:ip", address), ("cos:prefix", "users%2Falice%2F"), ("cos:x-cos-acl", "private")];
            let context = context.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
            let request = Request { action, resource: &resource, context };
            let found = evaluate(&policy, &request).is_allowed();
            assert_eq!(found, allowed, "{action} from {address}: {}", imported.template);
        }
    }
}

#[test]
fn an_action_that_is_granted_alone_is_not_replaced_by_its_set() {
    let imported = of(&json!([{"effect": "allow", "action": PUT, "resource": resource("*")}])).unwrap();
    assert!(allows(&imported, PUT, "users/alice/a", &[]));
    assert!(!allows(&imported, "name/cos:PostObject", "users/alice/a", &[]), "{}", imported.template);
}

#[test]
fn the_older_spelling_names_the_same_bucket() {
    for bucket in ["examplebucket", "examplebucket-1250000000"] {
        let older = format!("qcs::cos:ap-beijing:uid/1250000000:prefix//1250000000/{bucket}/doc/*");
        let imported = of(&json!([{"effect": "allow", "action": PUT, "resource": older}])).unwrap();
        assert!(imported.template.contains("bucket = \"examplebucket-1250000000\""), "{}", imported.template);
    }
}
