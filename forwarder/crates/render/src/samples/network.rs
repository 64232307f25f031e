//! Networks.

use crate::{NetworkChange, NetworkView};

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
        allows: vec!["app".into(), "db".into()],
        reaches: vec!["db".into()],
        name_server: None,
        mtu: 1500,
        kept: endpoints == 0,
        endpoints,
    }
}

pub(crate) fn network_change(changed: bool) -> NetworkChange {
    NetworkChange { network: network("web", 0), changed }
}
