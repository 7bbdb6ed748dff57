use super::*;
use crate::template::tests::UPLOAD;
use diagnostics::Source;

fn template(name: &str, text: &str) -> Result<Template, Vec<Diagnostic>> {
    Template::parse(name, Source::new(format!("{name}.toml"), text))
}

fn verdict(text: &str) -> Result<(), String> {
    let joined =
        |problems: Vec<Diagnostic>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let issuer_trust =
        IssuerTrust { trusted_claims: vec![vec!["tenant".to_owned()]], ..IssuerTrust::default() };
    prove(vec![template("t", text).map_err(joined)?], &issuer_trust).map(|_| ()).map_err(joined)
}

fn with(statement: &str) -> String {
    let head = UPLOAD.split("[[statement]]").next().unwrap();
    format!("{head}[[statement]]\neffect = \"allow\"\n{statement}")
}

#[derive(serde::Deserialize)]
struct Row {
    why: String,
    homes: Vec<RowHome>,
    expect: String,
}

#[derive(serde::Deserialize)]
struct RowHome {
    home: String,
    owner: Option<Vec<String>>,
}

/// Rows of `adversarial/homes.json`: every set of homes behaves as it says.
#[test]
fn every_adversarial_set_of_homes_behaves_as_it_says() {
    let rows: Vec<Row> =
        serde_json::from_str(include_str!("../../../../tests/data/adversarial/homes.json")).unwrap();
    let issuer_trust = IssuerTrust {
        trusted_claims: vec![vec!["tenant".to_owned()], vec!["nick".to_owned()]],
        ..IssuerTrust::default()
    };
    assert!(rows.len() >= 17);
    for row in rows {
        let templates: Result<Vec<Template>, _> = row
            .homes
            .iter()
            .enumerate()
            .map(|(index, home)| {
                let mut text = UPLOAD.replace("users/${sub}/", &home.home);
                if let Some(owner) = &home.owner {
                    text = text.replace("[[statement]]", &format!("owner = {owner:?}\n[[statement]]"));
                }
                template(&format!("t{index}"), &text)
            })
            .collect();
        let proved = templates.is_ok_and(|templates| prove(templates, &issuer_trust).is_ok());
        assert_eq!(proved, row.expect == "proved", "{}", row.why);
    }
}

#[test]
fn a_second_issuer_moves_no_home_of_templates_for_one_issuer() {
    let trust = IssuerTrust { several: true, ..IssuerTrust::default() };
    let for_issuer = |name: &str, issuer: &str, home: &str| {
        let require = format!("[require]\niss = \"{issuer}\"\n[[statement]]");
        template(name, &UPLOAD.replace("users/${sub}/", home).replacen("[[statement]]", &require, 1)).unwrap()
    };
    let proved = |templates: Vec<Template>| prove(templates, &trust).is_ok();
    let first = || for_issuer("a", "https://a/", "users/${sub}/");
    assert!(proved(vec![first()]));
    assert!(proved(vec![first(), for_issuer("b", "https://b/", "partners/${sub}/")]));
    assert!(proved(vec![first(), for_issuer("b", "https://a/", "users/${sub}/")]), "the same issuer's users");
    let same_folders = vec![first(), for_issuer("b", "https://b/", "users/${sub}/")];
    assert!(!proved(same_folders), "`alice` of one issuer is not `alice` of the other");
    let inside = vec![first(), for_issuer("b", "https://b/", "users/${sub}/partners/${claim.x}/")];
    assert!(!proved(inside));
    let named = UPLOAD.replace("users/${sub}/", "users/${iss|sha256}/${sub}/");
    assert!(!proved(vec![first(), template("b", &named).unwrap()]), "users/${{sub}}/ may be users/<issuer>/");
    let two =
        template("a", &UPLOAD.replacen("[[statement]]", "[require]\niss = [\"a\", \"b\"]\n[[statement]]", 1));
    assert!(!proved(vec![two.unwrap()]), "two issuers are not one");
}

#[test]
fn the_tenant_of_the_only_issuer_stands_for_the_issuer_in_the_home() {
    let owner = "owner = [\"claim.tid\", \"sub\"]\n[[statement]]";
    let text = UPLOAD.replace("users/${sub}/", "${claim.tid|escape}/${sub|escape}/").replacen(
        "[[statement]]",
        owner,
        1,
    );
    let trust = |tenant_claim| IssuerTrust {
        several: true,
        tenant_claim,
        trusted_claims: vec![vec!["tid".to_owned()]],
    };
    let proved = |trust: IssuerTrust| prove(vec![template("t", &text).unwrap()], &trust);
    assert!(proved(trust(Some(vec!["tid".to_owned()]))).is_ok());
    assert!(proved(trust(None)).is_err(), "with two issuers, a tenant of one may be one of the other");
}

#[test]
fn several_issuers_need_the_issuer_in_the_home() {
    let issuer_trust = IssuerTrust { several: true, ..IssuerTrust::default() };
    assert!(prove(vec![template("t", UPLOAD).unwrap()], &issuer_trust).is_err());
    let own = UPLOAD.replace("users/${sub}/", "users/${iss|sha256}/${sub}/");
    assert!(prove(vec![template("t", &own).unwrap()], &issuer_trust).is_ok());
}

#[test]
fn a_claim_the_user_may_choose_cannot_name_the_home() {
    let text = |claim: &str| {
        let owner = format!("owner = [\"claim.{claim}\"]\n[[statement]]");
        UPLOAD
            .replace("users/${sub}/", &format!("teams/${{claim.{claim}}}/"))
            .replace("[[statement]]", &owner)
    };
    assert_eq!(verdict(&text("tenant")), Ok(()));
    assert!(verdict(&text("nick")).unwrap_err().contains("trusted_claims"));
}

#[test]
fn every_allow_lies_under_the_home() {
    let read = |resource: &str| verdict(&with(&format!("action = \"@download\"\nresource = \"{resource}\"")));
    for resource in [
        "${home}*",
        "${home}",
        "${home}photos/*.jpg",
        "users/${sub}/*",
        "${home}${claim.tenant}/*",
        "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/users/${sub}/*",
    ] {
        assert_eq!(read(resource), Ok(()), "{resource}");
    }
    for resource in ["*", "users/*", "users/${sub}*", "users/${claim.tenant}/*", "x${home}*", "${sub}/*"] {
        assert!(read(resource).unwrap_err().contains("does not begin with the home"), "{resource}");
    }
}

#[test]
fn a_list_is_bound_by_its_prefix() {
    let list = |resource: &str, condition: &str| {
        verdict(&with(&format!("action = \"@list\"\nresource = \"{resource}\"\n{condition}")))
    };
    for resource in ["*", "${home}*"] {
        for condition in [
            "[statement.condition.string_like]\n\"cos:prefix\" = \"${home}*\"",
            "[statement.condition.string_equal]\n\"cos:prefix\" = [\"${home}\", \"${home}a/\"]",
        ] {
            assert_eq!(list(resource, condition), Ok(()), "{resource} {condition}");
        }
        for condition in [
            "",
            "[statement.condition.string_like_if_exist]\n\"cos:prefix\" = \"${home}*\"",
            "[statement.condition.string_like]\n\"cos:prefix\" = \"*\"",
            "[statement.condition.string_like]\n\"cos:prefix\" = \"users/${sub}*\"",
            "[statement.condition.string_like]\n\"cos:prefix\" = [\"${home}*\", \"users/*\"]",
            "[statement.condition.string_not_equal]\n\"cos:prefix\" = \"${home}*\"",
            "[statement.condition.string_like]\n\"cos:delimiter\" = \"${home}*\"",
        ] {
            assert!(list(resource, condition).unwrap_err().contains("not bound"), "{resource} {condition}");
        }
    }
}

#[test]
fn a_shared_folder_is_read_only_and_overlaps_no_home() {
    let shared = |action: &str, resource: &str| {
        verdict(&with(&format!("action = \"{action}\"\nresource = \"{resource}\"\nshared = \"stickers\"")))
    };
    assert_eq!(shared("@download", "public/*"), Ok(()));
    for resource in ["*", "users/*", "u*", "users", "users/alice/*"] {
        assert!(shared("@download", resource).unwrap_err().contains("reaches into the home"), "{resource}");
    }
    assert!(shared("@download", "public/${claim.tenant}/*").is_err());
    for action in ["@upload", "@delete", "name/cos:PutObjectTagging"] {
        assert!(shared(action, "public/*").unwrap_err().contains("reading only"), "{action}");
    }
}

#[test]
fn an_ambiguous_listed_prefix_is_refused() {
    let list = |prefix: &str, more: &str| {
        let condition = format!("[statement.condition.string_like]\n\"cos:prefix\" = \"{prefix}\"");
        verdict(&with(&format!("action = \"@list\"\nresource = \"*\"\n{more}\n{condition}")))
    };
    assert_eq!(list("public/*", "shared = \"stickers\""), Ok(()));
    for prefix in ["/users/*", "x/../users/*", "users%2F*", "x//*", "a?/*"] {
        assert!(list(prefix, "shared = \"stickers\"").is_err(), "{prefix}");
    }
    for prefix in ["${home}../bob/*", "${home}/*", "${home}%2e%2e/*", "${home}./*"] {
        assert!(list(prefix, "").is_err(), "{prefix}");
    }
}

#[test]
fn a_template_narrows_the_acl_guard_and_never_widens_it() {
    let acl = |values: &str| {
        verdict(&with(&format!(
            "action = \"@upload\"\nresource = \"${{home}}*\"\n[statement.condition.string_equal_if_exist]\n\"cos:x-cos-acl\" = {values}"
        )))
    };
    assert_eq!(acl("\"private\""), Ok(()));
    assert!(acl("[\"private\", \"public-read\"]").unwrap_err().contains("make objects public"));
}

#[test]
fn a_template_that_allows_nothing_is_refused() {
    let text = UPLOAD.replace("\"allow\"", "\"deny\"");
    assert!(verdict(&text).unwrap_err().contains("every statement denies"));
}

#[test]
fn homes_in_different_buckets_do_not_overlap() {
    let other = UPLOAD.replace("examplebucket", "other").replace("users/${sub}/", "${sub}/");
    let same = UPLOAD.replace("users/${sub}/", "${sub}/");
    let issuer_trust = IssuerTrust::default();
    let set = |second: &str| vec![template("a", UPLOAD).unwrap(), template("b", second).unwrap()];
    assert!(prove(set(&other), &issuer_trust).is_ok());
    assert!(prove(set(&same), &issuer_trust).is_err());
}

#[test]
fn a_policy_that_could_grow_too_large_is_refused() {
    let many: Vec<String> = (0..40).map(|n| format!("\"${{home}}folder-{n}/*\"")).collect();
    let text = with(&format!("action = \"@download\"\nresource = [{}]", many.join(",")));
    assert!(verdict(&text).unwrap_err().contains("can grow to"));
}

#[test]
fn a_claim_is_trusted_by_its_whole_path() {
    let text = UPLOAD
        .replace("users/${sub}/", "teams/${claim.tenant.nick}/")
        .replace("[[statement]]", "owner = [\"claim.tenant.nick\"]\n[[statement]]");
    assert!(verdict(&text).unwrap_err().contains("trusted_claims"));
}

#[test]
fn a_deny_shares_nothing_and_a_list_stands_alone() {
    let deny = format!(
        "{UPLOAD}[[statement]]\neffect = \"deny\"\naction = \"@delete\"\nresource = \"public/*\"\nshared = \"x\"\n"
    );
    assert!(verdict(&deny).unwrap_err().contains("shared stands in a deny"));
    let bound = "[statement.condition.string_like]\n\"cos:prefix\" = \"${home}*\"";
    let mixed = with(&format!("action = [\"@list\", \"@download\"]\nresource = \"${{home}}*\"\n{bound}"));
    assert!(verdict(&mixed).unwrap_err().contains("stand in one statement"));
    assert_eq!(verdict(&with(&format!("action = \"@list\"\nresource = \"\"\n{bound}"))), Ok(()));
    let processing = "action = \"@list\"\nresource = \"qcs::ci:ap-guangzhou:uid/1250000000:bucket/examplebucket-1250000000/*\"";
    let processing = verdict(&with(&format!("{processing}\n{bound}"))).unwrap_err();
    assert!(processing.contains("does not begin with the home"), "{processing}");
    let loose = "[statement.condition.string_equal_ignore_case]\n\"cos:prefix\" = \"${home}\"";
    let loose = with(&format!("action = \"@list\"\nresource = \"*\"\n{loose}"));
    assert!(verdict(&loose).unwrap_err().contains("not bound"));
}

#[test]
fn a_shared_list_may_overlap_no_home_of_the_bucket() {
    let list = |prefix: &str| {
        with(&format!(
            "action = \"@list\"\nresource = \"*\"\nshared = \"stickers\"\n[statement.condition.string_like]\n\"cos:prefix\" = \"{prefix}\""
        ))
    };
    assert_eq!(verdict(&list("public/*")), Ok(()));
    for prefix in ["users/*", "users/alice/*", "u*"] {
        assert!(verdict(&list(prefix)).unwrap_err().contains("reaches into the home"), "{prefix}");
    }
    let other = UPLOAD.replace("users/${sub}/", "public/${sub}/");
    let set = vec![template("a", &list("public/*")).unwrap(), template("b", &other).unwrap()];
    let problems = prove(set, &IssuerTrust::default()).unwrap_err();
    assert!(problems.iter().any(|problem| problem.to_string().contains("of template `b`")));
}

#[test]
fn buckets_are_distinguished_by_name_alone() {
    let other = UPLOAD.replace("ap-guangzhou", "ap-beijing").replace("users/${sub}/", "${sub}/");
    let set = vec![template("a", UPLOAD).unwrap(), template("b", &other).unwrap()];
    assert!(prove(set, &IssuerTrust::default()).is_err());
}

#[test]
fn every_two_homes_of_a_bucket_are_compared() {
    let homes = ["users/${sub}/", "inbox/${sub}/", "users/a-${sub}/"];
    let set = homes
        .iter()
        .enumerate()
        .map(|(index, home)| template(&format!("t{index}"), &UPLOAD.replace("users/${sub}/", home)).unwrap());
    let problems = prove(set.collect(), &IssuerTrust::default()).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let problem = problems[0].to_string();
    assert!(problem.starts_with("t2.toml") && problem.contains("of template `t0`"), "{problem}");
}

#[test]
fn every_claim_of_a_home_must_be_one_that_users_cannot_choose() {
    let text = UPLOAD
        .replace("users/${sub}/", "teams/${claim.tenant}/${claim.nick}/")
        .replace("[[statement]]", "owner = [\"claim.tenant\", \"claim.nick\"]\n[[statement]]");
    assert!(verdict(&text).unwrap_err().contains("list \"nick\" in trusted_claims"));
}

#[test]
fn an_ambiguous_resource_is_refused() {
    for (resource, part) in [
        ("${home}a..b/*", "holds a `.` or `..`"),
        ("${home}../bob/*", "holds a `.` or `..`"),
        ("${home}a\\\\b", "holds `"),
        ("${home}a\\u0007b", "holds `"),
        ("${home}a%2Fb", "holds `%`"),
        ("${home}a?b", "holds `?`"),
        ("${home}a//b", "holds an empty segment"),
    ] {
        let problem =
            verdict(&with(&format!("action = \"@download\"\nresource = \"{resource}\""))).unwrap_err();
        assert!(problem.contains(part), "{resource}: {problem}");
    }
}

#[test]
fn no_shared_resource_may_overlap_a_home() {
    let statement = "action = \"@download\"\nresource = [\"public/*\", \"users/*\"]\nshared = \"stickers\"";
    assert!(verdict(&with(statement)).unwrap_err().contains("the shared `users/*` reaches into the home"));
}
