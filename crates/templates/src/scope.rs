//! Scopes a client chooses: a narrower key than its template's, decided on patterns, never by comparing
//! beginnings of strings.

use serde::Deserialize;

use super::{
    render::encode_parameter,
    template::{Bucket, Service},
};
use cam::{Comparison, Conditions, Effect, Operand, Operator, Policy, Statement, compare::covers, pattern};

/// One thing a client asks to be able to do (the vendor's `STSScopeLimitCredentialProvider`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Such as `name/cos:PutObject`.
    pub action: String,
    /// With its appid.
    pub bucket: String,
    /// Such as `ap-guangzhou`.
    pub region: String,
    /// A key, or a prefix ending in `*`; no leading slash.
    pub prefix: String,
}

/// Why a scope was refused, whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeRefused {
    /// None or too many.
    #[error("a scope has 1 to {MOST} items; this one has {0}")]
    Count(usize),
    /// More than STS takes as a policy.
    #[error(
        "the scope makes a policy of {0} bytes, more than STS takes; ask for fewer items or shorter prefixes"
    )]
    Size(usize),
    /// One item is outside the template.
    #[error("scope item {index} is refused: {}", diagnostics::to_single_line(why))]
    Item {
        /// From zero.
        index: usize,
        /// What the template does not grant.
        why: String,
    },
}

/// The most items a scope may have.
pub(super) const MOST: usize = 32;

/// The part of `full` that these items ask for. Every deny stays, every condition stays.
pub(super) fn narrow(full: &Policy, bucket: &Bucket, scope: &[Scope]) -> Result<Policy, ScopeRefused> {
    if scope.is_empty() || scope.len() > MOST {
        return Err(ScopeRefused::Count(scope.len()));
    }
    let mut items: Vec<(usize, &Scope)> = scope.iter().enumerate().collect();
    items.sort_by_key(|(_, item)| *item);
    items.dedup_by_key(|(_, item)| *item);
    let mut statements = Vec::new();
    for (index, item) in items {
        let refuse = |why: String| ScopeRefused::Item { index, why };
        if item.bucket != bucket.name || item.region != bucket.region {
            return Err(refuse(format!("bucket and region must be {} and {}", bucket.name, bucket.region)));
        }
        let key = item.prefix.strip_suffix('*').unwrap_or(&item.prefix);
        if key.contains(['*', '?', '%', '\\'])
            || key.starts_with('/')
            || key.contains("//")
            || key.split('/').any(|segment| segment == "." || segment == "..")
            || key.chars().any(char::is_control)
        {
            return Err(refuse(format!(
                "`{}` is not a key, nor a prefix ending in `*`, without a leading slash",
                item.prefix.escape_default()
            )));
        }
        let parts: Vec<Statement> = full
            .statement
            .iter()
            .filter(|statement| statement.effect == Effect::Allow && statement.action.contains(&item.action))
            .filter_map(|statement| part_of(statement, item, bucket))
            .collect();
        if parts.is_empty() {
            return Err(refuse(format!(
                "the template does not grant `{}` on `{}`",
                item.action, item.prefix
            )));
        }
        statements.extend(parts);
    }
    let mut statements = without_covered(&statements);
    statements.extend(full.statement.iter().filter(|statement| statement.effect == Effect::Deny).cloned());
    Ok(Policy::new(statements))
}

/// What another statement grants already adds nothing: so scopes that mean the same are one key, however they
/// are written.
fn without_covered(statements: &[Statement]) -> Vec<Statement> {
    let is_needed = |(index, statement): &(usize, &Statement)| {
        !statements.iter().enumerate().any(|(other_index, other)| {
            let twins = covers(statement, other);
            other_index != *index && covers(other, statement) && (!twins || other_index < *index)
        })
    };
    statements.iter().enumerate().filter(is_needed).map(|(_, statement)| statement.clone()).collect()
}

/// What one allow statement gives of one item, if it gives it whole.
fn part_of(statement: &Statement, item: &Scope, bucket: &Bucket) -> Option<Statement> {
    let narrowed = |resource: Vec<String>, condition: Conditions| Statement {
        effect: Effect::Allow,
        action: vec![item.action.clone()],
        resource,
        condition,
    };
    let prefixes = |comparison| Operator { comparison, if_exist: false };
    let bound = [Comparison::StringLike, Comparison::StringEqual].into_iter().find_map(|comparison| {
        Some((prefixes(comparison), statement.condition.0.get(&prefixes(comparison))?.get("cos:prefix")?))
    });
    if let Some((operator, values)) = bound {
        let wanted = encode_parameter(&item.prefix);
        let covers = |value: &str| {
            if operator.comparison == Comparison::StringLike {
                pattern::contains(value, &wanted)
            } else {
                value == wanted
            }
        };
        let granted = values.iter().any(|value| matches!(value, Operand::Text(text) if covers(text)));
        let mut condition = statement.condition.clone();
        let keys = condition.0.entry(operator).or_default();
        keys.insert("cos:prefix".to_owned(), vec![Operand::Text(wanted)]);
        granted.then(|| narrowed(statement.resource.clone(), condition))
    } else {
        let service = Service::of(&item.action);
        let wanted = format!("{}{}", bucket.resource(service), item.prefix);
        let granted = statement.resource.iter().any(|resource| pattern::contains(resource, &wanted));
        granted.then(|| narrowed(vec![wanted], statement.condition.clone()))
    }
}
