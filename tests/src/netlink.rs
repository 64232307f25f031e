//! The netlink facade against the kernel.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use forwarder::{
    Kind,
    netlink::{self, ALIAS_MAX, BridgeSpec, Mac, Netlink, PairKind, PairSpec, TABLE_MAIN},
    testbed::{Namespace, unique_prefix, wait_until},
};

use crate::capture::finish_checksums;

const BRIDGE_MAC: Mac = [2, 0, 0, 0, 0, 1];
const NS_MAC: Mac = [2, 0, 0, 0, 0, 2];
const HOST_MAC: Mac = [2, 0, 0, 0, 0, 3];

/// Two namespaces, a host and a container.
struct Pair {
    host: Namespace,
    pod: Namespace,
}

impl Pair {
    fn new() -> Self {
        let prefix = unique_prefix();
        let create = |role: &str| Namespace::create(&format!("{prefix}-{role}")).expect("a namespace");
        Self { host: create("host"), pod: create("pod") }
    }

    fn netlink(&self) -> (Netlink, Netlink) {
        (self.host.netlink().expect("host"), self.pod.netlink().expect("pod"))
    }
}

fn bridge() -> BridgeSpec {
    BridgeSpec { name: "fwd0".into(), mac: BRIDGE_MAC, mtu: 1400, alias: "fwd1:net:default".into() }
}

fn veth() -> PairSpec {
    PairSpec {
        kind: PairKind::Veth,
        host_if: "fw-v0".into(),
        ns_if: "eth0".into(),
        host_mac: Some(HOST_MAC),
        ns_mac: NS_MAC,
        mtu: 1400,
        alias: "fwd1:ep:default:pod".into(),
    }
}

#[test]
fn bridge_keeps_its_mac_and_mtu_as_ports_join() {
    let pair = Pair::new();
    let (host, _) = pair.netlink();
    let index = host.create_bridge(&bridge()).unwrap();
    let port = host.create_pair(&PairSpec { mtu: 1300, ..veth() }, &pair.pod).unwrap();
    host.set_controller(port, Some(index)).unwrap();

    let link = host.link("fwd0").unwrap().expect("the bridge");
    assert_eq!(link.kind.as_deref(), Some("bridge"));
    assert_eq!((link.index, link.mac, link.mtu, link.up), (index, Some(BRIDGE_MAC), 1400, true));
    assert_eq!(link.alias.as_deref(), Some("fwd1:net:default"));
    let ports: Vec<_> = host.bridge_ports(index).unwrap().into_iter().map(|link| link.name).collect();
    assert_eq!(ports, ["fw-v0"]);

    host.set_controller(port, None).unwrap();
    assert!(host.bridge_ports(index).unwrap().is_empty());
    assert_eq!(host.addresses(Some(index)).unwrap(), [], "no IPv6 address of its own");
}

#[test]
fn veth_puts_its_peer_inside_and_says_where_it_is() {
    let pair = Pair::new();
    let (host, pod) = pair.netlink();
    let index = host.create_pair(&veth(), &pair.pod).unwrap();

    // The kernel finds out in its own time.
    let without_carrier = || Ok(host.link_by_index(index)?.filter(|end| !end.running));
    let end = wait_until(Duration::from_secs(60), "the host-side veth has no carrier", without_carrier).unwrap();
    assert_eq!((end.name.as_str(), end.mac, end.mtu), ("fw-v0", Some(HOST_MAC), 1400));
    assert_eq!((end.kind.as_deref(), end.alias.as_deref()), (Some("veth"), Some("fwd1:ep:default:pod")));
    assert!(end.up, "only the other end is not: {end:?}");
    let error = host.await_carrier(index, Duration::ZERO).unwrap_err();
    assert_eq!(error.to_string(), "cannot use interface fw-v0: it has no carrier after 0ns");
    let peer = pod.link("eth0").unwrap().expect("the end inside");
    assert_eq!((peer.mac, peer.mtu, peer.up), (Some(NS_MAC), 1400, false));
    assert_eq!((end.peer, peer.peer), (Some(peer.index), Some(index)));

    let id = end.peer_netnsid.expect("the peer is elsewhere");
    assert_eq!(host.id_of(&pair.pod).unwrap(), Some(id));
    assert_ne!(host.id_of(&pair.host).unwrap(), Some(id));

    pod.set_up(peer.index).unwrap();
    host.await_carrier(index, Duration::from_secs(60)).unwrap();
    assert_eq!(host.addresses(Some(index)).unwrap(), [], "no link-local address on the host-side veth");
    host.delete_link(index).unwrap();
    assert_eq!(pod.link("eth0").unwrap(), None);
}

#[test]
fn taken_name_is_a_conflict_that_says_where() {
    let pair = Pair::new();
    let (host, _) = pair.netlink();
    host.create_pair(&veth(), &pair.pod).unwrap();

    let error = host.create_pair(&veth(), &pair.pod).unwrap_err();
    assert_eq!(error.kind, Kind::Conflict);
    assert_eq!(error.to_string(), "cannot create interface fw-v0 here: an interface has that name");
    let error = host.create_pair(&PairSpec { host_if: "fw-v1".into(), ..veth() }, &pair.pod).unwrap_err();
    assert_eq!(error.kind, Kind::Conflict);
    assert_eq!(error.object, "interface eth0 inside the target namespace");
    assert_eq!(host.link("fw-v1").unwrap(), None);
    host.create_bridge(&bridge()).unwrap();
    assert_eq!(host.create_bridge(&bridge()).unwrap_err().kind, Kind::Conflict);
}

#[test]
fn several_interfaces_are_deleted_at_once_and_no_other() {
    let pair = Pair::new();
    let (host, pod) = pair.netlink();
    for number in 0..3 {
        let (host_if, ns_if) = (format!("fw-v{number}"), format!("eth{number}"));
        host.create_pair(&PairSpec { host_if, ns_if, ..veth() }, &pair.pod).unwrap();
    }
    host.delete_links(&["fw-v0", "no-such-if", "fw-v2"]).unwrap();
    let names = |netlink: &Netlink| -> Vec<String> {
        netlink.links().unwrap().into_iter().filter(|link| !link.loopback).map(|link| link.name).collect()
    };
    assert_eq!((names(&host), names(&pod)), (vec!["fw-v1".to_owned()], vec!["eth1".to_owned()]));
    // None is left to delete: that is no failure either.
    host.delete_links(&["fw-v0", "fw-v2"]).unwrap();
    assert_eq!(names(&host), ["fw-v1"]);
}

#[test]
fn alias_holds_255_bytes() {
    let pair = Pair::new();
    let (host, _) = pair.netlink();
    let index = host.create_bridge(&bridge()).unwrap();
    let longest = "x".repeat(ALIAS_MAX);
    host.set_alias(index, &longest).unwrap();
    assert_eq!(host.link("fwd0").unwrap().unwrap().alias, Some(longest));

    let error = host.set_alias(index, &"x".repeat(ALIAS_MAX + 1)).unwrap_err();
    assert_eq!(error.kind, Kind::Usage);
    let spec = BridgeSpec { name: "fwd1".into(), alias: "x".repeat(ALIAS_MAX + 1), ..bridge() };
    assert!(host.create_bridge(&spec).is_err());
    assert_eq!(host.link("fwd1").unwrap(), None, "a failed creation leaves nothing");
}

#[test]
fn address_and_default_route_come_and_go() {
    let pair = Pair::new();
    let (host, pod) = pair.netlink();
    host.create_pair(&veth(), &pair.pod).unwrap();
    let eth0 = pod.link("eth0").unwrap().unwrap().index;
    pod.set_up(eth0).unwrap();
    let address = "10.77.0.2/24".parse().unwrap();
    let gateway = Ipv4Addr::new(10, 77, 0, 1);

    assert_eq!(pod.default_route().unwrap(), None);
    pod.add_address(eth0, address).unwrap();
    assert!(pod.addresses(Some(eth0)).unwrap().contains(&(eth0, address)));
    assert!(pod.addresses(None).unwrap().contains(&(1, "127.0.0.1/8".parse().unwrap())));
    assert_eq!(pod.add_address(eth0, address).unwrap_err().kind, Kind::Conflict);
    pod.add_default_route(eth0, gateway).unwrap();
    let route = pod.default_route().unwrap().expect("a default route");
    assert_eq!((route.ifindex, route.gateway, route.metric), (eth0, Some(gateway.into()), 0));
    assert_eq!(pod.add_default_route(eth0, gateway).unwrap_err().kind, Kind::Conflict);
    let on_link = |route: &forwarder::netlink::Route| {
        route.destination == "10.77.0.0/24".parse().unwrap() && route.gateway.is_none() && route.table == TABLE_MAIN
    };
    assert!(pod.routes().unwrap().iter().any(on_link));
    pod.del_address(eth0, address).unwrap();
    assert_eq!(pod.default_route().unwrap(), None);
    assert_eq!(pod.del_address(eth0, address).unwrap_err().kind, Kind::NotFound);
}

#[test]
fn default_route_of_lowest_metric_wins() {
    let pair = Pair::new();
    let (host, pod) = pair.netlink();
    host.create_pair(&veth(), &pair.pod).unwrap();
    let eth0 = pod.link("eth0").unwrap().unwrap().index;
    pod.set_up(eth0).unwrap();
    pod.add_address(eth0, "10.77.0.2/24".parse().unwrap()).unwrap();
    for (metric, gateway) in [("20", "10.77.0.7"), ("10", "10.77.0.8"), ("30", "10.77.0.9")] {
        let argv = ["ip", "route", "add", "default", "via", gateway, "metric", metric];
        let limit = Duration::from_secs(60);
        forwarder::testbed::run(forwarder::testbed::command_in(&pair.pod, &argv), limit).unwrap().success().unwrap();
    }
    let route = pod.default_route().unwrap().unwrap();
    assert_eq!((route.metric, route.gateway), (10, Some("10.77.0.8".parse().unwrap())));
}

#[test]
fn neighbours_are_replaced_and_removed() {
    let pair = Pair::new();
    let (host, pod) = pair.netlink();
    host.create_pair(&veth(), &pair.pod).unwrap();
    let eth0 = pod.link("eth0").unwrap().unwrap().index;
    pod.set_up(eth0).unwrap();
    for (address, mac) in [("10.77.0.1", HOST_MAC), ("10.77.0.1", BRIDGE_MAC), ("fd00::1", BRIDGE_MAC)] {
        pod.replace_neighbour(eth0, address.parse().unwrap(), mac).unwrap();
    }
    let permanent = || -> Vec<_> {
        let all = pod.neighbours().unwrap().into_iter().filter(|neighbour| neighbour.permanent);
        all.map(|neighbour| (neighbour.ifindex, neighbour.address.to_string(), neighbour.mac)).collect()
    };
    let mut found = permanent();
    found.sort();
    let expected = [(eth0, "10.77.0.1".into(), Some(BRIDGE_MAC)), (eth0, "fd00::1".into(), Some(BRIDGE_MAC))];
    assert_eq!(found, expected);
    pod.del_neighbour(eth0, IpAddr::from([10, 77, 0, 1])).unwrap();
    assert_eq!(permanent().len(), 1);
    assert_eq!(pod.del_neighbour(eth0, IpAddr::from([10, 77, 0, 1])).unwrap_err().kind, Kind::NotFound);
}

#[test]
fn forwarding_entries_are_static() {
    let pair = Pair::new();
    let (host, _) = pair.netlink();
    let bridge = host.create_bridge(&bridge()).unwrap();
    let port = host.create_pair(&veth(), &pair.pod).unwrap();
    host.set_controller(port, Some(bridge)).unwrap();
    host.add_fdb(port, NS_MAC).unwrap();
    host.add_fdb(port, NS_MAC).unwrap();
    let fixed: Vec<_> = host.fdb(bridge).unwrap().into_iter().filter(|entry| entry.fixed).collect();
    assert_eq!(fixed.len(), 1, "{fixed:?}");
    assert_eq!((fixed[0].port, fixed[0].mac), (port, NS_MAC));
    host.del_fdb(port, NS_MAC).unwrap();
    assert!(!host.fdb(bridge).unwrap().iter().any(|entry| entry.fixed));
    assert_eq!(host.del_fdb(port, NS_MAC).unwrap_err().kind, Kind::NotFound);
}

#[test]
fn absent_interfaces_are_named_in_errors() {
    let pair = Pair::new();
    let (host, _) = pair.netlink();
    for name in ["eth9", "", "a-name-of-sixteen", "with/slash"] {
        assert_eq!(host.link(name).unwrap(), None, "{name:?}");
    }
    assert_eq!(host.link_by_index(999).unwrap(), None);
    assert_eq!(host.addresses(Some(999)).unwrap(), []);
    for error in [
        host.delete_link(999).unwrap_err(),
        host.set_up(999).unwrap_err(),
        host.add_address(999, "10.0.0.1/24".parse().unwrap()).unwrap_err(),
        host.replace_neighbour(999, IpAddr::from([10, 0, 0, 1]), NS_MAC).unwrap_err(),
        host.add_fdb(999, NS_MAC).unwrap_err(),
    ] {
        assert_eq!(error.kind, Kind::NotFound, "{error}");
        assert!(error.to_string().contains("interface with index 999"), "{error}");
    }
    let index = host.create_bridge(&bridge()).unwrap();
    let error = host.set_mtu(index, 1).unwrap_err();
    assert!(error.to_string().starts_with("cannot set MTU 1 of interface fwd0: "), "{error}");
    assert!(error.to_string().contains("mtu less than device minimum"), "the kernel's reason: {error}");
}

#[test]
fn offloads_are_those_that_ethtool_leaves_on() {
    let pair = Pair::new();
    let (host, _) = pair.netlink();
    host.create_pair(&veth(), &pair.pod).unwrap();
    let before = netlink::offloads(&pair.host, "fw-v0").unwrap();
    assert!(before.contains(&"tcp-segmentation-offload") && before.contains(&"tx-checksumming"), "{before:?}");
    finish_checksums(&pair.host, "fw-v0");
    let after = netlink::offloads(&pair.host, "fw-v0").unwrap();
    assert!(!after.contains(&"tcp-segmentation-offload") && !after.contains(&"tx-checksumming"), "{after:?}");
    assert!(after.contains(&"rx-checksumming"), "{after:?}");
    let error = netlink::offloads(&pair.host, "absent").unwrap_err();
    assert!(error.to_string().starts_with("cannot read the offloads of interface absent: No such device"), "{error}");
}

#[test]
fn records_are_equal_again_after_an_undone_change() {
    let pair = Pair::new();
    let (host, _) = pair.netlink();
    let before = host.records().unwrap();
    let bridge = host.create_bridge(&bridge()).unwrap();
    let port = host.create_pair(&veth(), &pair.pod).unwrap();
    host.set_controller(port, Some(bridge)).unwrap();
    host.add_address(bridge, "10.77.0.1/24".parse().unwrap()).unwrap();
    host.replace_neighbour(bridge, IpAddr::from([10, 77, 0, 2]), NS_MAC).unwrap();
    let during = host.records().unwrap();
    for needle in ["link fwd0: IfName(\"fwd0\")", "neighbour ", "10.77.0.1", "fwd1:ep:default:pod"] {
        assert!(during.iter().any(|line| line.contains(needle)), "{needle} is in {during:#?}");
    }
    host.delete_link(port).unwrap();
    host.delete_link(bridge).unwrap();
    assert_eq!(host.records().unwrap(), before);
}
