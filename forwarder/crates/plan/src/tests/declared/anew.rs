//! What goes and comes again, or changes hands, because files say so.

use std::collections::BTreeSet;

use super::{
    super::super::{
        ChangeKind, Datapath, Desired, Ipv6, Network, UpRequest, UplinkChoice,
        testing::{World, name, named},
    },
    endpoint, host, kinds,
};
use fwd_kernel::netlink::Link;

#[test]
fn network_that_is_made_anew_keeps_what_no_file_says() {
    let mut world = World::with_ipv6();
    let network = Network {
        subnet: "10.95.0.0/24".parse().ok(),
        subnet6: "fd00:95::/64".parse().ok(),
        gateway: Some("10.95.0.254".parse().expect("an address")),
        ipv6: Some(Ipv6::Masquerade),
        mtu: Some(1400),
        datapath: Some(Datapath::Kernel),
        kept: true,
        ..Network::default()
    };
    world.add_network("web", network);
    let ip6 = Some("fd00:95::77".parse().expect("an address"));
    world.up(&UpRequest { network: Some(name("web")), ..UpRequest::new(named("a")) }.with_endpoint(|it| it.ip6 = ip6));
    let before = (world.records.networks[0].clone(), world.records.endpoints[0].clone());
    assert_eq!((before.0.mtu, before.1.address6), (1400, ip6));

    let web = Network { no_icc: true, ..Network::default() };
    let mut desired = Desired { networks: [("web".into(), web)].into(), ..Desired::default() };
    desired.endpoints.push(endpoint(named("a"), "web"));
    let plan = world.declare(&desired, false);
    assert_eq!(kinds(&plan.changes), ["web", "a"].map(|what| (ChangeKind::Replace, what.to_owned())));
    let (network, endpoint) = (&world.records.networks[0], &world.records.endpoints[0]);
    assert!(network.treatment.no_icc);
    assert_eq!((network.gateway, network.gateway6), (before.0.gateway, before.0.gateway6));
    assert_eq!((network.mtu, network.datapath, network.ipv6()), (1400, Datapath::Kernel, Ipv6::Masquerade));
    assert_eq!((endpoint.address, endpoint.address6), (before.1.address, ip6));
    assert_eq!(world.plan_declared(&desired, false).expect("it is there").ops, []);

    // By another way out it is as that has it: nothing is known of its IPv6, nor of its MTU.
    let uplink = UplinkChoice::Interface("eth1".into());
    let web = desired.networks.get_mut("web").expect("it is said");
    (web.uplink, web.datapath) = (uplink, Some(Datapath::Tc));
    world.declare(&desired, false);
    let network = &world.records.networks[0];
    assert_eq!((network.gateway, network.mtu, network.ipv6()), (before.0.gateway, 1500, Ipv6::Off));
    assert_eq!(world.records.endpoints[0].address, before.1.address);
}

#[test]
fn ports_move_and_change_places_at_once() {
    let (mut world, mut desired) = host();
    let port = |text: &str| vec![text.parse().expect("ports")];
    let published = |world: &World| {
        let owners = world.records.publications.iter().map(|it| (it.endpoint, it.ports.first));
        let named = |(index, port)| {
            let endpoint = world.records.endpoints.iter().find(|it| it.index == index).expect("it is there");
            (endpoint.label(), port)
        };
        owners.map(named).collect::<BTreeSet<_>>()
    };
    for (a, b) in [(None, Some("8085:80")), (Some("8085:80"), None), (None, Some("8085:80"))] {
        desired.endpoints[0].options.publish = a.map(port).unwrap_or_default();
        desired.endpoints[1].options.publish = b.map(port).unwrap_or_default();
        world.declare(&desired, false);
        assert_eq!(published(&world), [((if a.is_some() { "a" } else { "b" }).to_owned(), 8085)].into());
        assert_eq!(world.plan_declared(&desired, false).expect("it is there").ops, []);
    }
    for (a, b) in [("8085:80", "8086:80"), ("8086:80", "8085:80")] {
        desired.endpoints[0].options.publish = port(a);
        desired.endpoints[1].options.publish = port(b);
        let plan = world.declare(&desired, false);
        assert_eq!(kinds(&plan.changes), ["a", "b"].map(|what| (ChangeKind::Change, what.to_owned())));
        assert_eq!(published(&world).len(), 2);
        assert_eq!(world.plan_declared(&desired, false).expect("it is there").ops, []);
    }
    assert!(published(&world).contains(&("b".to_owned(), 8085)));
}

#[test]
fn namespace_that_was_made_anew_is_replaced_and_keeps_its_address() {
    let (world, desired) = host();
    let before: Vec<_> = world.records.endpoints.iter().map(|it| it.address).collect();
    let host_if = world.records.endpoints[0].host_if.clone();
    let again: [fn(&mut World, &str); 2] = [
        |world, host_if| {
            world.delete_link(host_if);
            world.add_namespace("a");
        },
        |world, host_if| world.delete_link(host_if),
    ];
    for change in again {
        let mut world = world.clone();
        change(&mut world, &host_if);
        let plan = world.declare(&desired, false);
        assert_eq!(kinds(&plan.changes), [(ChangeKind::Replace, "a".into())]);
        assert!(plan.changes[0].why.is_some());
        let mut addresses: Vec<_> = world.records.endpoints.iter().map(|it| it.address).collect();
        addresses.sort();
        assert_eq!(addresses, before);
        assert_eq!(world.plan_declared(&desired, false).expect("it is there").ops, []);
    }
}

#[test]
fn name_that_is_taken_by_an_alternative_one_is_refused_before_anything_goes() {
    let (mut world, desired) = host();
    let links = &mut world.inside("a").net.links;
    links.iter_mut().filter(|link| link.name == "eth0").for_each(|link| link.name = "x0".into());
    let altnames = vec!["eth0".to_owned()];
    links.push(Link { index: 4711, name: "h0".into(), altnames, ..Link::default() });
    let plan = world.plan_declared(&desired, false).expect("the others are as they are to be");
    assert_eq!((kinds(&plan.changes), plan.ops), (vec![(ChangeKind::Refuse, "a".into())], vec![]));
    let why = plan.changes[0].why.as_deref().unwrap_or_default();
    assert!(why.contains("an interface eth0 of its own"), "{why}");
}
