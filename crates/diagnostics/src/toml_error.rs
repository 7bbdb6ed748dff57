//! Errors of the TOML reader, explained to the user who wrote the file.

use crate::nearest::nearest;

/// What is wrong, and how to fix it.
pub(crate) struct Explained {
    pub(crate) message: String,
    pub(crate) help: String,
}

/// What to do about a message of the TOML reader or of a standard type that contains the given text.
const HELP: [(&str, &str); 9] = [
    (
        "expected a sequence",
        "write a list, like [\"one\"]; a section that may stand several times is [[name]]",
    ),
    ("expected a map", "write a section, like [name], or a table"),
    (
        "expected a string",
        "put it in quotes: a name like \"text\", a duration like \"5m\", a size like \"256MiB\"",
    ),
    (WHOLE_NUMBER, "write it in digits and without quotes, like 10"),
    ("is not an IP address with a port", "write it like \"127.0.0.1:5000\""),
    ("socket address", "write a numeric address and a port, like \"127.0.0.1:5000\""),
    ("IP address or network", "write a network, like \"10.0.0.0/8\""),
    ("missing field", "add it; config.example.toml and the templates in policies/ show how"),
    ("duplicate key", "it stands twice: keep one"),
];

/// What users call the number types of Rust.
const WHOLE_NUMBER: &str = "a whole number";
const NUMBER_TYPES: [&str; 9] = ["usize", "u64", "u32", "u16", "u8", "i64", "i32", "i16", "i8"];

/// What the standard library says of a text without repeating it, and what is said of the text instead.
const NOT_REPEATED: [(&str, &str); 2] = [
    ("invalid socket address syntax", "is not an IP address with a port"),
    ("invalid IP address syntax", "is not an IP address or network"),
];

const DEFAULT_HELP: &str = "config.example.toml and the templates in policies/ show how it is written";

/// Explains a message of the TOML reader about what is `written` there.
pub(crate) fn explain(message: &str, written: &str) -> Explained {
    let message = in_plain_words(message.trim(), written);
    if let Some(unknown) = UnknownName::read(&message) {
        return unknown.explain();
    }
    // `InvalidQuantity` has its own help.
    if let Some((message, example)) = message.rsplit_once("; write it like ") {
        return Explained { message: message.to_owned(), help: format!("write it like {example}") };
    }
    let help = HELP.iter().find(|(part, _)| message.contains(part)).map_or(DEFAULT_HELP, |(_, help)| help);
    Explained { message, help: help.to_owned() }
}

fn in_plain_words(message: &str, written: &str) -> String {
    if let Some((_, fault)) = NOT_REPEATED.iter().find(|(said, _)| *said == message) {
        return format!("`{}` {fault}", written.trim_matches(['"', '\'']));
    }
    NUMBER_TYPES.iter().fold(message.replace('\n', " "), |message, kind| {
        let message = message.replace(&format!("a nonzero {kind}"), &format!("{WHOLE_NUMBER} from 1"));
        message.replace(&format!("expected {kind}"), &format!("expected {WHOLE_NUMBER}"))
    })
}

/// The parts of serde's "unknown field `x`, expected one of `a`, `b`".
struct UnknownName<'a> {
    kind: &'static str,
    written: &'a str,
    known: Vec<&'a str>,
}

impl<'a> UnknownName<'a> {
    fn read(message: &'a str) -> Option<Self> {
        let (kind, rest) = [("key", "unknown field "), ("value", "unknown variant ")]
            .into_iter()
            .find_map(|(kind, start)| Some((kind, message.strip_prefix(start)?)))?;
        let mut quoted = rest.split('`').skip(1).step_by(2);
        Some(Self { kind, written: quoted.next()?, known: quoted.collect() })
    }

    fn explain(self) -> Explained {
        let message = format!("unknown {} `{}`", self.kind, self.written);
        let help = match nearest(self.written, self.known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", self.known.join(", ")),
        };
        Explained { message, help }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_in_the_words_of_users_and_repeat_what_is_written() {
        for (message, written, explained) in [
            (
                "invalid type: string \"10\", expected a nonzero u32",
                "\"10\"",
                "invalid type: string \"10\", expected a whole number from 1; write it in digits and without quotes, like 10",
            ),
            (
                "invalid value: integer `-1`, expected u16",
                "-1",
                "invalid value: integer `-1`, expected a whole number; write it in digits and without quotes, like 10",
            ),
            (
                "invalid socket address syntax",
                "\"localhost:5000\"",
                "`localhost:5000` is not an IP address with a port; write it like \"127.0.0.1:5000\"",
            ),
            (
                "invalid IP address syntax",
                "\"10.0.0.0/33\"",
                "`10.0.0.0/33` is not an IP address or network; write a network, like \"10.0.0.0/8\"",
            ),
            (
                "`3d` is not a duration; write it like \"30m\"",
                "\"3d\"",
                "`3d` is not a duration; write it like \"30m\"",
            ),
        ] {
            let Explained { message, help } = explain(message, written);
            assert_eq!(format!("{message}; {help}"), explained);
        }
    }
}
