//! Pieces of command lines, quoted for a shell.

use ipnet::IpNet;

use crate::TargetRef;
use fwd_base::text::word;
use fwd_kernel::netns::DIRECTORY;

/// A command line that acts in the namespace `host`, as far as it acts in a namespace at all.
#[must_use]
pub fn on_host(line: String, host: &str) -> String {
    let Some((command, rest)) = line.split_once(' ') else { return line };
    let is_name = !host.contains('/');
    let path = if is_name { format!("{DIRECTORY}/{host}") } else { host.into() };
    match command {
        "ip" | "bridge" | "tc" if is_name => format!("{command} -n {} {rest}", word(host)),
        "ip" | "bridge" | "tc" | "nft" | "sysctl" | "iptables" | "ip6tables" | "iptables-legacy" => {
            format!("nsenter --net={} {line}", word(&path))
        }
        // Programs and maps belong to no namespace, hooks do.
        "bpftool" if rest.starts_with("net ") => format!("nsenter --net={} {line}", word(&path)),
        _ => line,
    }
}

/// Whether a line about pins is a command that other tools take, or a comment already.
pub(crate) fn runs_by_hand(line: &str) -> bool {
    ["rm ", "#"].iter().any(|start| line.starts_with(start))
}

pub(crate) const fn add(make: bool) -> &'static str {
    if make { "add" } else { "del" }
}

/// An address of IPv6 is not looked for on the link before it is used.
pub(crate) const fn nodad(make: bool, address: IpNet) -> &'static str {
    if make && matches!(address, IpNet::V6(_)) { " nodad" } else { "" }
}

pub(crate) const fn replace(make: bool) -> &'static str {
    if make { "replace" } else { "del" }
}

pub(crate) const fn up(make: bool) -> &'static str {
    if make { "up" } else { "down" }
}

/// An interface that is made with an alias and set up, or deleted.
pub(crate) fn link(name: &str, alias: &str, make: bool, properties: impl FnOnce() -> String) -> Vec<String> {
    let name = word(name);
    match make {
        true => vec![
            format!("ip link add {name} {}", properties()),
            format!("ip link set {name} alias {} addrgenmode none up", word(alias)),
        ],
        false => vec![format!("ip link del {name}")],
    }
}

/// A statement of nft as one word of the shell.
pub(crate) fn nft(statement: &str) -> String {
    format!("nft {}", word(statement))
}

/// A record in a map.
pub(crate) fn record(map: &str, what: &str, make: bool, pins: &str) -> String {
    let verb = if make { "update" } else { "delete" };
    format!("bpftool map {verb} pinned {pins}/maps/{map} key {what}")
}

/// A program at an interface.
pub(crate) fn hook(program: &str, direction: &str, interface: &str, make: bool, pins: &str) -> String {
    let interface = word(interface);
    match make {
        true => format!("bpftool net attach tcx_{direction} pinned {pins}/progs/{program} dev {interface}"),
        false => format!("bpftool net detach tcx_{direction} dev {interface}"),
    }
}

/// An XDP program, and that frames may be sent by the interface. `ip` chooses native or generic XDP as `fwd` does.
pub(crate) fn xdp(program: &str, interface: &str, make: bool, pins: &str) -> Vec<String> {
    let interface = word(interface);
    match make {
        true => vec![
            format!("ip link set dev {interface} xdp pinned {pins}/progs/{program}"),
            format!("bpftool map update pinned {pins}/maps/XDP_TARGETS key {interface} value {interface}"),
        ],
        false => vec![
            format!("bpftool map delete pinned {pins}/maps/XDP_TARGETS key {interface}"),
            format!("ip link set dev {interface} xdp off"),
        ],
    }
}

/// `ip`, acting inside a namespace.
pub(crate) fn ip(ns: &TargetRef) -> String {
    match ns {
        TargetRef::Named(name) => format!("ip -n {}", word(name.as_str())),
        other => format!("nsenter --net={} ip", netns_path(other)),
    }
}

/// What `nsenter --net` takes.
pub(crate) fn netns_path(ns: &TargetRef) -> String {
    word(&ns.path().display().to_string())
}

/// What `ip link … netns` takes.
pub(crate) fn netns(ns: &TargetRef) -> String {
    match ns {
        TargetRef::Named(name) => word(name.as_str()),
        TargetRef::Path(path) => word(&path.display().to_string()),
        TargetRef::Pid(_) | TargetRef::Container(_) => ns.pid().unwrap_or(0).to_string(),
        TargetRef::Awaited(_) => word(&ns.path().display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::on_host;

    #[test]
    fn lines_act_in_the_namespace_that_plays_the_host() {
        let on = |line: &str, host| on_host(line.into(), host);
        assert_eq!(on("ip link set fwd0 up", "box"), "ip -n box link set fwd0 up");
        assert_eq!(on("ip addr", "/proc/7/ns/net"), "nsenter --net=/proc/7/ns/net ip addr");
        assert_eq!(on("sysctl -w a=1", "box"), "nsenter --net=/run/netns/box sysctl -w a=1");
        assert_eq!(on("bpftool net attach x", "box"), "nsenter --net=/run/netns/box bpftool net attach x");
        for elsewhere in ["bpftool map update pinned x", "# a note", "rm -r /run/fwd/bpf/1"] {
            assert_eq!(on(elsewhere, "box"), elsewhere);
        }
    }
}
