//! Networks that have IPv6 alone.

use super::*;
use crate::{Network, RouteRequest, UplinkChoice, forwarding, sysctls::OFF};

fn alone(ns: &str) -> UpRequest {
    request(ns).with_options(|it| {
        it.ipv4 = Some(Ipv4::Off);
        it.datapath = None;
    })
}

#[test]
fn network_of_ipv6_alone_takes_no_ipv4_and_leaves_nothing() {
    for datapath in Datapath::ALL {
        let mut world = World::with_ipv6();
        let before = world.snapshot();
        let alone = |ns| alone(ns).with_options(|it| it.datapath = Some(datapath));
        let plan = world.up(&alone("a"));
        assert_eq!(plan.warnings, [""; 0]);
        let shown = text(&plan.ops);
        assert!(!shown.contains("10.77.") && !shown.contains("ip fwd_nat postrouting"), "{shown}");
        assert_eq!(world.host.sysctls[&forwarding("fwd0")], OFF, "the kernel forwards none of it either");
        assert_eq!(world.host.sysctls[&forwarding("eth0")], OFF);
        for ns in ["b", "c"] {
            world.up(&alone(ns));
        }
        let (network, endpoints) = (&world.records.networks[0], &world.records.endpoints);
        assert_eq!((network.gateway, network.ipv4(), network.ipv6()), (None, Ipv4::Off, Ipv6::Masquerade));
        let numbers: Vec<u16> = endpoints.iter().filter_map(|it| Some(it.address6?.segments()[7])).collect();
        assert_eq!((numbers.as_slice(), endpoints[0].address), (&[2, 3, 4][..], None));
        let macs: std::collections::BTreeSet<_> = endpoints.iter().map(|it| it.mac).collect();
        assert_eq!(macs.len(), 3);
        // One that was just given back is not given out at once, and whoever is up needs nothing.
        world.down(Some("c"));
        world.up(&alone("d"));
        assert_eq!(world.records.endpoints[2].address6.map(|it| it.segments()[7]), Some(5));
        assert_eq!(world.plan_up(&alone("a").with_options(|it| it.ipv4 = None)).expect("it is up").ops, []);
        world.down(None);
        assert_eq!(world.snapshot(), before, "{datapath:?}");
    }
}

/// Beside a network that has both; whatever IPv4 needs of the uplink comes and goes with that one.
#[test]
fn networks_of_both_families_come_and_go_beside_it() {
    let mut world = World::with_ipv6();
    world.up(&alone("a"));
    world.up(&UpRequest { network: Some(name("web")), ..UpRequest::new(named("b")) });
    assert_eq!(world.host.sysctls[&forwarding("eth0")], "1");
    let before = world.records.networks[0].clone();
    world.down(Some("b"));
    assert_eq!(world.records.networks, [before]);
    world.down(Some("a"));
    assert_eq!(world.records.networks, []);
}

#[test]
fn former_endpoint_keeps_its_address() {
    let mut world = World::with_ipv6();
    world.add_namespace("a");
    world.up(&alone("a"));
    world.up(&alone("b"));
    let (host_if, address) = (world.records.endpoints[0].host_if.clone(), world.records.endpoints[0].address6);
    world.delete_link(&host_if);
    world.up(&alone("a"));
    assert!(world.records.endpoints.iter().any(|it| it.address6 == address && it.ns.as_deref() == Some("a")));
}

#[test]
fn ipv4_is_refused_where_there_is_none() {
    let mut world = World::with_ipv6();
    let new: [(UpRequest, &[&str]); 3] = [
        (alone("a").with_options(|it| it.ipv6 = Some(Ipv6::Off)), &["no addresses at all", "--ipv6 off"]),
        (alone("a").with_options(|it| it.subnet = "10.0.0.0/24".parse().ok()), &["--subnet 10.0.0.0/24", "--subnet6"]),
        (alone("a").with_options(|it| it.gateway = Some([10, 0, 0, 1].into())), &["--gateway 10.0.0.1"]),
    ];
    for (asked, words) in new {
        refused(&world, &asked, Kind::Usage, words);
    }
    let small = alone("a").with_options(|it| it.mtu = Some(1000));
    refused(&world, &small, Kind::Unsupported, &["1280", "without --ipv4 off"]);
    world.up(&alone("a"));
    refused(
        &world,
        &request("b").with_options(|it| it.ipv4 = Some(Ipv4::On)),
        Kind::Conflict,
        &["its IPv4 is off, not on"],
    );
    let ip = UpRequest::new(named("b")).with_endpoint(|it| it.ip = Some([10, 0, 0, 2].into()));
    refused(&world, &ip, Kind::Unsupported, &["address 10.0.0.2", "fwd0 has no IPv4", "--ip6"]);
    let source = crate::Sources { v4: "198.51.100.2".parse().ok(), v6: None };
    let source = UpRequest::new(named("b")).with_endpoint(|it| it.source = source);
    refused(&world, &source, Kind::Unsupported, &["--source"]);
    let route = RouteRequest { to: "10.9.0.0/16".parse().expect("a network"), via: None };
    let route = UpRequest::new(named("b")).with_endpoint(|it| it.routes = vec![route]);
    refused(&world, &route, Kind::Unsupported, &["10.9.0.0/16", "has no IPv4"]);
    let port =
        |text: &str| UpRequest::new(named("b")).with_endpoint(|it| it.publish = vec![text.parse().expect("a port")]);
    refused(&world, &port("198.51.100.2:8080:80"), Kind::Unsupported, &["fwd0 has no IPv4", "at an address of IPv6"]);
    world.up(&port("8080:80"));
}

/// Of the host's two families only the one counts that the network has.
#[test]
fn network_is_led_by_the_next_default_route_when_its_uplink_goes() {
    let mut world = World::with_ipv6();
    world.host.net.addresses.retain(|(_, address)| address.addr().is_ipv6());
    world.host.net.routes.retain(|route| route.destination.addr().is_ipv6());
    let (eth1, address) =
        (world.host.net.link("eth1").expect("it is there").index, "2001:db8:1::2/64".parse().expect("an address"));
    world.host.net.addresses.push((eth1, address));
    world.up(&alone("a"));
    world.delete_link("eth0");
    world.learn_route6("eth1");
    world.up(&alone("b"));
    assert_eq!(world.records.networks[0].uplink, eth1);
}

#[test]
fn host_without_ipv4_has_networks_of_ipv6_alone() {
    let mut world = World::with_ipv6();
    world.host.net.addresses.retain(|(_, address)| address.addr().is_ipv6());
    world.host.net.routes.retain(|route| route.destination.addr().is_ipv6());
    refused(&world, &UpRequest::new(named("a")), Kind::NotFound, &["no default route of IPv4", "--ipv4 off"]);
    world.up(&alone("a"));
    assert!(world.records.uplinks[0].address.is_unspecified());
    let vault = Network { uplink: UplinkChoice::None, ipv4: Some(Ipv4::Off), kept: true, ..Network::default() };
    world.add_network("vault", vault);
    let vault = world.records.networks.iter().find(|it| it.name == "vault").expect("it is there");
    assert_eq!((vault.ipv4(), vault.ipv6()), (Ipv4::Off, Ipv6::Route));
}
