//! Endpoints.

use crate::{EndpointView, FlowCounts, NamesView, PolicyView};

pub(crate) fn endpoint(ns: Option<&str>, network: &str, host: u8) -> EndpointView {
    let third = if network == "fwd0" { 0 } else { 1 };
    EndpointView {
        network: network.into(),
        owner: "cli".into(),
        ns: ns.map(Into::into),
        netns_inode: 4_026_532_000 + u64::from(host),
        pid: ns.is_none().then_some(4711),
        container: None,
        ns_created: ns.is_some(),
        host_if: format!("fwdv3f9a1b{host:02}").into(),
        gone: false,
        ns_if: "eth0".into(),
        addresses: vec![format!("10.77.{third}.{host}/24").parse().unwrap()],
        gateways: vec![format!("10.77.{third}.1").parse().unwrap()],
        uplink: "eth0".into(),
        uplink_now: Some("eth0".into()),
        uplink_state: "up".into(),
        bound: false,
        leaves_by: vec!["eth0".into()],
        datapath: "tc".into(),
        attach: Some("tcx".into()),
        xdp: None,
        nat: Some("symmetric".into()),
        policy: PolicyView { ipv4: "on".into(), ipv6: "off".into(), default_route: true, ..PolicyView::default() },
        names: NamesView::default(),
        published: Vec::new(),
        bridge: network.into(),
        mtu: 1500,
        tx_packets: 12,
        tx_bytes: 1008,
        rx_packets: 1_234_567,
        rx_bytes: 1_850_000_000,
        flows: Some(FlowCounts { half_open: 1, established: 2, closing: 0, limit: 65_536 }),
    }
}

pub(crate) fn endpoints() -> Vec<EndpointView> {
    vec![endpoint(Some("mynet"), "fwd0", 2), endpoint(None, "fwd0", 3), endpoint(Some("web"), "web", 2)]
}
