//! Endpoints: `fwd ls`, and what `up` and `inspect` say of one.

use std::{
    io::{self, Write},
    net::IpAddr,
};

use ipnet::IpNet;
use serde::Serialize;

use super::{
    Listing, Look, NamesView, Tone,
    place::{label, with_interface},
    policy::PolicyView,
    table::{Grid, Holds, plain, toned},
    units,
};
use fwd_base::text::{Untrusted, option};

/// States of an uplink: set up, set down, deleted, and none at all.
pub const UPLINK_STATES: [&str; 4] = ["up", "down", "gone", "none"];

/// Flows by state.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct FlowCounts {
    /// Seen in one direction only.
    pub half_open: u32,
    /// Seen in both.
    pub established: u32,
    /// After a RST or both FINs.
    pub closing: u32,
    /// How many may be established at once.
    pub limit: u32,
}

/// How XDP is attached at both ends of the way: `native` or `generic`; none where it is not attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct XdpView {
    /// At the host-side veth, for packets from the namespace.
    pub host_if: Option<String>,
    /// At the uplink, for packets to it.
    pub uplink: Option<String>,
}

impl XdpView {
    /// `native`, or what differs.
    fn text(&self) -> String {
        let at = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "NOT attached".into());
        let (host_if, uplink) = (at(&self.host_if), at(&self.uplink));
        if host_if == uplink { host_if } else { format!("{host_if} at host veth, {uplink} at uplink") }
    }
}

/// One interface of a namespace in one network: an item of `fwd ls`.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointView {
    /// Network.
    pub network: Untrusted,
    /// Who asked for it: `cli`, or the runtime of a container.
    pub owner: String,
    /// Name of the namespace, if it has one.
    pub ns: Option<Untrusted>,
    /// Inode of the namespace on nsfs.
    pub netns_inode: u64,
    /// Process by which the namespace was given.
    pub pid: Option<u32>,
    /// The container: its id where its runtime asked for the endpoint, else its name as `--container` found it.
    pub container: Option<Untrusted>,
    /// Whether `up` made the namespace.
    pub ns_created: bool,
    /// Host-side veth of the veth pair.
    pub host_if: Untrusted,
    /// Whether the host-side veth has gone: deleted by hand, or with its namespace.
    pub gone: bool,
    /// Interface inside.
    pub ns_if: Untrusted,
    /// Addresses inside, with the network's prefix length.
    pub addresses: Vec<IpNet>,
    /// Gateways: the bridge's addresses.
    pub gateways: Vec<IpAddr>,
    /// Interface to the outside, as it was called when it was last looked at.
    pub uplink: Untrusted,
    /// What it is called now; none if it has gone.
    pub uplink_now: Option<Untrusted>,
    /// One of [`UPLINK_STATES`].
    pub uplink_state: String,
    /// Whether it leaves by that interface alone, wherever the host's routes lead.
    pub bound: bool,
    /// Interfaces by which it may leave, its network's own first: several where it follows the host's routes.
    pub leaves_by: Vec<Untrusted>,
    /// `tc`, `xdp` or `kernel`.
    pub datapath: String,
    /// How the program is attached to the host-side veth, `tcx` or `clsact`; none with the kernel's own data path.
    pub attach: Option<String>,
    /// How XDP is attached; none with another data path.
    pub xdp: Option<XdpView>,
    /// How ports are mapped: `symmetric`, `eim` or `eim-eif`; none with the kernel's own data path.
    pub nat: Option<String>,
    /// What it and its network may do, and must not.
    #[serde(flatten)]
    pub policy: PolicyView,
    /// Names by which it is found.
    #[serde(flatten)]
    pub names: NamesView,
    /// Ports of the host that lead to it, such as `8080:80/tcp`.
    pub published: Vec<String>,
    /// Bridge.
    pub bridge: Untrusted,
    /// MTU, bytes.
    pub mtu: u32,
    /// Packets from the namespace.
    pub tx_packets: u64,
    /// IP bytes from the namespace.
    pub tx_bytes: u64,
    /// Packets to the namespace.
    pub rx_packets: u64,
    /// IP bytes to the namespace.
    pub rx_bytes: u64,
    /// Its flows; none with the kernel's own data path.
    pub flows: Option<FlowCounts>,
}

impl FlowCounts {
    /// A warning from nine tenths of what is allowed.
    fn tone(self) -> Tone {
        if u64::from(self.established) * 10 >= u64::from(self.limit) * 9 { Tone::Warn } else { Tone::Plain }
    }
}

impl EndpointView {
    /// What people call the namespace.
    #[must_use]
    pub fn label(&self) -> String {
        label([self.ns.as_ref(), self.container.as_ref()], self.pid, self.netns_inode)
    }

    /// What people call the container or the namespace, and the interface if it is not the usual one: `mynet`, `mynet eth1`,
    /// `container 0123456789ab`.
    #[must_use]
    pub fn place(&self) -> String {
        with_interface(self.owned_label(), &self.ns_if)
    }

    /// What people call the container, where a runtime asked for the endpoint, or the namespace.
    #[must_use]
    pub fn owned_label(&self) -> String {
        // As runtimes shorten ids.
        const SHOWN: usize = 12;
        let short = |id: &Untrusted| Untrusted::from(id.exact().chars().take(SHOWN).collect::<String>());
        let container = self.container.as_ref().filter(|_| self.is_of_runtime());
        container.map_or_else(|| self.label(), |id| format!("container {}", short(id)))
    }

    /// How the namespace is given on the command line: `--ns mynet`, `--container web`, `--pid 4711`, or by nothing.
    #[must_use]
    pub fn option(&self) -> Option<String> {
        match (&self.ns, &self.container, self.pid) {
            (Some(ns), ..) => Some(option("--ns", ns.exact())),
            (None, Some(container), _) if !self.is_of_runtime() => Some(option("--container", container.exact())),
            (None, _, Some(pid)) => Some(format!("--pid {pid}")),
            (None, _, None) => None,
        }
    }

    /// Whether a runtime asked for it, which then is also who takes it down.
    #[must_use]
    pub fn is_of_runtime(&self) -> bool {
        self.owner != "cli"
    }

    /// The host-side veth, and whether it is still there.
    fn host_veth(&self) -> (String, Tone) {
        if self.gone { toned(format!("{} (gone)", self.host_if), Tone::Bad) } else { plain(&self.host_if) }
    }

    /// The uplink, and what is not as it was.
    pub(super) fn uplink(&self, look: &Look) -> String {
        let now = self.uplink_now.as_ref().filter(|now| **now != self.uplink);
        let name = now.map_or_else(|| self.uplink.to_string(), |now| format!("{now} (was {})", self.uplink));
        match self.uplink_state.as_str() {
            "up" => name,
            "none" if self.policy.internal => "none (internal)".into(),
            "none" => "none yet".into(),
            state => format!("{name} {}", look.paint(Tone::Bad, &format!("({state})"))),
        }
    }

    /// The way out of the network, in a few words.
    pub(super) fn way_out(&self) -> String {
        match self.uplink_state.as_str() {
            _ if self.policy.internal => "internal".into(),
            "none" => "no way out yet".into(),
            _ => format!("via {}{}", self.uplink, self.other_ways()),
        }
    }

    /// Everything that it leaves by, where that is more than its network's own uplink.
    pub(super) fn ways(&self) -> String {
        match self.leaves_by.first() {
            Some(own) if self.leaves_by.len() > 1 => format!("{own}{}", self.other_ways()),
            _ => String::new(),
        }
    }

    /// `, eth1, wg0 (routes)`: what it leaves by besides its network's own uplink, where the host's routes say so.
    pub(super) fn other_ways(&self) -> String {
        const SHOWN: usize = 4;
        let mut others: Vec<String> = self.leaves_by.iter().skip(1).map(ToString::to_string).collect();
        if others.is_empty() {
            return String::new();
        }
        if others.len() > SHOWN {
            let more = others.len() - SHOWN;
            others.truncate(SHOWN);
            others.push(format!("{more} more"));
        }
        format!(", {} (routes)", others.join(", "))
    }

    /// The data path, and how it is attached where there are several ways.
    pub(super) fn datapath(&self) -> String {
        match &self.xdp {
            Some(xdp) => format!("{} ({})", self.datapath, xdp.text()),
            None => self.datapath.clone(),
        }
    }

    /// Options of the network that are not the usual ones.
    pub(super) fn network_options(&self) -> Vec<String> {
        let nat = self.nat.iter().filter(|nat| *nat != "symmetric").map(|nat| format!("nat {nat}"));
        nat.chain(self.policy.network_options())
            .chain(self.bound.then(|| "bound to its uplink".into()))
            .chain(self.names.name_server.map(|_| "dns".into()))
            .collect()
    }

    /// The addresses with prefix length, comma-separated.
    pub(super) fn addresses(&self) -> String {
        joined(&self.addresses)
    }

    /// The gateways, with the prefix length of the address beside them.
    pub(super) fn gateways(&self) -> String {
        let with_prefix = self.gateways.iter().enumerate().map(|(index, gateway)| match self.addresses.get(index) {
            Some(address) => format!("{gateway}/{}", address.prefix_len()),
            None => gateway.to_string(),
        });
        joined(&with_prefix.collect::<Vec<_>>())
    }
}

/// `items`, comma-separated.
pub(super) fn joined(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Listing for EndpointView {
    fn text(items: &[Self], look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if items.is_empty() {
            return writeln!(out, "no networks\n  {} {} up --ns NAME", look.paint(Tone::Hint, "try:"), look.fwd);
        }
        for (index, group) in items.chunk_by(|a, b| a.network == b.network).enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            network(group, look, out)?;
        }
        Ok(())
    }
}

/// A network's heading and the table of its endpoints.
fn network(endpoints: &[EndpointView], look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = endpoints.first() else { return Ok(()) };
    let name = look.paint(Tone::Strong, &first.network.to_string());
    let options: String = first.network_options().iter().map(|option| format!(", {option}")).collect();
    let (gateways, uplink, datapath) = (first.gateways(), first.uplink(look), first.datapath());
    let ways = first.other_ways();
    writeln!(out, "{name}  {gateways}, uplink {uplink}{ways}, datapath {datapath}{options}")?;
    let columns = [
        ("NAMESPACE", Holds::Name),
        ("HOST IF", Holds::Text),
        ("ADDRESS", Holds::Text),
        ("TX", Holds::Number),
        ("RX", Holds::Number),
        ("FLOWS", Holds::Number),
        ("NEW", Holds::Number),
    ];
    let mut grid = Grid::new(look, &columns);
    for endpoint in endpoints {
        grid.row(vec![
            plain(endpoint.place()),
            endpoint.host_veth(),
            plain(endpoint.addresses()),
            plain(units::bytes(endpoint.tx_bytes)),
            plain(units::bytes(endpoint.rx_bytes)),
            endpoint.flows.map_or_else(|| plain("-"), |flows| toned(flows.established, flows.tone())),
            plain(endpoint.flows.map_or_else(|| "-".into(), |flows| flows.half_open.to_string())),
        ]);
    }
    grid.write(2, out)
}
