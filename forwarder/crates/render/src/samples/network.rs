//! Networks.

use crate::{NetworkChange, NetworkView, PoolChange, PooledView};

pub(crate) fn network(name: &str, endpoints: usize) -> NetworkView {
    NetworkView {
        network: name.into(),
        bridge: name.into(),
        gone: false,
        subnets: vec!["10.77.2.0/24".parse().unwrap()],
        gateways: vec!["10.77.2.1".parse().unwrap()],
        uplink: "eth0".into(),
        uplink_now: Some("eth0".into()),
        uplink_state: "up".into(),
        bound: true,
        datapath: "tc".into(),
        ipv4: "on".into(),
        ipv6: "masquerade".into(),
        nat: Some("eim".into()),
        clamp_mss: false,
        ignore_xfrm: false,
        internal: false,
        no_icc: true,
        east_west: false,
        multicast: false,
        bridgeless: false,
        source: None,
        source6: None,
        allows: vec!["app".into(), "db".into()],
        reaches: vec!["db".into()],
        name_server: None,
        mtu: 1500,
        kept: endpoints == 0,
        endpoints,
        pooled: 0,
    }
}

pub(crate) fn network_change(changed: bool) -> NetworkChange {
    NetworkChange { network: network("web", 0), changed }
}

pub(crate) fn pool_change(made: usize, removed: usize) -> PoolChange {
    PoolChange { network: "web".into(), size: 2, made, removed, up: true }
}

pub(crate) fn pooled(changed: Option<&str>) -> PooledView {
    PooledView {
        network: "web".into(),
        ns: "fwd-pool-1".into(),
        addresses: vec!["10.77.2.2".parse().unwrap()],
        host_if: "fwdv3f9a1b02".into(),
        attach: "tcx".into(),
        changed: changed.map(Into::into),
    }
}
