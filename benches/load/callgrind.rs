//! Callgrind's counts of instructions by function (valgrind's manual, "Callgrind Format Specification").

use std::{cmp::Reverse, collections::HashMap, fs, path::Path};

use crate::BenchError;

pub(crate) const CALLGRIND: [&str; 4] =
    ["valgrind", "--quiet", "--tool=callgrind", "--callgrind-out-file=callgrind.out"];
const COUNTS_FILE: &str = "callgrind.out";
/// Functions that take less, in thousandths, are not shown.
const MIN_SHOWN_THOUSANDTHS: i64 = 4;

/// Instructions of each function, without those that it calls, over a number of requests.
#[derive(Debug)]
pub(crate) struct Profile {
    costs: HashMap<String, i64>,
    requests: i64,
}

impl Profile {
    /// What was counted in a folder.
    pub(crate) fn read(dir: &Path, requests: u64) -> Result<Self, BenchError> {
        let costs = own_costs(&fs::read_to_string(dir.join(COUNTS_FILE))?)?;
        Ok(Self { costs, requests: requests.try_into()? })
    }

    /// Leaves out what fewer requests take as well.
    pub(crate) fn without(mut self, fewer: &Self) -> Self {
        for (name, cost) in &fewer.costs {
            *self.costs.entry(name.clone()).or_default() -= cost;
        }
        Self { requests: self.requests - fewer.requests, ..self }
    }

    /// The instructions, for each request, of the functions whose names are wanted.
    pub(crate) fn per_request(&self, is_wanted: impl Fn(&str) -> bool) -> u64 {
        let all: i64 = self.costs.iter().filter(|(name, _)| is_wanted(name)).map(|(_, cost)| cost).sum();
        u64::try_from(all / self.requests.max(1)).unwrap_or_default()
    }

    /// Prints the functions that take most.
    #[expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
    pub(crate) fn print(&self, what: &str) {
        let all: i64 = self.costs.values().sum();
        let mut functions: Vec<_> =
            self.costs.iter().filter(|(_, cost)| **cost * 1000 > all * MIN_SHOWN_THOUSANDTHS).collect();
        functions.sort_by_key(|(_, cost)| Reverse(**cost));
        println!("\n{:>9}  instructions of {what}, of which:", self.per_request(|_| true));
        for (name, cost) in functions {
            println!("{:>9}  {name}", cost / self.requests.max(1));
        }
    }
}

/// Instructions of each function without those it calls, from callgrind's file.
fn own_costs(profile: &str) -> Result<HashMap<String, i64>, BenchError> {
    let (mut names, mut costs) = (HashMap::new(), HashMap::<String, i64>::new());
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
                *costs.entry(function.to_owned()).or_default() += i64::try_from(cost)?;
            }
            is_of_call = false;
        }
    }
    Ok(costs)
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
