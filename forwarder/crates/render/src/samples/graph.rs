use crate::{BRIDGE_OWNERS, GraphBridge, GraphPort, GraphUplink, GraphView};

/// So many networks, of which every other one is somebody else's, with so many namespaces each.
pub(crate) fn graph(networks: u8, ports: u8) -> GraphView {
    let net = |text: String| text.parse().unwrap();
    let port = |network: u8, number: u8| GraphPort {
        host_if: format!("fwd{network}c{number}").into(),
        ns: Some(format!("web{network}{number}").into()),
        ns_if: Some("eth0".into()),
        addresses: vec![net(format!("10.77.{network}.{}/24", number + 2)), net("fe80::1/64".into())],
        published: if number == 0 { vec!["8080:80/tcp".into()] } else { Vec::new() },
    };
    let bridge = |network: u8| {
        let ours = network.is_multiple_of(2);
        GraphBridge {
            bridge: if ours { format!("fwd{network}") } else { format!("docker{network}") }.into(),
            owner: BRIDGE_OWNERS[usize::from(!ours)],
            network: ours.then(|| format!("fwd{network}").into()),
            addresses: vec![net(format!("10.77.{network}.1/24"))],
            forwarded: ours.then(|| "masquerade (symmetric), tc".into()),
            leaves_by: vec!["eth0".into()],
            ports: (0..ports).map(|number| port(network, number)).collect(),
        }
    };
    let uplink = |name: &str, guarded| GraphUplink {
        uplink: name.into(),
        addresses: vec![net("198.51.100.2/24".into())],
        guarded,
        up: true,
    };
    GraphView {
        uplinks: vec![uplink("eth0", true), uplink("wlan0", false)],
        bridges: (0..networks).map(bridge).collect(),
    }
}
