//! `fwd network`.

use std::{
    io::{self, Write},
    net::IpAddr,
};

use ipnet::IpNet;
use serde::Serialize;

use super::{
    Listing, Look, Tone, View,
    endpoint::joined,
    table::{Grid, Holds, plain, toned},
};
use fwd_base::text::{Untrusted, option};

/// A network: an item of `fwd network ls`.
#[derive(Clone, Debug, Serialize)]
pub struct NetworkView {
    /// Its name.
    pub network: Untrusted,
    /// Bridge.
    pub bridge: Untrusted,
    /// Whether the bridge has gone: deleted by hand.
    pub gone: bool,
    /// Its addresses.
    pub subnets: Vec<IpNet>,
    /// Gateways: the bridge's addresses, one for each subnet.
    pub gateways: Vec<IpAddr>,
    /// Interface to the outside, as it was called when it was last looked at; empty where the network is internal.
    pub uplink: Untrusted,
    /// What it is called now; none if it has gone.
    pub uplink_now: Option<Untrusted>,
    /// One of [`UPLINK_STATES`](super::UPLINK_STATES).
    pub uplink_state: String,
    /// Whether it leaves by that interface alone, wherever the host's routes lead.
    pub bound: bool,
    /// `tc`, `xdp` or `kernel`.
    pub datapath: String,
    /// `on` or `off`.
    pub ipv4: String,
    /// `masquerade`, `route` or `off`.
    pub ipv6: String,
    /// How ports are mapped: `symmetric`, `eim` or `eim-eif`; none with the kernel's own data path.
    pub nat: Option<String>,
    /// Whether the MSS of TCP is lowered to what the path carries.
    pub clamp_mss: bool,
    /// Whether the programs may send past policies of IPsec.
    pub ignore_xfrm: bool,
    /// Whether nothing leaves the network, which has no uplink.
    pub internal: bool,
    /// Whether endpoints of the network do not reach each other.
    pub no_icc: bool,
    /// Whether what endpoints of the network speak with each other has flows.
    pub east_west: bool,
    /// Whether multicast passes between it and its uplink.
    pub multicast: bool,
    /// Whether host-side veths are no ports of the network's bridge.
    pub bridgeless: bool,
    /// Addresses of the host behind which its namespaces appear that ask for none: one, or a range; none where the host chooses.
    pub source: Option<String>,
    /// The same of IPv6.
    pub source6: Option<String>,
    /// Networks that may reach it, whether they are there and have allowed it or not.
    pub allows: Vec<Untrusted>,
    /// Those of them that do, and are reached by it.
    pub reaches: Vec<Untrusted>,
    /// Where names are asked for: the gateway, if a name server answers there.
    pub name_server: Option<IpAddr>,
    /// MTU, bytes.
    pub mtu: u32,
    /// Whether it stays when its last endpoint goes.
    pub kept: bool,
    /// Number of its endpoints.
    pub endpoints: usize,
    /// Number of those besides that are nobody's yet (`fwd pool`).
    pub pooled: usize,
}

impl NetworkView {
    /// The way out, and what is not as it was.
    fn way_out(&self) -> (String, Tone) {
        let now = self.uplink_now.as_ref().filter(|now| **now != self.uplink);
        let name = now.map_or_else(|| self.uplink.to_string(), |now| format!("{now} (was {})", self.uplink));
        match self.uplink_state.as_str() {
            "up" => plain(name),
            "none" if self.internal => plain("none (internal)"),
            "none" => plain("none yet"),
            state => toned(format!("{name} ({state})"), Tone::Bad),
        }
    }

    /// The bridge, and whether it is still there.
    fn bridge(&self) -> (String, Tone) {
        if self.gone { toned(format!("{} (gone)", self.bridge), Tone::Bad) } else { plain(&self.bridge) }
    }

    /// What is not as usual.
    fn options(&self) -> String {
        let nat = self.nat.iter().filter(|nat| *nat != "symmetric").map(|nat| format!("nat {nat}"));
        let options = [
            (self.ipv4 == "off", "without IPv4"),
            (self.ipv6 == "route" && !self.internal, "IPv6 routed"),
            (self.bound, "bound to its uplink"),
            (self.clamp_mss, "clamp-mss"),
            (self.ignore_xfrm, "ignore-xfrm"),
            (self.no_icc, "no-icc"),
            (self.east_west, "flows east-west"),
            (self.multicast, "multicast"),
            (self.bridgeless, "bridge none"),
            (self.name_server.is_some(), "dns"),
            (!self.kept, "goes with its last namespace"),
        ];
        let options = options.into_iter().filter(|(given, _)| *given).map(|(_, option)| option.to_owned());
        let one_sided = self.allows.iter().filter(|it| !self.reaches.contains(it));
        let reaches = self.reaches.iter().map(|it| format!("reaches {it}"));
        let one_sided = one_sided.map(|it| format!("allows {it} (not allowed by it)"));
        let sources = self.source.iter().map(|it| format!("source {it}"));
        let sources = sources.chain(self.source6.iter().map(|it| format!("source6 {it}")));
        let pooled = (self.pooled > 0).then(|| format!("pool of {}", self.pooled));
        let options: Vec<String> =
            nat.chain(sources).chain(reaches).chain(one_sided).chain(options).chain(pooled).collect();
        if options.is_empty() { "-".into() } else { options.join(", ") }
    }

    /// A line about one that no namespace is in.
    pub(super) fn without_endpoints(&self, look: &Look) -> String {
        let (name, subnets) = (look.paint(Tone::Strong, &self.network.to_string()), joined(&self.subnets));
        let pool = if self.pooled > 0 { format!(", pool of {}", self.pooled) } else { String::new() };
        format!("{name}  {subnets}, uplink {}, datapath {}, no namespace{pool}", self.way_out().0, self.datapath)
    }
}

impl Listing for NetworkView {
    fn text(items: &[Self], look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if items.is_empty() {
            return writeln!(out, "no networks\n  {} {} network add NAME", look.paint(Tone::Hint, "try:"), look.fwd);
        }
        let columns = [
            ("NETWORK", Holds::Name),
            ("BRIDGE", Holds::Text),
            ("SUBNET", Holds::Text),
            ("UPLINK", Holds::Text),
            ("DATAPATH", Holds::Text),
            ("NAMESPACES", Holds::Number),
            ("OPTIONS", Holds::Text),
        ];
        let mut grid = Grid::new(look, &columns);
        for item in items {
            grid.row(vec![
                plain(&item.network),
                item.bridge(),
                plain(joined(&item.subnets)),
                item.way_out(),
                plain(&item.datapath),
                plain(item.endpoints),
                plain(item.options()),
            ]);
        }
        grid.write(0, out)
    }
}

/// What `fwd network add` has done.
#[derive(Clone, Debug, Serialize)]
pub struct NetworkChange {
    /// The network.
    #[serde(flatten)]
    pub network: NetworkView,
    /// Whether anything had to be done.
    pub changed: bool,
}

impl View for NetworkChange {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let Self { network: it, changed } = self;
        let (name, subnets) = (look.paint(Tone::Strong, &it.network.to_string()), joined(&it.subnets));
        let way_out = if it.internal { "internal".into() } else { format!("via {}", it.uplink) };
        let on = format!("{subnets}, bridge {}, {way_out} ({}), mtu {}", it.bridge, it.datapath, it.mtu);
        if !changed {
            return writeln!(out, "network {name} is there already, nothing changed: {on}");
        }
        writeln!(out, "network {name} is {}: {on}", look.paint(Tone::Good, "there"))?;
        let join = option("--network", it.network.exact());
        writeln!(out, "\n{}  {} up --ns NAME {join}", look.paint(Tone::Hint, "try:"), look.fwd)
    }
}

/// What `fwd network rm` has done.
#[derive(Clone, Debug, Serialize)]
pub struct NetworkRemoval {
    /// Its name.
    pub network: Untrusted,
    /// Whether anything had to be done: always, or it would be an error.
    pub changed: bool,
    /// What was removed, in words, in the order of removal.
    pub removed: Vec<Untrusted>,
}

impl View for NetworkRemoval {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "network {} is gone", look.paint(Tone::Strong, &self.network.to_string()))?;
        self.removed.iter().try_for_each(|object| writeln!(out, "  {} {object}", look.paint(Tone::Dim, "removed")))
    }
}
