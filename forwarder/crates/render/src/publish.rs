//! `fwd port`.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use serde::Serialize;

use super::{
    Listing, Look, Tone, View,
    place::{label, with_interface},
    table::{Grid, Holds, plain, toned},
};
use fwd_base::text::Untrusted;

/// Ports of the host that lead to an endpoint: an item of `fwd port ls`.
#[derive(Clone, Debug, Serialize)]
pub struct PublishedView {
    /// As `fwd port rm` takes it.
    pub published: String,
    /// Address of the host; that of nobody for all of its family, none for all of both.
    pub host_address: Option<IpAddr>,
    /// First and last port of the host.
    pub host_ports: (u16, u16),
    /// `tcp` or `udp`.
    pub proto: String,
    /// Prefixes of those who may use them; empty: all.
    pub senders: Vec<IpNet>,
    /// Interface by which packets have to come.
    pub uplink: Untrusted,
    /// Network.
    pub network: Untrusted,
    /// Name of the namespace, if it has one.
    pub ns: Option<Untrusted>,
    /// Inode of the namespace on nsfs.
    pub netns_inode: u64,
    /// Process by which the namespace was given.
    pub pid: Option<u32>,
    /// Container by which the namespace was given.
    pub container: Option<Untrusted>,
    /// Interface inside.
    pub ns_if: Untrusted,
    /// Address inside, if they lead there over IPv4.
    pub address: Option<Ipv4Addr>,
    /// The same of IPv6.
    pub address6: Option<Ipv6Addr>,
    /// First and last port inside.
    pub ports: (u16, u16),
    /// Whether the endpoint is gone, and the ports with it.
    pub gone: bool,
    /// Whether programs of the host reach them by its own addresses.
    pub host_access: bool,
    /// Whose socket on the host has one of the ports, and gets nothing from outside.
    pub shadows: Option<Untrusted>,
}

impl PublishedView {
    /// What people call the namespace, and the interface if it is not the usual one.
    fn place(&self) -> String {
        with_interface(label([self.ns.as_ref(), self.container.as_ref()], self.pid, self.netns_inode), &self.ns_if)
    }
}

impl Listing for PublishedView {
    fn text(items: &[Self], look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if items.is_empty() {
            return writeln!(
                out,
                "no published ports\n  {} {} port add --ns NAME -p 8080:80",
                look.paint(Tone::Hint, "try:"),
                look.fwd
            );
        }
        let columns = [
            ("PUBLISHED", Holds::Text),
            ("NAMESPACE", Holds::Name),
            ("ADDRESS", Holds::Text),
            ("FROM", Holds::Text),
            ("UPLINK", Holds::Text),
            ("HOST", Holds::Text),
            ("SHADOWS", Holds::Text),
        ];
        let mut grid = Grid::new(look, &columns);
        for item in items {
            let addresses = [item.address.map(IpAddr::from), item.address6.map(IpAddr::from)].into_iter().flatten();
            let addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
            let address = if addresses.is_empty() { "-".into() } else { addresses.join(",") };
            grid.row(vec![
                plain(&item.published),
                plain(item.place()),
                if item.gone { toned(format!("{address} (gone)"), Tone::Bad) } else { plain(address) },
                plain(senders(&item.senders)),
                plain(&item.uplink),
                if item.host_access { plain("yes") } else { toned("no", Tone::Warn) },
                item.shadows.as_ref().map_or_else(|| plain("-"), |who| toned(who, Tone::Warn)),
            ]);
        }
        grid.write(0, out)
    }
}

fn senders(prefixes: &[IpNet]) -> String {
    let prefixes: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
    if prefixes.is_empty() { "all".into() } else { prefixes.join(",") }
}

/// What `fwd port add` and `fwd port rm` have done.
#[derive(Clone, Debug, Serialize)]
pub struct PortsChange {
    /// What the namespace is called.
    pub ns: Untrusted,
    /// Whether anything had to be done.
    pub changed: bool,
    /// The ports that lead to it now.
    pub published: Vec<String>,
}

impl View for PortsChange {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let Self { ns, changed, published } = self;
        let ns = look.paint(Tone::Strong, &ns.to_string());
        let unchanged = if *changed { "" } else { "nothing changed: " };
        if published.is_empty() {
            return writeln!(out, "{unchanged}no port leads to {ns}");
        }
        let lead = if published.len() == 1 { "a port leads" } else { "ports lead" };
        writeln!(out, "{unchanged}{lead} to {ns}: {}", published.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::text;

    fn published() -> PublishedView {
        PublishedView {
            published: "8080:80/tcp".into(),
            host_address: None,
            host_ports: (8080, 8080),
            proto: "tcp".into(),
            senders: Vec::new(),
            uplink: "eth0".into(),
            network: "fwd0".into(),
            ns: Some("web".into()),
            netns_inode: 7,
            pid: None,
            container: None,
            ns_if: "eth0".into(),
            address: Some(Ipv4Addr::new(10, 77, 0, 2)),
            address6: None,
            ports: (80, 80),
            gone: false,
            host_access: true,
            shadows: None,
        }
    }

    #[test]
    fn ports_are_listed_with_what_is_not_as_it_should_be() {
        let shadows = Some("nginx (pid 7)".into());
        let senders = vec!["192.0.2.0/24".parse().expect("a prefix")];
        let gone = PublishedView { gone: true, senders, host_access: false, shadows, ..published() };
        let both = PublishedView { address6: Some(Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, 2)), ..published() };
        let listed = text(&vec![published(), gone, both], None);
        let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["8080:80/tcp", "web", "10.77.0.2", "all", "eth0", "yes", "-"]);
        assert_eq!(lines[2][2..], ["10.77.0.2", "(gone)", "192.0.2.0/24", "eth0", "no", "nginx", "(pid", "7)"]);
        assert_eq!(lines[3][2], "10.77.0.2,fd00:77::2", "over both families");
        assert!(text(&Vec::<PublishedView>::new(), None).contains("port add --ns NAME -p 8080:80"));
    }

    #[test]
    fn change_says_which_ports_lead_to_the_namespace() {
        let change = |published: &[&str], changed| PortsChange {
            ns: "web".into(),
            changed,
            published: published.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(text(&change(&[], true), None), "no port leads to web\n");
        assert_eq!(text(&change(&["1:1/tcp"], false), None), "nothing changed: a port leads to web: 1:1/tcp\n");
        assert_eq!(text(&change(&["1:1/tcp", "2:2/udp"], true), None), "ports lead to web: 1:1/tcp, 2:2/udp\n");
    }
}
