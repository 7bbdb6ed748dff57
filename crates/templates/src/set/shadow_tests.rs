use std::{path::Path, time::Duration};

use serde_json::{Value, json};

use super::{
    tests::{one, policy_of, set},
    *,
};
use crate::{IssuerTrust, ServingConstraints, identity::Identity, template::tests::UPLOAD};
use diagnostics::Source;

/// The shadow of a template beside it, after requests of these principals.
fn shadow_of(base: &str, next: &str, principals: &[(&str, &[(&str, Value)])]) -> ShadowReport {
    let files = [("upload", base.to_owned()), ("upload.next", next.to_owned())];
    let templates = set(&files, &IssuerTrust::default()).unwrap();
    for (subject, claims) in principals {
        let _ = templates.grant(Some("upload"), &Identity::for_tests("i", subject, claims));
    }
    templates.status().remove(0).shadow.unwrap()
}

fn requiring(requirement: &str) -> String {
    UPLOAD.replace("[[statement]]", &format!("[require]\n{requirement}\n[[statement]]"))
}

#[test]
fn a_shadow_counts_each_principal_by_what_would_change() {
    let smaller = UPLOAD.replace("10485760", "1024");
    let larger = UPLOAD.replace("10485760", "20971520");
    let paid = requiring("plan = \"paid\"");
    let both = requiring("plan = \"paid\"\nrole = \"member\"");
    let plan = |plan: &str| [("plan", json!(plan))];
    let (of_alice, of_bob) = (plan("paid"), plan("free"));
    let principals: [(&str, &[(&str, Value)]); 3] =
        [("alice", &of_alice), ("bob", &of_bob), ("carol", &of_bob)];
    // (users, unchanged, widened, narrowed, failed)
    for (base, next, expected) in [
        (UPLOAD, UPLOAD, (3, 3, 0, 0, 0)),
        (UPLOAD, smaller.as_str(), (3, 0, 0, 3, 0)),
        (UPLOAD, larger.as_str(), (3, 0, 3, 0, 0)),
        (UPLOAD, paid.as_str(), (3, 1, 0, 0, 2)),
        (paid.as_str(), UPLOAD, (3, 1, 2, 0, 0)),
        (paid.as_str(), both.as_str(), (3, 2, 0, 0, 1)),
    ] {
        let report = shadow_of(base, next, &principals);
        let counted = (report.users, report.unchanged, report.widened, report.narrowed, report.failed);
        assert_eq!(counted, expected, "{next}");
        assert_eq!(report.failures.values().sum::<usize>(), report.failed, "{:?}", report.failures);
    }
    let twice = shadow_of(UPLOAD, &paid, &[principals[1], principals[1]]);
    assert_eq!((twice.users, twice.failed), (1, 1), "each principal once");
}

#[test]
fn a_shadows_sizes_are_those_of_principals_who_get_a_key_under_both_versions() {
    let next = requiring("plan = \"paid\"").replace("10485760", "10485760000000");
    let paid = [("plan", json!("paid"))];
    let short = "al";
    let long = "a-subject-with-a-long-name";
    let report =
        shadow_of(UPLOAD, &next, &[(short, &paid), (long, &paid), ("bob-who-gets-no-key-at-all-then", &[])]);
    let size = |text: &str, subject: &str| {
        let grant = one(text).grant(Some("upload"), &Identity::for_tests("i", subject, &paid)).unwrap();
        policy_of(&grant).to_json().len()
    };
    let sizes = report.policy_bytes;
    let mean = |text: &str| usize::midpoint(size(text, short), size(text, long));
    assert_eq!((sizes.now_largest, sizes.next_largest), (size(UPLOAD, long), size(&next, long)));
    assert_eq!((sizes.now_mean, sizes.next_mean), (mean(UPLOAD), mean(&next)));
    assert!(sizes.next_mean > sizes.now_mean);
}

#[test]
fn a_shadow_that_conflicts_with_a_neighbour_could_not_serve() {
    let other = UPLOAD.replace("users/", "other/");
    let shared = |folder: &str| {
        let statement = "effect = \"allow\"\naction = \"@download\"\nshared = \"stickers\"";
        format!("{other}[[statement]]\n{statement}\nresource = \"{folder}/*\"\n")
    };
    let elsewhere = |bucket: &str| other.replace("examplebucket", bucket);
    let moved = UPLOAD.replace("users/", "new/");
    for (neighbour, next, problem) in [
        (other.clone(), moved.clone(), None),
        (
            other.clone(),
            UPLOAD.replace("users/${sub}", "other/${iss|sha256}/${sub}"),
            Some("can meet without naming"),
        ),
        (elsewhere("another"), UPLOAD.replace("users/${sub}", "other/x-${sub}"), None),
        (shared("new"), moved.clone(), Some("reaches into the home `new/${sub}/` of template `upload.next`")),
        (shared("stickers"), moved, None),
        (
            other.clone(),
            shared("other").replace("other/${sub}", "new/${sub}"),
            Some("reaches into the home `other/${sub}/`"),
        ),
        (other.clone(), shared("users").replace("other/${sub}", "new/${sub}"), None),
        (other, UPLOAD.replace("users/${sub}/", "users/"), Some("does not hold the owner")),
    ] {
        let files = [("neighbour", neighbour), ("upload", UPLOAD.to_owned()), ("upload.next", next.clone())];
        let templates = set(&files, &IssuerTrust::default()).unwrap();
        let shadow = templates.status().remove(1).shadow.unwrap();
        let found =
            shadow.problems.iter().any(|found| problem.is_some_and(|problem| found.contains(problem)));
        assert_eq!(
            (shadow.problems.is_empty(), found),
            (problem.is_none(), problem.is_some()),
            "{next}: {:?}",
            shadow.problems
        );
    }
}

/// A later state of a folder.
fn after(previous: &TemplateSet, templates: &[(&str, &str)], now: i64) -> TemplateSet {
    let sources = templates.iter().map(|(name, text)| Ok(Source::new(format!("{name}.toml"), *text)));
    let constraints = ServingConstraints {
        issuer_trust: IssuerTrust::default(),
        longest: Duration::from_hours(36),
        min_remaining: None,
        default: None,
    };
    let now = Timestamp::from_second(now).unwrap();
    let folder = TemplateFiles::new(sources.collect());
    TemplateSet::of_folder(folder, Path::new("policies"), &constraints, now, Some(previous)).unwrap()
}

#[test]
fn a_shadow_keeps_its_counts_until_it_or_its_template_changes() {
    let next = UPLOAD.replace("10485760", "1024");
    let files = [("upload", UPLOAD), ("upload.next", next.as_str())];
    let first = set(&files.map(|(name, text)| (name, text.to_owned())), &IssuerTrust::default()).unwrap();
    first.grant(Some("upload"), &Identity::for_tests("i", "alice", &[])).unwrap();
    let other = UPLOAD.replace("users/", "other/");
    let (new_base, new_next) = (UPLOAD.replace("10485760", "2048"), next.replace("1024", "512"));
    for (base, next, users) in
        [(UPLOAD, next.as_str(), 1), (UPLOAD, new_next.as_str(), 0), (new_base.as_str(), next.as_str(), 0)]
    {
        let later = after(&first, &[("other", &other), ("upload", base), ("upload.next", next)], 7);
        let shadow = later.status().remove(1).shadow.unwrap();
        assert_eq!(shadow.users, users, "{next} beside {base}");
    }
}

#[test]
fn only_changed_templates_are_reported_and_get_a_new_load_time() {
    let other = UPLOAD.replace("users/", "other/");
    let files = [
        ("gone", UPLOAD.replace("users/", "gone/")),
        ("other", other.clone()),
        ("upload", UPLOAD.to_owned()),
    ];
    let first = set(&files, &IssuerTrust::default()).unwrap();
    let longer = UPLOAD.replace("30m", "1h");
    let later = after(
        &first,
        &[("new", &UPLOAD.replace("users/", "new/")), ("other", &other), ("upload", &longer)],
        7,
    );
    let change = |name: &str, change: &str| (name.to_owned(), change.to_owned());
    assert_eq!(
        later.revisions(&first),
        [
            change("new", "new"),
            change("upload", "+ keys are valid for 1h, 30m before"),
            change("gone", "removed")
        ]
    );
    let times: Vec<i64> = later.status().iter().map(|one| one.loaded_at.as_second()).collect();
    assert_eq!(times, [7, 0, 7], "new, other, upload");
}

#[test]
fn a_shadow_must_meet_the_same_rules_as_its_template() {
    let shadow = |next: &str, more: &[(&str, String)]| {
        let files = [("upload", UPLOAD.to_owned()), ("upload.next", next.to_owned())];
        let templates = set(&[&files[..], more].concat(), &IssuerTrust::default()).unwrap();
        let status = templates.status();
        status.into_iter().find(|one| one.name == "upload").unwrap().shadow.unwrap().problems.join("\n")
    };
    // It replaces its template, so their homes may overlap.
    assert_eq!(shadow(&UPLOAD.replace("users/", ""), &[]), "");
    let inbox = ("inbox", UPLOAD.replace("users/", "inbox/"));
    assert!(shadow(&UPLOAD.replace("users/", ""), &[inbox]).contains("of template `inbox`"));
    assert!(shadow(&UPLOAD.replace("30m", "5m"), &[]).contains("min_remaining"));
    assert!(shadow(&UPLOAD.replace("30m", "37h"), &[]).contains("gives 129600 s at most"));
    let orphan = [("upload", UPLOAD.to_owned()), ("uplaod.next", UPLOAD.to_owned())];
    assert_eq!(set(&orphan, &IssuerTrust::default()).unwrap().orphans(), ["uplaod.next.toml"]);
}
