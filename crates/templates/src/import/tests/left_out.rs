//! What an import refuses, leaves out, and says about it.

use super::*;

#[test]
fn an_example_without_a_grantable_part_is_refused_with_reasons() {
    for (name, why) in [
        ("06", "`name/cos:PutBucket` is left out: it changes or shows what belongs to all users"),
        ("08", "of another service than COS"),
    ] {
        match example(name) {
            Err(fault @ ImportFault::NothingGrantable(_)) => {
                assert!(fault.to_string().contains(why), "{fault}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn an_unsupported_condition_removes_its_statement() {
    for condition in [
        json!({"for_any_value:string_equal": {"qcs:request_tag": "a&b"}}),
        json!({"null_equal": {"cos:content-type": "true"}}),
        json!({"string_equal": {"ecs:name": "x"}}),
        json!({"string_like": {"cos:content-type": "image/??g"}}),
        json!({"string_equal": {"cos:content-type": "${uin}"}}),
        json!({"numeric_equal": {"cos:tls-version": 1.2}}),
        json!({"numeric_equal": {"cos:content-length": "ten"}}),
        json!({"date_less_than": {"qcs:current_time": "2022-05-31 00:00:00"}}),
        json!({"string_equal": {"cos:content-type": {"a": "b"}}}),
        json!({"string_equal": {"cos:content-type": []}}),
        json!({"string_equal": {"cos:prefix": "doc/"}}),
        json!({"string_equal": "x"}),
    ] {
        let kept = json!({"effect": "allow", "action": "cos:GetObject", "resource": resource("*")});
        let lost =
            json!({"effect": "Allow", "action": PUT, "resource": resource("*"), "condition": condition});
        let imported = of(&json!([kept, lost])).unwrap();
        assert!(!allows(&imported, PUT, "users/alice/a", &[]), "{condition}");
        assert!(
            !imported.template.contains("PutObject\"") && !imported.template.contains("upload\""),
            "{condition}"
        );
        let notes = imported.notes.join("\n");
        assert!(notes.contains("statement 2: ") && notes.contains("left out"), "{condition}: {notes}");
        // A deny with the same condition is left out aloud.
        let allow = json!({"effect": "allow", "action": PUT, "resource": resource("*")});
        let deny =
            json!({"effect": "deny", "action": "name/cos:Put*", "resource": "*", "condition": condition});
        let notes = of(&json!([allow, deny])).unwrap().notes.join("\n");
        let prefix = condition.to_string().contains("prefix");
        assert!(prefix || notes.contains("statement 2: WHAT THIS DENY FORBADE"), "{condition}: {notes}");
    }
}

#[test]
fn an_ambiguous_key_pattern_is_left_out() {
    for key in ["a?b", "a%2Fb", "../x", "a//b", "/a", "a\\b", "a/./b", "a{b", "a\nb"] {
        let list = [resource("good/*"), resource(key)];
        let imported = of(&json!([{"effect": "allow", "action": PUT, "resource": list}])).unwrap();
        assert!(
            imported.notes.iter().any(|note| note.contains("left out: it holds")),
            "{key}: {:?}",
            imported.notes
        );
        assert!(imported.template.contains("resource = [\"${home}*\"]"), "{key}: {}", imported.template);
        let fault = of(&json!([{"effect": "allow", "action": PUT, "resource": resource(key)}])).unwrap_err();
        assert!(matches!(fault, ImportFault::NothingGrantable(_)), "{key}: {fault}");
    }
}

#[test]
fn what_is_no_policy_is_told_how_to_mend_it() {
    for (text, part) in [
        ("", "policy: is not an object"),
        ("{", "not JSON"),
        ("const policy = {}", "not JSON"),
        ("{}", "holds no `statement`"),
        (r#"{"statement": []}"#, "neither a statement nor a list"),
        (r#"{"statement": {"effect": "allow"}}"#, "statement 1: action"),
        (r#"{"statement": {"effect": "maybe", "action": "a", "resource": "*"}}"#, "neither allow nor deny"),
        (r#"{"statement": {"effect": "allow", "Effect": "deny"}}"#, "in two spellings"),
        (r#"{"statement": {"effect": "allow", "effect": "deny"}}"#, "given twice"),
        (
            r#"{"statement": {"effect": "allow", "action": "a", "resource": "*", "condition": 1}}"#,
            "not an object",
        ),
        (
            r#"{"statement": {"effect": "allow", "action": "a", "resource": "*", "notaction": "b"}}"#,
            "`notaction`",
        ),
    ] {
        let fault = import(text, None).unwrap_err().to_string();
        assert!(fault.contains(part) && !fault.contains('\n'), "{text}: {fault}");
    }
    let deep = "[".repeat(100_000);
    assert!(matches!(import(&deep, None), Err(ImportFault::NotJson(_))));
}

#[test]
fn what_others_call_it_and_bucket_level_actions_are_told() {
    let actions =
        [PUT, "name/cos:ListObjects", "name/cos:ListBucket", "cos:PutObjectACL", "name/sts:AssumeRole"];
    let notes = of(&json!([{"effect": "allow", "action": actions, "resource": resource("*")}]))
        .unwrap()
        .notes
        .join("\n");
    for part in
        ["COS calls it `name/cos:GetBucket`", "`cos:PutObjectACL` is left out: it changes", "another service"]
    {
        assert!(notes.contains(part), "{part}: {notes}");
    }
}

#[test]
fn a_condition_in_two_spellings_is_refused_as_a_whole() {
    let statement = json!({"effect": "allow", "action": PUT, "resource": resource("*"), "condition": {
        "ip_equal": {"qcs:ip": "10.0.0.0/8"}, "IP_equal": {"qcs:ip": "11.0.0.0/8"},
    }});
    let kept = json!({"effect": "allow", "action": "cos:GetObject", "resource": resource("*")});
    let imported = of(&json!([statement, kept])).unwrap();
    assert!(imported.notes.join("\n").contains("`ip_equal` in two spellings"), "{:?}", imported.notes);
    for address in ["10.1.1.1", "11.1.1.1"] {
        assert!(!allows(&imported, PUT, "users/alice/a", &[("qcs:ip", address)]), "{address}");
    }
}

#[test]
fn what_is_in_another_bucket_or_region_is_left_out_and_told() {
    let elsewhere =
        |region: &str, bucket: &str| format!("qcs::cos:{region}:uid/1250000000:{bucket}-1250000000/theirs/*");
    for other in [elsewhere("ap-beijing", "other"), elsewhere("ap-shanghai", "examplebucket")] {
        let imported = of(&json!([
            {"effect": "allow", "action": PUT, "resource": [resource("doc/*"), other]},
        ]))
        .unwrap();
        assert!(
            imported.notes.iter().any(|note| note.contains(&format!("`{other}` is left out"))),
            "{:?}",
            imported.notes
        );
        assert!(!imported.template.contains("theirs/*\""), "{}", imported.template);
        assert!(imported.template.contains("region = \"ap-beijing\""), "{}", imported.template);
    }
    // Of the bucket that is taken, not of another that comes later.
    let unsaid = "qcs::cos::uid/1250000000:examplebucket-1250000000/doc/*";
    let imported = of(&json!([
        {"effect": "allow", "action": PUT, "resource": [unsaid, elsewhere("ap-shanghai", "other")]},
    ]))
    .unwrap();
    assert!(imported.notes.contains(&"set region: the policy names none".to_owned()), "{:?}", imported.notes);
}

#[test]
fn a_deny_that_a_template_cannot_express_is_noted_in_capitals() {
    for denied in [resource("doc/u${uin}x"), resource("doc/a?b"), "qcs::cvm:::instance/*".to_owned()] {
        let imported = of(&json!([
            {"effect": "allow", "action": PUT, "resource": resource("doc/*")},
            {"effect": "deny", "action": PUT, "resource": denied},
        ]))
        .unwrap();
        let is_noted = imported.notes.iter().any(|note| note.contains("WHAT THIS DENY FORBADE"));
        assert!(is_noted, "{denied}: {:?}", imported.notes);
    }
}

#[test]
fn a_statement_with_an_unknown_element_grants_nothing() {
    let kept = json!({"effect": "allow", "action": "cos:GetObject", "resource": resource("*")});
    let more = json!({"effect": "allow", "action": PUT, "resource": resource("*"), "expires": "2030-01-01"});
    let imported = of(&json!([kept, more])).unwrap();
    assert!(imported.notes.join("\n").contains("`expires`"), "{:?}", imported.notes);
    assert!(!allows(&imported, PUT, "users/alice/a", &[]), "{}", imported.template);
}

#[test]
fn a_policy_with_more_elements_than_cam_takes_is_refused_at_once() {
    let actions = vec!["name/cos:GetObject"; 2001];
    let fault = of(&json!([{"effect": "allow", "action": actions, "resource": "*"}])).unwrap_err();
    assert!(matches!(fault, ImportFault::TooLarge(2000)), "{fault}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(import(&deep, None), Err(ImportFault::NotJson(_))));
}
