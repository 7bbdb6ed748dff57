//! The names of the claims that templates read. Nothing else of a token needs to stay in memory.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value};

use super::template::{ClaimRef, Template};

/// Names of claims: for a path through nested objects, the outermost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimNames(Arc<BTreeSet<String>>);

impl ClaimNames {
    /// Adds the claims that a template reads, beside the subject and the issuer.
    pub(super) fn add(&mut self, template: &Template) {
        let required = template.require.iter().map(|required| &required.path);
        let rendered = template.variables().filter_map(|variable| match &variable.claim {
            ClaimRef::Path(path) => Some(path),
            ClaimRef::Sub | ClaimRef::Iss => None,
        });
        let names = required.chain(rendered).filter_map(|path| path.first().cloned());
        Arc::make_mut(&mut self.0).extend(names);
    }

    /// Makes names for a test.
    #[cfg(any(test, feature = "test-util"))]
    pub fn for_tests(names: &[&str]) -> Self {
        Self(Arc::new(names.iter().map(|name| (*name).to_owned()).collect()))
    }

    /// Returns whether all of these names are among the `others`.
    pub(super) fn are_among(&self, others: &Self) -> bool {
        Arc::ptr_eq(&self.0, &others.0) || self.0.is_subset(&others.0)
    }

    /// Returns the claims with these names, as JSON; nothing if there are none.
    pub(super) fn select(&self, mut claims: Map<String, Value>) -> Box<str> {
        claims.retain(|name, _| self.0.contains(name));
        if claims.is_empty() { Box::default() } else { Value::Object(claims).to_string().into() }
    }
}

#[cfg(test)]
mod tests {
    use diagnostics::Source;
    use serde_json::json;

    use super::*;
    use crate::template::tests::UPLOAD;

    fn names(text: &str) -> ClaimNames {
        let mut names = ClaimNames::default();
        names.add(&Template::parse("t", Source::new("t.toml", text)).unwrap());
        names
    }

    #[test]
    fn every_claim_that_a_template_reads_is_kept_and_no_other() {
        let claims =
            json!({"sub": "alice", "tenant": "a", "team": "b", "org": {"id": 7}, "role": "c", "name": "d"});
        let select = |text: &str| names(text).select(claims.as_object().unwrap().clone()).into_string();
        assert_eq!(select(UPLOAD), "");
        let home = UPLOAD.replace("users/${sub}/", "users/${claim.tenant}/${sub}/");
        let required = home.replace("[[statement]]", "[require]\nrole = \"c\"\n[[statement]]");
        let denied = "[[statement]]\neffect = \"deny\"\naction = \"@upload\"\nresource = '${home}${claim.team}/*'\n\
                      condition = { string_equal = { \"cos:prefix\" = '${claim.org.id|integer}' } }\n";
        assert_eq!(
            select(&format!("{required}{denied}")),
            r#"{"org":{"id":7},"role":"c","team":"b","tenant":"a"}"#
        );
    }

    #[test]
    fn names_are_compared_whichever_set_of_templates_they_are_of() {
        let (none, role) = (
            names(UPLOAD),
            names(&UPLOAD.replace("[[statement]]", "[require]\nrole = \"c\"\n[[statement]]")),
        );
        assert!(none.are_among(&role) && role.are_among(&role.clone()) && !role.are_among(&none));
    }
}
