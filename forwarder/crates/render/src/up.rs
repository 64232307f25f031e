//! What `up` made and what to try next.

use std::io::{self, Write};

use fwd_base::text::Untrusted;
use serde::Serialize;

use super::{EndpointView, Look, TableView, Tone, View, units};

/// So few addresses that it is time to say what comes after the last.
const FEW: usize = 8;

/// The result of `fwd up`.
#[derive(Clone, Debug, Serialize)]
pub struct UpView {
    /// The endpoint.
    #[serde(flatten)]
    pub endpoint: EndpointView,
    /// Whether anything had to be done.
    pub changed: bool,
    /// What the namespace was called in the pool, where it was taken from there.
    pub from_pool: Option<Untrusted>,
    /// How many more namespaces the network has room for.
    pub room: usize,
    /// Why this data path, where `--datapath auto` chose it.
    pub datapath_reason: Option<String>,
    /// Address behind which the namespace appears outside; in `inspect`'s document.
    #[serde(skip)]
    pub uplink_address: Option<String>,
    /// The flow table, if this command has loaded it; in `inspect`'s document.
    #[serde(skip)]
    pub loaded: Option<TableView>,
}

impl View for UpView {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let Self { endpoint, changed, from_pool, room, datapath_reason, uplink_address, loaded } = self;
        let (label, addresses) = (endpoint.place(), endpoint.addresses());
        let on = format!("{addresses} on network {}, {} ({})", endpoint.network, endpoint.way_out(), endpoint.datapath);
        if !changed {
            return writeln!(out, "{} is already up, nothing changed: {on}", look.paint(Tone::Strong, &label));
        }
        writeln!(out, "{} is {}: {on}", look.paint(Tone::Strong, &label), look.paint(Tone::Good, "up"))?;
        let made = match (from_pool, endpoint.ns_created) {
            (Some(_), _) => " (of the pool)",
            (None, true) => " (made)",
            (None, false) => "",
        };
        let by = if endpoint.datapath == "kernel" { "nftables" } else { "eBPF" };
        let ipv6 = if endpoint.policy.is_routed6() { ", IPv6 routed" } else { "" };
        let masquerade = format!("masquerade by {by}{ipv6}");
        let next = if *room < FEW { ", then `--network NAME` makes another" } else { "" };
        let uplink = [Some(endpoint.uplink.to_string()), uplink_address.clone()].into_iter().flatten();
        let uplink = match endpoint.policy.internal {
            true => ("uplink", "none".into(), "internal: nothing leaves the network".into()),
            false => ("uplink", uplink.collect::<Vec<_>>().join(" "), masquerade),
        };
        let mut lines = vec![
            (
                "namespace",
                format!("{}{made}", endpoint.label()),
                format!("{} {addresses}, mtu {}", endpoint.ns_if, endpoint.mtu),
            ),
            (
                "bridge",
                format!("{} {}", endpoint.bridge, endpoint.gateways()),
                format!("host veth {}, room for {room} more{next}", endpoint.host_if),
            ),
            uplink,
        ];
        lines.extend(endpoint.published.iter().map(|ports| ("published", ports.clone(), String::new())));
        lines.extend(endpoint.names.text().map(|(names, asked)| ("names", names, asked)));
        let auto = |why: &String| ("datapath", format!("{} (auto)", endpoint.datapath), why.clone());
        lines.extend(datapath_reason.as_ref().map(auto));
        lines.extend(loaded.as_ref().map(|table| {
            let memory = units::bytes(table.memory_bytes);
            let (first, last) = table.nat_ports;
            ("table", format!("{} flows, {memory}", table.max_flows), format!("ports {first}-{last}"))
        }));
        let width = lines.iter().map(|(_, left, _)| left.chars().count()).max().unwrap_or(0);
        for (title, left, right) in lines {
            let line = format!("{}  {left:width$}  {right}", look.paint(Tone::Dim, &format!("{title:9}")));
            writeln!(out, "  {}", line.trim_end())?;
        }
        self.hints(look, out)
    }
}

impl UpView {
    /// Commands to try next, ready to be pasted.
    fn hints(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let Some(target) = self.endpoint.option() else { return Ok(()) };
        let mut hints = Vec::new();
        if let Some(gateway) = self.endpoint.gateways.first() {
            hints.push(format!("{} exec {target} -- ping -c1 {gateway}", look.fwd));
        }
        // The kernel's data path keeps its flows in conntrack, which `flows` does not show.
        if self.endpoint.datapath != "kernel" {
            hints.push(format!("{} flows {target}", look.fwd));
        }
        hints.push(format!("{} down {target}", look.fwd));
        writeln!(out)?;
        for (index, hint) in hints.iter().enumerate() {
            let lead = if index == 0 { look.paint(Tone::Hint, "try:") } else { "    ".into() };
            writeln!(out, "{lead}  {hint}")?;
        }
        Ok(())
    }
}
