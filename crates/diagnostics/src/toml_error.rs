//! Errors of the TOML reader, explained to the user who wrote the file.

use crate::nearest::nearest;

/// What is wrong, and how to fix it.
pub(crate) struct Explained {
    pub(crate) message: String,
    pub(crate) help: String,
}

/// What to do about a message of the TOML reader or of a standard type that contains the given text.
const HELP: [(&str, &str); 8] = [
    (
        "expected a sequence",
        "write a list, like [\"one\"]; a section that may stand several times is [[name]]",
    ),
    ("expected a map", "write a section, like [name], or a table"),
    (
        "expected a string",
        "put it in quotes: a name like \"text\", a duration like \"5m\", a size like \"256MiB\"",
    ),
    ("nonzero", "give a whole number from 1"),
    ("socket address", "write a numeric address and a port, like \"127.0.0.1:5000\""),
    ("IP address", "write a network, like \"10.0.0.0/8\""),
    ("missing field", "add it; config.example.toml and the templates in policies/ show how"),
    ("duplicate key", "it stands twice: keep one"),
];

const DEFAULT_HELP: &str = "config.example.toml and the templates in policies/ show how it is written";

pub(crate) fn explain(message: &str) -> Explained {
    let message = message.trim().replace('\n', " ");
    if let Some(unknown) = UnknownName::read(&message) {
        return unknown.explain();
    }
    let help = HELP.iter().find(|(part, _)| message.contains(part)).map_or(DEFAULT_HELP, |(_, help)| help);
    Explained { message, help: help.to_owned() }
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
