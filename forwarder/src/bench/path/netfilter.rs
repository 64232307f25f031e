//! Paths that netfilter translates.

use std::time::Duration;

use super::by_hand::{GATEWAY, MOST_NAMESPACES, NETWORK, Veth, connect_all, forward, host_end, routed};
use crate::{
    Context as _, Error, Kind, Result,
    lab::{self, Lab},
    netlink::{
        BridgeSpec,
        nft::{self, Masquerade},
    },
    sysctl,
};

/// Settings of the kernel's table of connections.
const CONNTRACK: &str = "net/netfilter";
/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest packet, bytes: the uplink's.
const MTU: u32 = 1500;

/// Veths, routing, and a masquerade rule of nftables.
pub(super) fn masquerade(lab: &Lab, namespaces: usize) -> Result<Vec<Veth>> {
    let veths = routed(lab, namespaces)?;
    let rule = Masquerade { network: "bench".into(), subnet: NETWORK, uplink: lab.uplink(0).name.clone() };
    lab.host().run(|| nft::ensure_masquerade(&rule))?;
    Ok(veths)
}

/// The same, and established flows in a flow table.
pub(super) fn flowtable(lab: &Lab, namespaces: usize) -> Result<Vec<Veth>> {
    let veths = masquerade(lab, namespaces)?;
    let ends: Vec<String> = (0..veths.len()).map(host_end).collect();
    let devices: Vec<&str> = ends.iter().map(String::as_str).chain([lab.uplink(0).name.as_str()]).collect();
    lab.host().run(|| nft::make_flowtable(&devices))?;
    Ok(veths)
}

/// A bridge with an address, veths as its ports, and a MASQUERADE rule of iptables: what docker does, without its filters.
///
/// # Errors
/// [`Kind::Unsupported`] if there is no `iptables`.
pub fn bridge_masquerade(lab: &Lab, namespaces: usize) -> Result<Vec<Veth>> {
    if namespaces > MOST_NAMESPACES {
        let why = format!("a bridge has ports for {MOST_NAMESPACES}");
        return Err(Error::new(Kind::Usage, "connect", format!("{namespaces} namespaces"), why));
    }
    let subnet = NETWORK.to_string();
    let uplink = lab.uplink(0).name.as_str();
    // First, because it is what may be missing.
    iptables(lab, &["-t", "nat", "-A", "POSTROUTING", "-s", &subnet, "-o", uplink, "-j", "MASQUERADE"])?;
    let veths = connect_all(lab, namespaces)?;
    let host = lab.host().netlink()?;
    let bridge = host.create_bridge(&BridgeSpec {
        name: "br0".into(),
        mac: [0x02, 0x66, 0x77, 0x61, 0, 1],
        mtu: MTU,
        alias: format!("the bridge of lab {}", lab.prefix()),
    })?;
    let gateway = ipnet::Ipv4Net::new(GATEWAY, NETWORK.prefix_len()).doing("use", format!("address {GATEWAY}"))?;
    host.add_address(bridge, gateway.into())?;
    for veth in &veths {
        host.set_controller(veth.host_end, Some(bridge))?;
    }
    forward(lab)?;
    Ok(veths)
}

/// Makes room for flows in the kernel's table of connections, where they stay until the end.
pub(super) fn make_room(lab: &Lab, flows: usize) -> Result<()> {
    lab.host().run(|| {
        let most = count("nf_conntrack_max")?;
        if flows > most / 4 * 3 {
            let why = format!("the kernel keeps {most} connections");
            let remedy = format!("sysctl -w net.netfilter.nf_conntrack_max={}", flows * 2);
            return Err(Error::new(Kind::Unsupported, "make", format!("{flows} flows"), why).remedy(remedy));
        }
        sysctl::write(&format!("{CONNTRACK}/nf_conntrack_udp_timeout"), "86400")
    })
}

/// Connections in the kernel's table.
pub(super) fn flows(lab: &Lab) -> Result<usize> {
    lab.host().run(|| count("nf_conntrack_count"))
}

fn count(name: &str) -> Result<usize> {
    let path = format!("{CONNTRACK}/{name}");
    let value = sysctl::read(&path)?.and_then(|text| text.parse().ok());
    value.ok_or_else(|| Error::new(Kind::Unsupported, "read", format!("sysctl {path}"), "this kernel does not have it"))
}

/// The one program that is run, for it is what `fwd` is compared with.
fn iptables(lab: &Lab, arguments: &[&str]) -> Result<()> {
    let command = lab.command_in(lab.host(), &[&["iptables"], arguments].concat());
    lab::run(command, PATIENCE).and_then(lab::Output::success).map(drop).map_err(|error| {
        let remedy = "install iptables (Debian, Ubuntu: apt install iptables)";
        Error::new(Kind::Unsupported, "set", "the rule of iptables", error.why.clone()).remedy(remedy).caused_by(error)
    })
}
