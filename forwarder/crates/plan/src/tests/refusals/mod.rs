//! What `up` refuses, before anything is changed.

mod remedies;

use forwarder_common::abi::Timeout;

use super::super::{
    Datapath, DownRequest, Nat, TableRequest, UpRequest,
    testing::{World, name, named},
};
use fwd_base::Kind;
use fwd_kernel::netlink::{Link, LinkLayer, Route, TABLE_MAIN};

#[track_caller]
pub(in crate::tests) fn refused(world: &World, request: &UpRequest, kind: Kind, words: &[&str]) {
    let error = world.plan_up(request).expect_err("it is refused");
    assert_eq!(error.kind, kind, "{error}");
    let remedy = error.remedy.clone().unwrap_or_else(|| panic!("no remedy: {error}"));
    let text = format!("{error}; {remedy}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing: {text}");
    }
}

pub(in crate::tests) fn request() -> UpRequest {
    UpRequest::new(named("a"))
}

fn uplink(name: &str) -> UpRequest {
    request().with_options(|it| it.uplink = name.into())
}

fn subnet(text: &str) -> UpRequest {
    request().with_options(|it| it.subnet = Some(text.parse().expect("a subnet")))
}

fn ip(text: &str) -> UpRequest {
    subnet("10.0.0.0/24").with_endpoint(|it| it.ip = Some(text.parse().expect("an address")))
}

#[test]
fn uplinks_at_which_xdp_does_not_see_everything() {
    let mut world = World::new();
    let xdp = uplink("eth1").with_options(|it| it.datapath = Some(Datapath::Xdp));
    world.plan_up(&xdp).expect("a network card will do");
    world.host.net.links[2].layer = LinkLayer::None;
    refused(&world, &xdp, Kind::Unsupported, &["eth1", "no Ethernet header", "--datapath tc"]);
    world.host.net.links[2].layer = LinkLayer::Ethernet;
    for kind in ["bridge", "vlan"] {
        world.host.net.links[2].kind = Some(kind.into());
        refused(&world, &xdp, Kind::Unsupported, &["eth1", kind, "--datapath tc"]);
    }
    world.host.net.links[2].kind = None;
    world.add_uplink("eth1.5", 4, "192.0.2.2/24");
    (world.host.net.links[3].kind, world.host.net.links[3].peer) = (Some("vlan".into()), Some(3));
    refused(&world, &xdp, Kind::Unsupported, &["eth1", "eth1.5", "--datapath tc"]);
    world.plan_up(&uplink("eth1")).expect("TC sees tags");
}

#[test]
fn uplinks_that_lead_nowhere() {
    let mut world = World::new();
    refused(&world, &uplink("etho"), Kind::NotFound, &["etho", "did you mean eth0", "eth1"]);
    refused(&world, &uplink("wlan7"), Kind::NotFound, &["wlan7", "eth0", "eth1"]);
    refused(&world, &uplink("lo"), Kind::Usage, &["lo", "loopback"]);
    world.host.net.links[2].up = false;
    refused(&world, &uplink("eth1"), Kind::Failed, &["eth1", "down", "ip link set eth1 up"]);
    world.host.net.links[2].up = true;
    world.host.net.addresses.retain(|(index, _)| *index != 3);
    refused(&world, &uplink("eth1"), Kind::Failed, &["eth1", "no IPv4 address"]);
    world.host.net.routes.clear();
    refused(&world, &request(), Kind::NotFound, &["no default route", "--uplink", "eth0"]);
    world.up(&uplink("eth0"));
    let other = UpRequest { network: Some(name("other")), ..UpRequest::new(named("b")) };
    refused(&world, &other.with_options(|it| it.uplink = "fwd0".into()), Kind::Usage, &["fwd0", "network of fwd"]);
}

#[test]
fn uplinks_with_a_header_that_the_programs_do_not_know() {
    let mut world = World::new();
    // InfiniBand.
    world.host.net.links[2].layer = LinkLayer::Other(32);
    refused(&world, &uplink("eth1"), Kind::Unsupported, &["eth1", "32", "--datapath kernel"]);
    let kernel = uplink("eth1").with_options(|it| it.datapath = Some(Datapath::Kernel));
    refused(&world, &kernel, Kind::Unsupported, &["eth1", "default route leaves by eth0", "--datapath tc"]);
    world.host.net.routes.iter_mut().filter(|route| route.gateway.is_some()).for_each(|route| route.ifindex = 3);
    world.plan_up(&kernel).expect("the kernel takes any");
    world.host.net.links[2].layer = LinkLayer::None;
    world.plan_up(&uplink("eth1")).expect("there are programs for it");
}

#[test]
fn subnets_that_do_not_fit() {
    let world = World::new();
    refused(&world, &subnet("10.0.0.0/31"), Kind::Usage, &["10.0.0.0/31", "too small", "/30"]);
    refused(&world, &subnet("10.0.0.0/32"), Kind::Usage, &["too small"]);
    refused(&world, &subnet("0.0.0.0/0"), Kind::Usage, &["too large"]);
    refused(&world, &subnet("10.0.0.7/24"), Kind::Usage, &["10.0.0.0/24"]);
    refused(&world, &subnet("224.0.0.0/24"), Kind::Usage, &["private"]);
    refused(&world, &subnet("198.51.0.0/16"), Kind::Conflict, &["198.51.0.0/16", "eth0", "198.51.100.2/24"]);
    world.plan_up(&subnet("10.0.0.0/30")).expect("room for one");
}

fn route(world: &mut World, destination: &str, ifindex: u32) {
    let destination = destination.parse().expect("a route");
    world.host.net.routes.push(Route { destination, ifindex, gateway: None, metric: 0, table: TABLE_MAIN, mtu: None });
}

#[test]
fn subnets_of_routes_and_networks() {
    let mut world = World::new();
    route(&mut world, "10.77.0.0/22", 3);
    refused(&world, &subnet("10.77.0.0/22"), Kind::Conflict, &["10.77.0.0/22", "eth1", "10.77.4.0/24"]);
    refused(&world, &subnet("10.77.0.0/16"), Kind::Conflict, &["10.77.0.0/22", "eth1"]);
    refused(&world, &subnet("198.51.100.0/25"), Kind::Conflict, &["198.51.100.2/24", "eth0"]);
    // The router of the default route, but not the host.
    world.host.net.addresses[0].1 = "198.51.100.130/24".parse().expect("an address");
    refused(&world, &subnet("198.51.100.0/25"), Kind::Conflict, &["router 198.51.100.1", "eth0"]);
    world.up(&request());
    assert_eq!(world.subnet(0), "10.77.4.0/24");
    let other = UpRequest { network: Some(name("other")), ..subnet("10.77.4.128/25") };
    refused(&world, &UpRequest { target: named("b"), ..other }, Kind::Conflict, &["network fwd0", "10.77.4.0/24"]);
}

#[test]
fn part_of_what_a_route_leads_to_is_free_with_a_warning() {
    let mut world = World::new();
    route(&mut world, "10.0.0.0/8", 3);
    let plan = world.plan_up(&subnet("10.77.3.0/24")).expect("a route to more is no obstacle");
    assert!(plan.warnings.iter().any(|warning| warning.contains("10.0.0.0/8") && warning.contains("eth1")));
    // What no route leads to is taken first, in the order of the pool.
    for (next, routes) in [
        ("172.30.0.0/24", &[][..]),
        ("192.168.0.0/24", &["172.16.0.0/12"]),
        ("192.168.2.0/24", &["192.168.0.0/23"]),
        ("100.64.0.0/24", &["192.168.0.0/16"]),
        ("10.77.0.0/24", &["100.64.0.0/10"]),
    ] {
        routes.iter().for_each(|destination| route(&mut world, destination, 3));
        let plan = world.clone().up(&request());
        let mut world = world.clone();
        world.up(&request());
        assert_eq!(world.subnet(0), next);
        assert_eq!(plan.warnings.is_empty(), next != "10.77.0.0/24", "{:?}", plan.warnings);
    }
    // Hosts on the link itself are really there.
    world.add_uplink("lan0", 4, "10.1.2.3/8");
    world.up(&request());
    assert_eq!(world.subnet(0), "172.30.0.0/24");
}

#[test]
fn halves_of_a_default_route_are_no_obstacle() {
    let mut world = World::new();
    for half in ["0.0.0.0/1", "128.0.0.0/1"] {
        let destination = half.parse().expect("a route");
        world.host.net.routes.push(Route {
            destination,
            ifindex: 3,
            gateway: None,
            metric: 0,
            table: TABLE_MAIN,
            mtu: None,
        });
    }
    world.up(&request());
}

#[test]
fn addresses_that_no_endpoint_can_have() {
    let mut world = World::new();
    refused(&world, &ip("10.0.1.2"), Kind::Usage, &["10.0.1.2", "outside of 10.0.0.0/24"]);
    refused(&world, &ip("10.0.0.1"), Kind::Usage, &["gateway"]);
    refused(&world, &ip("10.0.0.0"), Kind::Usage, &["10.0.0.0"]);
    refused(&world, &ip("10.0.0.255"), Kind::Usage, &["broadcast"]);
    world.up(&ip("10.0.0.7"));
    refused(&world, &UpRequest { target: named("b"), ..ip("10.0.0.7") }, Kind::Conflict, &["10.0.0.7", "namespace a"]);
}

#[test]
fn network_without_room() {
    let mut world = World::new();
    world.up(&subnet("10.0.0.0/30"));
    refused(
        &world,
        &UpRequest::new(named("b")),
        Kind::Failed,
        &["10.0.0.0/30", "taken", "--network fwd1 --subnet 10.77.0.0/22"],
    );
}

#[test]
fn options_that_differ_from_what_exists() {
    let mut world = World::new();
    world.up(&request());
    for target in ["a", "b"] {
        let base = UpRequest::new(named(target));
        let differs = |request: UpRequest, words: &[&str]| refused(&world, &request, Kind::Conflict, words);
        differs(base.clone().with_options(|it| it.mtu = Some(1400)), &["MTU", "1500", "1400"]);
        differs(base.clone().with_options(|it| it.uplink = "eth1".into()), &["uplink", "eth0", "eth1"]);
        differs(base.clone().with_options(|it| it.datapath = Some(Datapath::Kernel)), &["datapath", "tc", "kernel"]);
        differs(base.clone().with_options(|it| it.datapath = Some(Datapath::Xdp)), &["datapath", "tc", "xdp"]);
        differs(UpRequest { target: named(target), ..subnet("10.0.0.0/24") }, &["10.77.0.0/24", "10.0.0.0/24"]);
    }
    let other = request().with_endpoint(|it| it.ip = Some([10, 77, 0, 9].into()));
    refused(&world, &other, Kind::Conflict, &["10.77.0.2", "10.77.0.9"]);
    refused(
        &world,
        &UpRequest { network: Some(name("web")), ..request() },
        Kind::Conflict,
        &["fwd0", "web", "fwd down"],
    );
}

fn table(change: impl FnOnce(&mut TableRequest)) -> UpRequest {
    let mut request = request();
    change(&mut request.table);
    request
}

#[test]
fn options_of_a_network_that_differ() {
    let mut world = World::new();
    world.up(&request().with_options(|it| it.nat = Some(Nat::Eim)));
    for target in ["a", "b"] {
        let base = UpRequest::new(named(target));
        let differs = |request: UpRequest, words: &[&str]| refused(&world, &request, Kind::Conflict, words);
        let symmetric = base.clone().with_options(|it| it.nat = Some(Nat::Symmetric));
        differs(symmetric, &["network fwd0", "NAT", "eim", "symmetric"]);
        differs(base.clone().with_options(|it| it.clamp_mss = true), &["network fwd0", "MSS clamping", "off", "on"]);
        let isolated = base.with_options(|it| it.no_icc = true);
        differs(isolated, &["network fwd0", "reach between namespaces is on, not off"]);
    }
    let spoofing = |it: UpRequest| it.with_endpoint(|it| it.allow_spoof = true);
    refused(&world, &spoofing(request()), Kind::Conflict, &["namespace a", "--allow-spoof"]);
    let other = spoofing(UpRequest { network: Some(name("other")), ..UpRequest::new(named("b")) });
    world.up(&other.with_options(|it| it.nat = Some(Nat::EimEif)));
}

#[test]
fn flow_table_that_differs_from_what_is_asked_for() {
    let mut world = World::new();
    world.up(&table(|table| table.max_flows = Some(1000)));
    world.up(&table(|table| (table.max_flows, table.max_flows_per_ns) = (Some(1000), Some(500))));
    let differs = |request: UpRequest, words: &[&str]| refused(&world, &request, Kind::Conflict, words);
    differs(table(|table| table.max_flows = Some(2000)), &["--max-flows 2000", "1000", "fwd down --all"]);
    differs(table(|table| table.max_flows_per_ns = Some(7)), &["--max-flows-per-ns 7", "500"]);
    differs(table(|table| table.nat_ports = Some((2000, 3000))), &["--nat-ports 2000-3000", "1024-29999"]);
    let timeout = table(|table| table.timeouts.push((Timeout::Icmp, 90)));
    differs(timeout, &["--timeout icmp=1m30s", "icmp=1m"]);
}

#[test]
fn more_flows_for_one_namespace_than_for_all() {
    let request = table(|table| (table.max_flows, table.max_flows_per_ns) = (Some(10), Some(11)));
    refused(&World::new(), &request, Kind::Usage, &["--max-flows-per-ns 11", "--max-flows 10"]);
}

#[test]
fn options_that_the_kernel_datapath_has_not() {
    let mut world = World::new();
    let kernel = request().with_options(|it| it.datapath = Some(Datapath::Kernel));
    let refused =
        |world: &World, request: UpRequest, words: &[&str]| refused(world, &request, Kind::Unsupported, words);
    refused(&world, kernel.clone().with_options(|it| it.nat = Some(Nat::Eim)), &["--nat eim", "datapath kernel", "tc"]);
    refused(&world, kernel.clone().with_options(|it| it.clamp_mss = true), &["--clamp-mss", "datapath kernel", "tc"]);
    let flows = TableRequest { max_flows: Some(7), ..TableRequest::default() };
    refused(&world, UpRequest { table: flows.clone(), ..kernel.clone() }, &["--max-flows 7", "conntrack"]);
    let timeouts = TableRequest { timeouts: vec![(Timeout::TcpEstablished, 7_440)], ..TableRequest::default() };
    let words = ["--timeout tcp-established=2h4m", "conntrack"];
    refused(&world, UpRequest { table: timeouts, ..kernel.clone() }, &words);
    world.up(&kernel.with_endpoint(|it| it.allow_spoof = true).with_options(|it| it.nat = Some(Nat::Symmetric)));
    refused(&world, UpRequest { table: flows, ..request() }, &["--max-flows 7", "conntrack"]);
}

#[test]
fn network_whose_name_no_rule_takes() {
    let mut world = World::new();
    let long = "n".repeat(128);
    let named = |name_of: &str| UpRequest { network: Some(name(name_of)), ..request() };
    let kernel = named(&long).with_options(|it| it.datapath = Some(Datapath::Kernel));
    refused(&world, &kernel, Kind::Usage, &["118 bytes", "128", "--datapath tc"]);
    world.clone().up(&named(&long[10..]).with_options(|it| it.datapath = Some(Datapath::Kernel)));
    world.up(&named(&long));
}

#[test]
fn mtu_beyond_the_uplink() {
    let world = World::new();
    refused(&world, &request().with_options(|it| it.mtu = Some(9000)), Kind::Usage, &["9000", "1500", "eth0"]);
    refused(&world, &request().with_options(|it| it.mtu = Some(67)), Kind::Usage, &["67", "68"]);
    refused(&world, &request().with_options(|it| it.mtu = Some(70_000)), Kind::Usage, &["65535"]);
}

#[test]
fn namespaces_with_a_life_of_their_own() {
    let mut world = World::new();
    world.add_namespace("a");
    let mut busy = world.clone();
    busy.inside("a").net.links.push(Link { index: 9, name: "eth0".into(), ..Link::default() });
    refused(&busy, &request(), Kind::Conflict, &["namespace a", "eth0", "fwd exec --ns a", "fresh namespace"]);
    let mut routed = world.clone();
    let destination = "0.0.0.0/0".parse().expect("a route");
    let route = Route { destination, ifindex: 9, gateway: None, metric: 0, table: TABLE_MAIN, mtu: None };
    routed.inside("a").net.routes.push(route);
    refused(&routed, &request(), Kind::Conflict, &["namespace a", "default route"]);
    let mut addressed = world.clone();
    addressed.inside("a").net.addresses.push((9, "10.77.0.9/24".parse().expect("an address")));
    refused(&addressed, &subnet("10.77.0.0/24"), Kind::Conflict, &["10.77.0.9/24", "in the namespace"]);
    addressed.up(&UpRequest::new(named("b")));
    refused(&addressed, &request(), Kind::Conflict, &["network fwd0", "10.77.0.9/24"]);
    addressed.up(&UpRequest { network: Some(name("other")), ..request() });
    assert_eq!(addressed.subnet(1), "10.77.1.0/24");
}

#[test]
fn the_host_itself() {
    let mut world = World::new();
    world.add_namespace("a");
    world.inside("a").cookie = world.host.cookie;
    refused(&world, &request(), Kind::Usage, &["namespace a", "host's own"]);
    for delete_ns in [false, true] {
        let everything = DownRequest { delete_ns, ..DownRequest::default() };
        let itself = DownRequest { target: Some(named("a")), ..everything.clone() };
        assert_eq!(world.plan_down(&itself).expect_err("it is refused").kind, Kind::Usage);
        assert!(world.plan_down(&everything).expect("possible").ops.is_empty());
    }
}

#[test]
fn names_that_others_have_on_the_host() {
    let mut world = World::new();
    world.host.net.links.push(Link { index: 50, name: "fwd0".into(), kind: Some("bridge".into()), ..Link::default() });
    refused(&world, &request(), Kind::Conflict, &["bridge fwd0", "did not make it", "--network"]);
    // Another network steps aside.
    world.up(&UpRequest { network: Some(name("eth1")), ..request() });
    assert!(world.records.networks[0].bridge.starts_with("fwd-"));
}

#[test]
fn words_that_the_kernel_or_ip_reads_otherwise() {
    let mut world = World::new();
    for word in ["all", "default", "lo", "dev"] {
        let request = UpRequest { network: Some(name(word)), ..request() };
        refused(&world, &request, Kind::Usage, &[word, "name of a network", "--network fwd0"]);
    }
    world.up(&UpRequest { network: Some(name("all-of-them")), ..request() });
}

#[test]
fn more_endpoints_than_there_are_counters_for() {
    let mut world = World::new();
    world.up(&request());
    let (network, endpoint) = (world.records.networks[0].clone(), world.records.endpoints[0].clone());
    // As many as fit: each of both uplinks has two blocks of counters.
    let host = world.host.net.by_index(endpoint.index).expect("it was made").clone();
    for number in 1..u32::try_from(fwd_dataplane::INTERFACE_BLOCKS).expect("few") - 5 {
        let (index, host_if) = (10_000 + number, format!("fwdvx{number}"));
        world.host.net.links.push(Link { index, name: host_if.clone(), ..host.clone() });
        world.records.devices.insert(index);
        let (cookie, network) = (u64::from(index), format!("n{}", number / 1_000));
        let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number);
        world.records.endpoints.push(super::super::EndpointRecord {
            index,
            host_if,
            cookie,
            network,
            address: Some(address),
            ..endpoint.clone()
        });
    }
    for number in 0..5 {
        let name = format!("n{number}");
        world.records.networks.push(super::super::NetworkRecord { name, ..network.clone() });
    }
    let one_more = UpRequest::new(named("b"));
    world.plan_up(&one_more).expect("there is one left");
    world.records.endpoints.push(super::super::EndpointRecord { cookie: 9, ..endpoint });
    refused(&world, &one_more, Kind::Failed, &["4095", "all are taken", "fwd ls"]);
}

#[test]
fn datapath_that_the_kernel_lacks() {
    let mut world = World::new();
    world.no_tc = Some("no TCX and no clsact".into());
    let tc = request().with_options(|it| it.datapath = Some(Datapath::Tc));
    refused(&world, &tc, Kind::Unsupported, &["tc", "no TCX and no clsact", "--datapath kernel"]);
}

#[test]
fn interface_that_was_renamed_inside() {
    let mut world = World::new();
    world.up(&request());
    world.inside("a").net.links[1].name = "lan0".into();
    refused(&world, &request(), Kind::Conflict, &["namespace a", "eth0", "renamed", "fwd down"]);
    world.down(Some("a"));
}
