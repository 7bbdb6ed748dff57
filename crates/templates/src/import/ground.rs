//! What a template stands on: one bucket, and the folder that becomes a home for each user.

use super::{
    ImportFault, Notes,
    pasted::Pasted,
    place::{self, Key, Place},
};
use crate::{
    home::Home,
    template::{Bucket, Service},
    text::Text,
    variable::Subject,
};
use cam::{Effect, pattern};

/// The bucket and the home of a template to be, and the folder of the policy that the home stands for.
#[derive(Debug)]
pub(super) struct Ground {
    /// The bucket, or a placeholder.
    pub bucket: Bucket,
    /// The home, as the template will write it.
    pub home: String,
    home_text: Text,
    /// The bucket's name in the policy, which may be no bucket's.
    bucket_written: Option<String>,
    region_written: Option<String>,
    /// Everything that was allowed lies under it; empty, or ending in `/`.
    folder: String,
}

const PLACEHOLDER_BUCKET: &str = "examplebucket-1250000000";
const PLACEHOLDER_REGION: &str = "ap-guangzhou";

impl Ground {
    /// Finds it in a policy's statements.
    ///
    /// # Errors
    /// When the home that was asked for cannot be read.
    pub(super) fn of(statements: &[Pasted], home: Option<&str>) -> Result<Self, ImportFault> {
        let (bucket_written, region_written) = bucket_of(statements);
        // Buckets have lower-case names only, but the vendor's examples do not.
        let name = bucket_written.as_ref().map(|name| name.to_lowercase());
        let name = name.filter(|name| Bucket::is_full_name(name));
        let region = region_written.clone().filter(|region| Bucket::is_region(region));
        let mut ground = Self {
            bucket: Bucket {
                name: name.unwrap_or_else(|| PLACEHOLDER_BUCKET.to_owned()),
                region: region.unwrap_or_else(|| PLACEHOLDER_REGION.to_owned()),
            },
            home: String::new(),
            home_text: Text::default(),
            bucket_written,
            region_written,
            folder: String::new(),
        };
        ground.folder = ground.common_folder(statements);
        ground.home = match home {
            Some(home) => home.to_owned(),
            None if ground.folder.is_empty() => "users/${sub}/".to_owned(),
            None => format!("{}${{sub}}/", ground.folder),
        };
        let unread = |(fault, help)| ImportFault::Home { fault, help };
        ground.home_text = Text::parse(&ground.home, None).map_err(unread)?;
        if home.is_none() && Home::prove(&ground.home_text, &[Subject::Sub]).is_err() {
            // A folder whose name no home may have, such as a Chinese one, stays a part of the keys.
            "users/${sub}/".clone_into(&mut ground.home);
            ground.home_text = Text::parse(&ground.home, None).map_err(unread)?;
            ground.folder.clear();
        }
        Ok(ground)
    }

    /// Says what a person must set or know of it.
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
            "home is `{home}`: what everybody with the policy reached {reached} is now each user's own folder; objects that lie there already are in nobody's home"
        ));
    }

    /// The home, parsed.
    pub(super) fn home_text(&self) -> &Text {
        &self.home_text
    }

    /// The resources of a statement that are in the template's bucket.
    pub(super) fn own<'a>(&self, statement: &'a Pasted, notes: &mut Notes) -> Vec<&'a Place> {
        let (own, others): (Vec<&Place>, Vec<&Place>) =
            statement.places.iter().partition(|place| self.is_own(place));
        for Place { written, .. } in others {
            notes.add(format!(
                "statement {}: the resource `{written}` is left out: a template is of one bucket in one region, here {} in {}; import the other's statements on their own",
                statement.number, self.bucket.name, self.bucket.region
            ));
        }
        if statement.effect == Effect::Allow {
            for Place { written, .. } in own.iter().filter(|place| place.bucket.is_none()) {
                notes.add(format!(
                    "statement {}: the resource `{written}` reached every bucket; it is now the home in {}",
                    statement.number, self.bucket.name
                ));
            }
        }
        own
    }

    fn is_own(&self, place: &Place) -> bool {
        let same = |a: &Option<String>, b: &Option<String>| match (a, b) {
            (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
            _ => true,
        };
        same(&place.bucket, &self.bucket_written) && same(&place.region, &self.region_written)
    }

    /// What a pattern of keys becomes under the home. None: nothing of the home can match it.
    ///
    /// # Errors
    /// Why a template cannot say it.
    pub(super) fn under_home(&self, effect: Effect, key: &Key) -> Result<Vec<String>, String> {
        let rests = match key {
            Key::Plain(key) => rests(key, &self.folder),
            Key::Callers { folder, rest } => {
                let between = folder.strip_prefix(&self.folder).unwrap_or_default();
                match (rest, effect) {
                    (Some(rest), _) => vec![format!("{between}{rest}")],
                    (None, Effect::Allow) => vec!["*".to_owned()],
                    (None, Effect::Deny) => return Err("its variable is not a folder of its own".to_owned()),
                }
            }
            Key::Unusable(why) => return Err(why.clone()),
        };
        Ok(rests.iter().map(|rest| format!("${{home}}{rest}")).collect())
    }

    /// What a listed prefix becomes under the home.
    pub(super) fn prefix_under_home(&self, prefix: &str) -> Vec<String> {
        let mut rests = rests(prefix, &self.folder);
        // A folder is also listed without its slash.
        if rests.is_empty() && self.folder.strip_suffix('/') == Some(prefix) {
            rests.push(String::new());
        }
        rests.iter().map(|rest| format!("${{home}}{rest}")).collect()
    }

    /// The folder that every object a policy allows lies under; of a policy that allows none, the folder it
    /// lists or processes.
    fn common_folder(&self, statements: &[Pasted]) -> String {
        let folders = |objects: bool| {
            let allowed = statements.iter().filter(|one| one.effect == Effect::Allow);
            let of_objects = allowed.filter(move |one| !objects || !one.requested.objects.is_empty());
            let own = of_objects.flat_map(|one| &one.places).filter(|place| self.is_own(place));
            own.filter(move |place| !objects || place.is_of(Service::Cos))
                .filter_map(|place| place.key.folder())
                .reduce(|a, b| common(&a, &b))
        };
        folders(true).or_else(|| folders(false)).unwrap_or_default()
    }
}

/// The first bucket that an allow names, else a deny, and its region.
fn bucket_of(statements: &[Pasted]) -> (Option<String>, Option<String>) {
    let of = |effect| {
        let statements = statements.iter().filter(move |one| one.effect == effect);
        statements.flat_map(|one| &one.places)
    };
    let mut places = of(Effect::Allow).chain(of(Effect::Deny));
    let bucket = places.clone().find_map(|place| place.bucket.clone());
    let region =
        places.find_map(|place| place.region.clone().filter(|_| bucket.is_none() || place.bucket == bucket));
    (bucket, region)
}

/// The folders that two folders share from the root.
fn common(a: &str, b: &str) -> String {
    let pairs = a.split_inclusive('/').zip(b.split_inclusive('/'));
    pairs.take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
}

/// What may follow `folder` in a key that matches `pattern`: the pattern's ends behind every beginning that
/// matches the folder, where a `*` at the cut goes on.
fn rests(pattern: &str, folder: &str) -> Vec<String> {
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

/// Whether a list of the whole bucket, or of some folder, is what a pattern of keys stands for.
pub(super) fn is_listable(key: &Key) -> bool {
    match key {
        Key::Plain(key) => key.is_empty() || key.ends_with('*') || place::folder(key) == *key,
        Key::Callers { .. } => true,
        Key::Unusable(_) => false,
    }
}
