use std::{path::Path, time::Duration};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    IssuerTrust, NoGrant, ServingConstraints, SyntheticClaims,
    grant::Grant,
    identity::Identity,
    render,
    template::{Service, tests::UPLOAD},
};
use cam::{
    Policy,
    evaluate::{Request, evaluate},
};
use diagnostics::Source;

pub(super) fn set(templates: &[(&str, String)], issuer_trust: &IssuerTrust) -> Result<TemplateSet, String> {
    let sources = templates.iter().map(|(name, text)| Ok(Source::new(format!("{name}.toml"), text.as_str())));
    let constraints = ServingConstraints {
        issuer_trust: issuer_trust.clone(),
        longest: Duration::from_hours(36),
        min_remaining: Some(Duration::from_mins(5)),
        default: None,
    };
    let folder = TemplateFiles::new(sources.collect());
    TemplateSet::of_folder(folder, Path::new("policies"), &constraints, Timestamp::UNIX_EPOCH, None)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

pub(super) fn one(text: &str) -> TemplateSet {
    let issuer_trust =
        IssuerTrust { trusted_claims: vec![vec!["tenant".to_owned()]], ..IssuerTrust::default() };
    set(&[("upload", text.to_owned())], &issuer_trust).unwrap()
}

pub(super) fn policy_of(grant: &Grant) -> Policy {
    grant.policy().policy()
}

#[test]
fn every_adversarial_claim_is_refused_or_confined_to_a_home_of_its_own() {
    #[derive(serde::Deserialize)]
    struct Row {
        why: String,
        claims: serde_json::Map<String, Value>,
        expect: String,
    }
    let rows: Vec<Row> =
        serde_json::from_str(include_str!("../../../../tests/data/adversarial/claims.json")).unwrap();
    let templates = one(UPLOAD);
    let mut homes = std::collections::BTreeSet::new();
    for row in rows {
        let grant =
            Identity::from_claims("i".into(), row.claims).map_err(|error| error.to_string()).and_then(
                |identity| templates.grant(Some("upload"), &identity).map_err(|error| error.to_string()),
            );
        assert_eq!(grant.is_ok(), row.expect == "confine", "{}: {grant:?}", row.why);
        if let Ok(grant) = grant {
            assert!(homes.insert(grant.home().to_owned()), "{}: {} is shared", row.why, grant.home());
        }
    }
    assert!(homes.len() >= 4);
}

#[test]
fn every_adversarial_subject_has_a_home_of_its_own_under_escape() {
    let rows: Vec<Value> =
        serde_json::from_str(include_str!("../../../../tests/data/adversarial/claims.json")).unwrap();
    let templates = one(&UPLOAD.replace("${sub}", "${sub|escape}"));
    let mut subjects = std::collections::BTreeSet::new();
    let mut homes = std::collections::BTreeSet::new();
    for row in rows {
        let claims = row["claims"].as_object().unwrap().clone();
        let Ok(identity) = Identity::from_claims("i".into(), claims) else { continue };
        let grant = templates.grant(Some("upload"), &identity).unwrap();
        subjects.insert(identity.subject().to_owned());
        homes.insert(grant.home().to_owned());
    }
    assert_eq!(homes.len(), subjects.len());
    assert!(homes.len() >= 30, "{}", homes.len());
}

/// Templates of every kind that the proof lets through.
fn proved_templates() -> Vec<String> {
    let upload = |home: &str, owner: &str| {
        UPLOAD
            .replace("users/${sub}/", home)
            .replace("[[statement]]", &format!("owner = {owner}\n[[statement]]"))
    };
    let lists = include_str!("../../../../policies/files.toml").to_owned();
    vec![
        UPLOAD.to_owned(),
        lists,
        upload("u/${sub|base64url}/", "[\"sub\"]"),
        upload("u/${sub|hex}/x/", "[\"sub\"]"),
        upload("u/${sub|sha256}/", "[\"sub\"]"),
        upload("u/${sub|escape}/", "[\"sub\"]"),
        upload("u/u-${sub|escape}-x/", "[\"sub\"]"),
        upload("t/${claim.tenant|escape}/${sub|escape}/", "[\"claim.tenant\", \"sub\"]"),
        upload("u/user-${sub}.d/", "[\"sub\"]"),
        upload("t/${claim.tenant}/${sub}/", "[\"claim.tenant\", \"sub\"]"),
        upload("${iss|sha256}/${sub}/", "[\"sub\"]"),
    ]
}

/// Keys around a home, which an attacker may try.
fn keys_around(home: &str) -> Vec<String> {
    let closed = home.trim_end_matches('/');
    [
        home.to_owned(),
        format!("{home}a.jpg"),
        format!("{home}a/b/c"),
        closed.to_owned(),
        format!("{closed}0/a"),
        format!("{home}../a"),
        format!("{home}/a"),
        format!("{home}%2e%2e/a"),
        format!("/{home}a"),
        closed.rsplit_once('/').map_or(String::new(), |(parent, _)| format!("{parent}/")),
        String::new(),
    ]
    .into()
}

/// Object keys read as the vendor's documents leave open: raw, slash-merged, URL-decoded, dots resolved.
fn readings(key: &str) -> Vec<String> {
    let merged = key.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    let decoded = percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned();
    vec![key.to_owned(), merged, decoded]
}

const ACTIONS: [&str; 7] = [
    "name/cos:PutObject",
    "name/cos:GetObject",
    "name/cos:DeleteObject",
    "name/cos:UploadPart",
    "name/cos:GetBucket",
    "name/cos:PutObjectACL",
    "name/cos:DeleteBucket",
];

/// Allowed under the most generous request: conditions met wherever they can be.
pub(super) fn allows(policy: &Policy, bucket: &str, action: &str, key: &str) -> bool {
    readings(key).iter().any(|key| {
        let context = [
            ("cos:content-length", "1".to_owned()),
            ("cos:x-cos-acl", "private".to_owned()),
            ("cos:prefix", render::encode_parameter(key)),
        ];
        let resource = format!("{bucket}{key}");
        evaluate(policy, &Request { action, resource: &resource, context: context.into() }).is_allowed()
    })
}

fn subjects() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c0-1]{1,3}",
        "[a-b][a-b._-]{0,3}[a-b]",
        Just("users".to_owned()),
        Just("u".to_owned()),
        Just("alice".to_owned()),
        Just("alice0".to_owned()),
        Just("_hex_61".to_owned()),
        ".{1,6}",
        "[a-z*?%/.|@$ {}]{1,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_object_is_allowed_by_the_policies_of_two_identities(
        alice in (subjects(), subjects()), bob in (subjects(), subjects()),
    ) {
        prop_assume!(alice != bob);
        let identity = |(subject, tenant): &(String, String)| {
            Identity::for_tests("https://id.example/", subject, &[("tenant", json!(tenant))])
        };
        for text in proved_templates() {
            let templates = one(&text);
            let grant = |who| templates.grant(Some("upload"), &identity(who));
            let (Ok(a), Ok(b)) = (grant(&alice), grant(&bob)) else { continue };
            // Same owner under this template: same home, by right.
            if a.home() == b.home() {
                let tenant_matters = text.contains("${claim.tenant");
                prop_assert!(alice.0 == bob.0 && (!tenant_matters || alice.1 == bob.1));
                continue;
            }
            let bucket = a.bucket().resource(Service::Cos);
            let (a_policy, b_policy) = (policy_of(&a), policy_of(&b));
            for key in keys_around(a.home()).iter().chain(&keys_around(b.home())) {
                for action in ACTIONS {
                    let both = allows(&a_policy, &bucket, action, key) && allows(&b_policy, &bucket, action, key);
                    prop_assert!(!both, "{action} on {key} for {alice:?} and {bob:?}");
                }
            }
        }
    }
}

/// A random template: any home, any owner, any resources. Most are refused; those that are
/// proved must hold what the proof says.
fn any_template() -> impl Strategy<Value = String> {
    let variable = || {
        prop_oneof![
            Just("${sub}"),
            Just("${sub|escape}"),
            Just("${sub|hex}"),
            Just("${sub|base64url}"),
            Just("${claim.tenant}"),
            Just("${claim.tenant|escape}"),
            Just("${iss|sha256}"),
        ]
    };
    let segment = prop_oneof![
        "[a-bu._-]{0,3}".prop_map(|literal| literal),
        variable().prop_map(str::to_owned),
        ("[a-b._-]{0,2}", variable(), "[a-b._-]{0,2}").prop_map(|(a, v, b)| format!("{a}{v}{b}")),
    ];
    let home = prop::collection::vec(segment, 1..4).prop_map(|parts| format!("{}/", parts.join("/")));
    let owner =
        prop_oneof![Just("[\"sub\"]"), Just("[\"claim.tenant\", \"sub\"]"), Just("[\"claim.tenant\"]"),];
    let resource = prop_oneof![
        Just("${home}*".to_owned()),
        Just("${home}".to_owned()),
        Just("${home}a/*".to_owned()),
        Just("${home}${claim.tenant}/*".to_owned()),
        Just("*".to_owned()),
        "[a-bu/*]{1,5}",
        variable().prop_map(|v| format!("{v}/*")),
    ];
    let action = prop_oneof![
        Just("[\"@upload\"]"),
        Just("[\"@download\", \"@delete\"]"),
        Just("[\"@list\"]"),
        Just("[\"@multipart-upload\"]"),
    ];
    let condition = prop_oneof![
        Just(String::new()),
        Just("[statement.condition.string_like]\n\"cos:prefix\" = \"${home}*\"".to_owned()),
        "[a-bu/*]{1,3}".prop_map(|p| format!("[statement.condition.string_like]\n\"cos:prefix\" = \"{p}\"")),
    ];
    (home, owner, resource, action, condition).prop_map(|(home, owner, resource, action, condition)| {
        format!(
            "bucket = \"examplebucket-1250000000\"\nregion = \"ap-guangzhou\"\nduration = \"30m\"\n\
             home = \"{home}\"\nowner = {owner}\n\
             [[statement]]\neffect = \"allow\"\naction = {action}\nresource = [\"{resource}\"]\n{condition}\n"
        )
    })
}

/// Who owns what under a template, by the claims its owner names.
fn owner_of(text: &str, who: &(String, String)) -> (String, String) {
    let names = text.lines().find(|line| line.starts_with("owner")).unwrap_or("sub");
    let claim = |name: &str, value: &str| if names.contains(name) { value.to_owned() } else { String::new() };
    (claim("\"sub\"", &who.0), claim("tenant", &who.1))
}

#[test]
fn no_set_of_any_proved_templates_lets_two_owners_reach_one_object() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let issuer_trust =
        IssuerTrust { trusted_claims: vec![vec!["tenant".to_owned()]], ..IssuerTrust::default() };
    let principals: Vec<(String, String)> = ["a", "b", "u", "a.b", "_hex_61", "a-", "-a", "ab"]
        .iter()
        .flat_map(|sub| ["a", "u"].map(|tenant| ((*sub).to_owned(), tenant.to_owned())))
        .collect();
    let (mut proved, mut compared) = (0, 0);
    for round in 0..4_000 {
        let texts = [(); 2].map(|()| any_template().new_tree(&mut runner).unwrap().current());
        let named = [("one", texts[0].clone()), ("two", texts[1].clone())];
        let named = &named[round % 2..];
        let Ok(templates) = set(named, &issuer_trust) else { continue };
        proved += 1;
        let grants: Vec<_> = principals
            .iter()
            .flat_map(|who| named.iter().map(move |(name, text)| (who, *name, text)))
            .filter_map(|(who, name, text)| {
                let identity = Identity::for_tests("i", &who.0, &[("tenant", json!(who.1))]);
                let grant = templates.grant(Some(name), &identity).ok()?;
                Some((owner_of(text, who), policy_of(&grant), grant))
            })
            .collect();
        for (owner, policy, grant) in &grants {
            for (other_owner, other_policy, other) in &grants {
                // The same owner reaches the same home by right; owners of two kinds must never meet.
                if owner == other_owner {
                    continue;
                }
                compared += 1;
                let bucket = grant.bucket().resource(Service::Cos);
                for key in keys_around(grant.home()).iter().chain(&keys_around(other.home())) {
                    for action in ["name/cos:PutObject", "name/cos:GetObject", "name/cos:GetBucket"] {
                        let both = allows(policy, &bucket, action, key)
                            && allows(other_policy, &bucket, action, key);
                        assert!(!both, "{action} on {key}: {owner:?} and {other_owner:?} under\n{texts:#?}");
                    }
                }
            }
        }
    }
    assert!(proved > 40 && compared > 1000, "too few to mean anything: {proved} proved, {compared} compared");
}

#[test]
fn two_principals_never_share_a_fingerprint_and_one_keeps_its_own() {
    let templates = one(UPLOAD);
    let grant = |issuer: &str, subject: &str, claims: &[(&str, Value)]| {
        templates.grant(Some("upload"), &Identity::for_tests(issuer, subject, claims)).unwrap().fingerprint()
    };
    let alice = grant("i", "alice", &[]);
    assert_eq!(alice, grant("i", "alice", &[("iat", json!(7))]));
    assert_ne!(alice, grant("i", "bob", &[]));
    assert_ne!(alice, grant("j", "alice", &[]), "same policy text, another issuer");
}

#[test]
fn a_required_part_of_a_claim_must_be_there() {
    let templates = one(&UPLOAD.replace(
        "[[statement]]",
        "[require]\nscope = { any_word = \"cos.upload\" }\n\"urn:zitadel:iam:org:project:roles\" = { any_member = \"uploader\" }\nrealm_access.roles = { all = [\"a\", \"b\"] }\n[[statement]]",
    ));
    let claims = json!({
        "sub": "alice", "scope": "openid cos.upload", "realm_access": {"roles": ["a", "b", "c"]},
        "urn:zitadel:iam:org:project:roles": {"uploader": {"1": "a.example"}},
    });
    let grant = |claims: &Value| {
        let identity = Identity::from_claims("i".into(), claims.as_object().unwrap().clone()).unwrap();
        templates.grant(Some("upload"), &identity).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(grant(&claims), Ok(()));
    for (name, value, named) in [
        ("scope", json!("openid"), "`scope`"),
        ("realm_access", json!({"roles": ["a"]}), "`realm_access.roles`"),
        ("urn:zitadel:iam:org:project:roles", json!({}), "`\"urn:zitadel:iam:org:project:roles\"`"),
    ] {
        let mut claims = claims.clone();
        claims[name] = value;
        assert!(grant(&claims).unwrap_err().contains(named), "{claims}");
    }
    let synthetic = SyntheticClaims { text: "made-up", number: 7 };
    assert_eq!(templates.synthetic_grant("upload", "i", synthetic).unwrap().home(), "users/made-up/");
}

#[test]
fn a_required_claim_must_have_one_of_the_values() {
    let templates = one(&UPLOAD.replace(
        "[[statement]]",
        "[require]\nrole = [\"member\", \"admin\"]\norg.plan = \"paid\"\n[[statement]]",
    ));
    let grant = |claims: &[(&str, Value)]| {
        templates.grant(Some("upload"), &Identity::for_tests("i", "alice", claims)).map(|_| ())
    };
    let paid = ("org", json!({"plan": "paid"}));
    assert_eq!(grant(&[("role", json!("admin")), paid.clone()]), Ok(()));
    assert_eq!(grant(&[("role", json!(["guest", "member"])), paid.clone()]), Ok(()));
    for claims in [
        vec![("role", json!("admin"))],
        vec![paid.clone()],
        vec![("role", json!("guest")), paid.clone()],
        vec![("role", json!({"0": "admin"})), paid.clone()],
        vec![("role", json!("admin")), ("org", json!("paid"))],
    ] {
        assert!(matches!(grant(&claims), Err(NoGrant::Requirement(_))), "{claims:?}");
    }
}

#[test]
fn a_folder_is_loaded_as_a_whole_or_not_at_all() {
    let broken = UPLOAD.replace("allow", "alow");
    let both = set(&[("good", UPLOAD.to_owned()), ("bad", broken)], &IssuerTrust::default()).unwrap_err();
    assert!(both.starts_with("bad.toml:8"), "{both}");
    let short = UPLOAD.replace("30m", "5m");
    assert!(set(&[("a", short)], &IssuerTrust::default()).unwrap_err().contains("min_remaining"));
    let long = UPLOAD.replace("30m", "37h");
    assert!(set(&[("a", long)], &IssuerTrust::default()).unwrap_err().contains("gives 129600 s at most"));
    assert!(set(&[], &IssuerTrust::default()).unwrap_err().contains("holds no template"));
    assert!(set(&[("bad name", UPLOAD.to_owned())], &IssuerTrust::default()).unwrap_err().contains("name"));
    let names = ["a".repeat(64), "a".repeat(65)];
    let [longest, longer] =
        names.each_ref().map(|name| set(&[(name, UPLOAD.to_owned())], &IssuerTrust::default()));
    assert!(longest.is_ok() && longer.unwrap_err().contains("1 to 64 letters"));
}

#[test]
fn a_claim_whose_name_stands_in_quotes_names_the_home() {
    let names = [
        ("\\\"custom:tenant\\\"", vec!["custom:tenant"]),
        ("\\\"https://a.example/c\\\".org", vec!["https://a.example/c", "org"]),
    ];
    for (written, path) in names {
        let text = UPLOAD
            .replace("users/${sub}/", &format!("teams/${{claim.{written}|escape}}/"))
            .replace("[[statement]]", &format!("owner = [\"claim.{written}\"]\n[[statement]]"));
        let path: Vec<String> = path.into_iter().map(str::to_owned).collect();
        let joined = vec![path.join(".")];
        let mut claim = json!("red");
        for name in path.iter().rev() {
            claim = json!({name: claim});
        }
        let identity = Identity::from_claims("i".into(), {
            claim["sub"] = json!("alice");
            claim.as_object().unwrap().clone()
        });
        let trust =
            |path: &[String]| IssuerTrust { trusted_claims: vec![path.to_vec()], ..IssuerTrust::default() };
        let templates = set(&[("upload", text.clone())], &trust(&path)).unwrap();
        assert_eq!(templates.grant(Some("upload"), &identity.unwrap()).unwrap().home(), "teams/red/");
        if joined != path {
            let problem = set(&[("upload", text)], &trust(&joined)).unwrap_err();
            assert!(problem.contains("in trusted_claims"), "a path is no text joined by dots: {problem}");
        }
    }
}

#[test]
fn what_is_proved_is_rendered_and_passes_the_verifier() {
    let with = |statement: &str| format!("{UPLOAD}[[statement]]\neffect = \"allow\"\n{statement}\n");
    for statement in [
        "action = \"name/cos:PutMultipleThings\"\nresource = \"${home}*\"",
        "action = \"name/ci:GetSnapshot\"\nresource = \"qcs::ci:ap-guangzhou:uid/1250000000:bucket/examplebucket-1250000000/${home}*\"",
        "action = \"@download\"\nshared = \"x\"\nresource = \"qcs::ci:ap-guangzhou:uid/1250000000:bucket/examplebucket-1250000000/public/*\"",
    ] {
        let templates = one(&with(statement));
        let grant = templates.grant(Some("upload"), &Identity::for_tests("i", "alice", &[]));
        assert!(grant.is_ok(), "{statement}: {grant:?}");
    }
    let nested = UPLOAD
        .replace("users/${sub}/", "teams/${claim.claim.team}/")
        .replace("[[statement]]", "owner = [\"claim.claim.team\"]\n[[statement]]");
    let issuer_trust = IssuerTrust {
        trusted_claims: vec![["claim", "team"].map(str::to_owned).into()],
        ..IssuerTrust::default()
    };
    let templates = set(&[("upload", nested)], &issuer_trust).unwrap();
    let alice = Identity::for_tests("i", "alice", &[("claim", json!({"team": "red"}))]);
    assert_eq!(templates.grant(Some("upload"), &alice).unwrap().home(), "teams/red/");
}

#[test]
fn one_template_is_never_served_for_another() {
    let files = [("other", UPLOAD.replace("users/", "other/")), ("upload", UPLOAD.to_owned())];
    let templates = set(&files, &IssuerTrust::default()).unwrap();
    let alice = Identity::for_tests("i", "alice", &[]);
    for _ in 0..2 {
        for (name, home) in [("upload", "users/alice/"), ("other", "other/alice/")] {
            let grant = templates.grant(Some(name), &alice).unwrap();
            assert_eq!((grant.template_name(), grant.home()), (name, home));
        }
    }
}

#[test]
fn every_templates_duration_must_be_within_the_constraints() {
    // The minimum is five minutes, the maximum 36 hours.
    for (duration, serves) in [("301s", true), ("300s", false), ("36h", true), ("129601s", false)] {
        let other = UPLOAD.replace("users/", "other/").replace("30m", duration);
        let found = set(&[("first", UPLOAD.to_owned()), ("second", other)], &IssuerTrust::default());
        assert_eq!(found.is_ok(), serves, "{duration}: {found:?}");
    }
}

#[test]
fn synthetic_identities_carry_required_claims_but_never_get_the_home_of_a_required_value() {
    let claims = SyntheticClaims { text: "made-up", number: 7 };
    let home = |from: &str, to: &str| {
        let text = UPLOAD.replace("home     = \"users/${sub}/\"", from);
        let text = text.replace("[[statement]]", &format!("{to}\n[[statement]]"));
        one(&text).synthetic_grant("upload", "i", claims).map(|grant| grant.home().to_owned())
    };
    let tenants = "owner = [\"claim.tenant\"]\nhome = \"t/${claim.tenant}/\"";
    assert_eq!(home("home = \"users/${sub}/\"", "[require]\nrole = [\"member\"]").unwrap(), "users/made-up/");
    assert_eq!(home(tenants, "[require]\nrole = [\"member\"]").unwrap(), "t/made-up/");
    let required = NoGrant::Requirement("tenant".to_owned());
    assert_eq!(home(tenants, "[require]\ntenant = [\"acme\"]").unwrap_err(), required);
    let required = NoGrant::Requirement("sub".to_owned());
    assert_eq!(home("home = \"users/${sub}/\"", "[require]\nsub = [\"alice\"]").unwrap_err(), required);
}
