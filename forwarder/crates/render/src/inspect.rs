//! `fwd inspect`.

use std::{
    io::{self, Write},
    net::IpAddr,
};

use ipnet::IpNet;
use serde::Serialize;

use super::{
    EndpointView, FlowCounts, Look, ProcessView, ProgramsView, StatView, TableView, Tone, View,
    endpoint::joined,
    facts::Facts,
    place::label,
    stat::verdict_tone,
    table::{Grid, Holds, plain, toned},
    units, write_warning,
};
use fwd_base::text::Untrusted;

/// The result of `fwd inspect` for an endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct InspectView {
    /// What `fwd ls` says.
    #[serde(flatten)]
    pub endpoint: EndpointView,
    /// `SO_NETNS_COOKIE` of the namespace.
    pub netns_cookie: u64,
    /// MAC of the interface inside.
    pub mac: String,
    /// MAC of the gateway.
    pub gateway_mac: String,
    /// ifindex of the host-side veth.
    pub host_ifindex: u32,
    /// Whether the host-side veth has a carrier; unknown if it is gone.
    pub host_if_running: Option<bool>,
    /// Whether the program is attached to the host-side veth (never with `--datapath kernel`).
    pub attached: bool,
    /// Address of the uplink behind which the namespace appears, as it was when it was last looked at.
    pub uplink_address: Option<IpAddr>,
    /// The address that the uplink has now; none if it has none, or has gone.
    pub uplink_address_now: Option<IpAddr>,
    /// Whether `up` wrote /etc/netns/NAME/resolv.conf.
    pub resolv_conf: bool,
    /// The flow table of the host, if there is one.
    pub table: Option<TableView>,
    /// The programs of the host, if there are any.
    pub programs: Option<ProgramsView>,
    /// What became of the packets that left the namespace, without zeros.
    pub verdicts: Vec<StatView>,
    /// What keeps packets from getting through, or lets through what should not, each with the remedy.
    pub warnings: Vec<String>,
}

impl View for InspectView {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let endpoint = &self.endpoint;
        let name = look.paint(Tone::Strong, &endpoint.label());
        writeln!(out, "{name} on network {}", endpoint.network)?;
        self.facts(look).write(look, out)?;
        self.warnings.iter().try_for_each(|warning| write_warning(warning, look, out))?;
        if self.verdicts.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nwhat became of packets from {}:", endpoint.place())?;
        let columns =
            [("VERDICT", Holds::Text), ("REASON", Holds::Text), ("PACKETS", Holds::Number), ("BYTES", Holds::Number)];
        let mut grid = Grid::new(look, &columns);
        for stat in &self.verdicts {
            let reason = stat.reason.as_deref().unwrap_or("-");
            let verdict = toned(&stat.verdict, verdict_tone(&stat.verdict, stat.reason.as_deref()));
            grid.row(vec![verdict, plain(reason), plain(stat.packets), plain(stat.bytes)]);
        }
        grid.write(2, out)
    }
}

impl InspectView {
    /// The resolv.conf that `up` wrote.
    fn resolver(&self) -> String {
        match &self.endpoint.ns {
            Some(ns) if self.resolv_conf => format!("/etc/netns/{ns}/resolv.conf, written by fwd"),
            _ => String::new(),
        }
    }

    /// The address of IPv4 of the uplink, behind which the endpoint appears if it has any, and what it has instead by now.
    fn uplink_addresses(&self) -> String {
        if !self.endpoint.policy.has_ipv4() {
            return String::new();
        }
        let shown =
            |address: Option<IpAddr>| address.map_or_else(|| "none".into(), |address: IpAddr| address.to_string());
        let gone = self.endpoint.uplink_now.is_none();
        match (self.uplink_address, self.uplink_address_now) {
            (None, _) if gone => String::new(),
            (was, now) if was == now || gone => shown(was),
            (was, now) => format!("{} (now {})", shown(was), shown(now)),
        }
    }

    /// All but the counters.
    fn facts(&self, look: &Look) -> Facts {
        let endpoint = &self.endpoint;
        let made = if endpoint.ns_created { ", made by fwd" } else { "" };
        let running = match self.host_if_running {
            Some(true) => "running",
            Some(false) => "no carrier",
            None => "gone",
        };
        let program = match (&endpoint.attach, self.attached) {
            (None, _) => "no program (datapath kernel)".into(),
            (Some(attach), true) => format!("program attached ({attach})"),
            (Some(_), false) => "program NOT attached".into(),
        };
        let traffic = |packets, bytes| format!("{}, {}", units::counted(packets, "packet"), units::bytes(bytes));
        let uplink = format!("{} {}", endpoint.uplink(look), self.uplink_addresses());
        let flows = endpoint.flows.map(|flows| {
            let FlowCounts { half_open, established, closing, limit } = flows;
            format!("{established} established of {limit}, {half_open} new, {closing} closing")
        });
        let owned =
            |id: &_| if endpoint.is_of_runtime() { format!("{id}, by {}", endpoint.owner) } else { format!("{id}") };
        let container = endpoint.container.as_ref().map(owned);
        let mut facts = Facts::default();
        facts
            .add("container", container.unwrap_or_default())
            .add(
                "namespace",
                format!("{}, inode {}, cookie {}{made}", endpoint.label(), endpoint.netns_inode, self.netns_cookie),
            )
            .add("process", endpoint.pid.map(|pid| pid.to_string()).unwrap_or_default())
            .add("inside", format!("{} {}, {}, mtu {}", endpoint.ns_if, endpoint.addresses(), self.mac, endpoint.mtu))
            .add("host veth", format!("{}, ifindex {}, {running}, {program}", endpoint.host_if, self.host_ifindex))
            .add("gateway", format!("{} on bridge {}, {}", endpoint.gateways(), endpoint.bridge, self.gateway_mac))
            .add("uplink", uplink.trim_end())
            .add("ways out", endpoint.ways())
            .add("source", endpoint.policy.sources())
            .add("datapath", [vec![endpoint.datapath()], endpoint.network_options()].concat().join(", "))
            .add("routes", endpoint.policy.routes())
            .add("limits", endpoint.policy.limits())
            .add("names", endpoint.names.text().map(|(names, asked)| format!("{names}, {asked}")).unwrap_or_default())
            .add("rules", endpoint.policy.rules())
            .add(
                "guard",
                if endpoint.policy.allow_spoof { "off: may send from any address (--allow-spoof)" } else { "" },
            )
            .add("published", endpoint.published.join(", "))
            .add("resolver", self.resolver())
            .add("tx", traffic(endpoint.tx_packets, endpoint.tx_bytes))
            .add("rx", traffic(endpoint.rx_packets, endpoint.rx_bytes))
            .add("flows", flows.unwrap_or_default())
            .add("programs", self.programs.as_ref().map(|programs| programs.text(look)).unwrap_or_default())
            .add("flow table", self.table.as_ref().map(TableView::summary).unwrap_or_default());
        facts
    }
}

/// The other end of a veth pair.
#[derive(Clone, Debug, Serialize)]
pub struct PeerView {
    /// Its name.
    pub ifname: Untrusted,
    /// Its ifindex, there.
    pub ifindex: u32,
    /// Inode of the namespace it is in.
    pub netns_inode: u64,
    /// Name of that namespace, if it has one.
    pub ns: Option<Untrusted>,
    /// A process in that namespace, if there is one.
    pub example: Option<ProcessView>,
    /// Whether that is the host's namespace.
    pub host: bool,
}

impl PeerView {
    /// Which namespace it is in.
    fn place(&self) -> String {
        match (&self.ns, self.host, &self.example) {
            (Some(ns), ..) => format!("namespace {ns}"),
            (None, true, _) => "the host's namespace".into(),
            (None, false, Some(process)) => format!("net:[{}] of {}", self.netns_inode, process.label()),
            (None, false, None) => label([None, None], None, self.netns_inode),
        }
    }

    fn text(&self) -> String {
        format!("{} (ifindex {}) in {}", self.ifname, self.ifindex, self.place())
    }
}

/// A port of a bridge.
#[derive(Clone, Debug, Serialize)]
pub struct PortView {
    /// Its name.
    pub ifname: Untrusted,
    /// Its ifindex.
    pub ifindex: u32,
    /// The interface at the other end, if it is a veth whose other end can be found.
    pub peer: Option<PeerView>,
    /// Addresses of the endpoint behind it, if it is one of fwd's.
    pub addresses: Vec<IpNet>,
}

/// The result of `fwd inspect --if`.
#[derive(Clone, Debug, Serialize)]
pub struct InterfaceView {
    /// Its name.
    pub ifname: Untrusted,
    /// Its ifindex.
    pub ifindex: u32,
    /// `veth`, `bridge`, …; none for a physical interface.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Name of the namespace that was looked in, if it has one.
    pub ns: Option<Untrusted>,
    /// Inode of that namespace.
    pub netns_inode: u64,
    /// Whether it is the host's.
    pub host: bool,
    /// MAC, if it has one.
    pub mac: Option<String>,
    /// MTU, bytes.
    pub mtu: u32,
    /// Whether it is set up.
    pub up: bool,
    /// Alias, if it has one: how fwd marks what is its own.
    pub alias: Option<Untrusted>,
    /// Addresses.
    pub addresses: Vec<IpNet>,
    /// The bridge (or bond, …) that it is a port of.
    pub controller: Option<Untrusted>,
    /// The other end of a veth pair, where it can be found.
    pub peer: Option<PeerView>,
    /// Ports of a bridge.
    pub ports: Vec<PortView>,
    /// The endpoint that it belongs to, if it is one of fwd's.
    pub endpoint: Option<EndpointView>,
}

impl View for InterfaceView {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let name = look.paint(Tone::Strong, &self.ifname.to_string());
        let kind = self.kind.as_deref().unwrap_or("interface");
        let place = match (&self.ns, self.host) {
            (Some(ns), _) => format!("in namespace {ns}"),
            (None, true) => "of the host".into(),
            (None, false) => format!("in the namespace with inode {}", self.netns_inode),
        };
        writeln!(out, "{name}: {kind} {place}, {}", if self.up { "up" } else { "down" })?;
        self.facts().write(look, out)?;
        if self.kind.as_deref() != Some("bridge") {
            return Ok(());
        }
        if self.ports.is_empty() {
            return writeln!(out, "  no ports");
        }
        let columns =
            [("PORT", Holds::Text), ("OTHER END", Holds::Text), ("NAMESPACE", Holds::Name), ("ADDRESS", Holds::Text)];
        let mut grid = Grid::new(look, &columns);
        for port in &self.ports {
            let peer = port.peer.as_ref();
            grid.row(vec![
                plain(&port.ifname),
                plain(peer.map_or_else(|| "-".into(), |peer| peer.ifname.to_string())),
                plain(peer.map_or_else(
                    || "-".into(),
                    |peer| peer.ns.as_ref().map_or_else(|| peer.place(), Untrusted::to_string),
                )),
                plain(if port.addresses.is_empty() { "-".into() } else { joined(&port.addresses) }),
            ]);
        }
        writeln!(out)?;
        grid.write(2, out)
    }
}

impl InterfaceView {
    fn facts(&self) -> Facts {
        let hidden = "in a namespace that cannot be read, or in none";
        let peer = match (&self.peer, self.kind.as_deref()) {
            (Some(peer), _) => peer.text(),
            (None, Some("veth" | "netkit")) => hidden.into(),
            (None, _) => String::new(),
        };
        let endpoint = self
            .endpoint
            .as_ref()
            .map(|endpoint| format!("{} {} on network {}", endpoint.label(), endpoint.addresses(), endpoint.network));
        let mac = self.mac.as_ref().map(|mac| format!(", {mac}")).unwrap_or_default();
        let mut facts = Facts::default();
        facts
            .add("link", format!("ifindex {}{mac}, mtu {}", self.ifindex, self.mtu))
            .add("addresses", joined(&self.addresses))
            .add("other end", peer)
            .add("port of", self.controller.clone().unwrap_or_default().to_string())
            .add("endpoint", endpoint.unwrap_or_default())
            .add("alias", self.alias.clone().unwrap_or_default().to_string());
        facts
    }
}
