use super::*;
use crate::{
    proof::prove,
    render,
    serving_constraints::IssuerTrust,
    template::{Template, TemplateString, tests::UPLOAD},
};
use diagnostics::Source;

fn proved(text: &str) -> Proved {
    let template = Template::parse("t", Source::new("t.toml", text)).unwrap();
    prove(vec![template], &IssuerTrust::default()).unwrap().remove(0)
}

fn alice() -> Identity {
    Identity::for_tests("i", "alice", &[])
}

fn wire_of(json: &str) -> String {
    percent_encode(json)
}

#[test]
fn a_rendering_of_a_proved_template_passes() {
    let proved = proved(UPLOAD);
    let wire = render::render(proved.template(), &alice()).unwrap();
    let policy = verify(&wire, &proved, &alice()).unwrap();
    assert_eq!(policy.home(), "users/alice/");
    assert_eq!(policy.policy().statement.len(), 5);
}

#[test]
fn a_rendering_for_someone_else_is_refused() {
    let proved = proved(UPLOAD);
    let wire = render::render(proved.template(), &Identity::for_tests("i", "bob", &[])).unwrap();
    assert!(verify(&wire, &proved, &alice()).unwrap_err().fault.to_string().contains("outside the home"));
}

const BUCKET: &str = "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/";
const PROCESSING: &str = "qcs::ci:ap-guangzhou:uid/1250000000:bucket/examplebucket-1250000000/";

#[test]
fn a_policy_that_reaches_outside_the_home_is_refused() {
    let proved = proved(UPLOAD);
    let allow = |action: &str, resource: &str, condition: &str| {
        format!(
            r#"{{"version":"2.0","statement":[{{"effect":"allow","action":["{action}"],"resource":["{resource}"],"condition":{condition}}}]}}"#
        )
    };
    let put = |key: &str| allow("name/cos:PutObject", &format!("{BUCKET}{key}"), "{}");
    assert!(verify(&wire_of(&put("users/alice/*")), &proved, &alice()).is_ok());
    let list = |condition: &str| allow("name/cos:GetBucket", BUCKET, condition);
    assert!(
        verify(&wire_of(&list(r#"{"string_like":{"cos:prefix":["users%2Falice%2F*"]}}"#)), &proved, &alice())
            .is_ok()
    );
    for json in [
        String::new(),
        "{}".to_owned(),
        r#"{"version":"2.0","statement":[]}"#.to_owned(),
        put("users/alice*"),
        put("users/alic*"),
        put("users/*"),
        put("*"),
        put(""),
        put("users/alice"),
        put("users/bob/*"),
        put("users/alice/?"),
        allow("name/cos:PutObject", "*", "{}"),
        allow("name/cos:PutObject", "qcs::cos:::examplebucket-1250000000/users/alice/*", "{}"),
        allow(
            "name/cos:PutObject",
            "qcs::cos:ap-guangzhou:uid/1250000000:other-1250000000/users/alice/*",
            "{}",
        ),
        allow("name/cos:*", &format!("{BUCKET}users/alice/*"), "{}"),
        allow("*", &format!("{BUCKET}users/alice/*"), "{}"),
        allow("name/cos:PutObjectACL", &format!("{BUCKET}users/alice/*"), "{}"),
        allow("name/cos:PutBucketPolicy", &format!("{BUCKET}users/alice/*"), "{}"),
        list("{}"),
        list(r#"{"string_like":{"cos:prefix":["*"]}}"#),
        list(r#"{"string_like":{"cos:prefix":["users%2Falice*"]}}"#),
        list(r#"{"string_like":{"cos:prefix":[]}}"#),
        list(r#"{"string_like_if_exist":{"cos:prefix":["users%2Falice%2F*"]}}"#),
        list(r#"{"string_like":{"cos:prefix":["users%2Falice%2F*","users%2Fbob%2F*"]}}"#),
        put("users/alice/*").replace(r#""condition":{}"#, r#""principal":{"qcs":"*"}"#),
        put("users/alice/*").replace(r#""effect":"allow""#, r#""effect":"allow","effect":"allow""#),
        put("users/alice/*").replace("2.0", "1.0"),
    ] {
        assert!(verify(&wire_of(&json), &proved, &alice()).is_err(), "{json}");
    }
}

#[test]
fn bytes_that_are_not_encoded_exactly_once_are_refused() {
    let proved = proved(UPLOAD);
    let wire = render::render(proved.template(), &alice()).unwrap();
    let twice = wire.replace('%', "%25");
    let lower_case = wire.replace("%2F", "%2f");
    for bad in
        [twice, lower_case, format!("{wire}*"), format!("{wire}+"), format!("{wire}%2"), format!("{wire}%zz")]
    {
        assert!(verify(&bad, &proved, &alice()).is_err(), "{bad}");
    }
}

#[test]
fn the_home_derived_here_is_the_home_rendered_there() {
    let claims = [
        ("tenant", serde_json::json!("red")),
        ("n", serde_json::json!(7)),
        ("a}|b.c", serde_json::json!({"custom:tenant": "blue"})),
    ];
    let identity = Identity::for_tests("https://id.example/", "auth0|a@b.example", &claims);
    for text in [
        "u/${sub|base64url}/",
        "u/${sub|hex}/x/",
        "${iss|sha256}/${sub|sha256}/",
        "t/${claim.tenant}/u-${sub|hex}.d/",
        "t/${claim.n|integer}/",
        "u/${sub|escape}/",
        "t/${claim.\"a}|b.c\".\"custom:tenant\"}/u-${sub|escape}-x/",
    ] {
        let parsed = TemplateString::parse(text, None).unwrap();
        let rendered = parsed.render(|variable| variable.render(&identity), str::to_owned).unwrap();
        assert_eq!(derive_home(text, &identity).unwrap(), rendered);
    }
}

#[test]
fn lists_are_not_mixed_with_object_actions() {
    let json = format!(
        r#"{{"version":"2.0","statement":[{{"effect":"allow","action":["name/cos:GetBucket","name/cos:PutObject"],"resource":["{BUCKET}users/alice/*"],"condition":{{"string_like":{{"cos:prefix":["users%2Falice%2F*"]}}}}}}]}}"#
    );
    assert!(
        verify(&wire_of(&json), &proved(UPLOAD), &alice())
            .unwrap_err()
            .fault
            .to_string()
            .contains("mixes lists")
    );
}

#[test]
fn a_shared_folder_is_only_read() {
    let shared = format!(
        "{UPLOAD}[[statement]]\neffect = \"allow\"\naction = \"@download\"\nresource = \"public/*\"\nshared = \"x\"\n"
    );
    let proved = proved(&shared);
    for (action, passes) in
        [("GetObject", true), ("HeadObject", true), ("PutObject", false), ("DeleteObject", false)]
    {
        let json = format!(
            r#"{{"version":"2.0","statement":[{{"effect":"allow","action":["name/cos:{action}"],"resource":["{BUCKET}public/*"]}}]}}"#
        );
        assert_eq!(verify(&wire_of(&json), &proved, &alice()).is_ok(), passes, "{action}");
    }
}

#[test]
fn an_empty_shared_prefix_binds_nothing() {
    let text = format!(
        "{UPLOAD}[[statement]]\neffect = \"allow\"\naction = \"@list\"\nresource = \"*\"\nshared = \"x\"\n[statement.condition.string_like]\n\"cos:prefix\" = \"*\"\n"
    );
    let unproved = Template::parse("t", Source::new("t.toml", text)).unwrap();
    assert_eq!(shared_prefixes(&unproved).count(), 0);
}

#[test]
fn the_evaluator_finds_a_neighbour() {
    let near = |key: &str| {
        let resource = format!("{BUCKET}{key}");
        let area = AllowedArea {
            bucket: BUCKET.to_owned(),
            processing: PROCESSING.to_owned(),
            home: "users/alice/".to_owned(),
            shared: Vec::new(),
            prefixes: Vec::new(),
        };
        neighbours_are_out_of_reach(&BTreeSet::from([resource.as_str()]), &area)
    };
    assert_eq!(near("users/alice/*"), Ok(()));
    for key in ["users/alice*", "users/*", "*", "users/alice", "*/alice/*", "!users/*", "sers/alice/"] {
        assert!(matches!(near(key), Err(VerifierFault::ReachesNeighbour(_))), "{key}");
    }
}

#[test]
fn an_invalid_home_is_refused() {
    for text in ["", "/", "x", "/users/${sub}/", "users//${sub}/", "users/${sub}"] {
        assert!(derive_home(text, &alice()).is_err(), "{text}");
    }
    for subject in ["a/b", "a/../b", "..", ".a", "-a", "_a", "a.", "a..b", "*", "a b", "a%2f", "a!2F", "ä"] {
        assert!(derive_home("users/${sub}/", &Identity::for_tests("i", subject, &[])).is_err(), "{subject}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2048))]

    #[test]
    fn every_text_is_escaped_here_as_there(
        text in proptest::prop_oneof!["\\PC{1,60}", "[a-c._!|-]{1,12}", "[a-z0-9]{100,140}", "(.|\n){1,40}"],
    ) {
        let identity = Identity::for_tests("i", &text, &[]);
        let parsed = TemplateString::parse("u/${sub|escape}/", None).unwrap();
        let rendered = parsed.render(|variable| variable.render(&identity), str::to_owned).unwrap();
        proptest::prop_assert_eq!(derive_home("u/${sub|escape}/", &identity).unwrap(), rendered);
    }
}
