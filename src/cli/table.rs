//! Tables for a terminal: one line per row, whatever the cells contain.

use diagnostics::printable;

/// A longer cell shifts the rest of its own row only.
const MAX_COLUMN_WIDTH: usize = 64;

/// Formats rows under headings, each column as wide as its content.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let headings = headings.map(str::to_owned);
    let all: Vec<&[String; N]> = std::iter::once(&headings).chain(rows).collect();
    let widths: Vec<usize> = (0..N).map(|column| column_width(&all, column)).collect();
    all.iter().map(|row| line(row.as_slice(), &widths)).collect::<Vec<_>>().join("\n")
}

fn column_width<const N: usize>(rows: &[&[String; N]], column: usize) -> usize {
    let cells = rows.iter().filter_map(|row| row.get(column));
    let widths = cells.map(|cell| cell.chars().count()).filter(|width| *width <= MAX_COLUMN_WIDTH);
    widths.max().unwrap_or_default()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// Untrusted text as one cell: nothing in it moves the cursor, and text that could be read as two cells is quoted.
pub(super) fn cell(text: &str) -> String {
    if text.is_empty() || text.contains(is_separator) {
        printable(&format!("{text:?}"))
    } else {
        printable(text)
    }
}

fn is_separator(character: char) -> bool {
    character.is_whitespace() || character == '"'
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
    fn a_very_long_cell_shifts_only_its_own_row() {
        let long = "x".repeat(65);
        let rows = [["a".to_owned(), "1".to_owned()], [long.clone(), "2".to_owned()]];
        assert_eq!(table(["SUBJECT", "N"], &rows), format!("SUBJECT  N\na        1\n{long}  2"));
    }

    #[test]
    fn no_subject_can_make_its_row_look_like_another() {
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
