//! The actions of a statement, in the one spelling that templates have, sorted by what they work on.

use super::Notes;
use crate::action::{self, Action, Reach, SETS};
use cam::Effect;

/// What a statement speaks of, as far as a template may name it.
#[derive(Debug, Default)]
pub(super) struct Requested {
    /// Actions on objects; in a deny, patterns too.
    pub objects: Vec<String>,
    /// Lists, which work on the bucket.
    pub lists: Vec<String>,
    /// Actions of data processing.
    pub processing: Vec<String>,
}

impl Requested {
    /// Sorts a statement's actions. In an allow, patterns are written out.
    pub(super) fn read(effect: Effect, number: usize, entries: &[String], notes: &mut Notes) -> Self {
        let mut requested = Self::default();
        for entry in entries {
            let name = full_name(entry);
            let read = match effect {
                Effect::Allow if name.contains('*') => written_out(entry, &name, number, notes),
                Effect::Allow => granted(&name),
                Effect::Deny => denied(&name),
            };
            match read {
                Ok(actions) => actions.iter().for_each(|action| requested.keep(action)),
                Err(why) => notes.left_out(effect, number, &format!("the action `{entry}`"), &why),
            }
        }
        requested
    }

    fn keep(&mut self, action: &Action) {
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

/// Names of actions as a template would have them: a set instead of its members where all are there.
pub(super) fn in_sets(names: &[String]) -> Vec<&str> {
    let holds = |name: &str| names.iter().any(|held| held == name);
    let whole = || SETS.iter().filter(|(_, members)| members.iter().all(|name| holds(name)));
    let covered = |name: &str| whole().any(|(_, members)| members.contains(&name));
    let rest = names.iter().map(String::as_str).filter(|name| !covered(name));
    whole().map(|(set, _)| *set).chain(rest).collect()
}

/// CAM's newer documents leave `name/` out.
fn full_name(entry: &str) -> String {
    if entry.starts_with("name/") || entry.starts_with('*') {
        return entry.to_owned();
    }
    format!("name/{entry}")
}

fn granted(name: &str) -> Result<Vec<Action>, String> {
    action::expand(name).map_err(|(_, help)| match service(name) {
        Some("cos") if action::renamed(name).is_some() => {
            format!("COS calls it `{}`; grant that", action::renamed(name).unwrap_or_default())
        }
        Some("cos" | "ci") if action::is_everybodys(name) => {
            "it changes or shows what belongs to all users; no template may grant it".to_owned()
        }
        Some("cos" | "ci") | None => help,
        Some(_) => OTHER_SERVICE.to_owned(),
    })
}

const OTHER_SERVICE: &str = "it is of another service than COS";

fn service(name: &str) -> Option<&str> {
    name.strip_prefix("name/")?.split_once(':').map(|(service, _)| service)
}

/// The actions that a template may grant, of those a pattern of an allow takes in.
fn written_out(entry: &str, pattern: &str, number: usize, notes: &mut Notes) -> Result<Vec<Action>, String> {
    let actions: Vec<Action> = action::matching(pattern).collect();
    if actions.is_empty() {
        return Err(match service(pattern) {
            Some("ci") => "actions of data processing must be named one by one".to_owned(),
            Some("cos") | None => "no action of COS that a template may grant has such a name".to_owned(),
            Some(_) => OTHER_SERVICE.to_owned(),
        });
    }
    let names: Vec<&str> =
        actions.iter().map(|action| action.name().trim_start_matches("name/cos:")).collect();
    notes.add(
        "patterns of actions are written out: a wildcard grants what COS adds tomorrow, and settings of buckets, ACLs and the account, which no template may grant",
    );
    notes.add(format!("statement {number}: `{entry}` is written out as {}", names.join(", ")));
    Ok(actions)
}

fn denied(name: &str) -> Result<Vec<Action>, String> {
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
        _ => Err("a template denies actions such as `name/cos:Delete*`, letters and `*` alone".to_owned()),
    }
}
