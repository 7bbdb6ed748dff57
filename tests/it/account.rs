//! The operator's account: the rights and CORS rules that it needs, and whether its buckets are there.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Answer, Setup, cosbroker, emulator, repository};

const BUCKET: &str = "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/";

fn account_rights(setup: &Setup, arguments: &[&str]) -> Output {
    let dir = setup.write();
    let command = ["policy", "account-rights", "--config", "config.toml"];
    // Whoever sets up the account has none of the secrets.
    cosbroker(dir.path()).env_remove("SECRET_KEY").args(command).args(arguments).output().unwrap()
}

fn printed(output: &Output) -> &str {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::str::from_utf8(&output.stdout).unwrap()
}

fn setup() -> Setup {
    Setup::new("127.0.0.1:1".parse().unwrap())
}

fn assuming_a_role() -> Setup {
    setup().with_section(
        "sts",
        "action = \"AssumeRole\"\nrole_arn = \"qcs::cam::uin/100000000001:roleName/keys\"",
    )
}

#[test]
fn a_sub_account_gets_the_rights_of_the_templates_and_the_right_to_call_sts() {
    let output = account_rights(&setup(), &["--only", "sub-account"]);
    let policy: Value = serde_json::from_str(printed(&output)).unwrap();
    let statements = policy["statement"].as_array().unwrap();
    let folder = json!([format!("{BUCKET}users/*/*")]);
    let on_folder = statements.iter().find(|one| one["resource"] == folder).unwrap();
    assert!(on_folder["action"].as_array().unwrap().contains(&json!("name/cos:PutObject")), "{policy}");
    assert_eq!(statements.last().unwrap()["action"], json!(["name/sts:GetFederationToken"]));
    assert!(!policy.to_string().contains("name/cos:*"), "{policy}");
}

#[test]
fn with_a_role_the_rights_are_the_roles_and_the_sub_account_may_only_assume_it() {
    let setup = assuming_a_role();
    let of = |part| -> Value {
        serde_json::from_str(printed(&account_rights(&setup, &["--only", part]))).unwrap()
    };
    assert!(!of("role").to_string().contains("name/sts:"));
    assert_eq!(
        of("sub-account")["statement"],
        json!([{"effect": "allow", "action": ["name/sts:AssumeRole"],
                "resource": ["qcs::cam::uin/100000000001:roleName/keys"]}])
    );
    let everything = account_rights(&setup, &[]);
    assert!(
        printed(&everything).contains("CAM policy of the role qcs::cam::uin/100000000001:roleName/keys:")
    );
    let of_a_role = account_rights(&self::setup(), &["--only", "role"]);
    assert_eq!(of_a_role.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&of_a_role.stderr).contains("sts.action is GetFederationToken"));
}

#[test]
fn cors_rules_name_the_origins_of_the_configuration_and_the_methods_of_the_templates() {
    let output = account_rights(&setup(), &["--only", "cors"]);
    let rules = printed(&output);
    for part in [
        "<!-- examplebucket-1250000000 in ap-guangzhou -->",
        "<AllowedOrigin>https://app.example.com</AllowedOrigin>",
        "<AllowedMethod>PUT</AllowedMethod>",
        "<AllowedHeader>*</AllowedHeader>",
        "<ExposeHeader>ETag</ExposeHeader>",
    ] {
        assert!(rules.contains(part), "{part}: {rules}");
    }
    let no_page = setup().with("cors_origins = [\"https://app.example.com\"]", "");
    let without = account_rights(&no_page, &[]);
    assert!(!printed(&without).contains("CORS"));
    assert!(String::from_utf8_lossy(&without.stderr).contains("server.cors_origins is empty"));
}

fn checked_online(setup: &Setup) -> String {
    let dir = setup.write();
    let output =
        cosbroker(dir.path()).args(["check", "--online", "--config", "config.toml"]).output().unwrap();
    printed(&output).to_owned()
}

/// With the templates' bucket replaced, and COS at the emulator.
fn with_bucket(address: std::net::SocketAddr, name: &str, region: &str) -> Setup {
    let mut setup = Setup::new(address)
        .with_section("canary", &format!("endpoint = \"http://{address}\"\ntemplate = \"upload\""));
    for (_, text) in &mut setup.templates {
        *text = text
            .replace("examplebucket-1250000000", name)
            .replace("\"ap-guangzhou\"", &format!("\"{region}\""));
    }
    setup
}

#[test]
fn check_online_asks_cos_for_the_bucket() {
    let (address, _) = emulator();
    let checked = checked_online(&with_bucket(address, "photos-1258888888", "ap-guangzhou"));
    assert!(checked.contains("online: bucket photos-1258888888 in ap-guangzhou exists"), "{checked}");
}

#[test]
fn check_online_warns_of_the_examples_bucket_and_of_regions_that_cos_lacks() {
    let (address, _) = emulator();
    for (name, region, part) in [
        ("examplebucket-1250000000", "ap-guangzhou", "this is the bucket of the examples"),
        ("photos-1258888888", "ap-guangzou", "did you mean `ap-guangzhou`?"),
    ] {
        let checked = checked_online(&with_bucket(address, name, region));
        let warning = format!("warning: bucket {name} in {region}: ");
        assert!(checked.contains(&warning) && checked.contains(part), "{checked}");
        assert!(checked.contains("ok: serve would start"), "{checked}");
    }
}

/// Gives the account of an emulated cloud this policy, and no other.
async fn give_account(address: std::net::SocketAddr, policy: &str) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let policies = format!("http://{address}/account/policies");
    let preset = http.delete(format!("{policies}/AdministratorAccess"));
    assert!([204, 404].contains(&Answer::of(preset).await.status));
    let rights = http.put(format!("{policies}/rights")).body(policy.to_owned());
    assert_eq!(Answer::of(rights).await.status, 204);
}

fn verified(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String) {
    let dir = setup.write();
    let output = cosbroker(dir.path())
        .args(["verify-isolation", "--config", "config.toml"])
        .args(arguments)
        .output()
        .unwrap();
    let told = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
    (output.status.code(), told)
}

#[tokio::test]
async fn with_the_printed_rights_every_template_works_and_not_one_action_more() {
    let (address, _) = emulator();
    let canary = format!("endpoint = \"http://{address}\"\ntemplate = \"upload\"");
    let mut setup = Setup::new(address).with_section("canary", &canary);
    for name in ["avatar.toml", "team.toml", "downloads.toml"] {
        let text = std::fs::read_to_string(repository("policies").join(name)).unwrap();
        setup.templates.push((name.to_owned(), text));
    }
    let mut setup = setup.with("\"tenant\"", "\"tenant\", \"team\"");
    give_account(address, printed(&account_rights(&setup, &["--only", "sub-account"]))).await;
    let (code, told) = verified(&setup, &[]);
    assert_eq!(code, Some(0), "{told}");
    let only_files = ["--template", "files"];
    let (code, told) = verified(&setup, &only_files);
    assert!(code == Some(0) && !told.contains("left in the bucket"), "users delete their own: {told}");

    let all = setup.templates.clone();
    setup.templates.retain(|(name, _)| name != "files.toml");
    give_account(address, printed(&account_rights(&setup, &["--only", "sub-account"]))).await;
    setup.templates = all;
    let (code, told) = verified(&setup, &only_files);
    assert_eq!(code, Some(0), "other templates grant the rest: {told}");
    assert!(told.contains("left in the bucket: /users/cosbroker-canary-1/"), "only `files` deletes: {told}");
}
