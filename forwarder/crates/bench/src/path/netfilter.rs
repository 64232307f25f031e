//! Paths that netfilter translates.

use std::{net::Ipv6Addr, time::Duration};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::by_hand::{
    GATEWAY, GATEWAY6, MOST_NAMESPACES, NETWORK, NETWORK6, Veth, connect_all, forward, host_veth, routed,
};
use crate::Family;
use fwd_base::{Context as _, Error, Kind, Result};
use fwd_kernel::{
    netlink::{
        BridgeSpec,
        nft::{self, Leaving, Masquerade},
    },
    sysctl,
};
use fwd_testbed::{Output, Testbed, run};

/// Settings of the kernel's table of connections.
const CONNTRACK: &str = "net/netfilter";
/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest packet, bytes: the uplink's.
const MTU: u32 = 1500;

/// Veths, routing, and a masquerade rule of nftables.
pub(super) fn masquerade(testbed: &Testbed, namespaces: usize) -> Result<Vec<Veth>> {
    let veths = routed(testbed, namespaces)?;
    let leaving = Leaving::By(testbed.uplink(0).name.clone());
    let rule = Masquerade { network: "bench".into(), subnet: NETWORK, leaving };
    testbed.host().run(|| nft::ensure_masquerade(&rule))?;
    Ok(veths)
}

/// The same, and established flows in a flow table.
pub(super) fn flowtable(testbed: &Testbed, namespaces: usize) -> Result<Vec<Veth>> {
    let veths = masquerade(testbed, namespaces)?;
    let ends: Vec<String> = (0..veths.len()).map(host_veth).collect();
    let devices: Vec<&str> = ends.iter().map(String::as_str).chain([testbed.uplink(0).name.as_str()]).collect();
    testbed.host().run(|| nft::make_flowtable(&devices))?;
    Ok(veths)
}

/// The bridge.
pub(super) const BRIDGE: &str = "br0";
/// Its link-local address, from which the kernel solicits neighbours of those that it forwards for (RFC 4291 §2.5.6).
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77);

/// A bridge with an address, veths as its ports, and a MASQUERADE rule of iptables: what docker does, without its filters.
///
/// # Errors
/// [`Kind::Unsupported`] if there is no `iptables`, or `ip6tables` for IPv6.
pub fn bridge_masquerade(testbed: &Testbed, namespaces: usize, family: Family) -> Result<Vec<Veth>> {
    let uplink = testbed.uplink(0).name.as_str();
    let (program, subnet) = match family {
        Family::V4 => ("iptables", NETWORK.to_string()),
        Family::V6 => ("ip6tables", NETWORK6.to_string()),
    };
    // First, because it is what may be missing.
    iptables(testbed, &[program, "-t", "nat", "-A", "POSTROUTING", "-s", &subnet, "-o", uplink, "-j", "MASQUERADE"])?;
    bridged(testbed, namespaces, family)
}

/// A bridge with an address, veths as its ports, and a host that forwards.
pub(super) fn bridged(testbed: &Testbed, namespaces: usize, family: Family) -> Result<Vec<Veth>> {
    if namespaces > MOST_NAMESPACES {
        let why = format!("a bridge has ports for {MOST_NAMESPACES}");
        return Err(Error::new(Kind::Usage, "connect", format!("{namespaces} namespaces"), why));
    }
    let veths = connect_all(testbed, namespaces, family)?;
    let host = testbed.host().netlink()?;
    let bridge = host.create_bridge(&BridgeSpec {
        name: BRIDGE.into(),
        mac: [0x02, 0x66, 0x77, 0x61, 0, 1],
        mtu: MTU,
        alias: format!("the bridge of testbed {}", testbed.prefix()),
    })?;
    let gateway = Ipv4Net::new(GATEWAY, NETWORK.prefix_len()).doing("use", format!("address {GATEWAY}"))?;
    host.add_address(bridge, gateway.into())?;
    if family == Family::V6 {
        for address in [GATEWAY6, LINK_LOCAL] {
            host.add_address(bridge, IpNet::from(Ipv6Net::new_assert(address, NETWORK6.prefix_len())))?;
        }
    }
    for veth in &veths {
        host.set_controller(veth.host_veth, Some(bridge))?;
    }
    forward(testbed, family)?;
    Ok(veths)
}

/// Makes room for flows in the kernel's table of connections, where they stay until the end.
pub(super) fn make_room(testbed: &Testbed, flows: usize) -> Result<()> {
    testbed.host().run(|| {
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
pub(super) fn flows(testbed: &Testbed) -> Result<usize> {
    testbed.host().run(|| count("nf_conntrack_count"))
}

fn count(name: &str) -> Result<usize> {
    let path = format!("{CONNTRACK}/{name}");
    let value = sysctl::read(&path)?.and_then(|text| text.parse().ok());
    value.ok_or_else(|| Error::new(Kind::Unsupported, "read", format!("sysctl {path}"), "this kernel does not have it"))
}

/// The one program that is run, for it is what `fwd` is compared with.
fn iptables(testbed: &Testbed, arguments: &[&str]) -> Result<()> {
    let command = testbed.command_in(testbed.host(), arguments);
    run(command, PATIENCE).and_then(Output::success).map(drop).map_err(|error| {
        let remedy = "install iptables (Debian, Ubuntu: apt install iptables)";
        Error::new(Kind::Unsupported, "set", "the rule of iptables", error.why.clone()).remedy(remedy).caused_by(error)
    })
}
