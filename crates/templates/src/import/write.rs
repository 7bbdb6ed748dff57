//! Writes the template's text, with comments for its reviewer.

use super::{
    actions::with_sets,
    target::ImportTarget,
    template_statement::{Kind, TemplateStatement},
};
use cam::Effect;

/// Writes a template. The notes become comments.
pub(super) fn template(target: &ImportTarget, statements: &[TemplateStatement], notes: &[String]) -> String {
    let notes: String = notes.iter().flat_map(|note| ["# - ", note, "\n"]).collect();
    let statements: String = statements.iter().map(statement).collect();
    let (bucket, region) = (quoted(&target.bucket.name), quoted(&target.bucket.region));
    let home = quoted(&target.home);
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

# Everything this template grants lies under here. ${{sub|escape}} is the user, as their token names them:
# `alice` is alice, and `auth0|123` is auth0!7C123.
home = {home}

# How long a key is valid. A leaked key works until it expires, so keep it short.
duration = "30m"
{statements}"#
    )
}

fn statement(statement: &TemplateStatement) -> String {
    let TemplateStatement { number, effect, kind, actions, resources, conditions } = statement;
    let comment = comment(*effect, *kind);
    let effect = match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    };
    let (actions, resources) = (quoted_list(&with_sets(actions)), quoted_list(resources));
    let conditions: Vec<String> = conditions
        .iter()
        .map(|(operator, keys)| format!("\n[statement.condition.{operator}]\n{keys}"))
        .collect();
    let conditions = conditions.concat();
    format!(
        r#"
# Of statement {number}.{comment}
[[statement]]
effect = "{effect}"
action = {actions}
resource = {resources}
{conditions}"#
    )
}

fn comment(effect: Effect, kind: Kind) -> &'static str {
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

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn quoted_list(texts: &[impl AsRef<str>]) -> String {
    toml::Value::Array(texts.iter().map(|text| text.as_ref().into()).collect()).to_string()
}
