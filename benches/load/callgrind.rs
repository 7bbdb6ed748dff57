//! Callgrind's counts of instructions by function (valgrind's manual, "Callgrind Format Specification").

use std::{cmp::Reverse, collections::HashMap, fs, path::Path};

use crate::BenchError;

pub(crate) const CALLGRIND: [&str; 4] =
    ["valgrind", "--quiet", "--tool=callgrind", "--callgrind-out-file=callgrind.out"];
const COUNTS_FILE: &str = "callgrind.out";
/// Functions that take less, in thousandths, are not shown.
const MIN_SHOWN_THOUSANDTHS: u64 = 4;

/// Instructions of each function, without those that it calls.
#[derive(Debug)]
pub(crate) struct Profile(HashMap<String, u64>);

impl Profile {
    /// What was counted in a folder.
    pub(crate) fn read(dir: &Path) -> Result<Self, BenchError> {
        Ok(Self(own_costs(&fs::read_to_string(dir.join(COUNTS_FILE))?)))
    }

    /// What each of some requests takes, by which this counted more than `fewer`.
    pub(crate) fn per_request(self, fewer: &Self, requests: u64) -> Self {
        let before = |name: &str| fewer.0.get(name).copied().unwrap_or_default();
        let more = |(name, cost): (String, u64)| {
            let more = cost.saturating_sub(before(&name));
            (name, more / requests)
        };
        Self(self.0.into_iter().map(more).collect())
    }

    /// The instructions of all functions whose name has this word or, if not wanted, has it not.
    pub(crate) fn sum(&self, word: &str, wanted: bool) -> u64 {
        self.0.iter().filter(|(name, _)| name.contains(word) == wanted).map(|(_, cost)| cost).sum()
    }

    /// Prints the functions that take most.
    #[expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
    pub(crate) fn print(&self, what: &str) {
        let all: u64 = self.0.values().sum();
        let mut functions: Vec<_> =
            self.0.iter().filter(|(_, cost)| **cost * 1000 > all * MIN_SHOWN_THOUSANDTHS).collect();
        functions.sort_by_key(|(_, cost)| Reverse(**cost));
        println!("\n{all:>9}  instructions of {what}, of which:");
        for (name, cost) in functions {
            println!("{cost:>9}  {name}");
        }
    }
}

/// Instructions of each function without those it calls, from callgrind's file.
fn own_costs(profile: &str) -> HashMap<String, u64> {
    let (mut names, mut costs) = (HashMap::new(), HashMap::<String, u64>::new());
    let (mut function, mut is_of_call) = ("", false);
    for line in profile.lines() {
        if let Some(named) = line.strip_prefix("fn=") {
            function = name_of(named, &mut names);
        } else if let Some(named) = line.strip_prefix("cfn=") {
            name_of(named, &mut names);
        } else if line.starts_with("calls=") {
            is_of_call = true;
        } else if let Some(cost) = cost(line) {
            if !is_of_call {
                *costs.entry(function.to_owned()).or_default() += cost;
            }
            is_of_call = false;
        }
    }
    costs
}

/// The name of `(id) name`; where an id comes again, it is alone.
fn name_of<'a>(entry: &'a str, names: &mut HashMap<&'a str, &'a str>) -> &'a str {
    match entry.split_once(' ') {
        Some((id, name)) => {
            names.insert(id, name);
            name
        }
        None => names.get(entry).copied().unwrap_or_default(),
    }
}

/// The cost of a line such as `+3 17`: a place, and instructions.
fn cost(line: &str) -> Option<u64> {
    let (place, cost) = line.split_once(' ')?;
    let is_place = place.bytes().all(|byte| byte.is_ascii_digit() || b"+-*".contains(&byte));
    if is_place { cost.parse().ok() } else { None }
}
