//! The actions of a statement in a template's spelling, sorted by what they work on.

use super::{Notes, Unsupported};
use crate::template::{
    Action, Reach,
    action::{self, SETS},
};
use cam::Effect;

/// The actions of a statement that a template may name.
#[derive(Debug, Default)]
pub(super) struct SortedActions {
    /// Actions on objects. A deny may have patterns.
    pub(super) objects: Vec<String>,
    /// Lists, which work on the bucket.
    pub(super) lists: Vec<String>,
    /// Actions of data processing.
    pub(super) processing: Vec<String>,
}

impl SortedActions {
    /// Sorts a statement's actions. In an allow, patterns are replaced by the actions that they match.
    pub(super) fn read(effect: Effect, number: usize, entries: &[String], notes: &mut Notes) -> Self {
        let mut sorted = Self::default();
        for entry in entries {
            let name = full_name(entry);
            let read = match effect {
                Effect::Allow if name.contains('*') => expand_pattern(entry, &name, number, notes),
                Effect::Allow => allowed(&name),
                Effect::Deny => denied(&name),
            };
            match read {
                Ok(actions) => actions.iter().for_each(|action| sorted.insert(action)),
                Err(why) => notes.left_out(effect, number, &format!("the action `{entry}`"), &why),
            }
        }
        sorted
    }

    fn insert(&mut self, action: &Action) {
        let of_kind = match (action, action.reach()) {
            (Action::Processing(_), _) => &mut self.processing,
            (Action::Pattern(name), _) if name.starts_with("name/ci:") => &mut self.processing,
            (_, Reach::List) => &mut self.lists,
            _ => &mut self.objects,
        };
        if !of_kind.iter().any(|name| name == action.name()) {
            of_kind.push(action.name().to_owned());
        }
    }
}

/// Replaces the members of a set by the set, if all of them are there.
pub(super) fn with_sets(names: &[String]) -> Vec<&str> {
    let whole: Vec<&(&str, &[&str])> = SETS
        .iter()
        .filter(|(_, members)| members.iter().all(|member| names.iter().any(|name| name == member)))
        .collect();
    let rest = names.iter().map(String::as_str);
    let rest = rest.filter(|name| !whole.iter().any(|(_, members)| members.contains(name)));
    whole.iter().map(|(set, _)| *set).chain(rest).collect()
}

/// Adds `name/`, which CAM's newer documents leave out.
fn full_name(entry: &str) -> String {
    if entry.starts_with("name/") || entry.starts_with('*') {
        return entry.to_owned();
    }
    format!("name/{entry}")
}

fn allowed(name: &str) -> Result<Vec<Action>, Unsupported> {
    action::expand(name).map_err(|advice| match (service(name), action::cos_name_of(name)) {
        (Some("cos"), Some(cos_name)) => Unsupported::new(format!("COS calls it `{cos_name}`; grant that")),
        (Some("cos" | "ci"), _) if action::affects_all_users(name) => {
            Unsupported::new("it changes or shows what belongs to all users; no template may grant it")
        }
        (Some("cos" | "ci") | None, _) => Unsupported(advice.help),
        (Some(_), _) => other_service(),
    })
}

fn other_service() -> Unsupported {
    Unsupported::new("it is of another service than COS")
}

fn service(name: &str) -> Option<&str> {
    name.strip_prefix("name/")?.split_once(':').map(|(service, _)| service)
}

/// Returns the actions that a pattern of an allow matches and a template may grant.
fn expand_pattern(
    entry: &str,
    pattern: &str,
    number: usize,
    notes: &mut Notes,
) -> Result<Vec<Action>, Unsupported> {
    let actions: Vec<Action> = action::matching(pattern).collect();
    if actions.is_empty() {
        return Err(match service(pattern) {
            Some("ci") => Unsupported::new("actions of data processing must be named one by one"),
            Some("cos") | None => {
                Unsupported::new("no action of COS that a template may grant has such a name")
            }
            Some(_) => other_service(),
        });
    }
    let names: Vec<&str> = actions.iter().map(Action::short_name).collect();
    notes.add(
        "patterns of actions are written out: a wildcard grants what COS adds tomorrow, and settings of buckets, ACLs and the account, which no template may grant",
    );
    notes.add(format!("statement {number}: `{entry}` is written out as {}", names.join(", ")));
    Ok(actions)
}

fn denied(name: &str) -> Result<Vec<Action>, Unsupported> {
    if let Ok(actions) = action::expand(name) {
        return Ok(actions);
    }
    if action::is_deny_pattern(name) {
        return Ok(vec![Action::Pattern(name.to_owned())]);
    }
    match (name, service(name)) {
        ("*" | "name/*" | "name/*:*", _) => {
            Ok(["name/cos:*", "name/ci:*"].map(|all| Action::Pattern(all.to_owned())).to_vec())
        }
        // What no template grants needs no deny.
        (_, Some(service)) if !matches!(service, "cos" | "ci") && !service.contains(['*', '?']) => {
            Ok(Vec::new())
        }
        _ => Err(Unsupported::new(
            "a template denies actions such as `name/cos:Delete*`, letters and `*` alone",
        )),
    }
}
