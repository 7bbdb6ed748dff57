//! Template names, which are file names without `.toml`.

use std::path::Path;

use crate::advice::Advice;

/// The suffix of a shadow template's name: `<name>.next.toml`.
const SHADOW_SUFFIX: &str = ".next";

const MAX_NAME_BYTES: usize = 64;

/// The name of a template file, without `.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileName<'a>(&'a str);

impl<'a> FileName<'a> {
    /// Takes the name from a path. A name that is not UTF-8 counts as empty, which [`FileName::check`] refuses.
    pub(crate) fn of(path: &'a Path) -> Self {
        Self(path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default())
    }

    pub(crate) fn as_str(&self) -> &'a str {
        self.0
    }

    /// Returns the name of the serving template, if this file is its shadow.
    pub(crate) fn shadow_of(&self) -> Option<&'a str> {
        self.0.strip_suffix(SHADOW_SUFFIX)
    }

    /// Checks that the name can be part of a URL.
    pub(crate) fn check(&self) -> Result<(), Advice> {
        let name = self.shadow_of().unwrap_or(self.0);
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !name.is_empty() && name.len() <= MAX_NAME_BYTES && is_plain {
            return Ok(());
        }
        Err(Advice::new(
            format!("`{}` cannot be a template's name", self.0),
            "name the file with 1 to 64 letters, digits, `-` and `_`: the name stands in URLs",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shadow_is_named_after_its_template() {
        for (path, name, base) in [
            ("policies/upload.toml", "upload", None),
            ("policies/upload.next.toml", "upload.next", Some("upload")),
            ("next.toml", "next", None),
        ] {
            let file = FileName::of(Path::new(path));
            assert_eq!((file.as_str(), file.shadow_of()), (name, base), "{path}");
            assert_eq!(file.check(), Ok(()), "{path}");
        }
        for path in [".next.toml", "a b.toml", "a.b.toml", "a.next.next.toml", ""] {
            assert!(FileName::of(Path::new(path)).check().is_err(), "{path}");
        }
    }
}
