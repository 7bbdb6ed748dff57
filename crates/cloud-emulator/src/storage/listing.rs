//! One page of a sorted list of keys, by prefix, delimiter and marker as in COS (docs 436/7734).

use std::ops::Bound;

/// Which keys a list request wants.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListQuery {
    pub(crate) prefix: String,
    /// Keys with this text after the prefix are grouped into a common prefix that ends with it.
    pub(crate) delimiter: Option<String>,
    /// The page starts after this key.
    pub(crate) marker: String,
    /// The maximum number of keys and common prefixes together.
    pub(crate) max_entries: usize,
}

/// One page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    pub(crate) entries: Vec<T>,
    pub(crate) common_prefixes: Vec<String>,
    /// The marker of the next page; `None` on the last page.
    pub(crate) next_marker: Option<String>,
}

impl ListQuery {
    /// Returns where the page's keys start in a sorted map.
    pub(super) fn start(&self) -> Bound<&str> {
        if self.marker < self.prefix {
            Bound::Included(self.prefix.as_str())
        } else {
            Bound::Excluded(self.marker.as_str())
        }
    }

    /// Returns the page of these sorted keys, which begin at [`ListQuery::start`].
    pub(super) fn page<'a, T>(&self, keys: impl Iterator<Item = (&'a str, T)>) -> Page<T> {
        let mut page = Page { entries: Vec::new(), common_prefixes: Vec::new(), next_marker: None };
        let mut last: Option<String> = None;
        for (key, entry) in keys.take_while(|(key, _)| key.starts_with(&self.prefix)) {
            let common_prefix = self.common_prefix(key);
            let name = common_prefix.unwrap_or(key);
            // A marker that is a common prefix stands for all keys below it.
            let is_listed = name <= self.marker.as_str() || last.as_deref() == Some(name);
            if common_prefix.is_some() && is_listed {
                continue;
            }
            if page.entries.len() + page.common_prefixes.len() == self.max_entries {
                page.next_marker = last;
                break;
            }
            last = Some(name.to_owned());
            match common_prefix {
                Some(common_prefix) => page.common_prefixes.push(common_prefix.to_owned()),
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

    fn page(query: &ListQuery) -> Page<String> {
        let keys = BTreeSet::from(KEYS);
        let range = keys.range::<str, _>((query.start(), Bound::Unbounded));
        query.page(range.map(|key| (*key, (*key).to_owned())))
    }

    fn query(prefix: &str, delimiter: Option<&str>, max_entries: usize) -> ListQuery {
        let delimiter = delimiter.map(str::to_owned);
        ListQuery { prefix: prefix.to_owned(), delimiter, marker: String::new(), max_entries }
    }

    #[test]
    fn with_a_delimiter_a_folder_has_its_keys_and_its_subfolders() {
        let page = page(&query("a/", Some("/"), 1000));
        assert_eq!(page.entries, ["a/1", "a/2"]);
        assert_eq!(page.common_prefixes, ["a/b/", "a/c/"]);
        assert_eq!(page.next_marker, None);
    }

    #[test]
    fn a_prefix_may_end_inside_a_folder_name() {
        assert_eq!(page(&query("a", None, 1000)).entries, &KEYS[..6]);
        assert_eq!(page(&query("", None, 1000)).entries, KEYS);
        assert_eq!(page(&query("c", None, 1000)).entries, Vec::<String>::new());
    }

    #[test]
    fn pages_of_any_size_list_everything_once() {
        for delimiter in [None, Some("/"), Some("b/")] {
            let all = page(&query("a", delimiter, 1000));
            for max_entries in 1..8 {
                let mut query = query("a", delimiter, max_entries);
                let (mut entries, mut common) = (Vec::new(), Vec::new());
                loop {
                    let page = page(&query);
                    assert!(page.entries.len() + page.common_prefixes.len() <= max_entries);
                    entries.extend(page.entries);
                    common.extend(page.common_prefixes);
                    let Some(marker) = page.next_marker else { break };
                    query.marker = marker;
                }
                assert_eq!((&entries, &common), (&all.entries, &all.common_prefixes), "{max_entries}");
            }
        }
    }

    #[test]
    fn a_page_of_zero_entries_is_empty_and_the_last() {
        let page = page(&query("a", None, 0));
        assert_eq!((page.entries.len(), page.next_marker), (0, None));
    }
}
