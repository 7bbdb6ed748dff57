//! The templates that are shipped, for subjects as logins make them.

use serde_json::json;

use super::{tests::set, *};
use crate::{
    IssuerTrust, grant::confined_policy, identity::Identity, lint, subject::SubjectKind, template::Service,
    verify::ConfinedPolicy,
};
use cam::evaluate::{Reading, Request, evaluate_as};
use diagnostics::Source;

const SHIPPED: [(&str, &str); 5] = [
    ("upload", include_str!("../../../../policies/upload.toml")),
    ("avatar", include_str!("../../../../policies/avatar.toml")),
    ("team", include_str!("../../../../policies/team.toml")),
    ("downloads", include_str!("../../../../policies/downloads.toml")),
    ("files", include_str!("../../../../policies/files.toml")),
];

pub(super) fn shipped() -> TemplateSet {
    let issuer_trust =
        IssuerTrust { trusted_claims: vec![vec!["team".to_owned()]], ..IssuerTrust::default() };
    set(&SHIPPED.map(|(name, text)| (name, text.to_owned())), &issuer_trust).unwrap()
}

fn identity(subject: &str) -> Identity {
    Identity::for_tests(
        "https://id.example/",
        subject,
        &[("team", json!(subject)), ("role", json!("member"))],
    )
}

/// Renders and verifies the policy of a subject.
fn policy(template: &ActiveTemplate, subject: &str) -> ConfinedPolicy {
    let policy = confined_policy(&template.proved, &identity(subject));
    policy.unwrap_or_else(|error| panic!("{subject:?}: {error}"))
}

/// Renders and verifies the policies of subjects, and returns them sorted by home.
fn policies(template: &ActiveTemplate, subjects: &[String]) -> Vec<ConfinedPolicy> {
    let mut policies: Vec<ConfinedPolicy> =
        subjects.iter().map(|subject| policy(template, subject)).collect();
    policies.sort_by(|a, b| a.home().cmp(b.home()));
    policies
}

/// Different subjects of a kind.
fn subjects(kind: SubjectKind, numbers: std::ops::Range<u64>) -> Vec<String> {
    let mut subjects: Vec<String> = numbers.map(|number| kind.subject(number)).collect();
    subjects.sort();
    subjects.dedup();
    subjects
}

/// Homes in order: one that equals or contains another equals or contains its successor.
fn assert_apart<'a>(homes: impl Iterator<Item = &'a str> + Clone) {
    for (home, next) in homes.clone().zip(homes.skip(1)) {
        assert!(!next.starts_with(home), "{home} and {next}");
    }
}

#[test]
fn the_templates_that_ship_are_proved_together_and_warn_of_nothing() {
    let templates = shipped();
    assert_eq!(templates.templates.len(), SHIPPED.len());
    let files = SHIPPED.map(|(name, text)| Ok(Source::new(format!("{name}.toml"), text)));
    assert_eq!(lint(files.into(), None).findings, []);
}

#[test]
fn no_subject_is_refused_or_reaches_anothers_folder_under_any_reading() {
    let templates = shipped();
    for kind in SubjectKind::ALL {
        let subjects = subjects(kind, 0..400);
        for template in templates.templates.values() {
            let policies = policies(template, &subjects);
            assert_apart(policies.iter().map(ConfinedPolicy::home));
            let bucket = template.proved.template().bucket.resource(Service::Cos);
            for (policy, next) in policies.iter().zip(policies.iter().skip(1)) {
                assert_out_of_reach(policy, next.home(), &bucket);
                assert_out_of_reach(next, policy.home(), &bucket);
            }
        }
    }
}

/// Checks that a policy allows nothing in a folder, whatever else the request says.
fn assert_out_of_reach(policy: &ConfinedPolicy, folder: &str, bucket: &str) {
    let key = format!("{folder}x");
    let resource = format!("{bucket}{key}");
    let context = [
        ("cos:content-length", "1".to_owned()),
        ("cos:content-type", "image/png".to_owned()),
        ("cos:prefix", crate::render::encode_parameter(&key)),
    ];
    let rights = policy.policy();
    for action in ["name/cos:PutObject", "name/cos:GetObject", "name/cos:GetBucket"] {
        let request = Request { action, resource: &resource, context: context.clone().into() };
        for reading in Reading::ALL {
            let is_allowed = evaluate_as(reading, &rights, &request).is_allowed();
            assert!(!is_allowed, "{} reaches {folder} ({reading:?})", policy.home());
        }
    }
}

/// A million subjects of each kind. Each is rendered and verified under one of the templates, in turn; the folders of
/// all subjects are compared under every template. `SUBJECT_KINDS` names some kinds, separated by commas.
#[test]
#[ignore = "takes a quarter of an hour; `make test-subjects` runs it"]
#[expect(clippy::disallowed_methods, reason = "which kinds a run is about is said on its command line")]
fn a_million_subjects_of_each_kind_have_folders_of_their_own() {
    const SUBJECTS: u64 = 1_000_000;
    const THREADS: usize = 2;
    let templates = shipped();
    let templates: Vec<&ActiveTemplate> = templates.templates.values().collect();
    let chosen = std::env::var("SUBJECT_KINDS").ok();
    let is_chosen = |kind: &SubjectKind| {
        chosen.as_ref().is_none_or(|names| names.split(',').any(|name| name == kind.name()))
    };
    for kind in SubjectKind::ALL.into_iter().filter(is_chosen) {
        let subjects = subjects(kind, 0..SUBJECTS);
        std::thread::scope(|scope| {
            for some in subjects.chunks(subjects.len().div_ceil(THREADS)) {
                let templates = &templates;
                scope.spawn(move || verify_in_turn(templates, some));
            }
        });
        for template in &templates {
            let home = &template.proved.template().home;
            let mut homes: Vec<String> = subjects
                .iter()
                .map(|subject| {
                    home.render(|variable| variable.render(&identity(subject)), str::to_owned).unwrap()
                })
                .collect();
            homes.sort();
            assert_apart(homes.iter().map(String::as_str));
        }
        let plain = subjects.iter().filter(|subject| crate::template::Encoding::Bare.takes(subject)).count();
        println!("{}: {} different ones, {plain} of them plain", kind.name(), subjects.len());
    }
}

/// Renders and verifies the policy of each subject under the next template. The verifier derives the home again.
fn verify_in_turn(templates: &[&ActiveTemplate], subjects: &[String]) {
    for (subject, template) in subjects.iter().zip(templates.iter().cycle()) {
        policy(template, subject);
    }
}
