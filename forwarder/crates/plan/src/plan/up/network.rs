//! The record of a network that comes, and the routes by its bridge.

use crate::{
    Actual, Bridging, NetworkSpec, Object, SysctlRecord, object,
    settled::Network,
    sysctls::{OFF, ignore_linkdown, ignore_linkdown6},
};

/// The bridge of a network without one has no ports and so no carrier: the host goes by its routes all the same, whatever new interfaces are told.
pub(super) fn routes_without_carrier(network: &Network) -> impl Iterator<Item = Object> {
    let bridge = (network.treatment.bridging == Bridging::None).then_some(&network.bridge);
    let v4 = bridge.filter(|_| network.gateway.is_some()).map(|bridge| ignore_linkdown(bridge));
    let v6 = bridge.filter(|_| network.gateway6.is_some()).map(|bridge| ignore_linkdown6(bridge));
    let paths = v4.into_iter().chain(v6);
    paths.map(|path| Object::Sysctl(SysctlRecord { path, original: OFF.into(), ours: OFF.into(), interface: None }))
}

/// The network's record. That of a bridge which was deleted becomes that of the new one, and is never missing meanwhile: from it alone is known
/// which addresses the endpoints have, and how they are treated.
pub(super) fn record(actual: &Actual, network: &Network) -> Vec<Object> {
    let records = actual.records.networks.iter().filter(|record| record.name == network.name);
    let former = records.filter(|record| actual.bridge_of(record).is_none()).map(|record| {
        let (network, from, bridge) = (record.name.clone(), record.index, network.bridge.clone());
        Object::NetworkBridge(object::NetworkBridge { network, from, bridge })
    });
    let former: Vec<Object> = former.collect();
    if !former.is_empty() {
        return former;
    }
    let Network { name, bridge, gateway, gateway6, mac, mtu, datapath, last, treatment, kept, .. } = network.clone();
    let uplink = network.uplink_index();
    vec![Object::Network(NetworkSpec {
        name,
        index: None,
        bridge,
        gateway,
        gateway6,
        uplink,
        mtu,
        mac,
        last,
        datapath,
        treatment,
        kept,
    })]
}
