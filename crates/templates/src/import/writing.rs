//! The template's text, with comments for whoever reviews it.

use super::{
    grant::{Grant, Kind},
    ground::Ground,
    request::in_sets,
};
use cam::Effect;

/// Writes a template. What was noted stands in it, for the next operator.
pub(super) fn template(ground: &Ground, grants: &[Grant], notes: &[String]) -> String {
    let notes: String = notes.iter().flat_map(|note| ["# - ", note, "\n"]).collect();
    let statements: String = grants.iter().map(statement).collect();
    let (bucket, region) = (string(&ground.bucket.name), string(&ground.bucket.region));
    let home = string(&ground.home);
    format!(
        r#"# Made of a CAM policy by `cosbroker policy import`. Read it before it serves, and run
# `cosbroker policy lint` on it. What was changed or left out:
#
{notes}
# For people; say what it is for.
description = "Imported from a CAM policy"

# The bucket's full name, with its appid, and its region.
bucket = {bucket}
region = {region}

# Everything this template grants lies under here. ${{sub}} is the user, as their token names them.
# Subjects such as `auth0|123` or e-mail addresses need a filter: ${{sub|base64url}}
home = {home}

# How long a key lives. A key that leaked works until then, so keep it short.
duration = "30m"
{statements}"#
    )
}

fn statement(grant: &Grant) -> String {
    let Grant { number, effect, kind, actions, resources, conditions } = grant;
    let about = about(*effect, *kind);
    let effect = match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    };
    let (actions, resources) = (list(&in_sets(actions)), list(resources));
    let conditions: Vec<String> = conditions
        .iter()
        .map(|(operator, keys)| format!("\n[statement.condition.{operator}]\n{keys}"))
        .collect();
    let conditions = conditions.concat();
    format!(
        r#"
# Of statement {number}.{about}
[[statement]]
effect = "{effect}"
action = {actions}
resource = {resources}
{conditions}"#
    )
}

fn about(effect: Effect, kind: Kind) -> &'static str {
    match (effect, kind) {
        (Effect::Deny, _) => " A deny beats every allow.",
        (Effect::Allow, Kind::Objects) => "",
        (Effect::Allow, Kind::Lists) => {
            " Listing works on the bucket, so it stands apart and is bound to the home\n# by its prefix."
        }
        (Effect::Allow, Kind::Processing) => {
            " No documented action of data processing has an object's path for its\n# resource (docs 460/41741), so this may grant nothing: try it, or start jobs from a server of yours."
        }
    }
}

fn string(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn list(texts: &[impl AsRef<str>]) -> String {
    toml::Value::Array(texts.iter().map(|text| text.as_ref().into()).collect()).to_string()
}
