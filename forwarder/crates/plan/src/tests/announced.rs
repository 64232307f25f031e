//! Addresses that are announced for namespaces, and which the host does not have.

use std::net::Ipv4Addr;

use super::{
    super::{
        Datapath, Sources, UpRequest, UplinkChoice,
        testing::{World, name, named},
        to_be_announced,
    },
    refusals::refused,
};
use fwd_base::Kind;

/// On the link of eth0, which leads outside.
const FREE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

fn announce(ns: &str, source: impl Into<Ipv4Addr>) -> UpRequest {
    let source = Sources { v4: Some(source.into().into()), v6: None };
    UpRequest::new(named(ns)).with_endpoint(|it| {
        it.source = source;
        it.announce = true;
    })
}

#[test]
fn announced_address_is_told_and_kept_and_asked_for() {
    let mut world = World::new();
    let plan = world.up(&announce("a", FREE));
    let shown = super::lifecycle::text(&plan.ops);
    assert!(shown.contains("appears behind 198.51.100.7 (--source, --announce)"), "{shown}");
    let record = &world.records.endpoints[0];
    assert_eq!((record.announced(), record.announce), (Some(FREE), true));
    for again in [announce("a", FREE), UpRequest::new(named("a"))] {
        assert!(world.up(&again).ops.is_empty());
    }
    // Another one may appear behind it, and is answered for by whom it is already.
    world.up(&announce("b", FREE));
    let actual = world.read();
    assert_eq!(to_be_announced([FREE].into_iter(), &actual), []);
    let [other, own] = [[198, 51, 100, 8], [198, 51, 100, 2]].map(Ipv4Addr::from);
    assert_eq!(to_be_announced([FREE, other, own].into_iter(), &actual), [(2, other)]);
    world.down(Some("a"));
    world.down(Some("b"));
    assert!(world.records.endpoints.is_empty());
}

#[test]
fn address_that_cannot_be_announced_is_refused() {
    let mut world = World::new();
    let refuses = |world: &World, request: &UpRequest, kind, word: &str| refused(world, request, kind, &[word]);
    refuses(&world, &announce("a", [198, 51, 100, 2]), Kind::Conflict, "the host has it");
    refuses(&world, &announce("a", [203, 0, 113, 7]), Kind::Usage, "198.51.100.0/24");
    for nobodys in [[198, 51, 100, 0], [198, 51, 100, 255]] {
        refuses(&world, &announce("a", nobodys), Kind::Usage, "no host");
    }
    refuses(&world, &announce("a", [127, 0, 0, 1]), Kind::Usage, "no address of a host");
    refuses(&world, &announce("a", FREE).with_endpoint(|it| it.source = Sources::default()), Kind::Usage, "--source");
    let range = Sources { v4: "198.51.100.7-198.51.100.8".parse().ok(), v6: None };
    refuses(&world, &announce("a", FREE).with_endpoint(|it| it.source = range), Kind::Usage, "one address alone");
    let by = |datapath| announce("a", FREE).with_options(|it| it.datapath = Some(datapath));
    refuses(&world, &by(Datapath::Kernel), Kind::Unsupported, "--datapath tc");
    let internal = announce("a", FREE).with_options(|it| it.uplink = UplinkChoice::None);
    refuses(&world, &internal, Kind::Usage, "internal");
    world.host.taken.insert(FREE, [2, 0, 0, 0, 0, 9]);
    refuses(&world, &announce("a", FREE), Kind::Conflict, "02:00:00:00:00:09");
    world.host.taken.clear();

    world.up(&announce("a", [198, 51, 100, 2]).with_endpoint(|it| it.announce = false));
    refuses(&world, &announce("a", [198, 51, 100, 2]), Kind::Conflict, "--announce");
    world.up(&announce("b", FREE));
    // At one uplink alone.
    world.host.net.addresses.push((3, "198.51.100.9/24".parse().expect("an address")));
    let elsewhere = UpRequest { network: Some(name("web")), ..announce("c", FREE) };
    let elsewhere = elsewhere.with_options(|it| it.uplink = UplinkChoice::Interface("eth1".into()));
    refuses(&world, &elsewhere, Kind::Conflict, "another uplink");
}

#[test]
fn address_of_ipv6_is_not_announced() {
    let both = Sources { v4: Some(FREE.into()), v6: "2001:db8::2".parse().ok() };
    for source in [both, Sources { v4: None, ..both }] {
        let asked = announce("a", FREE).with_endpoint(|it| it.source = source);
        refused(&World::with_ipv6(), &asked, Kind::Usage, &["2001:db8::2", "leave out --source6"]);
    }
}
