//! `docs/start/logins.md`, from the recipes in `logins/`.

use std::fmt::Write;

use crate::support::repository;

const HEAD: &str = "\
# Your login

The broker stands behind the login that your app has: the app sends the token that it got there. Each recipe below is what
`cosbroker init --login NAME` writes; replace the examples by your own issuer, audience and key. Without a source of keys in
the section, they are found by OpenID discovery at the issuer. `[require]` belongs into the template. All keys are explained
in [the configuration](../reference/configuration.md).

If a key is refused, `cosbroker token explain --config config.toml - < token.txt` names each check, what the token says, and the
line to change. Yours is not here? Look at the token with `cosbroker token explain - < token.txt`, and begin with the recipe
that is nearest: `wechat-mini-program` if your own back end makes the token, `spring-authorization-server` for any OpenID
provider.

Every recipe is tested with a token of its login's shape.
";

pub(super) fn page() -> String {
    let mut page = HEAD.to_owned();
    for (name, text) in recipes() {
        let (comment, sections) = text.split_once("\n\n").unwrap_or_else(|| panic!("{name} has no sections"));
        let mut lines = comment.lines().map(|line| line.trim_start_matches('#').trim());
        let title = lines.next().unwrap();
        let explanation = lines.skip(1).map(|line| if line.is_empty() { "\n\n" } else { line });
        write!(page, "\n## {title}\n\n`--login {name}`. {}\n\n", explanation.collect::<Vec<_>>().join(" "))
            .unwrap();
        write!(page, "```toml\n{}\n```\n", sections.trim_end()).unwrap();
    }
    page
}

/// The recipes by title, as name and text.
fn recipes() -> Vec<(String, String)> {
    let mut recipes: Vec<(String, String)> = std::fs::read_dir(repository("logins"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    recipes.sort_by_key(|(_, text)| text.to_lowercase());
    recipes
}
