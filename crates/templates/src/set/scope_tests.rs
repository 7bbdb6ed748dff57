use super::tests::{allows, one, policy_of, set};
use crate::{
    IssuerTrust, NoGrant, Scope, ScopeRefused,
    identity::Identity,
    template::{Service, tests::UPLOAD},
};

#[test]
fn a_scope_gives_a_part_of_the_grant_and_nothing_else() {
    let templates = one(UPLOAD);
    let alice = Identity::for_tests("i", "alice", &[]);
    let item = scope_item;
    let narrowed = |scope: &[Scope]| templates.narrowed(Some("upload"), &alice, scope);
    let put = |prefix: &str| item("name/cos:PutObject", prefix);
    let grant = narrowed(&[put("users/alice/photos/*")]).unwrap();
    let (policy, bucket) = (policy_of(&grant), grant.bucket().resource(Service::Cos));
    assert!(allows(&policy, &bucket, "name/cos:PutObject", "users/alice/photos/a.jpg"));
    for (action, key) in [
        ("name/cos:PutObject", "users/alice/other/a.jpg"),
        ("name/cos:UploadPart", "users/alice/photos/a.jpg"),
        ("name/cos:PutObject", "users/bob/photos/a.jpg"),
    ] {
        assert!(!allows(&policy, &bucket, action, key), "{action} {key}");
    }
    let same =
        |a: &[Scope], b: &[Scope]| narrowed(a).unwrap().fingerprint() == narrowed(b).unwrap().fingerprint();
    let (x, y) = (put("users/alice/x/*"), put("users/alice/y/*"));
    let inside = put("users/alice/x/a.jpg");
    assert!(
        same(&[x.clone(), inside.clone()], std::slice::from_ref(&x)),
        "what another item holds adds nothing"
    );
    assert!(!same(std::slice::from_ref(&x), &[inside]));
    assert!(same(&[x.clone(), y.clone()], &[y.clone(), x.clone(), y]), "order and repeats do not matter");
    for (prefix, why) in [
        ("users/alice*", "reaches alice0"),
        ("users/*", "reaches everybody"),
        ("*", "reaches everything"),
        ("users/bob/*", "is another's"),
        ("/users/alice/x", "begins with a slash"),
        ("users/alice/../bob/*", "goes up"),
        ("users/alice/*/x*", "has a wildcard inside"),
        ("users/alice/%2e%2e/x", "is escaped"),
        ("users/alice/?", "holds ?"),
        ("", "is empty"),
    ] {
        let refused = narrowed(&[x.clone(), put(prefix)]);
        assert!(
            matches!(refused, Err(NoGrant::Scope(ScopeRefused::Item { index: 1, .. }))),
            "{prefix} {why}: {refused:?}"
        );
    }
    for key in ["users/alice//a.jpg", "users/alice/a//b*", "users/alice/照片 1.jpg"] {
        assert!(narrowed(&[put(key)]).is_ok(), "an unscoped key can write `{key}`, so a scope may name it");
    }
    for (prefix, character) in
        [("users/alice/a\\b", "`\\\\`"), ("users/alice/a\tb", "`\\t`"), ("users/alice/50%", "`%`")]
    {
        let refused = narrowed(&[put(prefix)]).unwrap_err().to_string();
        assert!(refused.contains(&format!("it holds {character}, which policies cannot spell")), "{refused}");
    }
    for other in [
        item("name/cos:GetObject", "users/alice/*"),
        item("name/cos:*", "users/alice/*"),
        Scope { bucket: "other-1250000000".to_owned(), ..x.clone() },
        Scope { region: "ap-beijing".to_owned(), ..x.clone() },
    ] {
        assert!(narrowed(&[other]).is_err());
    }
    assert!(matches!(narrowed(&[]), Err(NoGrant::Scope(ScopeRefused::Count(0)))));
    assert!(matches!(narrowed(&vec![x; 33]), Err(NoGrant::Scope(ScopeRefused::Count(33)))));
}

#[test]
fn a_narrowed_list_stays_bound_to_its_prefix() {
    let templates = one(include_str!("../../../../policies/files.toml"));
    let alice = Identity::for_tests("i", "alice", &[]);
    let list = |prefix: &str| scope_item("name/cos:GetBucket", prefix);
    let grant = templates.narrowed(Some("upload"), &alice, &[list("users/alice/photos/*")]).unwrap();
    let (policy, bucket) = (policy_of(&grant), grant.bucket().resource(Service::Cos));
    assert!(allows(&policy, &bucket, "name/cos:GetBucket", "users/alice/photos/"));
    assert!(!allows(&policy, &bucket, "name/cos:GetBucket", "users/alice/"));
    assert!(templates.narrowed(Some("upload"), &alice, &[list("users/*")]).is_err());
}

#[test]
fn a_list_of_exact_prefixes_is_narrowed_to_those_and_no_others() {
    let exact = include_str!("../../../../policies/files.toml").replace("string_like", "string_equal");
    let templates = one(&exact);
    let alice = Identity::for_tests("i", "alice", &[]);
    let list = |prefix: &str| scope_item("name/cos:GetBucket", prefix);
    assert!(templates.narrowed(Some("upload"), &alice, &[list("users/alice/abc")]).is_err());
    assert!(templates.narrowed(Some("upload"), &alice, &[list("users/alice/*")]).is_ok());
}

#[test]
fn a_scope_may_be_a_part_of_a_shared_folder() {
    let text = format!(
        "{UPLOAD}[[statement]]\neffect = \"allow\"\naction = \"@download\"\nresource = \"stickers/*\"\nshared = \"x\"\n"
    );
    let templates = one(&text);
    let alice = Identity::for_tests("i", "alice", &[]);
    let get = |prefix: &str| scope_item("name/cos:GetObject", prefix);
    for prefix in ["stickers/*", "stickers/cat.png", "stickers/a/*"] {
        assert!(templates.narrowed(Some("upload"), &alice, &[get(prefix)]).is_ok(), "{prefix}");
    }
    assert!(templates.narrowed(Some("upload"), &alice, &[get("stickers2/x")]).is_err());
}

#[test]
fn a_scope_that_would_make_too_large_a_policy_is_refused() {
    let scope: Vec<Scope> = (0..32)
        .map(|n| Scope {
            action: "name/cos:PutObject".to_owned(),
            bucket: "examplebucket-1250000000".to_owned(),
            region: "ap-guangzhou".to_owned(),
            prefix: format!("users/alice/{n}{}*", "x".repeat(300)),
        })
        .collect();
    let refused = one(UPLOAD).narrowed(Some("upload"), &Identity::for_tests("i", "alice", &[]), &scope);
    assert!(matches!(refused, Err(NoGrant::Scope(ScopeRefused::Size(_)))), "{refused:?}");
}

fn scope_item(action: &str, prefix: &str) -> Scope {
    Scope {
        action: action.to_owned(),
        bucket: "examplebucket-1250000000".to_owned(),
        region: "ap-guangzhou".to_owned(),
        prefix: prefix.to_owned(),
    }
}

#[test]
fn a_scope_has_a_plain_key_or_prefix() {
    let templates = one(UPLOAD);
    let alice = Identity::for_tests("i", "alice", &[]);
    for prefix in
        ["users/alice/./x", "users/alice/..", "users/alice/\u{1}x", "users/alice/a\\x", "users/alice/**"]
    {
        let refused = templates.narrowed(Some("upload"), &alice, &[scope_item("name/cos:PutObject", prefix)]);
        assert!(matches!(refused, Err(NoGrant::Scope(ScopeRefused::Item { .. }))), "{prefix}: {refused:?}");
    }
}

#[test]
fn a_scope_keeps_every_condition_and_every_deny() {
    let templates = one(UPLOAD);
    let alice = Identity::for_tests("i", "alice", &[]);
    let full = policy_of(&templates.grant(Some("upload"), &alice).unwrap());
    let scope = [scope_item("name/cos:PutObject", "users/alice/photos/*")];
    let narrow = policy_of(&templates.narrowed(Some("upload"), &alice, &scope).unwrap());
    assert_eq!(narrow.statement[0].condition, full.statement[0].condition);
    assert_eq!(narrow.statement[1..], full.statement[1..]);
}

#[test]
fn a_scope_does_not_turn_a_deny_into_an_allow() {
    let text = format!(
        "{UPLOAD}[[statement]]\neffect = \"deny\"\naction = \"name/cos:DeleteObject\"\nresource = \"${{home}}*\"\n"
    );
    let alice = Identity::for_tests("i", "alice", &[]);
    let refused =
        one(&text).narrowed(Some("upload"), &alice, &[scope_item("name/cos:DeleteObject", "users/alice/*")]);
    assert!(matches!(refused, Err(NoGrant::Scope(ScopeRefused::Item { .. }))), "{refused:?}");
}

#[test]
fn a_narrowed_list_keeps_its_other_conditions() {
    let text = format!(
        "{}\n[statement.condition.ip_equal]\n\"qcs:ip\" = \"10.0.0.0/8\"\n",
        include_str!("../../../../policies/files.toml")
    );
    let templates = one(&text);
    let alice = Identity::for_tests("i", "alice", &[]);
    let list = |prefix: &str| {
        templates.narrowed(Some("upload"), &alice, &[scope_item("name/cos:GetBucket", prefix)])
    };
    let policy = policy_of(&list("users/alice/photos/*").unwrap());
    let operators: Vec<String> = policy.statement[0].condition.0.keys().map(ToString::to_string).collect();
    assert_eq!(operators, ["string_like", "ip_equal"]);
    for prefix in ["users/*", "users/bob/*", "*"] {
        let refused = list(prefix);
        assert!(matches!(refused, Err(NoGrant::Scope(ScopeRefused::Item { .. }))), "{prefix}: {refused:?}");
    }
}

#[test]
fn a_scope_keeps_what_two_statements_grant_apart() {
    let head = UPLOAD.split("[[statement]]").next().unwrap();
    let allow = |action: &str, resource: &str, condition: &str| {
        format!(
            "[[statement]]\neffect = \"allow\"\naction = \"{action}\"\nresource = \"{resource}\"\n{condition}"
        )
    };
    let office = "[statement.condition.ip_equal]\n\"qcs:ip\" = \"10.0.0.0/8\"\n";
    let alice = Identity::for_tests("i", "alice", &[]);
    let get = scope_item("name/cos:GetObject", "users/alice/photos/*");
    let narrowed = |statements: &str, scope: &[Scope]| {
        policy_of(&one(&[head, statements].concat()).narrowed(Some("upload"), &alice, scope).unwrap())
    };
    let photos = allow("@download", "${home}photos/*", "");
    let twice =
        narrowed(&[allow("@download", "${home}*", ""), photos.clone()].concat(), std::slice::from_ref(&get));
    assert_eq!(twice.statement.len(), 1, "{twice:?}");
    let both =
        narrowed(&[allow("@download", "${home}*", office), photos].concat(), std::slice::from_ref(&get));
    let bucket = one(UPLOAD).grant(Some("upload"), &alice).unwrap().bucket().resource(Service::Cos);
    assert!(allows(&both, &bucket, "name/cos:GetObject", "users/alice/photos/a.jpg"), "from anywhere");
    let scope = [get, scope_item("name/cos:HeadObject", "users/alice/photos/*")];
    let policy = narrowed(&allow("@download", "${home}*", ""), &scope);
    for action in ["name/cos:GetObject", "name/cos:HeadObject"] {
        assert!(allows(&policy, &bucket, action, "users/alice/photos/a.jpg"), "{action}: {policy:?}");
    }
}

#[test]
fn a_refused_item_is_named_by_its_place_in_the_request() {
    let alice = Identity::for_tests("i", "alice", &[]);
    let put = |prefix: &str| scope_item("name/cos:PutObject", prefix);
    let scope = [put("users/alice/y"), put("users/alice/x"), put("users/alice/z"), put("a/bob")];
    let refused = one(UPLOAD).narrowed(Some("upload"), &alice, &scope);
    assert!(matches!(refused, Err(NoGrant::Scope(ScopeRefused::Item { index: 3, .. }))), "{refused:?}");
}

#[test]
fn the_duration_template_and_scope_distinguish_grants() {
    let alice = Identity::for_tests("i", "alice", &[]);
    let grant = |text: &str| one(text).grant(Some("upload"), &alice).unwrap();
    assert_ne!(grant(UPLOAD).fingerprint(), grant(&UPLOAD.replace("30m", "1h")).fingerprint());
    assert_eq!(
        grant(UPLOAD).lineage(),
        grant(&UPLOAD.replace("30m", "1h")).lineage(),
        "another version of it"
    );
    let files = [("other", UPLOAD.replace("users/", "other/")), ("upload", UPLOAD.to_owned())];
    let templates = set(&files, &IssuerTrust::default()).unwrap();
    let narrowed = |prefix: &str| {
        let scope = [scope_item("name/cos:PutObject", prefix)];
        templates.narrowed(Some("upload"), &alice, &scope).unwrap().lineage()
    };
    let lineages = [
        templates.grant(Some("upload"), &alice).unwrap().lineage(),
        templates.grant(Some("other"), &alice).unwrap().lineage(),
        narrowed("users/alice/a"),
        narrowed("users/alice/b"),
    ];
    for (index, lineage) in lineages.iter().enumerate() {
        assert!(!lineages[..index].contains(lineage), "{index}");
    }
}
