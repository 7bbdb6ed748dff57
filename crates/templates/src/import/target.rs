//! The bucket and the home of the template, and the folder of the policy that the home replaces.

use super::{
    ImportFault, Notes, Unsupported,
    resource::{KeyPattern, ResourceRef},
    statement::PolicyStatement,
};
use crate::{
    proof::Home,
    template::{Bucket, ClaimRef, Service, TemplateString},
};
use cam::{Effect, pattern};

/// What the template is about.
#[derive(Debug)]
pub(super) struct ImportTarget {
    /// The bucket, or a placeholder.
    pub(super) bucket: Bucket,
    /// The home as the template writes it.
    pub(super) home: String,
    home_text: TemplateString,
    /// The bucket's name in the policy, which may be invalid.
    bucket_written: Option<String>,
    region_written: Option<String>,
    /// The folder that contains everything the policy allows. It is empty or ends in `/`.
    folder: String,
}

const PLACEHOLDER_BUCKET: &str = "examplebucket-1250000000";
const PLACEHOLDER_REGION: &str = "ap-guangzhou";
const DEFAULT_HOME: &str = "users/${sub|escape}/";

impl ImportTarget {
    /// Finds the bucket and the home in a policy's statements.
    ///
    /// # Errors
    /// When the requested home is malformed.
    pub(super) fn of(statements: &[PolicyStatement], home: Option<&str>) -> Result<Self, ImportFault> {
        let (bucket_written, region_written) = bucket_of(statements);
        // Names of buckets are lower case, but the vendor's examples have others.
        let name = bucket_written.as_ref().map(|name| name.to_lowercase());
        let name = name.filter(|name| Bucket::is_full_name(name));
        let region = region_written.clone().filter(|region| Bucket::is_region(region));
        let mut target = Self {
            bucket: Bucket {
                name: name.unwrap_or_else(|| PLACEHOLDER_BUCKET.to_owned()),
                region: region.unwrap_or_else(|| PLACEHOLDER_REGION.to_owned()),
            },
            home: DEFAULT_HOME.to_owned(),
            home_text: TemplateString::default(),
            bucket_written,
            region_written,
            folder: String::new(),
        };
        target.folder = target.common_folder(statements);
        match home {
            Some(home) => target.set_home(home)?,
            None if target.folder.is_empty() => target.set_home(DEFAULT_HOME)?,
            None => {
                target.set_home(&format!("{}${{sub|escape}}/", target.folder))?;
                if Home::prove(&target.home_text, &[ClaimRef::Sub]).is_err() {
                    // A folder whose name no home may have, such as a Chinese one, stays a part of the keys.
                    target.set_home(DEFAULT_HOME)?;
                    target.folder.clear();
                }
            }
        }
        Ok(target)
    }

    fn set_home(&mut self, home: &str) -> Result<(), ImportFault> {
        self.home_text = TemplateString::parse(home, None).map_err(ImportFault::Home)?;
        home.clone_into(&mut self.home);
        Ok(())
    }

    /// Notes what the operator must set or know.
    pub(super) fn describe(&self, notes: &mut Notes) {
        let Self { bucket, home, folder, .. } = self;
        match &self.bucket_written {
            None => notes.add("set bucket: the policy names none"),
            Some(name) if *name == bucket.name => {}
            Some(name) if name.to_lowercase() == bucket.name => {
                notes.add(format!("bucket is `{name}` in lower case: no bucket's name has capitals"));
            }
            Some(name) => notes.add(format!(
                "set bucket: `{name}` is no bucket's full name, which ends in `-` and its appid"
            )),
        }
        match &self.region_written {
            None => notes.add("set region: the policy names none"),
            Some(name) if *name == bucket.region => {}
            Some(name) => notes.add(format!("set region: `{name}` is none")),
        }
        let reached =
            if folder.is_empty() { "in the bucket".to_owned() } else { format!("under `{folder}`") };
        notes.add(format!(
            "home is `{home}`: what all users with the policy reached {reached} is now each user's own folder; objects that are there already are in no user's home"
        ));
    }

    /// Returns the parsed home.
    pub(super) fn home_text(&self) -> &TemplateString {
        &self.home_text
    }

    /// Returns the resources of a statement that are in the template's bucket, and notes the others.
    pub(super) fn resources_of<'a>(
        &self,
        statement: &'a PolicyStatement,
        notes: &mut Notes,
    ) -> Vec<&'a ResourceRef> {
        let (own, others): (Vec<&ResourceRef>, Vec<&ResourceRef>) =
            statement.resources.iter().partition(|resource| self.contains(resource));
        for ResourceRef { written, .. } in others {
            notes.add(format!(
                "statement {}: the resource `{written}` is left out: a template is of one bucket in one region, here {} in {}; import the other's statements on their own",
                statement.number, self.bucket.name, self.bucket.region
            ));
        }
        if statement.effect == Effect::Allow {
            for ResourceRef { written, .. } in own.iter().filter(|resource| resource.bucket.is_none()) {
                notes.add(format!(
                    "statement {}: the resource `{written}` reached every bucket; it is now the home in {}",
                    statement.number, self.bucket.name
                ));
            }
        }
        own
    }

    fn contains(&self, resource: &ResourceRef) -> bool {
        may_be_same(resource.bucket.as_deref(), self.bucket_written.as_deref())
            && may_be_same(resource.region.as_deref(), self.region_written.as_deref())
    }

    /// Moves a pattern of keys under the home. Returns none if no key of the home can match it.
    ///
    /// # Errors
    /// When a template cannot express it.
    pub(super) fn under_home(&self, effect: Effect, key: &KeyPattern) -> Result<Vec<String>, Unsupported> {
        let rests = match key {
            KeyPattern::Plain(key) => rests_after(&self.folder, key),
            KeyPattern::PerCaller { folder, rest } => {
                let between = folder.strip_prefix(&self.folder).unwrap_or_default();
                match (rest, effect) {
                    (Some(rest), _) => vec![format!("{between}{rest}")],
                    (None, Effect::Allow) => vec!["*".to_owned()],
                    (None, Effect::Deny) => {
                        return Err(Unsupported::new("its variable is not a folder of its own"));
                    }
                }
            }
            KeyPattern::Unusable(why) => return Err(why.clone()),
        };
        Ok(rests.iter().map(|rest| format!("${{home}}{rest}")).collect())
    }

    /// Moves a listed prefix under the home.
    pub(super) fn prefix_under_home(&self, prefix: &str) -> Vec<String> {
        let mut rests = rests_after(&self.folder, prefix);
        // A folder is also listed without its slash.
        if rests.is_empty() && self.folder.strip_suffix('/') == Some(prefix) {
            rests.push(String::new());
        }
        rests.iter().map(|rest| format!("${{home}}{rest}")).collect()
    }

    /// Returns the folder that contains every object a policy allows. If it allows none, the folder that it lists
    /// or processes.
    fn common_folder(&self, statements: &[PolicyStatement]) -> String {
        let allows: Vec<&PolicyStatement> =
            statements.iter().filter(|statement| statement.effect == Effect::Allow).collect();
        let on_objects = allows.iter().filter(|statement| !statement.actions.objects.is_empty());
        let objects = on_objects
            .flat_map(|statement| &statement.resources)
            .filter(|resource| resource.is_of(Service::Cos));
        let all = allows.iter().flat_map(|statement| &statement.resources);
        self.folder_of(objects).or_else(|| self.folder_of(all)).unwrap_or_default()
    }

    /// Returns the folder that contains all of these resources that are in the template's bucket.
    fn folder_of<'a>(&self, resources: impl Iterator<Item = &'a ResourceRef>) -> Option<String> {
        resources
            .filter(|resource| self.contains(resource))
            .filter_map(|resource| resource.key.folder())
            .reduce(|a, b| common_parent(&a, &b))
    }
}

/// Whether two names are equal, or one of them is open.
fn may_be_same(a: Option<&str>, b: Option<&str>) -> bool {
    a.zip(b).is_none_or(|(a, b)| a.eq_ignore_ascii_case(b))
}

/// Returns the first bucket that an allow names, or else a deny, and its region.
fn bucket_of(statements: &[PolicyStatement]) -> (Option<String>, Option<String>) {
    let (allows, denies): (Vec<&PolicyStatement>, Vec<&PolicyStatement>) =
        statements.iter().partition(|statement| statement.effect == Effect::Allow);
    let resources: Vec<&ResourceRef> =
        allows.into_iter().chain(denies).flat_map(|statement| &statement.resources).collect();
    let bucket = resources.iter().find_map(|resource| resource.bucket.clone());
    let mut in_bucket = resources.iter().filter(|resource| bucket.is_none() || resource.bucket == bucket);
    let region = in_bucket.find_map(|resource| resource.region.clone());
    (bucket, region)
}

/// Returns the folders that two folders share from the root.
fn common_parent(a: &str, b: &str) -> String {
    let pairs = a.split_inclusive('/').zip(b.split_inclusive('/'));
    pairs.take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
}

/// Returns the patterns of what follows `folder` in a key that matches `pattern`: the rest of the pattern after
/// each beginning that matches the folder. A `*` at the cut is also part of the rest.
fn rests_after(folder: &str, pattern: &str) -> Vec<String> {
    let cuts = pattern.char_indices().map(|(at, _)| at).chain([pattern.len()]);
    let mut rests = Vec::new();
    for (begin, end) in cuts.filter_map(|at| pattern.split_at_checked(at)) {
        if pattern::matches(begin, folder) {
            let rest = if begin.ends_with('*') { format!("*{end}") } else { end.to_owned() };
            if !rests.contains(&rest) {
                rests.push(rest);
            }
        }
    }
    rests
}
