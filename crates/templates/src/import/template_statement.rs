//! Converts a statement of the policy to statements of the template: up to three, as actions on objects, lists and
//! data processing have different resources.

use super::{
    Notes, Unsupported,
    condition::{self, Conditions},
    resource::{KeyPattern, ResourceRef},
    statement::PolicyStatement,
    target::ImportTarget,
};
use crate::template::Service;
use cam::Effect;

/// A `[[statement]]` of the template.
#[derive(Debug)]
pub(super) struct TemplateStatement {
    /// The number of the policy's statement that it is made from.
    pub(super) number: usize,
    pub(super) effect: Effect,
    pub(super) kind: Kind,
    /// The names or, in a deny, patterns of actions.
    pub(super) actions: Vec<String>,
    pub(super) resources: Vec<String>,
    pub(super) conditions: Conditions,
}

/// What the actions of a statement work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Objects,
    Lists,
    Processing,
}

impl TemplateStatement {
    /// Converts one statement of the policy.
    pub(super) fn from_policy(
        statement: &PolicyStatement,
        target: &ImportTarget,
        notes: &mut Notes,
    ) -> Vec<Self> {
        let conditions = match condition::convert(&statement.condition, target) {
            Ok(conditions) => conditions,
            Err(why) => {
                notes.left_out(statement.effect, statement.number, "it", &why);
                return Vec::new();
            }
        };
        let resources = target.resources_of(statement, notes);
        let kinds = [
            (Kind::Objects, &statement.actions.objects),
            (Kind::Lists, &statement.actions.lists),
            (Kind::Processing, &statement.actions.processing),
        ];
        let mut converter = Converter { statement, target, resources, notes };
        kinds
            .into_iter()
            .filter(|(_, actions)| !actions.is_empty())
            .filter_map(|(kind, actions)| converter.convert(kind, actions, conditions.clone()))
            .collect()
    }
}

/// Converts the actions of one policy statement, kind by kind.
struct Converter<'a> {
    statement: &'a PolicyStatement,
    target: &'a ImportTarget,
    resources: Vec<&'a ResourceRef>,
    notes: &'a mut Notes,
}

impl Converter<'_> {
    fn convert(
        &mut self,
        kind: Kind,
        actions: &[String],
        mut conditions: Conditions,
    ) -> Option<TemplateStatement> {
        let PolicyStatement { number, effect, .. } = *self.statement;
        let named = actions.join(", ");
        match (effect, kind) {
            (Effect::Allow, Kind::Lists) => condition::bind_to_home(&mut conditions),
            (Effect::Allow, _) if condition::use_prefix(&conditions) => {
                let why = Unsupported::new("its condition on cos:prefix is about lists only");
                self.notes.left_out(effect, number, &named, &why);
                return None;
            }
            _ => {}
        }
        let resources = self.convert_resources(kind, &named)?;
        Some(TemplateStatement { number, effect, kind, actions: actions.to_vec(), resources, conditions })
    }

    /// Converts the resources for one kind of actions. `None` if none is left, which is noted.
    fn convert_resources(&mut self, kind: Kind, named: &str) -> Option<Vec<String>> {
        let PolicyStatement { number, effect, .. } = *self.statement;
        let (mut converted, mut is_noted) = (Vec::new(), false);
        for resource in self.resources.iter().filter(|resource| resource.is_of(kind.service())) {
            match kind.convert_resource(effect, resource, self.target) {
                Ok(more) => converted.extend(more),
                Err(why) => {
                    is_noted = true;
                    let what = format!("{named} on `{}`", resource.written);
                    self.notes.left_out(effect, number, &what, &why);
                }
            }
        }
        converted.sort_unstable();
        converted.dedup();
        if !converted.is_empty() {
            return Some(converted);
        }
        if !is_noted {
            self.notes.add(format!(
                "statement {number}: {named}: left out, for none of its resources is one of theirs that the template reaches"
            ));
        }
        None
    }
}

impl Kind {
    fn service(self) -> Service {
        match self {
            Self::Objects | Self::Lists => Service::Cos,
            Self::Processing => Service::Ci,
        }
    }

    /// Converts one resource to the template's resources.
    fn convert_resource(
        self,
        effect: Effect,
        resource: &ResourceRef,
        target: &ImportTarget,
    ) -> Result<Vec<String>, Unsupported> {
        // Resources of data processing are written in full, as a key alone is one of COS.
        let start = match self {
            Self::Processing => target.bucket.resource(Service::Ci),
            Self::Objects | Self::Lists => String::new(),
        };
        match (self, effect, &resource.key) {
            (Self::Lists, Effect::Allow, key) if key.is_listable() => Ok(vec!["*".to_owned()]),
            (Self::Lists, Effect::Allow, _) => {
                Err(Unsupported::new("a list works on the bucket or a folder"))
            }
            // A deny of everything needs no home, and so includes lists.
            (_, Effect::Deny, KeyPattern::Plain(key)) if key == "*" => Ok(vec![format!("{start}*")]),
            (Self::Lists, Effect::Deny, KeyPattern::Plain(key)) if key.is_empty() => Ok(vec!["*".to_owned()]),
            (_, _, KeyPattern::Plain(key)) if key.is_empty() => {
                Err(Unsupported::new("the resource is the bucket itself, and they work on objects"))
            }
            (_, _, key) => {
                let found = target.under_home(effect, key)?;
                if found.is_empty() && effect == Effect::Allow {
                    return Err(Unsupported::new("it lies outside the folder that becomes the home"));
                }
                Ok(found.iter().map(|key| format!("{start}{key}")).collect())
            }
        }
    }
}
