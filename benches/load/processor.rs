//! Processor time of a process. Linux only: it is read from `/proc`.

use std::{
    fs,
    ops::{Add, Div, Sub},
    time::Duration,
};

use crate::BenchError;

/// Linux counts processor time in hundredths of a second, whatever its own clock (`man 5 proc`, `USER_HZ`).
const UNIT: Duration = Duration::from_millis(10);

/// What a process has used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ProcessorTime {
    /// In the process itself.
    pub(crate) own: Duration,
    /// In the kernel on its behalf.
    pub(crate) kernel: Duration,
}

impl ProcessorTime {
    /// Reads what a process has used so far: fields 14 and 15. Field 2, the name, may hold spaces.
    pub(crate) fn of(process: u32) -> Result<Self, BenchError> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let (_, behind_name) = stat.rsplit_once(')').ok_or("no name")?;
        let mut ticks = behind_name.split_whitespace().skip(11).map(str::parse::<u32>);
        let mut next = || ticks.next().ok_or("no processor time");
        Ok(Self { own: UNIT * next()??, kernel: UNIT * next()?? })
    }

    pub(crate) fn all(self) -> Duration {
        self.own + self.kernel
    }
}

impl Add for ProcessorTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { own: self.own + other.own, kernel: self.kernel + other.kernel }
    }
}

impl Sub for ProcessorTime {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { own: self.own.saturating_sub(other.own), kernel: self.kernel.saturating_sub(other.kernel) }
    }
}

impl Div<u32> for ProcessorTime {
    type Output = Self;

    fn div(self, parts: u32) -> Self {
        Self { own: self.own / parts, kernel: self.kernel / parts }
    }
}
