//! Addresses of the host behind which endpoints appear.

use crate::{
    Datapath, Ipv6, Network, Object, Sources, UpRequest, UplinkChoice, export,
    object::SourceNat,
    testing::{World, name, named},
};
use fwd_base::Kind;

/// A host with three more addresses of each family at its uplink.
fn world() -> World {
    let mut world = World::with_ipv6();
    for number in 11..14 {
        let v4 = format!("198.51.100.{number}/24").parse().expect("an address");
        let v6 = format!("2001:db8::{number}/64").parse().expect("an address");
        world.host.net.addresses.extend([(2, v4), (2, v6)]);
    }
    world
}

fn sources(v4: &str, v6: &str) -> Sources {
    Sources { v4: v4.parse().ok(), v6: v6.parse().ok() }
}

fn both() -> Sources {
    sources("198.51.100.11-198.51.100.13", "2001:db8::11-2001:db8::13")
}

fn up(ns: &str, datapath: Datapath, source: Sources) -> UpRequest {
    UpRequest::new(named(ns)).with_endpoint(|it| it.source = source).with_options(|it| it.datapath = Some(datapath))
}

fn rules(world: &World, asked: &UpRequest) -> Vec<SourceNat> {
    let plan = world.plan_up(asked).expect("it is possible");
    let rules = plan.ops.into_iter().filter_map(|op| match op.object {
        Object::SourceNat(rules) => Some(rules),
        _ => None,
    });
    rules.collect()
}

#[test]
fn kernel_has_the_range_where_it_forwards_and_else_the_address_that_programs_take() {
    let mut world = world();
    let text = |rules: &[SourceNat]| rules.iter().map(ToString::to_string).collect::<Vec<_>>();
    let asked = up("a", Datapath::Kernel, both());
    let [v4, v6] = &text(&rules(&world, &asked))[..] else { panic!("one for each family") };
    assert_eq!(v4, "source 198.51.100.11-198.51.100.13 of 10.77.0.2");
    assert!(v6.starts_with("source 2001:db8::11-2001:db8::13 of fd"), "{v6}");
    let [v6] = &text(&rules(&world, &up("a", Datapath::Tc, both())))[..] else { panic!("of IPv6 alone") };
    assert!(v6.starts_with("source 2001:db8::"), "{v6}");
    assert!(!v6.contains('-'), "{v6}");
    for datapath in Datapath::ALL {
        let before = world.snapshot();
        world.up(&up("a", datapath, both()));
        assert_eq!(world.records.endpoints[0].source, both());
        assert_eq!(world.plan_up(&up("a", datapath, Sources::default())).expect("it is up").ops, []);
        world.down(None);
        assert_eq!(world.snapshot(), before, "{datapath:?}");
    }
}

#[test]
fn network_says_it_for_those_that_come_later_and_ask_for_none() {
    let mut world = world();
    let join = |ns: &str, source| {
        UpRequest { network: Some(name("web")), ..UpRequest::new(named(ns)) }.with_endpoint(|it| it.source = source)
    };
    let (first, second) = (sources("198.51.100.11", ""), sources("198.51.100.12", ""));
    world.add_network("web", Network::default());
    world.up(&join("a", Sources::default()));
    let plan = world.add_network("web", Network { source: first, ..Network::default() });
    assert!(matches!(plan.ops.iter().map(|op| &op.object).collect::<Vec<_>>()[..], [Object::NetworkSource(_)]));
    world.up(&join("b", Sources::default()));
    world.up(&join("c", second));
    world.add_network("web", Network { source: second, ..Network::default() });
    world.up(&join("d", Sources::default()));
    let found: Vec<_> = world.records.endpoints.iter().map(|it| it.source).collect();
    assert_eq!(found, [Sources::default(), first, second, second]);
    assert_eq!(world.plan_up(&join("b", Sources::default())).expect("it is up").ops, [], "it keeps what it has");
    // What is exported is what there is.
    let said = export(&world.read_whole(&Default::default()));
    assert_eq!(said.networks["web"].source, second);
    assert_eq!(world.plan_whole(&said).expect("it is there").ops, []);
}

/// What the network says is no address to announce: the host has it.
#[test]
fn announced_source_is_the_endpoints_own() {
    let mut world = world();
    world.add_network("web", Network { source: both(), ..Network::default() });
    let announce = |v4: &str| {
        UpRequest { network: Some(name("web")), ..UpRequest::new(named("a")) }.with_endpoint(|it| {
            it.source = sources(v4, "");
            it.announce = true;
        })
    };
    let error = world.plan_up(&announce("")).expect_err("none is named");
    assert!(error.remedy.is_some_and(|it| it.contains("--source ADDR")));
    world.up(&announce("198.51.100.7"));
    let record = &world.records.endpoints[0];
    assert_eq!(
        (record.source, record.announced()),
        (sources("198.51.100.7", "").or(both()), sources("198.51.100.7", ""))
    );
    let said = export(&world.read_whole(&Default::default()));
    assert_eq!(
        (said.endpoints[0].options.source, said.endpoints[0].options.announce),
        (sources("198.51.100.7", ""), true)
    );
    assert_eq!(world.plan_whole(&said).expect("it is there").ops, []);
}

#[test]
fn what_cannot_be_a_source_is_refused() {
    let world = world();
    let refused = |asked: UpRequest, kind, word: &str| {
        let error = world.plan_up(&asked).expect_err("it is refused");
        assert!(error.kind == kind && error.to_string().contains(word) && error.remedy.is_some(), "{error}");
    };
    let gap = sources("198.51.100.11-198.51.100.14", "");
    refused(up("a", Datapath::Tc, gap), Kind::NotFound, "no address 198.51.100.14");
    let internal = up("a", Datapath::Tc, both()).with_options(|it| it.uplink = UplinkChoice::None);
    refused(internal, Kind::Usage, "internal");
    let routed = up("a", Datapath::Tc, both()).with_options(|it| {
        (it.ipv6, it.subnet6) = (Some(Ipv6::Route), "2001:db8:77::/64".parse().ok());
    });
    refused(routed, Kind::Unsupported, "routed");
    let error = world.plan_network("web", Network { source: gap, ..Network::default() }).expect_err("no such address");
    assert_eq!(error.kind, Kind::NotFound, "{error}");
}
