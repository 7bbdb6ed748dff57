//! The difference between two policies, described in words.

use crate::Conditions;

/// What the holder of a new policy gains and loses against an old one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Allowed now, or no longer denied.
    pub(super) gains: Vec<Access>,
    /// Allowed before, or denied only now.
    pub(super) losses: Vec<Access>,
}

/// Actions on a resource under the same conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) actions: Vec<String>,
    pub(super) resource: String,
    /// Where the other policy allows the same under other conditions, only those that differ.
    pub(super) conditions: Conditions,
    /// The other policy's conditions for the same actions and resource, as far as they differ.
    pub(super) other_conditions: Option<Conditions>,
    /// Whether a deny falls away. Otherwise an allow is added.
    pub(super) deny_lifted: bool,
}

impl Change {
    /// Returns whether the new policy allows anything that the old one does not.
    pub fn widens(&self) -> bool {
        !self.gains.is_empty()
    }

    /// Describes each gain, such as ``GetObject on `users/alice/*` ``.
    pub fn gained(&self) -> impl Iterator<Item = String> {
        self.gains.iter().map(|access| access.describe("before"))
    }

    /// Describes each loss.
    pub fn lost(&self) -> impl Iterator<Item = String> {
        self.losses.iter().map(|access| access.describe("now"))
    }
}

impl Access {
    /// Adds the access to a list, together with other actions on the same resource and conditions.
    pub(super) fn add_to(self, list: &mut Vec<Self>) {
        let alike = list.iter_mut().find(|one| {
            one.resource == self.resource
                && one.conditions == self.conditions
                && one.other_conditions == self.other_conditions
                && one.deny_lifted == self.deny_lifted
        });
        let Some(alike) = alike else {
            list.push(self);
            return;
        };
        for action in self.actions {
            if !alike.actions.contains(&action) {
                alike.actions.push(action);
            }
        }
    }

    /// `when` says when the other policy applies: `before` or `now`.
    fn describe(&self, when: &str) -> String {
        let actions: Vec<&str> =
            self.actions.iter().map(|name| name.rsplit(':').next().unwrap_or(name)).collect();
        // `qcs::cos:<region>:uid/<appid>:<bucket>/<key>`: the key follows the second slash.
        let key = self.resource.splitn(3, '/').nth(2).unwrap_or(&self.resource);
        let conditions =
            if self.conditions.is_empty() { String::new() } else { format!(" where {}", self.conditions) };
        let other = match &self.other_conditions {
            None => String::new(),
            Some(other) if other.is_empty() => format!(" ({when}: without that)"),
            Some(other) => format!(" ({when}: where {other})"),
        };
        let lifted = if self.deny_lifted { format!(", denied {when}") } else { String::new() };
        format!("{} on `{key}`{conditions}{other}{lifted}", actions.join(", "))
    }
}
