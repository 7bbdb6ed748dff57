//! Scopes that a client chooses, to get less than the template grants. Patterns are compared as patterns, never
//! as beginnings of strings.

use serde::Deserialize;

use super::{
    render::encode_parameter,
    template::{Bucket, Service},
};
use cam::{Comparison, Effect, Operand, Operator, Policy, Statement, compare::covers, pattern};

/// One item of a scope (the vendor's `STSScopeLimitCredentialProvider`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The action, such as `name/cos:PutObject`.
    pub action: String,
    /// The bucket's name with the appid.
    pub bucket: String,
    /// The region, such as `ap-guangzhou`.
    pub region: String,
    /// A key, or a prefix ending in `*`, without a leading slash.
    pub prefix: String,
}

/// Why a scope was refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeRefused {
    /// It has no items or too many.
    #[error("a scope has 1 to {MAX_ITEMS} items; this one has {0}")]
    Count(usize),
    /// Its policy is larger than STS accepts.
    #[error(
        "the scope makes a policy of {0} bytes, more than STS takes; ask for fewer items or shorter prefixes"
    )]
    Size(usize),
    /// An item is outside the template.
    #[error("scope item {index} is refused: {}", diagnostics::to_single_line(&why.to_string()))]
    Item {
        /// The item's position, from 0.
        index: usize,
        /// What is wrong with the item.
        why: ItemRefused,
    },
}

/// Why an item of a scope was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemRefused {
    /// It is about another bucket than the template.
    #[error("bucket and region must be {name} and {region}")]
    Bucket {
        /// The name of the template's bucket.
        name: String,
        /// The region of the template's bucket.
        region: String,
    },
    /// Its prefix has another form.
    #[error("`{}` is not a key, nor a prefix ending in `*`: {fault}", .prefix.escape_default())]
    Prefix {
        /// The prefix that the item asks for.
        prefix: String,
        /// What is wrong with it.
        fault: PrefixFault,
    },
    /// The template does not grant the whole item.
    #[error("the template does not grant `{action}` on `{prefix}`")]
    NotGranted {
        /// The action that the item asks for.
        action: String,
        /// The prefix that the item asks for.
        prefix: String,
    },
}

/// What a prefix holds that a policy cannot say without doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixFault {
    /// Keys in policies have no slash before them.
    #[error("it begins with `/`; leave the slash out")]
    LeadingSlash,
    /// A path may be resolved on the way.
    #[error("it has a segment `.` or `..`")]
    DotSegment,
    /// A policy may read the character as a wildcard, an escape or a control.
    #[error("it holds `{}`, which policies cannot spell", .0.escape_default())]
    Character(char),
}

/// The maximum number of items in a scope.
pub(super) const MAX_ITEMS: usize = 32;

/// Returns the part of `full` that a scope asks for. Keeps every deny and every condition.
pub(super) fn narrow(full: &Policy, bucket: &Bucket, scope: &[Scope]) -> Result<Policy, ScopeRefused> {
    if scope.is_empty() || scope.len() > MAX_ITEMS {
        return Err(ScopeRefused::Count(scope.len()));
    }
    let mut items: Vec<(usize, &Scope)> = scope.iter().enumerate().collect();
    items.sort_by_key(|(_, item)| *item);
    items.dedup_by_key(|(_, item)| *item);
    let mut allows = Vec::new();
    for (index, item) in items {
        allows.extend(item.part_of(full, bucket).map_err(|why| ScopeRefused::Item { index, why })?);
    }
    let mut statements = without_covered(&allows);
    statements.extend(full.statement.iter().filter(|statement| statement.effect == Effect::Deny).cloned());
    Ok(Policy::new(statements))
}

/// Removes the statements that others cover. So scopes with one meaning make one policy, however they are
/// written.
fn without_covered(statements: &[Statement]) -> Vec<Statement> {
    let all = statements.iter().enumerate();
    all.filter(|(index, _)| !is_covered(*index, statements)).map(|(_, statement)| statement.clone()).collect()
}

/// Whether another statement covers this one. Of two that cover each other, the first stays.
fn is_covered(index: usize, statements: &[Statement]) -> bool {
    let Some(statement) = statements.get(index) else { return false };
    statements.iter().enumerate().any(|(other_index, other)| {
        other_index != index && covers(other, statement) && (!covers(statement, other) || other_index < index)
    })
}

impl Scope {
    /// Returns what the allows of a policy give of this item, each as a whole.
    fn part_of(&self, full: &Policy, bucket: &Bucket) -> Result<Vec<Statement>, ItemRefused> {
        if self.bucket != bucket.name || self.region != bucket.region {
            let (name, region) = (bucket.name.clone(), bucket.region.clone());
            return Err(ItemRefused::Bucket { name, region });
        }
        if let Some(fault) = self.prefix_fault() {
            return Err(ItemRefused::Prefix { prefix: self.prefix.clone(), fault });
        }
        let allows = full
            .statement
            .iter()
            .filter(|statement| statement.effect == Effect::Allow && statement.action.contains(&self.action));
        let parts: Vec<Statement> =
            allows.filter_map(|statement| self.part_of_allow(statement, bucket)).collect();
        if parts.is_empty() {
            let (action, prefix) = (self.action.clone(), self.prefix.clone());
            return Err(ItemRefused::NotGranted { action, prefix });
        }
        Ok(parts)
    }

    /// Returns what a policy cannot say of the prefix. Empty segments it can: CAM takes slashes as they are.
    fn prefix_fault(&self) -> Option<PrefixFault> {
        let key = self.prefix.strip_suffix('*').unwrap_or(&self.prefix);
        let cannot_spell = |found: &char| ['*', '?', '%', '\\'].contains(found) || found.is_control();
        if key.starts_with('/') {
            Some(PrefixFault::LeadingSlash)
        } else if key.split('/').any(|segment| segment == "." || segment == "..") {
            Some(PrefixFault::DotSegment)
        } else {
            key.chars().find(cannot_spell).map(PrefixFault::Character)
        }
    }

    /// Returns what one allow gives of this item, if it gives all of it.
    fn part_of_allow(&self, statement: &Statement, bucket: &Bucket) -> Option<Statement> {
        let mut condition = statement.condition.clone();
        let resource = if let Some((operator, bounds)) = bound_prefixes(statement) {
            let prefix = encode_parameter(&self.prefix);
            bounds.iter().find(|bound| covers_prefix(operator, bound, &prefix))?;
            let keys = condition.0.entry(operator).or_default();
            keys.insert("cos:prefix".to_owned(), vec![Operand::Text(prefix)]);
            statement.resource.clone()
        } else {
            let start = bucket.resource(Service::of(&self.action));
            let wanted = format!("{start}{}", self.prefix);
            statement.resource.iter().find(|resource| pattern::contains(resource, &wanted))?;
            vec![wanted]
        };
        Some(Statement { effect: Effect::Allow, action: vec![self.action.clone()], resource, condition })
    }
}

/// Returns the values that bind `cos:prefix` in a statement, and their operator.
fn bound_prefixes(statement: &Statement) -> Option<(Operator, &[Operand])> {
    [Comparison::StringLike, Comparison::StringEqual].into_iter().find_map(|comparison| {
        let operator = Operator { comparison, if_exist: false };
        let values: &Vec<Operand> = statement.condition.0.get(&operator)?.get("cos:prefix")?;
        Some((operator, values.as_slice()))
    })
}

fn covers_prefix(operator: Operator, bound: &Operand, prefix: &str) -> bool {
    match bound {
        Operand::Text(text) if operator.comparison == Comparison::StringLike => {
            pattern::contains(text, prefix)
        }
        Operand::Text(text) => text == prefix,
        Operand::Number(_) => false,
    }
}
