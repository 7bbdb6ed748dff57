//! Whose folders move when a template's home changes. The broker moves no object.

use serde_json::Value;

use super::{
    synthetic_identity::SyntheticIdentity,
    template::{ClaimRef, Encoding, Piece, Template, Variable},
};

/// A value that is written with an escape, or refused.
const NOT_PLAIN: &str = "auth0|12";

/// Describes what a new version makes of users' folders. `None` if the home stays as it is.
pub(super) fn describe(old: &Template, new: &Template) -> Option<String> {
    if old.home == new.home {
        return None;
    }
    let usual = SyntheticIdentity::usual(&[old, new]);
    let Some(changed) = changed_filters(old, new) else {
        let example =
            homes(&usual, old, new).map(|(before, after)| format!(", as from `{before}` to `{after}`"));
        let who =
            if claims(old).eq(claims(new)) { "every user's folder moves" } else { "users' folders move" };
        return Some(format!(
            "{who}{}; no object moves with it, so copy the objects before this version serves",
            example.unwrap_or_default()
        ));
    };
    let not_plain = changed.iter().fold(usual, |identity, (variable, _)| with(&identity, &variable.claim));
    let becomes_wider = changed.iter().any(|(_, after)| after.encoding == Encoding::Escape);
    let home = home(&not_plain, if becomes_wider { new } else { old }).unwrap_or_default();
    let others = if becomes_wider {
        format!("who was refused before gets a folder, such as `{home}`")
    } else {
        format!("who has a folder such as `{home}` gets no key")
    };
    Some(format!("no user's folder moves: both filters write plain values alike; {others}"))
}

/// Returns the variables whose filter changes, before and after, if that is the whole change and both filters
/// write plain values alike.
fn changed_filters<'a>(old: &'a Template, new: &'a Template) -> Option<Vec<(&'a Variable, &'a Variable)>> {
    let (before, after) = (old.home.pieces(), new.home.pieces());
    let mut changed = Vec::new();
    for (a, b) in before.iter().zip(after) {
        match (a, b) {
            (a, b) if a == b => {}
            (Piece::Variable(a), Piece::Variable(b))
                if a.claim == b.claim && a.encoding.agrees_with(b.encoding) =>
            {
                changed.push((a, b));
            }
            _ => return None,
        }
    }
    (before.len() == after.len()).then_some(changed)
}

fn claims(template: &Template) -> impl Iterator<Item = &ClaimRef> {
    template.home.claims()
}

fn with(identity: &SyntheticIdentity, claim: &ClaimRef) -> SyntheticIdentity {
    identity.with(claim, Value::from(NOT_PLAIN))
}

/// Returns an identity's homes before and after.
fn homes(identity: &SyntheticIdentity, old: &Template, new: &Template) -> Option<(String, String)> {
    Some((home(identity, old)?, home(identity, new)?))
}

fn home(identity: &SyntheticIdentity, template: &Template) -> Option<String> {
    let identity = identity.identity()?;
    template.home.render(|variable| variable.render(&identity), str::to_owned).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::tests::UPLOAD;
    use diagnostics::Source;

    fn change(old: &str, new: &str) -> String {
        let read = |home: &str| {
            let owner = "owner = [\"sub\", \"claim.team\"]\n[[statement]]";
            let text = UPLOAD.replace("users/${sub}/", home).replace("[[statement]]", owner);
            Template::parse("t", Source::new("t.toml", text)).unwrap()
        };
        describe(&read(old), &read(new)).unwrap_or_default()
    }

    #[test]
    fn a_change_of_filter_tells_whose_folders_move() {
        for (old, new, expected) in [
            ("users/${sub}/", "users/${sub}/", ""),
            (
                "users/${sub}/",
                "users/${sub|escape}/",
                "no user's folder moves: both filters write plain values alike; who was refused before gets a folder, such as `users/auth0!7C12/`",
            ),
            (
                "users/${sub|escape}/",
                "users/${sub}/",
                "no user's folder moves: both filters write plain values alike; who has a folder such as `users/auth0!7C12/` gets no key",
            ),
            (
                "users/${sub}/",
                "users/${sub|base64url}/",
                "every user's folder moves, as from `users/alice/` to `users/_b64_YWxpY2U/`; no object moves with it, so copy the objects before this version serves",
            ),
            (
                "users/${sub|escape}/",
                "users/${sub|hex}/",
                "every user's folder moves, as from `users/alice/` to `users/_hex_616c696365/`; no object moves with it, so copy the objects before this version serves",
            ),
            (
                "users/${sub}/",
                "files/${sub}/",
                "every user's folder moves, as from `users/alice/` to `files/alice/`; no object moves with it, so copy the objects before this version serves",
            ),
            (
                "users/${sub}/",
                "users/${claim.team}/",
                "users' folders move, as from `users/alice/` to `users/red/`; no object moves with it, so copy the objects before this version serves",
            ),
        ] {
            assert_eq!(change(old, new), expected, "{old} -> {new}");
        }
        assert!(
            change("${claim.team}/${sub}/", "${claim.team|hex}/${sub|escape}/").starts_with("every user's")
        );
    }
}
