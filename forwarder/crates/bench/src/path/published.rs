//! Paths from outside to a published port.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use super::{
    by_hand::{NETWORK, Veth, address6},
    netfilter::{BRIDGE, bridged},
};
use crate::{
    Family,
    load::{Peers, await_listening},
};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::Transport;
use fwd_kernel::{
    netlink::nft::{PortRules, ensure_port_rules},
    netns::Netns,
};
use fwd_testbed::{Process, Testbed};

/// The port of the host, and inside: that of iperf3.
pub(super) const PORT: u16 = 5201;
/// Copies between sockets.
const PROXY: &str = "docker-proxy";
/// Where packages have it that is not for a user's `PATH`.
const PLACES: [&str; 2] = ["/usr/sbin", "/usr/libexec/docker"];

/// A client outside that turns to the published port, and a server inside.
pub(super) fn peers<'a>(testbed: &'a Testbed, server: &'a Netns) -> Peers<'a> {
    let uplink = testbed.uplink(0);
    let (any, address): (IpAddr, IpAddr) = match &uplink.ipv6 {
        Some(ipv6) => (Ipv6Addr::UNSPECIFIED.into(), ipv6.address.into()),
        None => (Ipv4Addr::UNSPECIFIED.into(), uplink.address.into()),
    };
    let (listen, target) = (SocketAddr::new(any, PORT), SocketAddr::new(address, PORT));
    Peers { client: &uplink.internet, server, listen, target }
}

/// A bridge, and rules of nftables that translate the destination: what docker does, without its filters.
pub(super) fn dnat(testbed: &Testbed, namespaces: usize) -> Result<Vec<Veth>> {
    let veths = bridged(testbed, namespaces, Family::V4)?;
    for transport in Transport::ALL {
        let rules = PortRules {
            network: "bench".into(),
            bridge: BRIDGE.into(),
            subnet: NETWORK.into(),
            address: last(&veths)?.into(),
            host: None,
            proto: (transport.number(), transport.name()),
            first: PORT,
            last: PORT,
            inside: PORT,
            senders: Vec::new(),
            uplink: None,
        };
        testbed.host().run(|| ensure_port_rules(&rules))?;
    }
    Ok(veths)
}

/// A bridge, and processes on the host that copy what comes at the port, one for each protocol.
///
/// # Errors
/// [`Kind::Unsupported`] if there is no `docker-proxy`.
pub(super) fn proxies(testbed: &Testbed, namespaces: usize, family: Family) -> Result<(Vec<Veth>, Vec<Process>)> {
    // First, because it is what may be missing.
    let program = proxy()?.display().to_string();
    let veths = bridged(testbed, namespaces, family)?;
    let inside = match family {
        Family::V4 => last(&veths)?.to_string(),
        Family::V6 => address6(veths.len().saturating_sub(1)).to_string(),
    };
    let target = peers(testbed, testbed.host()).target;
    let (outside, port) = (target.ip(), PORT.to_string());
    let start = |transport: Transport| {
        let protocol = transport.name();
        let at = ["-proto", protocol, "-host-ip", &outside.to_string(), "-host-port", &port].map(str::to_owned);
        let to = ["-container-ip", &inside, "-container-port", &port].map(str::to_owned);
        // It tells whoever started it by descriptor 3 that it listens.
        let argv = ["sh", "-c", "exec \"$0\" \"$@\" 3>/dev/null", &program].map(str::to_owned);
        let argv = [&argv[..], &at, &to].concat();
        let process = Process::spawn(testbed.command_in(testbed.host(), &argv))?;
        await_listening(testbed.host(), target, protocol, &process)?;
        Ok(process)
    };
    let processes = Transport::ALL.into_iter().map(start).collect::<Result<_>>()?;
    Ok((veths, processes))
}

/// The program.
fn proxy() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(PLACES.map(PathBuf::from));
    places.map(|place| place.join(PROXY)).find(|program| program.is_file()).ok_or_else(|| {
        Error::new(Kind::Unsupported, "run", PROXY, "it is not installed")
            .remedy("install docker (Debian, Ubuntu: it is in the package docker.io), or leave this path out")
    })
}

/// The address of the namespace that is measured.
fn last(veths: &[Veth]) -> Result<Ipv4Addr> {
    let missing = || Error::new(Kind::Usage, "publish", "a port", "there is no namespace");
    veths.last().map(|veth| veth.address).ok_or_else(missing)
}
