use proptest::prelude::*;
use serde_json::json;

use super::{
    tests::{LIST, PUT, alices, of, proved, resource},
    *,
};
use cam::evaluate::{Reading, Request, evaluate_as};

const ACTIONS: [&str; 10] = [
    "*",
    "name/cos:*",
    "cos:Get*",
    PUT,
    "cos:PostObject",
    LIST,
    "name/ci:CreateMediaJobs",
    "name/cos:Put?",
    "x",
    "@upload",
];
const RESOURCES: [&str; 12] = [
    "*",
    "qcs::cos:ap-beijing:uid/1250000000:b-1250000000/doc/*",
    "qcs::cos:ap-beijing:uid/1250000000:b-1250000000/doc/${uin}/*",
    "qcs::cos::uid/1250000000:b-1250000000/doc/a*b/*.jpg",
    "qcs::cos::uid/1250000000:b-1250000000/",
    "qcs::cos::uid/1250000000:b-1250000000",
    "qcs::cos::uid/1250000000:c-1250000000/*",
    "qcs::cos::uid/1250000000:prefix//1250000000/b/doc/x",
    "qcs::ci:ap-beijing:uid/1250000000:bucket/b-1250000000/*",
    "qcs::::*",
    "qcs::cos:::/${}\"\n",
    "qcs",
];
const CONDITIONS: [&str; 7] = [
    "{}",
    r#"{"string_equal": {"cos:prefix": "doc%2F"}}"#,
    r#"{"String_Like_if_exist": {"cos:prefix": ["*", "doc"]}}"#,
    r#"{"string_equal_if_exist": {"cos:x-cos-acl": "public-read"}}"#,
    r#"{"string_equal": {"qcs:request_tag/a\n\"b": "\"\n'''"}}"#,
    r#"{"ip_equal": {"qcs:ip": ["10.0.0.0/8"]}}"#,
    r#"{"null_equal": {}}"#,
];

fn any_statement() -> impl Strategy<Value = serde_json::Value> {
    let some = |list: &'static [&str]| prop::collection::vec(prop::sample::select(list), 1..4);
    (
        prop::sample::select(&["allow", "allow", "Deny"]),
        some(&ACTIONS),
        some(&RESOURCES),
        prop::sample::select(&CONDITIONS),
    )
        .prop_map(|(effect, action, resource, condition)| {
            let condition: serde_json::Value = serde_json::from_str(condition).unwrap();
            json!({"effect": effect, "action": action, "resource": resource, "condition": condition})
        })
}

proptest! {
    #[test]
    fn every_text_is_imported_or_refused_without_a_panic(text in r#"[\{\}\[\]"':,/*a-z0-9$%\\ \n文]{0,60}|\PC{0,40}"#) {
        let _ = import(&text, None);
        let statement = json!({"effect": "allow", "action": text, "resource": text, "condition": {&text: {&text: text}}});
        prop_assert!(!matches!(of(&json!([statement])), Err(ImportFault::Unreadable(_))));
        let wrapped = json!([{"effect": "allow", "action": PUT, "resource": resource(&text)}]);
        prop_assert!(!matches!(of(&wrapped), Err(ImportFault::Unreadable(_))));
        let valued = json!([{"effect": "allow", "action": PUT, "resource": "*", "condition": {"string_equal": {"cos:content-type": text}}}]);
        prop_assert!(!matches!(of(&valued), Err(ImportFault::Unreadable(_))));
    }

    #[test]
    fn every_import_parses_and_a_proved_one_grants_only_the_callers_home(
        statements in prop::collection::vec(any_statement(), 1..5),
    ) {
        match of(&json!(statements)) {
            Err(fault) => prop_assert!(matches!(fault, ImportFault::NothingGrantable(_)), "{}", fault),
            Ok(imported) => {
                prop_assert!(imported.notes.iter().all(|note| !note.contains('\n')));
                // What a template cannot have is noted: rights to publish, and more than STS takes.
                let unproved = imported.notes.iter().find(|note| note.starts_with("not proved: "));
                if let Some(unproved) = unproved {
                    let expected = imported.template.contains("public-read") || unproved.contains("can grow to");
                    prop_assert!(expected, "{}", unproved);
                    return Ok(());
                }
                let policy = alices(&imported);
                let bucket = proved(&imported).template().bucket.resource(crate::Service::Cos);
                for key in ["users/bob/doc/x", "doc/bob/x", "users/bob/x", "doc/x"] {
                    let resource = format!("{bucket}{key}");
                    for reading in Reading::ALL {
                        let request = Request { action: PUT, resource: &resource, ..Request::default() };
                        prop_assert!(!evaluate_as(reading, &policy, &request).is_allowed(), "{}", key);
                    }
                }
            }
        }
    }
}
