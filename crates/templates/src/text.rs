//! Text with variables in it, parsed once: `"users/${sub}/"` is a literal, a variable, a literal.
//!
//! Values are put between literals of a parsed tree; their text is never parsed again.

use super::variable::{Subject, Variable};

/// Literal text and variables, in order; no two literals stand side by side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Text(Vec<Piece>);

/// One part of a [`Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Itself.
    Literal(String),
    /// A value of the identity.
    Variable(Variable),
}

impl Text {
    /// Parses a template's string. `${home}` stands for `home`'s own pieces, where there is one.
    ///
    /// # Errors
    /// What is wrong, and the mend.
    pub(super) fn parse(text: &str, home: Option<&Self>) -> Result<Self, (String, String)> {
        let mut parsed = Self::default();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once("${") {
            parsed.push_literal(literal)?;
            let (inside, next) = after.split_once('}').ok_or_else(|| {
                (format!("`${{{after}` is never closed"), "end the variable with `}`".to_owned())
            })?;
            match (inside, home) {
                ("home", Some(home)) => parsed.append(home.clone()),
                ("home", None) => {
                    return Err((
                        "`${home}` cannot stand in the home itself".to_owned(),
                        "write the home out".to_owned(),
                    ));
                }
                _ => parsed.0.push(Piece::Variable(Variable::parse(inside)?)),
            }
            rest = next;
        }
        parsed.push_literal(rest)?;
        Ok(parsed)
    }

    fn push_literal(&mut self, literal: &str) -> Result<(), (String, String)> {
        if let Some(stray) = literal.chars().find(|c| "${}".contains(*c)) {
            return Err((
                format!("`{stray}` stands outside a variable"),
                "write variables as ${sub}; no other `$`, `{` or `}` is taken".to_owned(),
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

    /// Its parts.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The text itself, if it holds no variable.
    pub(super) fn as_literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// What follows `prefix`, if this text begins with it for every identity.
    pub(super) fn strip_prefix(&self, prefix: &Self) -> Option<Self> {
        let mut rest = self.0.iter();
        let mut wanted = prefix.0.iter().peekable();
        while let Some(piece) = wanted.next() {
            match (piece, rest.next()?) {
                (Piece::Variable(a), Piece::Variable(b)) if a == b => {}
                (Piece::Literal(a), Piece::Literal(b)) if a == b => {}
                (Piece::Literal(a), Piece::Literal(b)) if wanted.peek().is_none() => {
                    let mut tail = vec![Piece::Literal(b.strip_prefix(a.as_str())?.to_owned())];
                    tail.extend(rest.cloned());
                    return Some(Self(tail));
                }
                _ => return None,
            }
        }
        Some(Self(rest.cloned().collect()))
    }

    /// The text with each variable replaced by what `fill` gives, every part passed through `escape`.
    ///
    /// # Errors
    /// The first one of `fill`.
    pub(super) fn write<E>(
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

    /// What its variables read.
    pub(super) fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.variables().map(|variable| &variable.subject)
    }

    /// Its variables, in order.
    pub(super) fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(variable) => Some(variable),
            Piece::Literal(_) => None,
        })
    }

    /// The text with a plain letter for each variable.
    pub(super) fn shape(&self) -> String {
        let Ok(shape) = self.write(|_| Ok::<_, std::convert::Infallible>("v".to_owned()), str::to_owned);
        shape
    }

    /// The most bytes this text can render to.
    pub(super) fn longest(&self) -> usize {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Literal(literal) => literal.len(),
                Piece::Variable(variable) => variable.encoding.longest(),
            })
            .sum()
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

    fn text(source: &str) -> Text {
        let home = Text::parse("users/${sub}/", None).unwrap();
        Text::parse(source, Some(&home)).unwrap()
    }

    #[test]
    fn a_text_written_back_is_what_was_parsed() {
        for source in ["", "a", "${sub}", "a/${sub|hex}/b", "${claim.x.y}${iss|sha256}"] {
            assert_eq!(text(source).to_string(), source);
        }
        assert_eq!(text("${home}*").to_string(), "users/${sub}/*");
    }

    #[test]
    fn the_home_spelt_out_is_the_home() {
        assert_eq!(text("users/${sub}/*"), text("${home}*"));
    }

    #[test]
    fn a_prefix_is_whole_and_the_same_for_everyone() {
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
    fn what_is_not_a_variable_is_refused_with_a_mend() {
        for source in ["${", "${sub", "$sub", "{sub}", "a}b", "${}", "${sub }", "${${sub}}"] {
            assert!(Text::parse(source, None).is_err(), "{source}");
        }
    }

    #[test]
    fn a_value_is_never_parsed_again() {
        let identity = Identity::for_tests("i", "${iss}", &[]);
        let render = |source: &str| text(source).write(|variable| variable.render(&identity), str::to_owned);
        assert!(render("${sub}").is_err());
        assert_eq!(render("${sub|hex}").unwrap(), format!("_hex_{}", hex::encode("${iss}")));
    }
}
