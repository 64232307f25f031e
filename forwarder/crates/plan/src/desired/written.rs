//! Values of the flow table's options as people write them.

use std::time::Duration;

use super::{IDLE_TIMES, IdleTime};
use fwd_base::text;

/// Fewer ports than this serve nobody.
const LEAST_PORTS: u16 = 64;
/// Beyond this the maps of the table are larger than the kernel's limits for one map.
const MOST_FLOWS: u32 = 1 << 24;
/// The clock of the data path, jiffies in 32 bits, tells times apart up to 24 days at its fastest.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The NAT range: `1024-29999`.
///
/// # Errors
/// Why it is none, in words.
pub fn nat_ports(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text::ports(text)?;
    match last - first {
        span if span < LEAST_PORTS - 1 => {
            Err(format!("it has {} ports, and at least {LEAST_PORTS} are needed", span + 1))
        }
        _ => Ok((first, last)),
    }
}

/// A number of flows.
///
/// # Errors
/// It is out of range, in words.
pub fn flows(number: u64) -> Result<u32, String> {
    match u32::try_from(number) {
        Ok(flows @ 1..=MOST_FLOWS) => Ok(flows),
        _ => Err(format!("it is no number from 1 to {MOST_FLOWS}")),
    }
}

/// The idle time of this name.
///
/// # Errors
/// There is none, in words.
pub fn idle_time(name: &str) -> Result<IdleTime, String> {
    let found = IDLE_TIMES.into_iter().find(|idle| idle.name == name);
    found.ok_or_else(|| format!("there is no idle time {name:?}"))
}

/// Seconds of an idle time: `90s`, `2h4m`.
///
/// # Errors
/// Why it is no such time, in words.
pub fn idle_seconds(text: &str) -> Result<u32, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time > LONGEST {
        return Err("it is longer than 7 days".into());
    }
    match u32::try_from(time.as_secs()) {
        Ok(seconds @ 1..) if time.subsec_nanos() == 0 => Ok(seconds),
        _ => Err("it is no whole number of seconds above zero".into()),
    }
}
