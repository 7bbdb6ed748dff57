//! What one statement of the policy becomes in the template: up to three, since actions on objects, lists and
//! data processing have different resources.

use super::{
    Notes,
    condition::{self, Conditions},
    ground::{self, Ground},
    pasted::Pasted,
    place::{Key, Place},
};
use crate::template::Service;
use cam::Effect;

/// A `[[statement]]` to be.
#[derive(Debug)]
pub(super) struct Grant {
    /// The policy's statement that it comes from.
    pub number: usize,
    /// Allow or deny.
    pub effect: Effect,
    /// What it works on.
    pub kind: Kind,
    /// Names or, in a deny, patterns of actions.
    pub actions: Vec<String>,
    /// As the template writes them.
    pub resources: Vec<String>,
    /// All must hold.
    pub conditions: Conditions,
}

/// What a statement's actions work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Objects.
    Objects,
    /// The bucket, to list it.
    Lists,
    /// Data processing.
    Processing,
}

impl Grant {
    /// What becomes of one statement.
    pub(super) fn all_of(statement: &Pasted, ground: &Ground, notes: &mut Notes) -> Vec<Self> {
        let Pasted { number, effect, requested, .. } = statement;
        let conditions = match condition::read(&statement.condition, ground) {
            Ok(conditions) => conditions,
            Err(why) => {
                notes.left_out(*effect, *number, "it", &why);
                return Vec::new();
            }
        };
        let own = ground.own(statement, notes);
        let kinds = [
            (Kind::Objects, &requested.objects),
            (Kind::Lists, &requested.lists),
            (Kind::Processing, &requested.processing),
        ];
        let mut grants = Vec::new();
        for (kind, actions) in kinds.into_iter().filter(|(_, actions)| !actions.is_empty()) {
            let named = actions.join(", ");
            let mut conditions = conditions.clone();
            match (effect, kind) {
                (Effect::Allow, Kind::Lists) => condition::bind_to_home(&mut conditions),
                (Effect::Allow, _) if condition::speak_of_prefix(&conditions) => {
                    let why = "its condition on cos:prefix is about lists only";
                    notes.left_out(*effect, *number, &named, why);
                    continue;
                }
                _ => {}
            }
            let (mut resources, mut unsaid) = (Vec::new(), false);
            for place in own.iter().filter(|place| place.is_of(kind.service())) {
                match kind.resources(*effect, place, ground) {
                    Ok(more) => resources.extend(more),
                    Err(why) => {
                        unsaid = true;
                        let what = format!("{named} on `{}`", place.written);
                        notes.left_out(*effect, *number, &what, &why);
                    }
                }
            }
            resources.sort_unstable();
            resources.dedup();
            if resources.is_empty() {
                // Where a resource could not be said, that was told already.
                if !unsaid {
                    notes.add(format!(
                        "statement {number}: {named}: left out, for none of its resources is one of theirs that the template reaches"
                    ));
                }
                continue;
            }
            grants.push(Self {
                number: *number,
                effect: *effect,
                kind,
                actions: actions.clone(),
                resources,
                conditions,
            });
        }
        grants
    }
}

impl Kind {
    fn service(self) -> Service {
        match self {
            Self::Objects | Self::Lists => Service::Cos,
            Self::Processing => Service::Ci,
        }
    }

    /// What one resource becomes in the template.
    ///
    /// # Errors
    /// Why it becomes nothing.
    fn resources(self, effect: Effect, place: &Place, ground: &Ground) -> Result<Vec<String>, String> {
        // Data processing is written in full: a key alone is one of COS.
        let start = match self {
            Self::Processing => ground.bucket.resource(Service::Ci),
            Self::Objects | Self::Lists => String::new(),
        };
        match (self, effect, &place.key) {
            (Self::Lists, Effect::Allow, key) if ground::is_listable(key) => Ok(vec!["*".to_owned()]),
            (Self::Lists, Effect::Allow, _) => Err("a list works on the bucket or a folder".to_owned()),
            // Everything denied needs no home, and so takes lists in as well.
            (_, Effect::Deny, Key::Plain(key)) if key == "*" => Ok(vec![format!("{start}*")]),
            (Self::Lists, Effect::Deny, Key::Plain(key)) if key.is_empty() => Ok(vec!["*".to_owned()]),
            (_, _, Key::Plain(key)) if key.is_empty() => {
                Err("the resource is the bucket itself, and they work on objects".to_owned())
            }
            (_, _, key) => {
                let found = ground.under_home(effect, key)?;
                if found.is_empty() && effect == Effect::Allow {
                    return Err("it lies outside the folder that becomes the home".to_owned());
                }
                Ok(found.iter().map(|key| format!("{start}{key}")).collect())
            }
        }
    }
}
