//! By what networks leave that follow the host's routes.

use std::collections::BTreeSet;

use crate::{
    Action, Datapath, Desired, Ipv6, Object, Op, Plan, PortRequest, UpRequest, UplinkChoice, UplinkRequest, forwarding,
    plan_ports, plan_uplinks,
    testing::{World, down, name, named},
};
use fwd_base::{Kind, Result};
use fwd_dataplane::TcxOrder;
use fwd_kernel::netlink::{Link, LinkLayer, Route};

fn up(ns: &str) -> UpRequest {
    UpRequest::new(named(ns))
}

/// Another interface of the host, with a route by it to `destination` in `table`.
fn lead_by(world: &mut World, interface: &str, index: u32, destination: &str, table: u32) {
    world.add_uplink(interface, index, &format!("192.0.2.{}/32", index % 250));
    let destination = destination.parse().expect("a prefix");
    let route = Route { destination, ifindex: index, gateway: None, metric: 0, table, mtu: None };
    world.host.net.routes.push(route);
}

fn guarded(world: &World) -> BTreeSet<String> {
    let recorded = |index: &u32| world.records.uplinks.iter().any(|uplink| uplink.index == *index);
    assert!(world.records.uplink_hooks.iter().all(recorded), "hooks without a record");
    world.records.uplink_hooks.iter().map(|index| world.host.net.name_of(*index)).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn every_interface_that_routes_lead_by_is_guarded_before_a_network_leaves_and_put_back_with_it() {
    let mut world = World::new();
    lead_by(&mut world, "wg0", 20, "10.200.0.0/16", 254);
    lead_by(&mut world, "ppp0", 21, "0.0.0.0/0", 100);
    let before = world.snapshot();
    let plan = world.up(&up("a"));
    assert_eq!(guarded(&world), names(&["eth0", "eth1", "ppp0", "wg0"]));
    let place = |found: &dyn Fn(&Object) -> bool| plan.ops.iter().position(|op| found(&op.object)).expect("planned");
    let last = plan.ops.iter().rposition(|op| matches!(op.object, Object::UplinkHooks(_))).expect("planned");
    assert!(last < place(&|object| matches!(object, Object::Veth(_))));
    assert_eq!(world.host.sysctls[&forwarding("wg0")], "1");
    assert_eq!(world.up(&up("a")).ops, []);
    world.down(Some("a"));
    assert_eq!(world.snapshot(), before);
}

#[test]
fn what_routes_of_ipv6_lead_by_is_taken_in_for_networks_that_have_it() {
    let mut world = World::with_ipv6();
    lead_by(&mut world, "wg0", 20, "2001:db8:5::/48", 254);
    lead_by(&mut world, "wg1", 21, "fe80::/64", 254);
    let is_new = |index: u32| index == 20 || index == 21;
    world.host.net.routes.retain(|route| !is_new(route.ifindex) || route.destination.addr().is_ipv6());
    world.host.net.addresses.retain(|(index, _)| !is_new(*index));
    let before = world.snapshot();
    world.up(&up("a").with_options(|it| it.ipv6 = Some(Ipv6::Off)));
    assert_eq!(guarded(&world), names(&["eth0", "eth1"]));
    world.up(&UpRequest { network: Some(name("web")), ..up("b") });
    assert_eq!(guarded(&world), names(&["eth0", "eth1", "wg0"]));
    assert_eq!(world.host.sysctls[&forwarding("wg0")], "0", "IPv4 does not come by it");
    assert_eq!(world.up(&UpRequest { network: Some(name("web")), ..up("b") }).ops, []);
    world.down(Some("a"));
    world.down(Some("b"));
    assert_eq!(world.snapshot(), before);
}

/// A default route of IPv6 may lead elsewhere than that of IPv4.
#[test]
fn each_family_leaves_by_its_own_default_route() {
    let mut world = World::with_ipv6();
    world.host.net.routes.retain(|route| route.destination.prefix_len() != 0 || route.destination.addr().is_ipv4());
    world.host.net.addresses.retain(|(_, address)| address.addr().is_ipv4());
    world.host.net.addresses.push((3, "2001:db8:1::2/64".parse().expect("an address")));
    world.learn_route6("eth1");
    let plan = world.up(&up("a"));
    assert_eq!(plan.warnings, [""; 0]);
    assert!(world.records.networks[0].gateway6.is_some());
    let bound = UpRequest { network: Some(name("web")), ..up("b") }.with_options(|it| it.uplink = "eth0".into());
    assert!(world.up(&bound).warnings.iter().any(|warning| warning.contains("web has no IPv6")));
}

#[test]
fn who_is_bound_or_internal_takes_nothing_in() {
    let bound = up("a").with_options(|it| it.uplink = "eth0".into());
    let internal = up("a").with_options(|it| it.uplink = UplinkChoice::None);
    for (request, uplinks) in [(bound, &["eth0"][..]), (internal, &[])] {
        let mut world = World::new();
        world.up(&request);
        assert_eq!(guarded(&world), names(uplinks), "{request:?}");
    }
}

#[test]
fn kernel_forwards_by_every_interface_that_routes_lead_by_without_programs() {
    let mut world = World::new();
    lead_by(&mut world, "wg0", 20, "10.200.0.0/16", 254);
    let before = world.snapshot();
    let kernel = up("a").with_options(|it| it.datapath = Some(Datapath::Kernel));
    let shown = crate::tests::lifecycle::text(&world.up(&kernel).ops);
    assert!(shown.contains(r#"ip saddr 10.77.0.0/24 oifname != "fwd0" oifname != "lo" masquerade"#), "{shown}");
    let taken = |world: &World| world.records.uplinks.iter().map(|it| it.name.clone()).collect::<BTreeSet<_>>();
    assert_eq!((taken(&world), guarded(&world)), (names(&["eth0", "eth1", "wg0"]), names(&[])));
    assert_eq!(world.host.sysctls[&forwarding("wg0")], "1");
    assert_eq!(world.up(&kernel).ops, []);
    // What routes name later is taken in by the next command.
    let mut later = world.clone();
    lead_by(&mut later, "wg1", 21, "10.201.0.0/16", 254);
    later.up(&kernel);
    assert_eq!((taken(&later), guarded(&later)), (names(&["eth0", "eth1", "wg0", "wg1"]), names(&[])));
    // Programs come with another network, and go with it.
    let bound = UpRequest { network: Some(name("bound")), ..up("b") }.with_options(|it| it.uplink = "eth1".into());
    world.up(&bound);
    assert_eq!(guarded(&world), names(&["eth1"]));
    world.down(Some("b"));
    assert_eq!((taken(&world), guarded(&world)), (names(&["eth0", "eth1", "wg0"]), names(&[])));
    world.down(Some("a"));
    assert_eq!(world.snapshot(), before);
}

#[test]
fn every_command_takes_in_what_routes_name_since() {
    let mut start = World::new();
    start.up(&up("a"));
    start.up(&UpRequest { network: Some(name("bound")), ..up("b") }.with_options(|it| it.uplink = "eth0".into()));
    lead_by(&mut start, "wg0", 20, "10.200.0.0/16", 254);
    let all = names(&["eth0", "eth1", "wg0"]);
    let mut world = start.clone();
    assert_ne!(world.up(&up("a")).ops, []);
    assert_eq!(guarded(&world), all);
    // A command about another network, and one that takes away a part.
    let mut world = start.clone();
    world.up(&up("b"));
    assert_eq!(guarded(&world), all);
    let mut world = start.clone();
    world.down(Some("b"));
    assert_eq!(guarded(&world), all);
    // Nobody follows the routes any more.
    let mut world = start.clone();
    world.down(Some("a"));
    assert_eq!(guarded(&world), names(&["eth0"]));
    let mut actual = start.read_whole(&Desired::default());
    actual.target = Some(start.target(&named("a")));
    let request = PortRequest {
        target: named("a"),
        ifname: None,
        add: vec!["8080:80".parse().expect("ports")],
        remove: Vec::new(),
    };
    let plan = plan_ports(&request, &actual).expect("possible");
    let (mends, rest) = plan.ops.split_at(plan.mends);
    assert!(mends.iter().any(|op| matches!(&op.object, Object::UplinkHooks(hooks) if hooks.name == "wg0")));
    let is_made = |op: &Op| matches!(op, Op { action: Action::Make, object: Object::Published(_) });
    assert!(rest.iter().any(is_made), "{rest:?}");
}

#[test]
fn what_cannot_be_guarded_or_is_not_the_hosts_business_is_left_out() {
    let mut world = World::new();
    for (index, interface) in [(20, "down0"), (21, "ib0"), (22, "red0"), (23, "vrf0"), (24, "bare0")] {
        lead_by(&mut world, interface, index, &format!("10.{index}.0.0/16"), 254);
    }
    let mut change = |name: &str, change: &dyn Fn(&mut Link)| {
        world.host.net.links.iter_mut().filter(|link| link.name == name).for_each(change);
    };
    change("down0", &|link| link.up = false);
    change("ib0", &|link| link.layer = LinkLayer::Other(32));
    change("red0", &|link| link.controller = Some(23));
    change("vrf0", &|link| link.kind = Some("vrf".into()));
    // Unnumbered: its route names the address.
    world.host.net.addresses.retain(|(index, _)| *index != 24);
    world.up(&up("a"));
    assert_eq!(guarded(&world), names(&["bare0", "eth0", "eth1"]));
    let bare = world.records.uplinks.iter().find(|uplink| uplink.index == 24).expect("it is recorded");
    assert!(bare.address.is_unspecified());
}

#[test]
fn of_very_many_those_of_default_routes_are_taken_and_the_rest_is_told() {
    let mut world = World::new();
    for index in 1000..1100 {
        lead_by(&mut world, &format!("pod{index}"), index, &format!("10.{}.0.0/24", index - 1000), 254);
    }
    lead_by(&mut world, "ppp0", 2000, "0.0.0.0/0", 100);
    let plan = world.up(&up("a"));
    let guarded = guarded(&world);
    assert_eq!(guarded.len(), 32);
    assert!(guarded.contains("eth0") && guarded.contains("ppp0"));
    let told = plan.warnings.iter().any(|warning| warning.contains("71 more") && warning.contains("fwd uplink add"));
    assert!(told, "{:?}", plan.warnings);
    assert_eq!(world.up(&up("a")).ops, [], "those that were taken stay");
}

#[test]
fn what_has_gone_is_forgotten_and_what_comes_again_is_taken_in() {
    let mut world = World::new();
    lead_by(&mut world, "wg0", 20, "10.200.0.0/16", 254);
    world.up(&up("a"));
    world.delete_link("wg0");
    world.up(&up("b"));
    assert_eq!(guarded(&world), names(&["eth0", "eth1"]));
    assert_eq!(world.records.uplinks.len(), 2);
    lead_by(&mut world, "wg0", 30, "10.200.0.0/16", 254);
    world.up(&up("b"));
    assert_eq!(guarded(&world), names(&["eth0", "eth1", "wg0"]));
    world.down(None);
    assert_eq!(world.undo, []);
}

/// boot2docker#845: the card is pulled out, and the default route is another one's.
#[test]
fn network_takes_the_default_route_for_its_own_where_its_uplink_is_gone() {
    let mut world = World::new();
    world.up(&up("a"));
    world.up(&UpRequest { network: Some(name("bound")), ..up("b") }.with_options(|it| it.uplink = "eth0".into()));
    world.delete_link("eth0");
    let destination = "0.0.0.0/0".parse().expect("a prefix");
    let gateway = Some("203.0.113.1".parse().expect("an address"));
    world.host.net.routes.push(Route { destination, ifindex: 3, gateway, metric: 0, table: 254, mtu: None });
    let plan = world.up(&up("a"));
    assert!(plan.warnings[0].contains("eth0 was replaced"), "{:?}", plan.warnings);
    let uplink = |network: &str| world.records.networks.iter().find(|it| it.name == network).map(|it| it.uplink);
    assert_eq!((uplink("fwd0"), uplink("bound")), (Some(3), Some(2)), "who is bound waits");
    assert_eq!(world.up(&up("a")).ops, []);
    assert!(world.plan_up(&up("b")).is_err());
    world.down(Some("b"));
    assert_eq!(guarded(&world), names(&["eth1"]));
    assert!(world.plan_down(&down(None)).is_ok());
    world.down(None);
    assert_eq!(world.undo, []);
}

fn change(world: &World, add: &[&str], remove: &[&str]) -> Result<Plan> {
    let [add, remove] = [add, remove].map(|names| names.iter().map(ToString::to_string).collect());
    plan_uplinks(&UplinkRequest { add, remove, order: None }, &world.read_whole(&Desired::default()))
}

fn ordered(world: &mut World, order: TcxOrder) -> Result<Vec<Op>> {
    let request = UplinkRequest { add: vec!["eth0".into()], order: Some(order), ..UplinkRequest::default() };
    let plan = plan_uplinks(&request, &world.read_whole(&Desired::default()))?;
    world.run(&plan.ops, plan.ops.len());
    Ok(plan.ops)
}

#[test]
fn programs_are_put_where_they_are_asked_to_and_stay_there() {
    use TcxOrder::{First, Last};
    let mut world = World::new();
    world.up(&bound("a"));
    let order = |world: &World| world.records.uplinks.iter().find(|uplink| uplink.name == "eth0").map(|it| it.order);
    assert_eq!(order(&world), Some(First));
    let ops = ordered(&mut world, Last).expect("possible");
    assert_eq!(ops.last().map(ToString::to_string).as_deref(), Some("put programs at eth0 last among others"));
    assert_eq!(order(&world), Some(Last));
    assert_eq!(ordered(&mut world, Last).expect("possible"), []);
    // Another one has come, and stands behind.
    world.records.misplaced.extend(world.records.uplinks.iter().map(|uplink| uplink.index));
    assert_eq!(ordered(&mut world, Last).expect("possible").len(), 1);
    assert_eq!(ordered(&mut world, Last).expect("possible"), []);
    // Without the option, and where the uplink is made anew, they stand as before.
    assert_eq!(changed(&mut world, &["eth0"], &[]).ops, []);
    world.delete_link("eth0");
    world.make_uplink_anew("eth0", "192.0.2.9/24");
    world.up(&bound("a"));
    assert_eq!(order(&world), Some(Last));
    ordered(&mut world, First).expect("possible");
    assert_eq!(order(&world), Some(First));
    world.no_tcx = true;
    let error = ordered(&mut world, Last).expect_err("filters go by their priorities");
    assert_eq!((error.kind, error.remedy.is_some()), (Kind::Unsupported, true), "{error}");
    assert!(error.to_string().contains("TCX") && error.to_string().contains("priorities"), "{error}");
}

#[track_caller]
fn changed(world: &mut World, add: &[&str], remove: &[&str]) -> Plan {
    let plan = change(world, add, remove).expect("possible");
    world.run(&plan.ops, plan.ops.len());
    assert!(change(world, add, &[]).expect("possible").ops.is_empty() || add.is_empty(), "it is there already");
    plan
}

fn bound(ns: &str) -> UpRequest {
    up(ns).with_options(|it| it.uplink = "eth0".into())
}

#[test]
fn uplink_that_was_asked_for_stays_until_it_is_removed_or_nothing_is_up() {
    let mut world = World::new();
    let before = world.snapshot();
    world.up(&bound("a"));
    changed(&mut world, &["eth1"], &[]);
    assert_eq!(guarded(&world), names(&["eth0", "eth1"]));
    world.up(&bound("b"));
    world.down(Some("b"));
    assert_eq!(guarded(&world), names(&["eth0", "eth1"]));
    let mut removed = world.clone();
    changed(&mut removed, &[], &["eth1"]);
    assert_eq!(guarded(&removed), names(&["eth0"]));
    assert_eq!(removed.host.sysctls[&forwarding("eth1")], "0");
    for mut world in [world.clone(), removed] {
        world.down(None);
        assert_eq!(world.snapshot(), before);
    }
    // One that has gone waits for another of its name.
    world.delete_link("eth1");
    assert_eq!(world.up(&bound("a")).ops, []);
    world.make_uplink_anew("eth1", "203.0.113.9/24");
    world.up(&bound("a"));
    assert_eq!(guarded(&world), names(&["eth0", "eth1"]));
    assert!(world.records.uplinks.iter().any(|uplink| uplink.name == "eth1" && uplink.asked));
    world.down(None);
    assert_eq!(world.undo, []);
}

#[test]
fn uplink_that_routes_lead_by_is_not_removed() {
    let mut world = World::new();
    world.up(&up("a"));
    changed(&mut world, &["eth1"], &[]);
    let plan = changed(&mut world, &[], &["eth1"]);
    assert!(plan.warnings.iter().any(|warning| warning.contains("routes lead by eth1")), "{:?}", plan.warnings);
    assert_eq!(guarded(&world), names(&["eth0", "eth1"]));
    world.host.net.routes.retain(|route| route.ifindex != 3);
    changed(&mut world, &[], &["eth1"]);
    assert_eq!(guarded(&world), names(&["eth0"]));
}

#[test]
fn what_can_be_no_uplink_is_refused_with_the_reason() {
    let mut world = World::new();
    let refused = |world: &World, add: &[&str], remove: &[&str], kind, words: &[&str]| {
        let error = change(world, add, remove).expect_err("it is refused");
        let text = format!("{error} {}", error.remedy.clone().unwrap_or_default());
        assert_eq!(error.kind, kind, "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{words:?} in {text}");
    };
    refused(&world, &["eth1"], &[], Kind::NotFound, &["no network is up", "fwd up --ns NAME"]);
    world.up(&bound("a"));
    refused(&world, &["eth9"], &[], Kind::NotFound, &["eth9", "eth1"]);
    refused(&world, &["lo"], &[], Kind::Usage, &["loopback"]);
    refused(&world, &["fwd0"], &[], Kind::Usage, &["belongs to a network of fwd"]);
    refused(&world, &[], &["eth1"], Kind::NotFound, &["eth1", "fwd uplink ls"]);
    refused(&world, &[], &["eth0"], Kind::Conflict, &["network fwd0 leads through it"]);
    world.host.net.links.iter_mut().filter(|link| link.name == "eth1").for_each(|link| link.up = false);
    refused(&world, &["eth1"], &[], Kind::Failed, &["it is down", "ip link set eth1 up"]);
}
