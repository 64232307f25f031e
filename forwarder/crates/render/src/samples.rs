//! Views made by hand, for tests.

mod doctor;
mod endpoint;
mod graph;
mod latency;
mod network;

pub(crate) use self::{
    doctor::doctor,
    endpoint::{endpoint, endpoints},
    graph::graph,
    latency::{latency, round_trip},
    network::{network, network_change, pool_change, pooled},
};
use super::{
    CollectedView, DownView, FeatureView, FlowCounts, FlowView, GcView, HostView, InspectView, InterfaceView, Look,
    LsView, NamespaceChange, NamespaceView, NatView, PeerView, PlaceView, PlanView, PortView, PortsView, ProcessView,
    ProgramsView, ReloadView, RetriesView, StatView, StatsView, StepView, TableView, UpView, View, WhereView,
};
/// A terminal of `width` columns without colours.
pub(crate) fn look(width: impl Into<Option<u16>>) -> Look {
    Look { color: false, width: width.into(), fwd: "fwd --host-netns box".into() }
}

/// What a view shows, on a terminal of this width or piped.
pub(crate) fn text(view: &impl View, width: impl Into<Option<u16>>) -> String {
    let mut text = Vec::new();
    view.text(&look(width), &mut text).expect("a vector takes everything");
    String::from_utf8(text).expect("text")
}

pub(crate) fn nat() -> NatView {
    let ports = |last: u8, dst_port: Option<u16>, taken| PortsView {
        address: [198, 51, 100, 2].into(),
        proto: if dst_port == Some(53) { "udp".into() } else { "tcp".into() },
        dst_addr: dst_port.map(|_| [203, 0, 113, last].into()),
        dst_port,
        taken,
    };
    let retries = |least, most, searches| RetriesView { least, most, searches };
    NatView {
        table: table(),
        flows: FlowCounts { half_open: 12, established: 28_000, closing: 1, limit: 65_536 },
        ports: vec![ports(10, Some(5201), 27_000), ports(11, Some(53), 2), ports(0, None, 1)],
        port_retries: vec![
            retries(0, 0, 123_456),
            retries(1, 1, 12),
            retries(2, 3, 0),
            retries(4, 7, 1),
            retries(8, 15, 0),
        ],
        ports_exhausted: 3,
        idle_ended: 1234,
        sweep_longest_us: 87,
    }
}

pub(crate) fn ls() -> LsView {
    LsView { endpoints: endpoints(), empty: vec![network("spare", 0)], nat: Some(nat()) }
}

pub(crate) fn up(changed: bool) -> UpView {
    UpView {
        endpoint: endpoint(Some("mynet"), "fwd0", 2),
        changed,
        from_pool: None,
        room: 252,
        datapath_reason: None,
        uplink_address: Some("198.51.100.2".into()),
        loaded: Some(table()),
    }
}

pub(crate) fn down() -> DownView {
    DownView {
        label: Some("mynet".into()),
        changed: true,
        removed: vec!["veth pair fwdv3f9a1b02".into(), "namespace mynet".into(), "bridge fwd0".into()],
        nearest: None,
    }
}

pub(crate) fn plan() -> PlanView {
    let step = |step, operation: &str, commands: &[&str]| StepView {
        step,
        operation: operation.into(),
        commands: commands.iter().map(ToString::to_string).collect(),
    };
    vec![
        step(1, "create namespace mynet", &["ip netns add mynet"]),
        step(2, "create bridge fwd0", &["ip link add fwd0 type bridge", "ip link set fwd0 up"]),
    ]
}

fn flow(proto: &str, src_port: Option<u16>, icmp_id: Option<u16>) -> FlowView {
    FlowView {
        network: Some("fwd0".into()),
        ns: Some("mynet".into()),
        ns_if: Some("eth0".into()),
        proto: proto.into(),
        src_addr: "10.77.0.2".parse().unwrap(),
        src_port,
        dst_addr: "203.0.113.10".parse().unwrap(),
        dst_port: src_port.map(|_| 5201),
        nat_addr: Some("198.51.100.2".parse().unwrap()),
        nat_port: src_port,
        icmp_id,
        state: "established".into(),
        tx_packets: 1_234_567,
        tx_bytes: 1_850_000_000,
        rx_packets: 345_000,
        rx_bytes: 18_000_000,
        age_ms: 72_400,
        idle_ms: 3,
        handshake_rtt_us: (proto == "tcp").then_some(30_250),
    }
}

pub(crate) fn flows() -> Vec<FlowView> {
    let echo = FlowView { tx_packets: 1, tx_bytes: 84, rx_packets: 1, rx_bytes: 84, ..flow("icmp", None, Some(4711)) };
    let syn = FlowView {
        state: "half-open".into(),
        rx_packets: 0,
        rx_bytes: 0,
        handshake_rtt_us: None,
        ..flow("tcp", Some(41_234), None)
    };
    let host = FlowView { network: None, ns: None, ns_if: None, ..flow("udp", Some(1024), None) };
    vec![echo, flow("tcp", Some(41_230), None), syn, host]
}

pub(crate) fn stats(all: bool) -> StatsView {
    let stat = |ifname: &str, hook: &str, verdict: &str, reason: Option<&str>, packets| StatView {
        ifname: ifname.into(),
        place: if hook.ends_with("_ns") { PlaceView::sample("mynet", "eth0") } else { PlaceView::default() },
        hook: hook.into(),
        verdict: verdict.into(),
        reason: reason.map(Into::into),
        packets,
        bytes: packets * 84,
    };
    let stats = vec![
        stat("fwdv3f9a1b02", "from_ns", "forwarded", None, 1_234_567),
        stat("fwdv3f9a1b02", "from_ns", "punted", Some("Arp"), 2),
        stat("fwdv3f9a1b02", "from_ns", "dropped", Some("Ipv6"), 0),
        stat("fwdv3f9a1b02", "to_ns", "forwarded", None, 345_000),
        stat("eth0", "to_uplink", "dropped", Some("Untranslated"), 7),
    ];
    StatsView { stats, all, explain: all, warnings: vec![] }
}

pub(crate) fn table() -> TableView {
    TableView {
        max_flows: 65_536,
        max_flows_per_ns: 65_536,
        nat_ports: (1024, 29_999),
        timeouts: [("icmp", 60_000)].into(),
        memory_bytes: 61_000_000,
    }
}

pub(crate) fn inspect() -> InspectView {
    let verdicts = stats(false).stats.into_iter().filter(|stat| stat.hook == "from_ns" && stat.packets > 0).collect();
    InspectView {
        endpoint: endpoint(Some("mynet"), "fwd0", 2),
        netns_cookie: 17,
        mac: "02:66:00:0a:4d:02".into(),
        gateway_mac: "02:66:00:0a:4d:01".into(),
        host_ifindex: 29,
        host_if_running: Some(true),
        attached: true,
        uplink_address: Some("198.51.100.2".parse().unwrap()),
        uplink_address_now: Some("198.51.100.2".parse().unwrap()),
        resolv_conf: true,
        table: Some(table()),
        programs: Some(programs(true)),
        verdicts,
        warnings: vec![],
    }
}

pub(crate) fn hosts() -> Vec<HostView> {
    let host = |cookie, name: Option<&str>, exists, memory_bytes: Option<u64>| HostView {
        cookie,
        this: cookie == 1,
        names: name.into_iter().map(Into::into).collect(),
        exists,
        versions: vec!["v3f9a1c2e".into()],
        networks: memory_bytes.map(|_| 1),
        endpoints: memory_bytes.map(|_| 2),
        memory_bytes,
    };
    let mebibytes = Some(61 << 20);
    vec![
        host(1, None, Some(true), mebibytes),
        host(4711, Some("box"), Some(true), mebibytes),
        host(4720, None, Some(false), mebibytes),
        host(4731, None, None, None),
    ]
}

pub(crate) fn gc() -> GcView {
    let host = CollectedView {
        cookie: 4720,
        removed: vec!["programs and maps of version v3f9a1c2e".into(), "namespace mynet".into()],
        left: vec!["namespace other, which has interfaces of others".into()],
    };
    GcView { changed: true, hosts: vec![host] }
}

pub(crate) fn features() -> Vec<FeatureView> {
    let one = |feature, support, without, consequence| FeatureView {
        feature,
        support,
        answer: (support == "unknown").then(|| "Operation not permitted (os error 1)".into()),
        linux: "5.17",
        needed_for: "ending idle flows",
        parts: vec!["tc", "kernel"],
        without,
        consequence,
        probe: "a program that calls it is loaded",
    };
    vec![
        one("bpf_loop", "supported", "refused", "refused"),
        one("bpf_timer_init", "unsupported", "refused", "refused"),
        one("TCX", "unknown", "otherwise", "a clsact qdisc and filters instead"),
    ]
}

pub(crate) fn reload() -> ReloadView {
    let after = ProgramsView {
        tag: "a04f5eef06a7f555".into(),
        object: "6d3a9bafe4bd0d2c".into(),
        former: Some("cbf29ce484222325".into()),
        ..programs(true)
    };
    ReloadView { changed: true, rolled_back: false, replaced: 9, before: programs(false), after }
}

pub(crate) fn programs(current: bool) -> ProgramsView {
    ProgramsView {
        tag: "6deef7357e7b4530".into(),
        object: "cbf29ce484222325".into(),
        current,
        traced: false,
        traced_by: None,
        former: None,
    }
}

fn peer(ns: Option<&str>) -> PeerView {
    let example = Some(ProcessView { pid: 4711, comm: Some("nginx".into()) });
    PeerView {
        ifname: "eth0".into(),
        ifindex: 2,
        netns_inode: 4_026_532_002,
        ns: ns.map(Into::into),
        example,
        host: false,
    }
}

pub(crate) fn veth() -> InterfaceView {
    InterfaceView {
        ifname: "fwdv3f9a1b02".into(),
        ifindex: 29,
        kind: Some("veth".into()),
        ns: None,
        netns_inode: 4_026_531_840,
        host: true,
        mac: Some("02:66:00:00:00:02".into()),
        mtu: 1500,
        up: true,
        alias: Some("fwd1:ep:fwd0:mynet".into()),
        addresses: vec![],
        controller: Some("fwd0".into()),
        peer: Some(peer(Some("mynet"))),
        ports: vec![],
        endpoint: Some(endpoint(Some("mynet"), "fwd0", 2)),
    }
}

pub(crate) fn bridge() -> InterfaceView {
    let port = |ifname: &str, ifindex, peer, addresses| PortView { ifname: ifname.into(), ifindex, peer, addresses };
    let ports = vec![
        port("fwdv3f9a1b02", 29, Some(peer(Some("mynet"))), vec!["10.77.0.2/24".parse().unwrap()]),
        port("fwdv3f9a1b03", 31, Some(peer(None)), vec!["10.77.0.3/24".parse().unwrap()]),
        port("eth7", 9, None, vec![]),
    ];
    let (ifname, kind) = ("fwd0".into(), Some("bridge".into()));
    let addresses = vec!["10.77.0.1/24".parse().unwrap()];
    InterfaceView {
        ifname,
        kind,
        addresses,
        ports,
        controller: None,
        peer: None,
        endpoint: None,
        alias: None,
        ..veth()
    }
}

pub(crate) fn namespaces() -> Vec<NamespaceView> {
    let shell = Some(ProcessView { pid: 1, comm: Some("systemd".into()) });
    let host = NamespaceView {
        inode: 4_026_531_840,
        names: vec![],
        processes: Some(131),
        example: shell,
        interfaces: Some(vec!["lo".into(), "eth0".into(), "fwd0".into()]),
        host: true,
        caller: true,
    };
    let (names, example) = (vec!["mynet".into(), "alias".into()], None);
    let named = NamespaceView { names, processes: Some(0), example, host: false, caller: false, ..host.clone() };
    let hidden = NamespaceView { processes: None, interfaces: None, names: vec![], ..named.clone() };
    vec![host, named, hidden]
}

pub(crate) fn places() -> Vec<WhereView> {
    let process = |pid, comm: &str| ProcessView { pid, comm: Some(comm.into()) };
    let alone = WhereView {
        process: process(4711, "nginx"),
        inode: 4_026_532_002,
        names: vec!["mynet".into()],
        host: false,
        caller: false,
        shared_with: vec![],
        complete: true,
    };
    let shared_with = (2..12).map(|pid| process(pid, "sh")).collect();
    vec![alone.clone(), WhereView { process: process(1, "init"), names: vec![], host: true, shared_with, ..alone }]
}

pub(crate) fn namespace_change() -> NamespaceChange {
    NamespaceChange { ns: "mynet".into(), netns_inode: Some(4_026_532_002), changed: true }
}
