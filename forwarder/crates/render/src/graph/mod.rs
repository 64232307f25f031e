//! What is connected to what: `fwd graph`, as text, as DOT for graphviz, as SVG for a browser, and as JSON.

mod dot;
mod layout;
mod svg;

use std::io::{self, Write};

use fwd_base::text::Untrusted;
use ipnet::IpNet;
use serde::Serialize;

pub use self::{dot::write_dot, svg::write_svg};
use super::{Look, Tone, View};

/// Who made a bridge.
pub const BRIDGE_OWNERS: [&str; 2] = ["fwd", "other"];

/// A host, its bridges with whoever is at them, and what leads outside.
#[derive(Clone, Debug, Serialize)]
pub struct GraphView {
    /// What leads outside.
    pub uplinks: Vec<GraphUplink>,
    /// Bridges, those of `fwd` first.
    pub bridges: Vec<GraphBridge>,
}

/// An interface that leads outside.
#[derive(Clone, Debug, Serialize)]
pub struct GraphUplink {
    /// Its name.
    pub uplink: Untrusted,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// Programs of `fwd` guard it.
    pub guarded: bool,
    /// It is up.
    pub up: bool,
}

/// A bridge of the host: a network of `fwd`, or of somebody else, such as `docker0`.
#[derive(Clone, Debug, Serialize)]
pub struct GraphBridge {
    /// Its name.
    pub bridge: Untrusted,
    /// Who made it.
    pub owner: &'static str,
    /// The network, if it is one of `fwd`.
    pub network: Option<Untrusted>,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// How packets of the network are forwarded and translated; none of those of others.
    pub forwarded: Option<String>,
    /// Interfaces by which its packets may leave.
    pub leaves_by: Vec<Untrusted>,
    /// What is connected to it.
    pub ports: Vec<GraphPort>,
}

/// A port of a bridge, and what is at its other end.
#[derive(Clone, Debug, Serialize)]
pub struct GraphPort {
    /// The interface of the host.
    pub host_if: Untrusted,
    /// What the namespace at the other end is called: by its name, as the container, by a process in it, or by its inode; none where
    /// there is none.
    pub ns: Option<Untrusted>,
    /// The interface there.
    pub ns_if: Option<Untrusted>,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// Ports of the host that lead there.
    pub published: Vec<String>,
}

/// Addresses without those that every interface of IPv6 has.
fn shown(addresses: &[IpNet]) -> Vec<String> {
    let is_link_local = |net: &&IpNet| matches!(net, IpNet::V6(net) if net.addr().segments()[0] & 0xffc0 == 0xfe80);
    addresses.iter().filter(|net| !is_link_local(net)).map(ToString::to_string).collect()
}

impl GraphUplink {
    /// What is told of it besides its name.
    fn lines(&self) -> Vec<String> {
        let mut lines = shown(&self.addresses);
        lines.push(match (self.up, self.guarded) {
            (false, _) => "down".into(),
            (true, true) => "guarded by fwd".into(),
            (true, false) => "not guarded".into(),
        });
        lines
    }
}

impl GraphBridge {
    /// The network's name, else the bridge's.
    fn title(&self) -> String {
        self.network.as_ref().unwrap_or(&self.bridge).to_string()
    }

    fn is_ours(&self) -> bool {
        self.owner == BRIDGE_OWNERS[0]
    }

    /// What is told of it besides its title.
    fn lines(&self) -> Vec<String> {
        let mut lines = shown(&self.addresses);
        lines.extend(self.forwarded.clone());
        if self.network.as_ref().is_some_and(|network| *network != self.bridge) {
            lines.insert(0, format!("bridge {}", self.bridge));
        }
        lines
    }
}

impl GraphPort {
    /// What is at the other end, else the interface itself.
    fn title(&self) -> String {
        self.ns.as_ref().unwrap_or(&self.host_if).to_string()
    }

    /// What is told of it besides its title.
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.ns_if.iter().map(|ns_if| format!("{ns_if} – {}", self.host_if)).collect();
        lines.extend(shown(&self.addresses));
        lines.extend(self.published.iter().map(|ports| format!("host {ports}")));
        lines
    }
}

impl View for GraphView {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let told = |title: &str, lines: &[String], tone| {
            let lines = look.paint(Tone::Dim, &lines.join(", "));
            format!("{}  {lines}", look.paint(tone, title))
        };
        writeln!(out, "{}", look.paint(Tone::Strong, "outside"))?;
        for (index, uplink) in self.uplinks.iter().enumerate() {
            let branch = if index + 1 < self.uplinks.len() { "├─" } else { "└─" };
            writeln!(out, "{branch} {}", told(&uplink.uplink.to_string(), &uplink.lines(), Tone::Plain))?;
        }
        for bridge in &self.bridges {
            let tone = if bridge.is_ours() { Tone::Strong } else { Tone::Plain };
            let leaves: Vec<String> = bridge.leaves_by.iter().map(ToString::to_string).collect();
            let by = (!leaves.is_empty()).then(|| format!("leaves by {}", leaves.join(", ")));
            let lines: Vec<String> = bridge.lines().into_iter().chain(by).collect();
            writeln!(out, "\n{}", told(&bridge.title(), &lines, tone))?;
            for (index, port) in bridge.ports.iter().enumerate() {
                let branch = if index + 1 < bridge.ports.len() { "├─" } else { "└─" };
                writeln!(out, "{branch} {}", told(&port.title(), &port.lines(), Tone::Plain))?;
            }
        }
        Ok(())
    }
}
