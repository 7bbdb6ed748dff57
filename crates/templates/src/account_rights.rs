//! The least rights that the account of the operator needs, so that the keys of a set of templates work.
//!
//! A temporary key may do what its policy and the rights of the role or sub-account behind it allow.
//! Sizes, content types and denies stay in the templates: they only take away, and change more often than rights do.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use crate::{
    render::encode_parameter,
    set::TemplateSet,
    template::{Action, Bucket, Operand, Reach, Service, Statement, Template, TemplateString},
};
use cam::{Comparison, Conditions, Effect, Operator, Policy};

/// What the account must allow for a set of templates.
#[derive(Debug)]
pub struct AccountRights {
    /// The policy of the role that is assumed, or of the sub-account that calls `GetFederationToken`.
    pub policy: Policy,
    /// The buckets of the templates.
    pub buckets: Vec<BucketUse>,
}

/// A bucket, and how browsers call it.
#[derive(Debug)]
pub struct BucketUse {
    /// The bucket.
    pub bucket: Bucket,
    /// The methods of the requests that the templates allow, for the bucket's CORS rules.
    pub methods: BTreeSet<&'static str>,
}

/// The allows of templates, with what is the same put together.
#[derive(Default)]
struct Allows<'a> {
    /// The actions on the objects of a resource.
    objects: BTreeMap<String, BTreeSet<&'a str>>,
    /// The prefixes that an action may list in a resource.
    lists: BTreeMap<(String, &'a str), BTreeSet<String>>,
}

impl TemplateSet {
    /// Returns the least rights with which every template of the set works.
    pub fn account_rights(&self) -> AccountRights {
        let mut allows = Allows::default();
        let mut buckets: BTreeMap<(&str, &str), BTreeSet<&'static str>> = BTreeMap::new();
        for template in self.templates() {
            let Bucket { name, region } = &template.bucket;
            let methods = buckets.entry((name, region)).or_default();
            for statement in template.allows() {
                allows.add(template, statement);
                methods.extend(statement.actions().flat_map(Action::methods));
            }
        }
        let buckets = buckets.into_iter().map(|((name, region), methods)| BucketUse {
            bucket: Bucket { name: name.to_owned(), region: region.to_owned() },
            methods,
        });
        AccountRights { buckets: buckets.collect(), policy: allows.into_policy() }
    }
}

impl<'a> Allows<'a> {
    fn add(&mut self, template: &Template, statement: &'a Statement) {
        let prefixes = listed_prefixes(statement);
        for resource in &statement.resources {
            let pattern = template.bucket.resource(resource.service) + &of_any_user(&resource.key);
            for action in statement.actions().filter(|action| Service::of(action.name()) == resource.service)
            {
                if action.reach() == Reach::List {
                    let listed = self.lists.entry((pattern.clone(), action.name())).or_default();
                    listed.extend(prefixes.iter().cloned());
                } else {
                    self.objects.entry(pattern.clone()).or_default().insert(action.name());
                }
            }
        }
    }

    fn into_policy(self) -> Policy {
        let mut resources_of: BTreeMap<BTreeSet<&str>, Vec<String>> = BTreeMap::new();
        for (resource, actions) in self.objects {
            resources_of.entry(actions).or_default().push(resource);
        }
        let mut listings: BTreeMap<(String, BTreeSet<String>), BTreeSet<&str>> = BTreeMap::new();
        for ((resource, action), prefixes) in self.lists {
            listings.entry((resource, prefixes)).or_default().insert(action);
        }
        let objects = resources_of
            .into_iter()
            .map(|(actions, resources)| allow(actions, resources, Conditions::default()));
        let lists = listings
            .into_iter()
            .map(|((resource, prefixes), actions)| allow(actions, vec![resource], like_prefixes(prefixes)));
        Policy::new(objects.chain(lists).collect())
    }
}

/// Returns the values of `cos:prefix` that a statement allows, for any user.
fn listed_prefixes(statement: &Statement) -> BTreeSet<String> {
    let prefixes = statement.prefixes().filter_map(Operand::as_text);
    prefixes.map(|prefix| encode_parameter(&of_any_user(prefix))).collect()
}

/// Returns the pattern that matches a text with any values in the place of its variables.
fn of_any_user(text: &TemplateString) -> String {
    let Ok(pattern) = text.render(|_| Ok::<_, Infallible>("*".to_owned()), str::to_owned);
    pattern
}

fn like_prefixes(prefixes: BTreeSet<String>) -> Conditions {
    let string_like = Operator { comparison: Comparison::StringLike, if_exist: false };
    let prefixes = prefixes.into_iter().map(cam::Operand::Text).collect();
    Conditions(BTreeMap::from([(string_like, BTreeMap::from([("cos:prefix".to_owned(), prefixes)]))]))
}

fn allow(actions: BTreeSet<&str>, resource: Vec<String>, condition: Conditions) -> cam::Statement {
    cam::Statement {
        effect: Effect::Allow,
        action: actions.into_iter().map(str::to_owned).collect(),
        resource,
        condition,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jiff::Timestamp;

    use super::*;
    use crate::{ServingConstraints, TemplateFiles, identity::Identity, template::tests::UPLOAD};
    use cam::evaluate::{Request, evaluate};
    use diagnostics::Source;

    const SHIPPED: [(&str, &str); 5] = [
        ("avatar", include_str!("../../../policies/avatar.toml")),
        ("downloads", include_str!("../../../policies/downloads.toml")),
        ("files", include_str!("../../../policies/files.toml")),
        ("team", include_str!("../../../policies/team.toml")),
        ("upload", include_str!("../../../policies/upload.toml")),
    ];

    fn set_of(files: &[(&str, &str)]) -> TemplateSet {
        let sources: Vec<Source> = files
            .iter()
            .map(|(name, text)| Source::new(format!("{name}.toml"), (*text).to_owned()))
            .collect();
        let parsed: Vec<Template> =
            sources.iter().cloned().map(|source| Template::from_file(source).unwrap()).collect();
        let constraints = ServingConstraints::assumed(&parsed);
        let files = TemplateFiles::new(sources.into_iter().map(Ok).collect());
        TemplateSet::of_folder(files, Path::new("policies"), &constraints, Timestamp::UNIX_EPOCH, None)
            .unwrap()
    }

    fn is_allowed(policy: &Policy, action: &str, resource: &str, context: &[(&'static str, String)]) -> bool {
        let context = context.iter().cloned().collect();
        evaluate(policy, &Request { action, resource, context }).is_allowed()
    }

    /// The contexts of requests that satisfy the shipped templates' conditions.
    fn context(action: &str, home: &str) -> Vec<(&'static str, String)> {
        if action == "name/cos:GetBucket" {
            return vec![("cos:prefix", encode_parameter(home))];
        }
        vec![("cos:content-length", "5".to_owned()), ("cos:content-type", "image/png".to_owned())]
    }

    #[test]
    fn whatever_a_shipped_template_allows_is_within_the_rights_and_no_other_action_is() {
        let set = set_of(&SHIPPED);
        let rights = set.account_rights().policy;
        let identity = Identity::for_tests(
            "i",
            "alice",
            &[("team", serde_json::json!("red")), ("role", serde_json::json!("member"))],
        );
        let mut allowed = 0;
        for (name, _) in SHIPPED {
            let grant = set.grant(Some(name), &identity).unwrap();
            let policy = grant.policy().policy();
            for action in crate::template::action::matching("*") {
                let context = context(action.name(), grant.home());
                for key in [format!("{}a.png", grant.home()), "public/a.png".to_owned(), "other/a".to_owned()]
                {
                    let resource = grant.bucket().resource(Service::Cos) + &key;
                    let by_template = is_allowed(&policy, action.name(), &resource, &context);
                    let by_account = is_allowed(&rights, action.name(), &resource, &context);
                    assert!(by_account || !by_template, "{name} {} {key}", action.name());
                    allowed += usize::from(by_template);
                    let is_granted = set.templates().any(|template| {
                        template.allows().flat_map(Statement::actions).any(|granted| *granted == action)
                    });
                    assert!(is_granted || !by_account, "{} {key}", action.name());
                }
            }
        }
        assert!(allowed > 30, "{allowed}");
    }

    #[test]
    fn rights_name_each_folder_with_the_actions_of_its_own_templates_only() {
        let list = "[[statement]]\neffect = \"allow\"\naction = \"@list\"\nresource = \"*\"\n\
                    [statement.condition.string_like]\n\"cos:prefix\" = \"${home}*\"\n";
        let reads =
            UPLOAD.replace("users/", "notes/").replace("[\"@upload\", \"@multipart-upload\"]", "\"@delete\"");
        let reads = reads.split("[statement.condition").next().unwrap().to_owned() + list;
        let set = set_of(&[("upload", UPLOAD), ("reads", &reads)]);
        let rights = serde_json::to_value(&set.account_rights().policy).unwrap();
        let start = "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/";
        let of = |resource: &str| {
            let statements = rights["statement"].as_array().unwrap().iter();
            let found: Vec<_> = statements
                .filter(|one| one["resource"] == serde_json::json!([format!("{start}{resource}")]))
                .collect();
            assert_eq!(found.len(), 1, "{resource}: {rights}");
            found[0].clone()
        };
        assert_eq!(of("notes/*/*")["action"], serde_json::json!(["name/cos:DeleteObject"]));
        assert_eq!(of("users/*/*")["action"].as_array().unwrap().len(), 8);
        let listing = of("*");
        assert_eq!(listing["action"], serde_json::json!(["name/cos:GetBucket"]));
        assert_eq!(listing["condition"]["string_like"]["cos:prefix"], serde_json::json!(["notes%2F*%2F*"]));
    }

    #[test]
    fn a_bucket_is_called_with_the_methods_of_its_templates() {
        let downloads = UPLOAD.replace("[\"@upload\", \"@multipart-upload\"]", "\"@download\"");
        let downloads = downloads.split("[statement.condition").next().unwrap();
        for (text, methods) in
            [(UPLOAD, vec!["DELETE", "GET", "POST", "PUT"]), (downloads, vec!["GET", "HEAD"])]
        {
            let rights = set_of(&[("upload", text)]).account_rights();
            let [bucket] = rights.buckets.as_slice() else { panic!("{rights:?}") };
            assert_eq!(bucket.methods.iter().copied().collect::<Vec<_>>(), methods);
        }
    }
}
