//! What one would type to do the same by hand.

use forwarder_common::abi::Timeout;

use super::{Action, IdleTime, Nat, Object, Op, SysctlRecord, TargetRef, Treatment, options::range, seconds};
use crate::{
    dataplane::{Backend, MEMORY_PER_CPU, Sizes},
    netlink::{LinkLayer, nft::TABLE},
    netns::DIRECTORY,
    text::{mac as mac_text, word},
};

impl Op {
    /// Command lines that do the same: what `--dry-run` teaches. `pins` is the directory of the pins, `host` the name (or path)
    /// of the namespace that plays the host, where it is not the caller's.
    #[must_use]
    pub fn equivalent(&self, pins: &str, host: Option<&str>) -> Vec<String> {
        let make = self.action == Action::Make;
        let here = |lines: Vec<String>| match host {
            Some(host) => lines.into_iter().map(|line| on_host(line, host)).collect(),
            None => lines,
        };
        match &self.object {
            object @ (Object::Loopback { .. }
            | Object::NsAddress { .. }
            | Object::NsLinkUp { .. }
            | Object::NsOffloads { .. }
            | Object::NsDefaultRoute { .. }
            | Object::NsNeighbour { .. }
            | Object::ResolvConf { .. }
            | Object::Undo(_)
            | Object::Netns { .. }) => inside(object, make),
            object @ (Object::Bridge(_)
            | Object::GatewayAddress { .. }
            | Object::LinkUp { .. }
            | Object::Masquerade { .. }
            | Object::Isolation { .. }
            | Object::Veth { .. }
            | Object::Port { .. }
            | Object::Fdb { .. }
            | Object::Neighbour { .. }) => here(outside(object, make)),
            // Other tools can neither load the programs nor fill in the records: shown, but not to be pasted.
            object => {
                let lines = data_path(object, make, &word(pins));
                let notes: Vec<bool> = lines.iter().map(|line| !runs_by_hand(line)).collect();
                let note = |(line, note): (String, bool)| if note { format!("# {line}") } else { line };
                here(lines).into_iter().zip(notes).map(note).collect()
            }
        }
    }
}

/// Whether a line of the data path is a command that other tools take, or a comment already.
fn runs_by_hand(line: &str) -> bool {
    ["sysctl ", "rm ", "#"].iter().any(|start| line.starts_with(start))
}

/// A command line that acts in the namespace `host`, as far as it acts in a namespace at all.
pub(super) fn on_host(line: String, host: &str) -> String {
    let Some((command, rest)) = line.split_once(' ') else { return line };
    let is_name = !host.contains('/');
    let path = if is_name { format!("{DIRECTORY}/{host}") } else { host.into() };
    match command {
        "ip" | "bridge" | "tc" if is_name => format!("{command} -n {} {rest}", word(host)),
        "ip" | "bridge" | "tc" | "nft" | "sysctl" | "iptables" | "iptables-legacy" => {
            format!("nsenter --net={} {line}", word(&path))
        }
        // Programs and maps belong to no namespace, hooks do.
        "bpftool" if rest.starts_with("net ") => format!("nsenter --net={} {line}", word(&path)),
        _ => line,
    }
}

/// Objects of the namespace.
fn inside(object: &Object, make: bool) -> Vec<String> {
    let (add, up, replace) = verbs(make);
    let line = match object {
        Object::Undo(entry) => format!("# {} the undo log: {entry}", if make { "into" } else { "out of" }),
        Object::Netns { name } => format!("ip netns {add} {}", word(name.as_str())),
        Object::Loopback { ns } => format!("{} link set lo {up}", ip(ns)),
        Object::NsAddress { ns, ns_if, address } => format!("{} addr {add} {address} dev {ns_if}", ip(ns)),
        Object::NsLinkUp { ns, ns_if } => format!("{} link set {} {up}", ip(ns), word(ns_if)),
        Object::NsOffloads { ns, ns_if } => {
            let (finish, take) = if make { ("off", "on") } else { ("on", "off") };
            return vec![format!(
                "nsenter --net={} ethtool -K {ns_if} tx {finish} txvlan {finish} gro {take}",
                netns_path(ns)
            )];
        }
        Object::NsDefaultRoute { ns, ns_if, gateway } => {
            format!("{} route {add} default via {gateway} dev {ns_if}", ip(ns))
        }
        Object::NsNeighbour { ns, ns_if, gateway, mac } => {
            format!("{} neigh {replace} {gateway} lladdr {} dev {ns_if} nud permanent", ip(ns), mac_text(*mac))
        }
        Object::ResolvConf { ns, contents } => {
            let directory = word(&format!("/etc/netns/{ns}"));
            return match make {
                true => vec![
                    format!("mkdir -p {directory}"),
                    format!("printf %s {} >{directory}/resolv.conf", word(contents)),
                ],
                false => vec![format!("rm {directory}/resolv.conf"), format!("rmdir {directory}")],
            };
        }
        _ => return Vec::new(),
    };
    vec![line]
}

/// Objects of the host that the kernel has without eBPF.
fn outside(object: &Object, make: bool) -> Vec<String> {
    let (add, up, replace) = verbs(make);
    let line = match object {
        Object::Bridge(spec) => {
            return link(&spec.name, &spec.alias, make, || {
                format!("address {} mtu {} type bridge stp_state 0", mac_text(spec.mac), spec.mtu)
            });
        }
        Object::Veth { spec, ns } => {
            return link(&spec.host_if, &spec.alias, make, || {
                let (mtu, mac, ns) = (spec.mtu, mac_text(spec.ns_mac), netns(ns));
                format!("mtu {mtu} type veth peer name {} netns {ns} address {mac} mtu {mtu}", spec.ns_if)
            });
        }
        Object::GatewayAddress { bridge, address } => format!("ip addr {add} {address} dev {}", word(bridge)),
        Object::LinkUp { name } => format!("ip link set {} {up}", word(name)),
        Object::Port { host_if, bridge, learns } if make => {
            let mut lines = vec![format!("ip link set {} master {}", word(host_if), word(bridge))];
            lines.extend((!learns).then(|| format!("bridge link set dev {} learning off flood off", word(host_if))));
            return lines;
        }
        Object::Port { host_if, .. } => format!("ip link set {} nomaster", word(host_if)),
        Object::Fdb { host_if, mac } => {
            format!("bridge fdb {replace} {} dev {} master static", mac_text(*mac), word(host_if))
        }
        Object::Neighbour { bridge, address, mac } => {
            format!("ip neigh {replace} {address} lladdr {} dev {} nud permanent", mac_text(*mac), word(bridge))
        }
        Object::Masquerade { subnet, uplink, .. } if make => {
            return vec![
                format!("nft add table ip {TABLE}"),
                format!("nft 'add chain ip {TABLE} postrouting {{ type nat hook postrouting priority srcnat; }}'"),
                nft(format!("add rule ip {TABLE} postrouting ip saddr {subnet} oifname \"{uplink}\" masquerade")),
            ];
        }
        Object::Masquerade { .. } => rule_removal("postrouting"),
        Object::Isolation { bridge, .. } if make => {
            let others = format!("oifname \"{bridge}\" iifname != \"{bridge}\"");
            return vec![
                format!("nft add table ip {TABLE}"),
                format!("nft 'add chain ip {TABLE} forward {{ type filter hook forward priority filter; }}'"),
                nft(format!("add rule ip {TABLE} forward {others} ct state != {{ established, related }} drop")),
            ];
        }
        Object::Isolation { .. } => rule_removal("forward"),
        _ => return Vec::new(),
    };
    vec![line]
}

/// A statement of nft as one word of the shell.
fn nft(statement: String) -> String {
    format!("nft {}", word(&statement))
}

/// A rule is deleted by its handle; the table goes with the last one.
fn rule_removal(chain: &str) -> String {
    format!("# nft -a list chain ip {TABLE} {chain}; nft delete rule ip {TABLE} {chain} handle …")
}

/// Objects that only `fwd` has: its maps and programs, and the sysctls it remembers.
fn data_path(object: &Object, make: bool, pins: &str) -> Vec<String> {
    let record = |map: &str, what: &str| {
        let verb = if make { "update" } else { "delete" };
        vec![format!("bpftool map {verb} pinned {pins}/maps/{map} key {what}")]
    };
    let hook = |program: &str, direction: &str, interface: &str| hook(program, direction, interface, make, pins);
    match object {
        Object::Dataplane(sizes) if make => {
            let mut lines =
                vec![format!("bpftool prog loadall fwd-datapath {pins}/progs type classifier pinmaps {pins}/maps")];
            lines.extend(table_notes(sizes));
            lines
        }
        Object::Dataplane(_) => vec![format!("rm -r {pins}/links {pins}/progs {pins}/maps/FLOW_*")],
        Object::OtherVersion { name } => vec![format!("# {pins}/../{name}: links, programs and maps are removed")],
        Object::Records if make => {
            vec![format!("# bpftool map create {pins}/maps/NETWORKS … and so for the others that hold records")]
        }
        Object::Records => vec![format!("rm -r {pins}")],
        Object::Sysctl(SysctlRecord { path, original, ours, .. }) => {
            vec![format!("sysctl -w {}={}", key(path), if make { ours } else { original })]
        }
        Object::Uplink { name, .. } | Object::UplinkAddress { name, .. } | Object::UplinkName { to: name, .. } => {
            record("UPLINKS", name)
        }
        Object::NetworkUplink { network, .. } => record("NETWORKS", network),
        Object::Network(spec) => {
            let mut lines = record("NETWORKS", &spec.bridge);
            lines.extend(treatment_note(spec.treatment).filter(|_| make));
            lines
        }
        Object::Endpoint(spec) => {
            let mut lines = record("ENDPOINTS", &spec.host_if);
            let note = || format!("# {} may send from other addresses (--allow-spoof)", spec.address);
            lines.extend((spec.allow_spoof && make).then(note));
            lines
        }
        Object::EndpointBridge { host_if, .. } => record("ENDPOINTS", host_if),
        Object::NetworkHook { index: Some(index), .. } if !make => vec![format!("rm {pins}/links/to_network-{index}")],
        Object::NetworkHook { bridge, .. } => vec![hook("to_network", "egress", bridge)],
        Object::EndpointHook { .. } | Object::EndpointAttach { .. } => host_veth(object, make, pins),
        Object::UplinkXdp { name, .. } => xdp("xdp_from_uplink", name, make, pins),
        Object::EndpointXdp { host_if, .. } => xdp("xdp_from_ns", host_if, make, pins),
        Object::UplinkHooks { name, layer, .. } => uplink_hooks(name, *layer, make, pins),
        _ => Vec::new(),
    }
}

/// A program at an interface.
fn hook(program: &str, direction: &str, interface: &str, make: bool, pins: &str) -> String {
    let interface = word(interface);
    match make {
        true => format!("bpftool net attach tcx_{direction} pinned {pins}/progs/{program} dev {interface}"),
        false => format!("bpftool net detach tcx_{direction} dev {interface}"),
    }
}

/// The programs of an uplink: the guard is attached first and detached last.
fn uplink_hooks(name: &str, layer: LinkLayer, make: bool, pins: &str) -> Vec<String> {
    let [to, from] = match layer {
        LinkLayer::None => ["to_uplink_l3", "from_uplink_l3"],
        LinkLayer::Ethernet | LinkLayer::Other(_) => ["to_uplink", "from_uplink"],
    };
    let mut hooks = vec![hook(to, "egress", name, make, pins), hook(from, "ingress", name, make, pins)];
    if !make {
        hooks.reverse();
    }
    hooks
}

/// The program of a host-side veth.
fn host_veth(object: &Object, make: bool, pins: &str) -> Vec<String> {
    match object {
        // By its pin: the interface has gone before.
        Object::EndpointHook { index: Some(index), attach: Backend::Tcx, .. } if !make => {
            vec![format!("rm {pins}/links/from_ns-{index}")]
        }
        Object::EndpointHook { index: Some(index), attach: Backend::Clsact, .. } if !make => {
            vec![format!("rm -r {pins}/links/clsact-from_ns-{index}")]
        }
        Object::EndpointHook { host_if, attach, .. } => hook_by(*attach, host_if, make, pins),
        Object::EndpointAttach { host_if, from, to } => {
            let (old, new) = if make { (from, to) } else { (to, from) };
            [hook_by(*new, host_if, true, pins), hook_by(*old, host_if, false, pins)].concat()
        }
        _ => Vec::new(),
    }
}

fn hook_by(attach: Backend, host_if: &str, make: bool, pins: &str) -> Vec<String> {
    let host_if = word(host_if);
    match (attach, make) {
        (Backend::Tcx, true) => {
            vec![format!("bpftool net attach tcx_ingress pinned {pins}/progs/from_ns dev {host_if}")]
        }
        (Backend::Tcx, false) => vec![format!("bpftool net detach tcx_ingress dev {host_if}")],
        (Backend::Clsact, true) => vec![
            format!("tc qdisc add dev {host_if} clsact"),
            format!("tc filter add dev {host_if} ingress bpf direct-action object-pinned {pins}/progs/from_ns"),
        ],
        (Backend::Clsact, false) => vec![format!("tc qdisc del dev {host_if} clsact")],
    }
}

/// An XDP program, and that frames may be sent by the interface. `ip` chooses native or generic XDP as `fwd` does.
fn xdp(program: &str, interface: &str, make: bool, pins: &str) -> Vec<String> {
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

/// What is written into the map CONFIG, for which no other tool has a command.
fn table_notes(sizes: &Sizes) -> [String; 2] {
    let Sizes { max_flows, max_flows_per_endpoint, nat_ports, .. } = sizes;
    let time = |(which, time): &(Timeout, u32)| {
        IdleTime::of(*which).map(|idle| format!("{} {}", idle.name, seconds(*time).replace(' ', "")))
    };
    let times: Vec<String> = sizes.timeouts.iter().filter_map(time).collect();
    let (megabytes, per_cpu) = (sizes.memory().div_ceil(1_000_000), MEMORY_PER_CPU.div_ceil(1_000));
    [
        format!(
            "# flow table: {max_flows} flows, {max_flows_per_endpoint} of a namespace, ports {}, {megabytes} MB and {per_cpu} kB for each CPU",
            range(*nat_ports)
        ),
        format!("# idle times: {}", times.join(", ")),
    ]
}

/// What the record of a network says besides, if it is not the usual.
fn treatment_note(treatment: Treatment) -> Option<String> {
    let Treatment { nat, clamp_mss, ignore_xfrm } = treatment;
    let mut options = Vec::new();
    if nat != Nat::Symmetric {
        options.push(format!("--nat {}", nat.name()));
    }
    if clamp_mss {
        options.push("--clamp-mss".into());
    }
    if ignore_xfrm {
        options.push("--ignore-xfrm".into());
    }
    (!options.is_empty()).then(|| format!("# with {}", options.join(", ")))
}

const fn verbs(make: bool) -> (&'static str, &'static str, &'static str) {
    if make { ("add", "up", "replace") } else { ("del", "down", "del") }
}

fn link(name: &str, alias: &str, make: bool, properties: impl FnOnce() -> String) -> Vec<String> {
    let name = word(name);
    match make {
        true => vec![
            format!("ip link add {name} {}", properties()),
            format!("ip link set {name} alias {} addrgenmode none up", word(alias)),
        ],
        false => vec![format!("ip link del {name}")],
    }
}

/// `ip`, acting inside a namespace.
fn ip(ns: &TargetRef) -> String {
    match ns {
        TargetRef::Named(name) => format!("ip -n {}", word(name.as_str())),
        other => format!("nsenter --net={} ip", netns_path(other)),
    }
}

/// What `nsenter --net` takes.
fn netns_path(ns: &TargetRef) -> String {
    word(&ns.path().display().to_string())
}

/// What `ip link … netns` takes.
fn netns(ns: &TargetRef) -> String {
    match ns {
        TargetRef::Named(name) => word(name.as_str()),
        TargetRef::Pid(pid) => pid.to_string(),
        TargetRef::Path(path) => word(&path.display().to_string()),
    }
}

/// The name that sysctl(8) has for a path: dots for slashes, and slashes for the dots of interface names.
fn key(path: &str) -> String {
    let swap = |c| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    path.chars().map(swap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn sysctls_are_named_as_sysctl_does() {
        assert_eq!(key("net/ipv4/conf/eth0.7/forwarding"), "net.ipv4.conf.eth0/7.forwarding");
    }
}
