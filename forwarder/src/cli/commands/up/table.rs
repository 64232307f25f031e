//! Options of the flow table: words into values.

use forwarder_common::abi::Timeout;

use super::args::TableArgs;
use crate::{
    Error, Kind, Result,
    reconcile::{IDLE_TIMES, TableRequest, written},
};

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
    let remedy = "give the first and the last port, such as --nat-ports 1024-29999";
    written::nat_ports(text).map_err(|why| refused("--nat-ports", text, why).remedy(remedy))
}

fn flows(option: &str, text: &str) -> Result<u32> {
    let remedy = || format!("give a number of flows, such as {option} 65536");
    written::flows(text.parse().unwrap_or(0)).map_err(|why| refused(option, text, why).remedy(remedy()))
}

/// `tcp-established=2h4m`.
fn timeout(text: &str) -> Result<(Timeout, u32)> {
    let refused = |why: String| refused("--timeout", text, why);
    let (name, time) = text
        .split_once('=')
        .ok_or_else(|| refused("it has no =".into()).remedy("give a name and a time, such as --timeout icmp=60s"))?;
    let idle = written::idle_time(name).map_err(|why| {
        let names: Vec<_> = IDLE_TIMES.iter().map(|idle| idle.name).collect();
        refused(why).remedy(format!("one of {}", names.join(", ")))
    })?;
    let example = format!("give whole seconds up to 7days, such as --timeout {name}=90s or --timeout {name}=2h4m");
    let seconds = written::idle_seconds(time).map_err(|why| refused(why).remedy(example))?;
    Ok((idle.which, seconds))
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
        refused(ports("2000-1000"), &["2000-1000 ends before it begins"]);
        refused(ports("1024"), &["1 ports", "at least 64", "--nat-ports 1024-29999"]);
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
