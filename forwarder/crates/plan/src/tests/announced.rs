//! Addresses that are announced for namespaces, and which the host does not have.

use std::net::{IpAddr, Ipv4Addr};

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
    assert_eq!(record.announced(), record.source);
    assert_eq!(record.announced().addresses().collect::<Vec<_>>(), [IpAddr::from(FREE)]);
    for again in [announce("a", FREE), UpRequest::new(named("a"))] {
        assert!(world.up(&again).ops.is_empty());
    }
    // Another one may appear behind it, and is answered for by whom it is already.
    world.up(&announce("b", FREE));
    let actual = world.read();
    assert_eq!(to_be_announced([FREE.into()].into_iter(), &actual), []);
    let [other, own] = [[198, 51, 100, 8], [198, 51, 100, 2]].map(IpAddr::from);
    assert_eq!(to_be_announced([FREE.into(), other, own].into_iter(), &actual), [(2, other)]);
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
    let range = Sources { v4: "198.51.100.250-198.51.100.255".parse().ok(), v6: None };
    refuses(&world, &announce("a", FREE).with_endpoint(|it| it.source = range), Kind::Usage, "198.51.100.255");
    let by = |datapath| announce("a", FREE).with_options(|it| it.datapath = Some(datapath));
    refuses(&world, &by(Datapath::Kernel), Kind::Unsupported, "--datapath tc");
    let internal = announce("a", FREE).with_options(|it| it.uplink = UplinkChoice::None);
    refuses(&world, &internal, Kind::Usage, "internal");
    world.host.taken.insert(FREE.into(), [2, 0, 0, 0, 0, 9]);
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

/// A request that asks for sources of both families, as they are written; of an empty one none.
fn announce_both(ns: &str, v4: &str, v6: &str) -> UpRequest {
    let source = Sources { v4: v4.parse().ok(), v6: v6.parse().ok() };
    announce(ns, FREE).with_endpoint(|it| it.source = source)
}

#[test]
fn host_speaks_for_announced_addresses_of_ipv6_until_the_last_endpoint_behind_them_goes() {
    let mut world = World::with_ipv6();
    let both = announce_both("a", "198.51.100.7-198.51.100.8", "2001:db8::7-2001:db8::8");
    world.up(&both);
    let spoken_for = |world: &World| world.host.net.proxies.iter().map(|(_, it)| it.to_string()).collect::<Vec<_>>();
    assert_eq!(spoken_for(&world), ["2001:db8::7", "2001:db8::8"]);
    assert_eq!(world.records.endpoints[0].announced().addresses().count(), 4);
    assert!(world.up(&both).ops.is_empty());
    // Another one shares an address.
    world.up(&announce_both("b", "", "2001:db8::8"));
    world.down(Some("a"));
    assert_eq!(spoken_for(&world), ["2001:db8::8"]);
    world.up(&announce_both("c", "", "2001:db8::8"));
    world.down(None);
    assert_eq!(spoken_for(&world), [""; 0]);
}

#[test]
fn address_of_ipv6_that_cannot_be_announced_is_refused() {
    let mut world = World::with_ipv6();
    let refuses = |world: &World, v6, kind, word: &str| refused(world, &announce_both("a", "", v6), kind, &[word]);
    refuses(&world, "2001:db8::2", Kind::Conflict, "the host has it");
    refuses(&world, "2001:db8:ffff::2", Kind::Usage, "2001:db8::/");
    refuses(&world, "2001:db8::", Kind::Usage, "no host");
    refuses(&world, "fe80::7", Kind::Usage, "one link alone");
    world.host.taken.insert("2001:db8::7".parse().expect("an address"), [2, 0, 0, 0, 0, 9]);
    refuses(&world, "2001:db8::6-2001:db8::9", Kind::Conflict, "02:00:00:00:00:09");
    world.host.taken.clear();
    // What is announced of one family says nothing of the other.
    world.up(&announce_both("a", "198.51.100.7", ""));
    refused(&world, &announce_both("a", "198.51.100.7", "2001:db8::7"), Kind::Conflict, &["--announce"]);
}

#[test]
fn no_more_addresses_are_announced_than_there_is_room_for() {
    let mut world = World::new();
    world.host.net.addresses.push((2, "172.20.0.1/16".parse().expect("an address")));
    for block in 1..5 {
        let range = format!("172.20.{block}.0-172.20.{block}.255");
        world.up(&announce_both(&format!("n{block}"), &range, ""));
    }
    refused(&world, &announce_both("a", "172.20.9.1", ""), Kind::Unsupported, &["1025 addresses", "1024"]);
    // One that is announced already needs none.
    world.up(&announce_both("a", "172.20.4.255", ""));
}
