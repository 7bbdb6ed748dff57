//! The questions of `cosbroker init` on a terminal. An empty answer takes what stands in brackets.

use std::io::{self, BufRead, Write};

/// How often a question is asked again after an answer that cannot be.
const MAX_TRIES: usize = 3;

/// Asks questions, and reads the answers line by line.
pub(super) struct Questions<I, O> {
    input: I,
    output: O,
}

impl<I: BufRead, O: Write> Questions<I, O> {
    pub(super) fn new(input: I, output: O) -> Self {
        Self { input, output }
    }

    /// Asks a question until the answer passes the check, which says what is wrong with it.
    ///
    /// # Errors
    /// If the answers end, or none of several can be.
    pub(super) fn ask(
        &mut self,
        question: &str,
        default: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> anyhow::Result<String> {
        for _ in 0..MAX_TRIES {
            let answer = self.read(question, default)?;
            match check(&answer) {
                Ok(()) => return Ok(answer),
                Err(problem) => writeln!(self.output, "  {problem}")?,
            }
        }
        anyhow::bail!("nothing was written: no answer to `{question}` can be; give it as a flag, see --help")
    }

    fn read(&mut self, question: &str, default: &str) -> io::Result<String> {
        write!(self.output, "{question} [{default}] ")?;
        self.output.flush()?;
        let mut line = String::new();
        if self.input.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let answer = line.trim();
        Ok(if answer.is_empty() { default } else { answer }.to_owned())
    }
}

/// Accepts every answer that is one.
pub(super) fn any(answer: &str) -> Result<(), String> {
    if answer.is_empty() { Err("write something".to_owned()) } else { Ok(()) }
}

/// Accepts the full name of a bucket.
pub(super) fn bucket(answer: &str) -> Result<(), String> {
    let number = answer.rsplit_once('-').map(|(_, number)| number).unwrap_or_default();
    let is_full = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_full.then_some(()).ok_or_else(|| {
        "write the bucket's full name, with the number of the account, like examplebucket-1250000000"
            .to_owned()
    })
}

/// Accepts the origin of a web page, or nothing.
pub(super) fn page(answer: &str) -> Result<(), String> {
    let is_origin = url::Url::parse(answer).is_ok_and(|url| url.origin().ascii_serialization() == answer);
    (answer.is_empty() || is_origin)
        .then_some(())
        .ok_or_else(|| "write scheme and host only, like https://app.example.com, or nothing".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(answers: &str) -> (anyhow::Result<String>, String) {
        let mut output = Vec::new();
        let answer = Questions::new(answers.as_bytes(), &mut output).ask("Bucket?", "b-1", bucket);
        (answer, String::from_utf8(output).unwrap())
    }

    #[test]
    fn an_empty_answer_takes_the_default_and_a_wrong_one_is_asked_again() {
        assert_eq!(ask("\n").0.unwrap(), "b-1");
        let (answer, shown) = ask("photos\n photos-125 \n");
        assert_eq!(answer.unwrap(), "photos-125");
        assert!(
            shown.contains("Bucket? [b-1] ") && shown.contains("write the bucket's full name"),
            "{shown}"
        );
        assert!(ask("a\nb\nc\nphotos-1\n").0.unwrap_err().to_string().contains("give it as a flag"));
        assert!(ask("").0.is_err(), "no more answers");
    }

    #[test]
    fn a_page_is_an_origin_or_nothing() {
        for (answer, is_fine) in [
            ("", true),
            ("https://app.example.com", true),
            ("app.example.com", false),
            ("https://a.example/x", false),
        ] {
            assert_eq!(page(answer).is_ok(), is_fine, "{answer}");
        }
    }
}
