//! Rows for a terminal, one line each, whatever people are called.

use diagnostics::printable;

/// A longer cell pushes what follows it to the right, in its own row only.
const WIDEST: usize = 64;

/// Columns under their headings, as wide as what stands in them.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let headings = headings.map(str::to_owned);
    let all: Vec<&[String; N]> = std::iter::once(&headings).chain(rows).collect();
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        let widths = cells.map(|cell| cell.chars().count()).filter(|width| *width <= WIDEST);
        widths.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &&[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Text that somebody else chose, as one cell: nothing in it moves the cursor, and what could be taken for
/// two cells is quoted.
pub(super) fn cell(text: &str) -> String {
    let runs_on = |c: char| c.is_whitespace() || c == '"';
    if text.is_empty() || text.contains(runs_on) { printable(&format!("{text:?}")) } else { printable(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_the_last_is_not_padded() {
        let rows = [["a".to_owned(), "users/a/".to_owned()], ["用户".to_owned(), "x".to_owned()]];
        assert_eq!(table(["SUBJECT", "PREFIX"], &rows), "SUBJECT  PREFIX\na        users/a/\n用户       x");
    }

    #[test]
    fn a_very_long_name_stands_out_of_its_own_row_only() {
        let long = "x".repeat(65);
        let rows = [["a".to_owned(), "1".to_owned()], [long.clone(), "2".to_owned()]];
        assert_eq!(table(["SUBJECT", "N"], &rows), format!("SUBJECT  N\na        1\n{long}  2"));
    }

    #[test]
    fn nobody_is_called_so_that_a_row_looks_like_another() {
        for (subject, shown) in [
            ("alice", "alice"),
            ("auth0|1", "auth0|1"),
            ("", "\"\""),
            ("alice  upload", "\"alice  upload\""),
            ("a\u{3000}b", "\"a\\u{3000}b\""),
            ("a\nbob", "\"a\\nbob\""),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("\"alice\"", "\"\\\"alice\\\"\""),
        ] {
            assert_eq!(cell(subject), shown);
        }
    }
}
