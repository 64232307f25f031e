//! Options of the flow table: words into values.

use std::time::Duration;

use forwarder_common::abi::Timeout;

use super::args::TableArgs;
use crate::{
    Error, Kind, Result,
    reconcile::{IDLE_TIMES, TableRequest},
};

/// Fewer ports than this serve nobody.
const LEAST_PORTS: u16 = 64;
/// Beyond this the maps of the table are larger than the kernel's limits for one map.
const MOST_FLOWS: u32 = 1 << 24;
/// The clock of the data path, jiffies in 32 bits, tells times apart up to 24 days at its fastest.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What the words ask for.
pub(in crate::cli::commands) fn request(args: &TableArgs) -> Result<TableRequest> {
    let TableArgs { nat_ports, max_flows, max_flows_per_ns, timeouts } = args;
    let mut request = TableRequest {
        nat_ports: nat_ports.as_deref().map(ports).transpose()?,
        max_flows: max_flows.as_deref().map(|text| flows("--max-flows", text)).transpose()?,
        max_flows_per_ns: max_flows_per_ns.as_deref().map(|text| flows("--max-flows-per-ns", text)).transpose()?,
        timeouts: Vec::new(),
    };
    for text in timeouts {
        let (which, seconds) = timeout(text)?;
        if request.timeouts.iter().any(|(known, _)| *known == which) {
            return Err(refused("--timeout", text, "it is given twice").remedy("give each idle time once"));
        }
        request.timeouts.push((which, seconds));
    }
    Ok(request)
}

fn refused(option: &str, text: &str, why: impl Into<String>) -> Error {
    Error::new(Kind::Usage, "use", format!("{option} {text}"), why)
}

/// `1024-29999`.
fn ports(text: &str) -> Result<(u16, u16)> {
    let refused = |why: String| {
        refused("--nat-ports", text, why).remedy("give the first and the last port, such as --nat-ports 1024-29999")
    };
    let port = |word: &str| match word.trim().parse::<u16>() {
        Ok(0) | Err(_) => Err(refused(format!("{word:?} is no port (1 to 65535)"))),
        Ok(port) => Ok(port),
    };
    let (first, last) = text.split_once('-').ok_or_else(|| refused("it is no range of ports".into()))?;
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err(refused(format!("{last} comes before {first}")));
    }
    match last - first {
        span if span < LEAST_PORTS - 1 => {
            Err(refused(format!("it has {} ports, and at least {LEAST_PORTS} are needed", span + 1)))
        }
        _ => Ok((first, last)),
    }
}

fn flows(option: &str, text: &str) -> Result<u32> {
    match text.parse() {
        Ok(flows @ 1..=MOST_FLOWS) => Ok(flows),
        _ => Err(refused(option, text, format!("it is no number from 1 to {MOST_FLOWS}"))
            .remedy(format!("give a number of flows, such as {option} 65536"))),
    }
}

/// `tcp-established=2h4m`.
fn timeout(text: &str) -> Result<(Timeout, u32)> {
    let refused = |why: String| refused("--timeout", text, why);
    let (name, time) = text
        .split_once('=')
        .ok_or_else(|| refused("it has no =".into()).remedy("give a name and a time, such as --timeout icmp=60s"))?;
    let idle = IDLE_TIMES.iter().find(|idle| idle.name == name).ok_or_else(|| {
        let names: Vec<_> = IDLE_TIMES.iter().map(|idle| idle.name).collect();
        refused(format!("there is no idle time {name:?}")).remedy(format!("one of {}", names.join(", ")))
    })?;
    let example = format!("give whole seconds, such as --timeout {name}=90s or --timeout {name}=2h4m");
    let time = humantime::parse_duration(time).map_err(|error| refused(error.to_string()).remedy(&*example))?;
    if time > LONGEST {
        return Err(refused("it is longer than 7 days".into()).remedy("give up to 7days"));
    }
    match u32::try_from(time.as_secs()) {
        Ok(seconds @ 1..) if time.subsec_nanos() == 0 => Ok((idle.which, seconds)),
        _ => Err(refused("it is no whole number of seconds above zero".into()).remedy(example)),
    }
}

#[cfg(test)]
mod tests {
    use super::{flows, ports, timeout};
    use crate::{Kind, Result, reconcile::IDLE_TIMES};

    #[track_caller]
    fn refused<T: std::fmt::Debug>(result: Result<T>, words: &[&str]) {
        let error = result.expect_err("it is refused");
        let remedy = error.remedy.clone().unwrap_or_else(|| panic!("no remedy: {error}"));
        let text = format!("{error}; {remedy}");
        assert_eq!(error.kind, Kind::Usage, "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{words:?} in {text}");
    }

    #[test]
    fn ranges_of_ports() {
        assert_eq!(ports("1024-29999").ok(), Some((1024, 29_999)));
        assert_eq!(ports("1-65535").ok(), Some((1, 65_535)));
        assert_eq!(ports("5000-5063").ok(), Some((5000, 5063)));
        refused(ports("5000-5062"), &["--nat-ports 5000-5062", "63 ports", "64"]);
        refused(ports("0-1000"), &["\"0\"", "no port"]);
        refused(ports("1024-65536"), &["65536", "no port"]);
        refused(ports("2000-1000"), &["1000 comes before 2000"]);
        refused(ports("1024"), &["no range", "--nat-ports 1024-29999"]);
        refused(ports("a-b"), &["\"a\""]);
    }

    #[test]
    fn numbers_of_flows() {
        assert_eq!(flows("--max-flows", "1000000").ok(), Some(1_000_000));
        for text in ["0", "-1", "many", "16777217", "4294967296"] {
            refused(flows("--max-flows", text), &["--max-flows", text, "16777216"]);
        }
    }

    #[test]
    fn idle_times() {
        for idle in IDLE_TIMES {
            assert_eq!(timeout(&format!("{}=2h4m", idle.name)).ok(), Some((idle.which, 7440)));
        }
        assert!(timeout("icmp=1s").is_ok());
        refused(timeout("icmp"), &["--timeout icmp", "no ="]);
        refused(timeout("tcp=1s"), &["\"tcp\"", "tcp-half-open", "other"]);
        refused(timeout("icmp=60"), &["icmp=60", "icmp=90s"]);
        refused(timeout("icmp=0s"), &["whole number"]);
        refused(timeout("icmp=1500ms"), &["whole number"]);
        refused(timeout("icmp=8days"), &["7 days"]);
        refused(timeout("icmp="), &["--timeout icmp="]);
    }
}
