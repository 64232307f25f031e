//! What else the machine does meanwhile.

use std::fs;

/// Times of all CPUs, and the load, when a run begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct HostLoad {
    times: Option<Times>,
    load: f64,
}

/// Since the machine started, in ticks (proc_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    all: u64,
    stolen: u64,
}

impl HostLoad {
    /// Reads them.
    #[must_use]
    pub(super) fn now() -> Self {
        let load = fs::read_to_string("/proc/loadavg").ok();
        let load = load.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or_default();
        Self { times: times(), load }
    }

    /// Share of the time since then that the hypervisor gave to others, 0 to 1.
    #[must_use]
    pub(super) fn steal_since(&self) -> f64 {
        let (Some(before), Some(after)) = (self.times, times()) else { return 0.0 };
        let all = after.all.saturating_sub(before.all);
        if all == 0 { 0.0 } else { after.stolen.saturating_sub(before.stolen) as f64 / all as f64 }
    }

    /// Processes that ran or wanted to, mean of the minute before.
    #[must_use]
    pub(super) fn load(&self) -> f64 {
        self.load
    }
}

fn times() -> Option<Times> {
    parse(&fs::read_to_string("/proc/stat").ok()?)
}

/// The line of all CPUs: user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of user and nice.
fn parse(stat: &str) -> Option<Times> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).take(8).collect();
    Some(Times { all: ticks.iter().sum(), stolen: ticks.get(7).copied()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_time_and_guests_are_not_counted_twice() {
        let stat = "cpu  10 20 30 40 50 60 70 80 1000 1000\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(parse(stat), Some(Times { all: 360, stolen: 80 }));
        assert_eq!(parse("cpu  1 2 3"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn this_machine_tells() {
        let load = HostLoad::now();
        assert!(load.times.is_some_and(|times| times.all > 0));
        assert!((0.0..=1.0).contains(&load.steal_since()));
    }
}
