//! Warns of a home whose filter refuses some of the subjects that logins make.

use super::warnings::LintedTemplate;
use crate::{
    Finding, Rule,
    advice::Advice,
    subject::SubjectKind,
    template::{ClaimRef, Encoding},
};

/// How many subjects of each kind are rendered. The share is then right to about half a per cent.
const SAMPLE: u64 = 2000;

impl LintedTemplate<'_> {
    pub(super) fn refused_ids(&self) -> Option<Finding> {
        let mut variables = self.template.home.variables().filter(|variable| variable.claim == ClaimRef::Sub);
        let (variable, refused) = variables.find_map(|variable| {
            let refused = refused_kinds(variable.encoding);
            (!refused.is_empty()).then_some((variable, refused))
        })?;
        let advice = Advice::new(
            format!("{variable} refuses {} as subjects: those users get no key", refused.join(", ")),
            "write ${sub|escape}, which takes every subject and leaves the folders of all users served now where they are",
        );
        Some(self.warn(Rule::RefusedIds, self.template.home_written.span(), advice))
    }
}

/// Describes how many of each kind of subjects an encoding refuses, where it refuses any.
fn refused_kinds(encoding: Encoding) -> Vec<String> {
    // A template that asks for integers has a login that makes no texts.
    if matches!(encoding, Encoding::Escape | Encoding::Integer) {
        return Vec::new();
    }
    let kinds = SubjectKind::COMMON.into_iter();
    kinds
        .filter_map(|kind| Some(format!("{} {}", share(count_refused(encoding, kind))?, kind.name())))
        .collect()
}

fn count_refused(encoding: Encoding, kind: SubjectKind) -> u64 {
    let refused = (0..SAMPLE).filter(|number| !encoding.takes(&kind.subject(*number)));
    refused.fold(0, |count, _| count + 1)
}

/// Describes a count as a share of the sample. `None` for none.
fn share(count: u64) -> Option<String> {
    let per_mille = count * 1000 / SAMPLE;
    match count {
        0 => None,
        SAMPLE => Some("all".to_owned()),
        _ if per_mille == 0 => Some("less than 0.1 % of".to_owned()),
        _ => Some(format!("{}.{} % of", per_mille / 10, per_mille % 10)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_refused_ids_is_that_of_the_renderer() {
        let bare = refused_kinds(Encoding::Bare);
        // 2 of 64 characters cannot begin a bare value: 3.1 %.
        let near = |text: &str| ["2.", "3.", "4."].iter().any(|share| text.starts_with(share));
        assert!(near(&bare[0]) && bare[0].ends_with(" % of nanoid ids"), "{bare:?}");
        assert_eq!(bare[1], "all e-mail addresses");
        assert!(near(&bare[2]) && bare[2].ends_with(" % of base64url ids (Entra ID)"), "{bare:?}");
        assert_eq!(bare.len(), 3, "UUIDs and openids are all served");
        for encoding in [Encoding::Escape, Encoding::Base64Url, Encoding::Hex, Encoding::Sha256] {
            assert!(refused_kinds(encoding).is_empty(), "{encoding:?}");
        }
    }

    #[test]
    fn a_share_is_never_rounded_to_none_or_all() {
        assert_eq!(share(0), None);
        assert_eq!(share(1).as_deref(), Some("less than 0.1 % of"));
        assert_eq!(share(SAMPLE - 1).as_deref(), Some("99.9 % of"));
        assert_eq!(share(SAMPLE).as_deref(), Some("all"));
    }
}
