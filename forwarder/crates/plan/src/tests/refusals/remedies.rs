//! Remedies are followed as they are written: afterwards the command works.

use proptest::prelude::*;

use crate::{
    Bridging, UpRequest,
    testing::{World, name, named},
};
use fwd_kernel::netlink::{Link, Route, TABLE_MAIN};

/// Follows the remedy of the refusal of `request`: its options and its `fwd down`.
#[track_caller]
fn follow(world: &mut World, request: &UpRequest) -> UpRequest {
    let error = world.plan_up(request).expect_err("it is refused");
    let remedy = error.remedy.clone().unwrap_or_else(|| panic!("no remedy: {error}"));
    let value = |option: &str| {
        let after = remedy.split_once(option)?.1.trim_start();
        after.split([' ', ',', ';', '`', ':']).next().map(str::to_owned).filter(|value| !value.is_empty())
    };
    let mut request = request.clone();
    if let Some(network) = value("--network ").filter(|value| !value.starts_with("none")) {
        request.network = Some(name(&network));
    }
    match value("--subnet ").and_then(|subnet| subnet.parse().ok()) {
        Some(subnet) => request.options.subnet = Some(subnet),
        None if remedy.contains("leave out --subnet") => request.options.subnet = None,
        None => {}
    }
    if let Some(ns) = value("`fwd down --ns ") {
        world.down(Some(&ns));
    }
    if let Some(command) = value("`fwd exec --ns ") {
        let inside = world.inside(&command);
        inside.net.links.retain(|link| link.loopback);
        inside.net.routes.clear();
    }
    world.plan_up(&request).unwrap_or_else(|error| panic!("after {remedy:?}: {error}: {:?}", error.remedy));
    request
}

fn route(destination: &str, ifindex: u32) -> Route {
    let destination = destination.parse().expect("a route");
    Route { destination, ifindex, gateway: None, metric: 0, table: TABLE_MAIN, mtu: None }
}

fn with_subnet(ns: &str, subnet: &str) -> UpRequest {
    UpRequest::new(named(ns)).with_options(|it| it.subnet = Some(subnet.parse().expect("a subnet")))
}

#[test]
fn of_a_subnet_that_is_in_use() {
    let mut world = World::new();
    for destination in ["10.77.0.0/16", "172.30.0.0/16", "192.168.0.0/16"] {
        world.host.net.routes.push(route(destination, 3));
    }
    assert_eq!(follow(&mut world, &with_subnet("a", "10.77.0.0/16")).options.subnet, None);
    // The host is on a link with each range of the pool.
    for address in ["10.77.0.1/16", "172.30.0.1/16", "192.168.0.1/16", "100.64.0.1/10"] {
        world.add_uplink(&format!("lan{address}"), 4, address);
    }
    let plain = UpRequest::new(named("a"));
    let chosen = follow(&mut world, &plain);
    assert_eq!(chosen.options.subnet.map(|subnet| subnet.to_string()).as_deref(), Some("10.0.0.0/24"));
    assert!(follow(&mut world, &with_subnet("a", "10.77.0.0/17")).options.subnet.is_some());
}

#[test]
fn of_options_that_differ() {
    let mut world = World::new();
    world.up(&UpRequest::new(named("a")));
    // The namespace is attached: it is taken out first, and then the option is free.
    follow(&mut world.clone(), &with_subnet("a", "10.9.0.0/24"));
    follow(&mut world.clone(), &UpRequest::new(named("a")).with_endpoint(|it| it.ip = Some([10, 77, 0, 9].into())));
    follow(&mut world.clone(), &UpRequest { network: Some(name("web")), ..UpRequest::new(named("a")) });
    follow(&mut world.clone(), &UpRequest::new(named("a")).with_endpoint(|it| it.allow_spoof = true));
    // Another one may join another network.
    let other = follow(&mut world.clone(), &UpRequest::new(named("b")).with_options(|it| it.mtu = Some(1400)));
    assert_eq!(other.network, Some(name("fwd1")));
    world.inside("a").net.links[1].name = "lan0".into();
    follow(&mut world, &UpRequest::new(named("a")));
}

#[test]
fn of_a_network_without_room() {
    let mut world = World::new();
    world.up(&with_subnet("a", "10.0.0.0/30"));
    let other = follow(&mut world, &UpRequest::new(named("b")));
    assert_eq!((other.network, other.options.subnet.map(|it| it.prefix_len())), (Some(name("fwd1")), Some(22)));
}

#[test]
fn of_a_bridge_without_ports() {
    let mut world = World::new();
    world.up(&with_subnet("a", "10.0.0.0/16"));
    let record = world.records.endpoints[0].clone();
    let veth = world.host.net.by_index(record.index).cloned().expect("it is there");
    let mut others = (1_000..).zip(2..).map(|(index, last)| {
        let address = Some(std::net::Ipv4Addr::from_bits(0x0a00_0100 + last));
        let (id, ns) = (named(&format!("n{index}")).id("eth0"), Some(format!("n{index}")));
        let (host_if, cookie) = (format!("fwd{index}"), index.into());
        crate::EndpointRecord { index, id, ns, host_if, address, cookie, ..record.clone() }
    });
    let mut add = |world: &mut World, count: usize| {
        for other in others.by_ref().take(count) {
            world.records.devices.insert(other.index);
            let name = other.host_if.clone();
            world.host.net.links.push(Link { index: other.index, name, ..veth.clone() });
            world.records.endpoints.push(other);
        }
    };
    add(&mut world, 1_021);
    world.plan_up(&UpRequest::new(named("b"))).expect("there is one more port");
    add(&mut world, 1);
    let error = world.plan_up(&UpRequest::new(named("b"))).expect_err("there is none");
    assert!(error.why.contains("1023 ports"), "{error}");
    assert!(error.remedy.is_some_and(|remedy| remedy.contains("--bridge none")), "which has none");
    let mut without = world.clone();
    without.records.networks[0].treatment.bridging = Bridging::None;
    without.plan_up(&UpRequest::new(named("b"))).expect("there is room for as many as there are addresses");
    assert_eq!(follow(&mut world, &UpRequest::new(named("b"))).network, Some(name("fwd1")));
}

#[test]
fn of_a_bridge_that_others_made() {
    let mut world = World::new();
    world.host.net.links.push(Link { index: 50, name: "fwd0".into(), kind: Some("bridge".into()), ..Link::default() });
    assert_eq!(follow(&mut world, &UpRequest::new(named("a"))).network, Some(name("fwd1")));
    let all = UpRequest { network: Some(name("all")), ..UpRequest::new(named("a")) };
    assert_eq!(follow(&mut world, &all).network, Some(name("fwd1")));
}

#[test]
fn of_namespaces_with_a_life_of_their_own() {
    let mut world = World::new();
    world.add_namespace("a");
    let mut busy = world.clone();
    busy.inside("a").net.links.push(Link { index: 9, name: "eth0".into(), ..Link::default() });
    follow(&mut busy, &UpRequest::new(named("a")));
    let mut routed = world.clone();
    routed.inside("a").net.routes.push(route("0.0.0.0/0", 9));
    follow(&mut routed, &UpRequest::new(named("a")));
    world.up(&UpRequest::new(named("b")));
    world.inside("a").net.addresses.push((9, "10.77.0.9/24".parse().expect("an address")));
    follow(&mut world, &UpRequest::new(named("a")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is routed, plain `up` works, or its remedy does.
    #[test]
    fn of_any_routes(routes in proptest::collection::vec((any::<u32>(), 8_u8..=32, any::<bool>()), 0..40), given: Option<(u32, u8)>) {
        let mut world = World::new();
        let private = |bits: u32| match bits % 4 {
            0 => 0x0a00_0000 | (bits & 0x00ff_ffff),
            1 => 0xac10_0000 | (bits & 0x000f_ffff),
            2 => 0xc0a8_0000 | (bits & 0xffff),
            _ => 0x6440_0000 | (bits & 0x003f_ffff),
        };
        for (bits, prefix, is_address) in routes {
            let net = ipnet::Ipv4Net::new(private(bits).into(), prefix).expect("a network");
            if is_address {
                world.host.net.addresses.push((3, net.into()));
            }
            world.host.net.routes.push(route(&net.trunc().to_string(), 3));
        }
        let mut request = UpRequest::new(named("a"));
        if let Some((bits, prefix)) = given {
            let net = ipnet::Ipv4Net::new(private(bits).into(), 8 + prefix % 23).expect("a network");
            request.options.subnet = Some(net.trunc());
        }
        if world.plan_up(&request).is_err() {
            follow(&mut world, &request);
        }
    }
}
