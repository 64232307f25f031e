//! Veths that are set up as by hand, and the kernel's routing.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::internet_link;
use crate::Family;
use fwd_base::{Context as _, Error, Kind, Result};
use fwd_kernel::{
    netlink::{Mac, Netlink, PairKind, PairSpec},
    netns::{Name, Netns},
    sysctl,
};
use fwd_plan::ALL_FORWARDING6;
use fwd_testbed::{Testbed, wait_until};

/// Where the namespaces are: as many as one wants.
pub(super) const NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 77, 0, 0), 16);
/// The host, as they see it.
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The same of IPv6 (RFC 4193).
pub(super) const NETWORK6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfd77, 0x6277, 0, 0, 0, 0, 0, 0), 64);
pub(super) const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0x6277, 0, 0, 0, 0, 0, 1);
/// Most namespaces on one host: a bridge has 1023 ports.
pub(super) const MOST_NAMESPACES: usize = 1000;
/// Their interface.
const INSIDE: &str = "eth0";
/// Largest packet, bytes: the uplink's.
const MTU: u32 = 1500;
/// How long a veth may take to be ready.
const PATIENCE: Duration = Duration::from_secs(5);

/// A namespace and the veth to it.
pub struct Veth {
    /// The namespace.
    pub client: Netns,
    /// Its address.
    pub address: Ipv4Addr,
    /// Index of the host's end of the veth, which has no address.
    pub host_veth: u32,
    mac: Mac,
}

/// Makes a namespace and a veth to it. The host's end is up and has no address; inside there are an address and the default
/// route, of IPv6 besides where that is measured.
pub(super) fn connect(testbed: &Testbed, number: usize, family: Family) -> Result<Veth> {
    let [high, low] = u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
    let name = Name::try_from(testbed.name(&format!("c{number}")).as_str())?;
    // An address of IPv6 can be used at once: nobody else could have it.
    let client = Netns::create_named(&name, |_| sysctl::write("net/ipv6/conf/default/accept_dad", "0"))?;
    let host = testbed.host().netlink()?;
    let mac = [0x02, 0x66, 0x77, 0x62, high, low];
    let veth = PairSpec {
        kind: PairKind::Veth,
        host_if: host_veth(number),
        ns_if: INSIDE.into(),
        host_mac: Some(mac),
        ns_mac: [0x02, 0x66, 0x77, 0x63, high, low],
        mtu: MTU,
        alias: format!("namespace {number} of testbed {}", testbed.prefix()),
    };
    let host_veth = host.create_pair(&veth, &client)?;
    let inside = Netlink::open(&client)?;
    let missing = || Error::new(Kind::NotFound, "find", format!("interface {INSIDE}"), "the kernel did not make it");
    let eth = inside.link(INSIDE)?.ok_or_else(missing)?.index;
    inside.set_up(eth)?;
    inside.await_carrier(eth, PATIENCE)?;
    let address = Ipv4Addr::from_bits(GATEWAY.to_bits() + 1 + u32::from_be_bytes([0, 0, high, low]));
    let net = Ipv4Net::new(address, NETWORK.prefix_len()).doing("use", format!("address {address}"))?;
    inside.add_address(eth, net.into())?;
    inside.add_default_route(eth, GATEWAY)?;
    if family == Family::V6 {
        let address = address6(number);
        inside.add_address(eth, IpNet::from(Ipv6Net::new_assert(address, NETWORK6.prefix_len())))?;
        inside.add_default_route(eth, GATEWAY6)?;
        let taken = || Ok(inside.addresses_are_final()?.then_some(()));
        wait_until(PATIENCE, "the namespace takes up its address of IPv6", taken)?;
    }
    Ok(Veth { client, address, host_veth, mac })
}

/// The address of IPv6 of a namespace, where that is measured.
pub(super) fn address6(number: usize) -> Ipv6Addr {
    Ipv6Addr::from_bits(GATEWAY6.to_bits() + 1 + number as u128)
}

/// Name of the host's end of a veth.
pub(super) fn host_veth(number: usize) -> String {
    format!("veth{number}")
}

/// Several of them.
pub(super) fn connect_all(testbed: &Testbed, namespaces: usize, family: Family) -> Result<Vec<Veth>> {
    (0..namespaces).map(|number| connect(testbed, number, family)).collect()
}

/// One namespace, of which the host's routing knows nothing: programs carry its packets.
pub(super) fn redirected(testbed: &Testbed) -> Result<Veth> {
    let veth = connect(testbed, 0, Family::V4)?;
    let inside = Netlink::open(&veth.client)?;
    let eth = inside.link(INSIDE)?.map_or(0, |link| link.index);
    // Nobody would answer for the gateway.
    inside.replace_neighbour(eth, GATEWAY.into(), veth.mac)?;
    Ok(veth)
}

/// Namespaces to which the host routes.
pub(super) fn routed(testbed: &Testbed, namespaces: usize) -> Result<Vec<Veth>> {
    let veths = connect_all(testbed, namespaces, Family::V4)?;
    let host = testbed.host().netlink()?;
    for veth in &veths {
        host.add_address(veth.host_veth, Ipv4Net::from(GATEWAY).into())?;
        host.add_route(Ipv4Net::from(veth.address), veth.host_veth, None)?;
    }
    forward(testbed, Family::V4)?;
    Ok(veths)
}

/// Turns the host into a router, of IPv6 besides where that is measured.
pub(super) fn forward(testbed: &Testbed, family: Family) -> Result<()> {
    testbed.host().run(|| {
        sysctl::write("net/ipv4/ip_forward", "1")?;
        if family == Family::V6 { sysctl::write(ALL_FORWARDING6, "1") } else { Ok(()) }
    })
}

/// Tells the internet the way to the namespaces, for paths that translate nothing.
pub(super) fn route_back(testbed: &Testbed) -> Result<()> {
    let uplink = testbed.uplink(0);
    let internet = uplink.internet.netlink()?;
    internet.add_route(NETWORK, internet_link(&internet, testbed)?, Some(uplink.address.into()))
}
