//! What keeps IPv6 of a network from getting where it is sent.

use fwd_base::{Result, text::word};
use fwd_kernel::netlink::{Link, Netlink};
use fwd_plan::{NetConfig, NetworkRecord, Records, UplinkRecord};

/// Where IPv6 goes that leaves by another interface than the uplink of a network, and what to do about it.
pub(super) fn elsewhere(records: &Records, record: &NetworkRecord, uplink: &UplinkRecord) -> Result<Option<String>> {
    if record.gateway6.is_none() {
        return Ok(None);
    }
    let netlink = Netlink::here()?;
    let net = NetConfig { links: netlink.links()?, routes: netlink.routes()?, ..NetConfig::default() };
    let bridges: Vec<u32> = records.networks.iter().map(|network| network.index).collect();
    let ways = net.elsewhere6(uplink.index, &bridges);
    Ok((!ways.is_empty()).then(|| {
        let (name, more) = (&uplink.name, if ways.len() > MANY { ", …" } else { "" });
        let ways = ways.into_iter().take(MANY).collect::<Vec<_>>().join(", ");
        format!(
            "its IPv6 leaves by {name} alone, and the host leads {ways}{more}: `ip -6 route add PREFIX via ROUTER dev {}` leads it by {name}, or \
             put the namespace on a network of its own for the other interface (`fwd up --uplink`)",
            word(name)
        )
    }))
}

/// As many routes are named.
const MANY: usize = 3;

/// What to say where the routers of IPv6 behind an uplink do not answer. What a program sends by its flow waits for them, and nobody tells
/// the sender.
pub(super) fn silent_routers(netlink: &Netlink, record: &NetworkRecord, uplink: &Link) -> Result<Vec<String>> {
    if record.gateway6.is_none() || !record.datapath.is_ebpf() {
        return Ok(Vec::new());
    }
    let net = NetConfig { routes: netlink.routes()?, neighbours: netlink.neighbours()?, ..NetConfig::default() };
    let told = |router| {
        format!(
            "the router {router} does not answer at {0}, so that IPv6 of network {1} goes nowhere by it, and nobody inside is told: `ip -6 neigh show dev {2}` \
             and `ip -6 route show dev {2}` on the host show whether the route names the right one",
            uplink.name,
            record.name,
            word(&uplink.name)
        )
    };
    Ok(net.silent_routers6(uplink.index).into_iter().map(told).collect())
}
