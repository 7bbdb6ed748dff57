//! One page of a sorted list of keys, as COS pages them: by prefix, delimiter and marker (docs 436/7734).

use std::ops::Bound;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Keys that begin with this.
    pub(crate) prefix: String,
    /// Keys that have this after the prefix are told as one, up to it.
    pub(crate) delimiter: Option<String>,
    /// Keys after this one.
    pub(crate) marker: String,
    /// How many keys and common prefixes at most.
    pub(crate) most: usize,
}

/// What is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    /// Keys.
    pub(crate) entries: Vec<T>,
    /// What keys with the delimiter have in common.
    pub(crate) common_prefixes: Vec<String>,
    /// The marker of the next page, if there is one.
    pub(crate) next_marker: Option<String>,
}

impl Wanted {
    /// Where in a sorted map the keys begin that can be in the page.
    pub(super) fn from(&self) -> Bound<&str> {
        if self.marker < self.prefix {
            Bound::Included(self.prefix.as_str())
        } else {
            Bound::Excluded(self.marker.as_str())
        }
    }

    /// The page that sorted keys from [`Wanted::from`] on make.
    pub(super) fn page<'a, T>(&self, keys: impl Iterator<Item = (&'a str, T)>) -> Page<T> {
        let mut page = Page { entries: Vec::new(), common_prefixes: Vec::new(), next_marker: None };
        let mut last: Option<String> = None;
        for (key, entry) in keys.take_while(|(key, _)| key.starts_with(&self.prefix)) {
            let common = self.common_prefix(key);
            let told = common.unwrap_or(key);
            // A marker that is itself a common prefix stands for all the keys under it.
            let known = told <= self.marker.as_str() || last.as_deref() == Some(told);
            if common.is_some() && known {
                continue;
            }
            if page.entries.len() + page.common_prefixes.len() == self.most {
                page.next_marker = last;
                break;
            }
            last = Some(told.to_owned());
            match common {
                Some(common) => page.common_prefixes.push(common.to_owned()),
                None => page.entries.push(entry),
            }
        }
        page
    }

    fn common_prefix<'a>(&self, key: &'a str) -> Option<&'a str> {
        let delimiter = self.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty())?;
        let rest = key.strip_prefix(self.prefix.as_str())?;
        let end = self.prefix.len() + rest.find(delimiter)? + delimiter.len();
        key.get(..end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const KEYS: [&str; 7] = ["a/1", "a/2", "a/b/3", "a/b/4", "a/c/5", "a1", "b/6"];

    fn page(wanted: &Wanted) -> Page<String> {
        let keys = BTreeSet::from(KEYS);
        let range = keys.range::<str, _>((wanted.from(), Bound::Unbounded));
        wanted.page(range.map(|key| (*key, (*key).to_owned())))
    }

    fn wanted(prefix: &str, delimiter: Option<&str>, most: usize) -> Wanted {
        let delimiter = delimiter.map(str::to_owned);
        Wanted { prefix: prefix.to_owned(), delimiter, marker: String::new(), most }
    }

    #[test]
    fn a_folder_is_its_keys_and_its_folders() {
        let page = page(&wanted("a/", Some("/"), 1000));
        assert_eq!(page.entries, ["a/1", "a/2"]);
        assert_eq!(page.common_prefixes, ["a/b/", "a/c/"]);
        assert_eq!(page.next_marker, None);
    }

    #[test]
    fn a_prefix_is_of_the_key_not_of_the_folder() {
        assert_eq!(page(&wanted("a", None, 1000)).entries, &KEYS[..6]);
        assert_eq!(page(&wanted("", None, 1000)).entries, KEYS);
        assert_eq!(page(&wanted("c", None, 1000)).entries, Vec::<String>::new());
    }

    #[test]
    fn pages_of_any_size_tell_everything_once() {
        for delimiter in [None, Some("/"), Some("b/")] {
            let all = page(&wanted("a", delimiter, 1000));
            for most in 1..8 {
                let mut wanted = wanted("a", delimiter, most);
                let (mut entries, mut common) = (Vec::new(), Vec::new());
                loop {
                    let page = page(&wanted);
                    assert!(page.entries.len() + page.common_prefixes.len() <= most);
                    entries.extend(page.entries);
                    common.extend(page.common_prefixes);
                    let Some(marker) = page.next_marker else { break };
                    wanted.marker = marker;
                }
                assert_eq!((&entries, &common), (&all.entries, &all.common_prefixes), "{most}");
            }
        }
    }

    #[test]
    fn nothing_asked_for_is_nothing_told() {
        let page = page(&wanted("a", None, 0));
        assert_eq!((page.entries.len(), page.next_marker), (0, None));
    }
}
