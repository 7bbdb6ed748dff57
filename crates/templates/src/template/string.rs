//! A string with variables, parsed once: `"users/${sub}/"` is a literal, a variable and a literal.
//!
//! Values are inserted into the parsed form. Their text is never parsed again.

use std::{convert::Infallible, fmt};

use super::variable::{ClaimRef, Variable};
use crate::{advice::Advice, claim_path::split_once_unquoted};

/// Literals and variables, in order. No two literals are adjacent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TemplateString(Vec<Piece>);

/// One part of a [`TemplateString`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Literal(String),
    Variable(Variable),
}

impl TemplateString {
    /// Parses a template's string. If `home` is given, `${home}` is replaced by its pieces.
    pub(crate) fn parse(text: &str, home: Option<&Self>) -> Result<Self, Advice> {
        let mut parsed = Self::default();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once("${") {
            parsed.push_literal(literal)?;
            let Some((inside, next)) = split_once_unquoted(after, '}') else {
                return Err(Advice::new(
                    format!("`${{{after}` is never closed"),
                    "end the variable with `}`, outside of quotes",
                ));
            };
            match (inside, home) {
                ("home", Some(home)) => parsed.append(home.clone()),
                ("home", None) => {
                    return Err(Advice::new(
                        "`${home}` cannot stand in the home itself",
                        "write the home out",
                    ));
                }
                _ => parsed.0.push(Piece::Variable(Variable::parse(inside)?)),
            }
            rest = next;
        }
        parsed.push_literal(rest)?;
        Ok(parsed)
    }

    fn push_literal(&mut self, literal: &str) -> Result<(), Advice> {
        if let Some(stray) = literal.chars().find(|c| "${}".contains(*c)) {
            return Err(Advice::new(
                format!("`{stray}` stands outside a variable"),
                "write variables as ${sub}; no other `$`, `{` or `}` is allowed",
            ));
        }
        if !literal.is_empty() {
            self.append(Self(vec![Piece::Literal(literal.to_owned())]));
        }
        Ok(())
    }

    fn append(&mut self, other: Self) {
        for piece in other.0 {
            match (self.0.last_mut(), piece) {
                (Some(Piece::Literal(last)), Piece::Literal(more)) => last.push_str(&more),
                (_, piece) => self.0.push(piece),
            }
        }
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// Returns the text, if it has no variable.
    pub(crate) fn as_literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns what follows `prefix`, if this string begins with it for every identity.
    pub(crate) fn strip_prefix(&self, prefix: &Self) -> Option<Self> {
        let mut rest = self.0.iter();
        let mut expected = prefix.0.iter().peekable();
        while let Some(piece) = expected.next() {
            match (piece, rest.next()?) {
                (Piece::Variable(a), Piece::Variable(b)) if a == b => {}
                (Piece::Literal(a), Piece::Literal(b)) if a == b => {}
                (Piece::Literal(a), Piece::Literal(b)) if expected.peek().is_none() => {
                    let mut tail = vec![Piece::Literal(b.strip_prefix(a.as_str())?.to_owned())];
                    tail.extend(rest.cloned());
                    return Some(Self(tail));
                }
                _ => return None,
            }
        }
        Some(Self(rest.cloned().collect()))
    }

    /// Replaces each variable by the value that `fill` returns, and passes every part through `escape`.
    ///
    /// # Errors
    /// The first error of `fill`.
    pub(crate) fn render<E>(
        &self,
        fill: impl Fn(&Variable) -> Result<String, E>,
        escape: impl Fn(&str) -> String,
    ) -> Result<String, E> {
        self.0.iter().try_fold(String::new(), |mut text, piece| {
            match piece {
                Piece::Literal(literal) => text.push_str(&escape(literal)),
                Piece::Variable(variable) => text.push_str(&escape(&fill(variable)?)),
            }
            Ok(text)
        })
    }

    /// Iterates over the claims that the variables read.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &ClaimRef> {
        self.variables().map(|variable| &variable.claim)
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(variable) => Some(variable),
            Piece::Literal(_) => None,
        })
    }

    /// Returns the text with the letter `v` for each variable, to check how it is spelt.
    pub(crate) fn with_placeholders(&self) -> String {
        let Ok(text) = self.render(|_| Ok::<_, Infallible>("v".to_owned()), str::to_owned);
        text
    }

    /// Returns the maximum length of a rendering, in bytes.
    pub(crate) fn max_len(&self) -> usize {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Literal(literal) => literal.len(),
                Piece::Variable(variable) => variable.encoding.max_len(),
            })
            .sum()
    }
}

impl fmt::Display for TemplateString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Literal(literal) => f.write_str(literal),
            Piece::Variable(variable) => write!(f, "{variable}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn text(source: &str) -> TemplateString {
        let home = TemplateString::parse("users/${sub}/", None).unwrap();
        TemplateString::parse(source, Some(&home)).unwrap()
    }

    #[test]
    fn a_parsed_string_prints_as_it_was_written() {
        for source in [
            "",
            "a",
            "${sub}",
            "a/${sub|hex}/b",
            "${claim.x.y}${iss|sha256}",
            "t/${claim.\"custom:tenant\"}/",
            "${claim.\"https://a.example/}|${b\".\"x y\"|escape}z",
        ] {
            assert_eq!(text(source).to_string(), source);
        }
        assert_eq!(text("${home}*").to_string(), "users/${sub}/*");
    }

    #[test]
    fn a_home_written_out_equals_the_home_variable() {
        assert_eq!(text("users/${sub}/*"), text("${home}*"));
    }

    #[test]
    fn a_prefix_is_stripped_only_if_it_is_one_for_every_identity() {
        let home = text("${home}");
        let rest = |source: &str| text(source).strip_prefix(&home).map(|rest| rest.to_string());
        assert_eq!(rest("${home}*"), Some("*".to_owned()));
        assert_eq!(rest("${home}"), Some(String::new()));
        assert_eq!(rest("${home}a/${claim.x}/*"), Some("a/${claim.x}/*".to_owned()));
        for other in
            ["users/${sub}*", "users/*", "users/${sub|hex}/*", "*", "x${home}*", "users/${claim.sub}/*"]
        {
            assert_eq!(rest(other), None, "{other}");
        }
    }

    #[test]
    fn a_malformed_variable_is_refused() {
        for source in ["${", "${sub", "$sub", "{sub}", "a}b", "${}", "${sub }", "${${sub}}", "${claim.\"a}"] {
            assert!(TemplateString::parse(source, None).is_err(), "{source}");
        }
    }

    #[test]
    fn a_value_is_never_parsed_again() {
        let identity = Identity::for_tests("i", "${iss}", &[]);
        let render = |source: &str| text(source).render(|variable| variable.render(&identity), str::to_owned);
        assert!(render("${sub}").is_err());
        assert_eq!(render("${sub|hex}").unwrap(), format!("_hex_{}", hex::encode("${iss}")));
    }
}
