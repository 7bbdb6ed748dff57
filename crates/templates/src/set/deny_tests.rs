use std::collections::BTreeMap;

use super::tests::one;
use crate::{Question, Service, deny_home, explain, identity::Identity, render::encode_parameter};
use cam::evaluate::{Decision, Request, evaluate};

#[test]
fn a_home_is_denied_with_all_that_the_shipped_template_allows_there_and_no_other_home_is() {
    let templates = one(include_str!("../../../../policies/files.toml"));
    let grant_of =
        |subject: &str| templates.grant(Some("upload"), &Identity::for_tests("i", subject, &[])).unwrap();
    let denied = grant_of("alice");
    let deny = deny_home(denied.bucket(), denied.home());
    let bucket = denied.bucket().resource(Service::Cos);
    for (subject, stopped) in [("alice", true), ("alice2", false), ("bob", false)] {
        let grant = grant_of(subject);
        for action in ["PutObject", "GetObject", "DeleteObject", "UploadPart", "GetBucket"] {
            let key = format!("{}a.jpg", grant.home());
            let question = Question { action, key: &key, size: Some(5), ..Question::default() };
            assert!(explain(&grant, &question).allowed, "{subject} {action}");
            let mut policy = grant.policy().policy();
            policy.statement.extend(deny.clone());
            let action = format!("name/cos:{action}");
            let mut context = BTreeMap::from([("cos:content-length", "5".to_owned())]);
            if action.ends_with("GetBucket") {
                context.insert("cos:prefix", encode_parameter(&key));
            }
            let request = Request { action: &action, resource: &format!("{bucket}{key}"), context };
            let is_denied = matches!(evaluate(&policy, &request), Decision::ExplicitlyDenied(_));
            assert_eq!(is_denied, stopped, "{subject} {action}");
        }
    }
}
