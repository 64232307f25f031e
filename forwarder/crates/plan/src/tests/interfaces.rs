//! Namespaces with several interfaces, and what is inside with each.

use super::super::{
    DownRequest, HardwareAddress, Network, Object, TargetRef, UpRequest, UplinkChoice, export,
    testing::{World, name, named},
};
use fwd_base::{Error, Kind};

fn join(target: &str, network: &str, ifname: &str) -> UpRequest {
    UpRequest { network: Some(name(network)), ifname: Some(ifname.into()), ..UpRequest::new(named(target)) }
}

fn down_one(ifname: &str) -> DownRequest {
    DownRequest { target: Some(named("a")), ifname: Some(ifname.into()), ..DownRequest::default() }
}

#[track_caller]
fn refused(world: &World, request: &UpRequest, kind: Kind, words: &[&str]) -> Error {
    let error = world.plan_up(request).expect_err("it is refused");
    let text = format!("{error} {}", error.remedy.as_deref().expect("a remedy"));
    assert_eq!(error.kind, kind, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in {text}");
    }
    error
}

/// A namespace with eth0 and eth1.
fn two() -> World {
    let mut world = World::new();
    world.up(&join("a", "web", "eth0"));
    world.up(&join("a", "db", "eth1"));
    world
}

fn default_routes(world: &mut World) -> Vec<(String, u32)> {
    let net = &world.inside("a").net;
    let routes = net.routes.iter().filter(|route| route.destination.prefix_len() == 0);
    routes.map(|route| (net.name_of(route.ifindex), route.metric)).collect()
}

#[test]
fn interfaces_come_and_go_each_by_itself() {
    let mut world = two();
    let own: Vec<_> = world.records.endpoints.iter().map(|it| (it.id.ifname.clone(), it.network.clone())).collect();
    assert_eq!(own, [("eth0".into(), "web".into()), ("eth1".into(), "db".into())]);
    assert_eq!(default_routes(&mut world), [("eth0".into(), 0)]);
    // Each is known by its name, or by its network, and eth0 is meant where neither is said.
    for request in [
        join("a", "web", "eth0"),
        join("a", "db", "eth1"),
        UpRequest { network: Some(name("db")), ..UpRequest::new(named("a")) },
        UpRequest { ifname: Some("eth1".into()), ..UpRequest::new(named("a")) },
        UpRequest::new(named("a")),
    ] {
        assert_eq!(world.up(&request).ops, [], "{request:?}");
    }
    refused(&world, &join("a", "db", "eth0"), Kind::Conflict, &["eth0 is in network web", "--ifname eth1"]);
    refused(&world, &join("a", "web", "eth2"), Kind::Conflict, &["eth0", "network web has"]);
    let plan = world.plan_down(&down_one("eth1")).expect("possible");
    world.run(&plan.ops, usize::MAX);
    let own: Vec<_> = world.records.endpoints.iter().map(|it| it.id.ifname.as_str()).collect();
    assert_eq!((own, world.records.networks.len()), (vec!["eth0"], 1));
    assert!(world.inside("a").net.link("eth0").is_some(), "the namespace stays, which was made for it");
    assert_eq!(world.plan_down(&down_one("eth1")).expect("possible").ops, []);
    let plan = world.plan_down(&down_one("eth0")).expect("possible");
    world.run(&plan.ops, usize::MAX);
    assert_eq!((&world.records, world.namespaces.len()), (&Default::default(), 0));
    assert!(world.undo.is_empty());
}

#[test]
fn down_takes_all_interfaces_of_a_namespace() {
    let (mut world, before) = (two(), World::new().snapshot());
    world.down(Some("a"));
    assert_eq!(world.snapshot(), before);
}

/// What was done inside for all of them stays until the last goes.
#[test]
fn loopback_and_resolver_stay_for_the_other_interface() {
    let mut world = World::new();
    world.add_namespace("a");
    world.resolv_conf = super::super::ResolvConf::Write("nameserver 192.0.2.1\n".into());
    let before = world.snapshot();
    world.up(&join("a", "web", "eth0"));
    world.up(&join("a", "db", "eth1"));
    for ifname in ["eth0", "eth1"] {
        assert!(world.inside("a").net.links[0].up && !world.written.is_empty() && !world.undo.is_empty(), "{ifname}");
        let plan = world.plan_down(&down_one(ifname)).expect("possible");
        world.run(&plan.ops, usize::MAX);
    }
    assert_eq!(world.snapshot(), before);
}

#[test]
fn second_interface_that_was_killed_anywhere_is_completed_or_goes() {
    let mut one = World::new();
    one.up(&join("a", "web", "eth0"));
    let request = join("a", "db", "eth1").with_endpoint(|it| it.metric = Some(200));
    let ops = one.plan_up(&request).expect("possible").ops;
    for step in 0..=ops.len() {
        let mut world = one.clone();
        world.run_into(&ops, step);
        let mut other = world.clone();
        world.up(&request);
        assert_eq!(world.up(&request).ops, [], "after {step}");
        assert_eq!(default_routes(&mut world), [("eth0".into(), 0), ("eth1".into(), 200)]);
        other.down(Some("a"));
        assert_eq!((&other.records, other.undo.len()), (&Default::default(), 0), "after {step}");
    }
    let mut there = one.clone();
    there.up(&request);
    let ops = there.plan_down(&down_one("eth0")).expect("possible").ops;
    for step in 0..=ops.len() {
        let mut world = there.clone();
        world.run_into(&ops, step);
        let plan = world.plan_down(&down_one("eth0")).expect("possible");
        world.run(&plan.ops, usize::MAX);
        assert_eq!(world.records.endpoints.iter().map(|it| it.id.ifname.as_str()).collect::<Vec<_>>(), ["eth1"]);
        world.down(None);
        assert_eq!((world.records, world.undo), Default::default(), "after {step}");
    }
}

#[test]
fn veth_pair_that_was_deleted_is_made_anew_and_the_other_stays() {
    let mut world = two();
    let [first, second] = [0, 1].map(|at| world.records.endpoints[at].clone());
    world.delete_link(&first.host_if);
    world.up(&join("a", "web", "eth0"));
    let endpoints = &world.records.endpoints;
    assert!(endpoints.contains(&second) && endpoints.iter().any(|it| it.address == first.address), "{endpoints:?}");
    assert_eq!(endpoints.len(), 2);
}

#[test]
fn first_default_route_wins_unless_a_metric_decides() {
    let mut world = World::new();
    world.up(&join("a", "web", "eth0"));
    let plan = world.up(&join("a", "db", "eth1"));
    assert!(plan.warnings.iter().any(|warning| warning.contains("eth1 gets no default route")), "{:?}", plan.warnings);
    refused(
        &world,
        &join("a", "db", "eth1").with_endpoint(|it| it.metric = Some(5)),
        Kind::Conflict,
        &["no default route"],
    );
    world.up(&join("a", "app", "eth2").with_endpoint(|it| it.metric = Some(5)));
    assert_eq!(default_routes(&mut world), [("eth0".into(), 0), ("eth2".into(), 5)]);
    let same = join("a", "more", "eth3").with_endpoint(|it| it.metric = Some(5));
    refused(&world, &same, Kind::Conflict, &["of that metric", "eth2", "--metric N"]);
    refused(
        &world,
        &join("a", "app", "eth2").with_endpoint(|it| it.metric = Some(6)),
        Kind::Conflict,
        &["metric", "5", "6"],
    );
}

#[test]
fn names_and_hardware_addresses_that_no_interface_can_have() {
    let mut world = World::new();
    for ifname in ["lo", "all", "a/b", "sixteen-characters", "", "-x"] {
        refused(&world, &join("a", "web", ifname), Kind::Usage, &["name of an interface", "--ifname eth1"]);
    }
    let with = |mac: &str| join("b", "web", "eth0").with_endpoint(|it| it.mac = Some(mac.parse().expect("an address")));
    for mac in ["00:00:00:00:00:00", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff"] {
        refused(&world, &with(mac), Kind::Usage, &[mac, "--mac"]);
    }
    world.up(&join("a", "web", "eth0"));
    let taken = HardwareAddress(world.records.endpoints[0].mac).to_string();
    refused(&world, &with(&taken), Kind::Conflict, &[&taken, "namespace a has it"]);
    let gateway = HardwareAddress(world.records.networks[0].mac).to_string();
    refused(&world, &with(&gateway), Kind::Conflict, &[&gateway, "gateway of network web"]);
    world.up(&with("02:00:00:00:00:01"));
    assert_eq!(world.records.endpoints[1].mac, [2, 0, 0, 0, 0, 1]);
    assert_eq!(world.up(&with("02:00:00:00:00:01")).ops, []);
    refused(&world, &with("02:00:00:00:00:02"), Kind::Conflict, &["02:00:00:00:00:01, not 02:00:00:00:00:02"]);
}

#[test]
fn routes_and_gateway_are_checked_before_anything_is_made() {
    let mut world = World::new();
    let with =
        |route: &str| join("a", "web", "eth0").with_endpoint(|it| it.routes = vec![route.parse().expect("a route")]);
    for (route, kind, words) in [
        ("0.0.0.0/0", Kind::Usage, &["default route", "--metric"][..]),
        ("10.9.0.1/16", Kind::Usage, &["--route 10.9.0.0/16"]),
        ("10.77.0.0/24", Kind::Usage, &["on the link"]),
        ("10.9.0.0/16=192.0.2.1", Kind::Usage, &["192.0.2.1 is not in 10.77.0.0/24"]),
        ("10.9.0.0/16=10.77.0.9", Kind::Unsupported, &["destination alone", "--datapath kernel"]),
        ("fd09::/16", Kind::Unsupported, &["has no IPv6"]),
    ] {
        refused(&world, &with(route), kind, words);
    }
    let gateway = |gateway: [u8; 4]| {
        join("b", "other", "eth0").with_options(|it| {
            it.subnet = Some("10.5.0.0/24".parse().expect("a subnet"));
            it.gateway = Some(gateway.into());
        })
    };
    for address in [[10, 6, 0, 1], [10, 5, 0, 0], [10, 5, 0, 255]] {
        refused(&world, &gateway(address), Kind::Usage, &["gateway", "10.5.0.1"]);
    }
    world.up(&gateway([10, 5, 0, 254]));
    assert_eq!(world.records.networks[0].gateway.expect("it has IPv4").to_string(), "10.5.0.254/24");
    assert_eq!(world.records.endpoints[0].main_address().to_string(), "10.5.0.1", "the first address is free then");
    refused(&world, &gateway([10, 5, 0, 253]), Kind::Conflict, &["gateway is 10.5.0.254"]);
    world.up(&with("10.9.0.0/16"));
    assert_eq!(world.up(&with("10.9.0.0/16")).ops, []);
    refused(&world, &with("10.8.0.0/16"), Kind::Conflict, &["--route 10.8.0.0/16"]);
    let second = join("a", "db", "eth1").with_endpoint(|it| it.routes = with("10.9.0.0/16").endpoint.routes);
    refused(&world, &second, Kind::Conflict, &["route there already, through eth0"]);
}

#[test]
fn whole_says_all_of_it_and_makes_it_again() {
    let mut world = World::new();
    world.add_network("web", Network { uplink: UplinkChoice::None, gateway: None, ..Network::default() });
    let mac = Some(HardwareAddress([2, 0, 0, 0, 0, 9]));
    let route = vec!["10.9.0.0/16".parse().expect("a route")];
    world.up(&join("a", "db", "eth0").with_endpoint(|it| {
        it.mac = mac;
        it.routes = route;
    }));
    world.up(&join("a", "app", "eth1").with_endpoint(|it| it.metric = Some(7)));
    world.up(&join("a", "web", "eth2"));
    let said = export(&world.read_whole(&Default::default()));
    assert_eq!(world.plan_whole(&said).expect("it is there").ops, []);
    let before = world.records.clone();
    world.down(None);
    let plan = world.make_whole(&said);
    assert_eq!(plan.ops.iter().filter(|op| matches!(op.object, Object::Netns(_))).count(), 1, "one namespace");
    let told = |records: &super::super::Records| {
        let mut told: Vec<_> = records
            .endpoints
            .iter()
            .map(|it| (it.id.clone(), it.network.clone(), it.address, it.mac, it.metric, it.routes.clone()))
            .collect();
        told.sort();
        told
    };
    assert_eq!(told(&world.records), told(&before));
    assert_eq!(world.plan_whole(&said).expect("it is there").ops, []);
    assert!(matches!(said.endpoints[0].netns, Some(TargetRef::Named(_))));
}
