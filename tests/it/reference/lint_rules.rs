//! `docs/reference/lint-rules.md`, from the rules of `lint`.

use std::fmt::Write;

use templates::{Level, Rule};

use super::table_cell;

const HEAD: &str = "\
# Lint rules

`cosbroker policy lint` reports findings under these rules. An error keeps a template from being used. A warning does not:
what it reports is used, and is probably not what was meant. Letters in parentheses are those of
[the proof](../understand/proof.md). This page is generated from the code.

| rule | level | meaning | fix |
|---|---|---|---|
";

pub(super) fn page() -> String {
    let mut page = HEAD.to_owned();
    for rule in Rule::ALL {
        let reference = rule.reference();
        let levels: Vec<&str> = reference.levels.iter().map(|level| level_name(*level)).collect();
        writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            rule.name(),
            levels.join(", "),
            table_cell(reference.meaning),
            table_cell(reference.help)
        )
        .unwrap();
    }
    page
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
    }
}
