//! Endpoints that are made before anybody asks for them.

use super::super::{
    AskedLimits, Desired, DownRequest, EndpointRecord, Network, NetworkRecord, NetworkScope, Object, Op, RateLimit,
    ResolvConf, RouteRequest, Sources, Undo, UpRequest, UplinkChoice, export, fits,
    testing::{World, down, name, named},
    why_changed,
};
use fwd_base::Kind;
use fwd_dataplane::Backend;

const POOLED: &str = "fwd-pool-1";

fn pooled_world() -> World {
    let mut world = World::new();
    world.prepare(POOLED);
    world
}

#[test]
fn up_takes_one_as_it_is_under_another_name() {
    let mut world = pooled_world();
    let before = world.records.endpoints[0].clone();
    assert!(before.marks.pooled && before.marks.created);
    let plan = world.take_from_pool(&UpRequest::new(named("web")), POOLED);
    assert!(matches!(plan.ops.as_slice(), [Op { object: Object::EndpointTaken(_), .. }]), "{:?}", plan.ops);
    let after = &world.records.endpoints[0];
    assert_eq!((after.cookie, after.index, after.address), (before.cookie, before.index, before.address));
    assert_eq!((&after.id, after.ns.as_deref()), (&named("web").id("eth0"), Some("web")));
    assert!(!after.marks.pooled && after.marks.created);
    assert_eq!(world.plan_up(&UpRequest::new(named("web"))).expect("it is up").ops, []);
    let noted = |world: &World| {
        world.undo.iter().any(|it| matches!(it, Undo::Netns { name, .. } if *name == self::name(POOLED)))
    };
    assert!(!noted(&world), "{:?}", world.undo);
    world.down(Some("web"));
    assert!(!world.namespaces.contains_key(&name("web")) && !world.records.loaded);
}

#[test]
fn what_else_is_asked_for_is_done_to_the_one_that_is_taken() {
    let mut world = pooled_world();
    world.resolv_conf = ResolvConf::Write("nameserver 10.77.0.1\n".into());
    let limit = RateLimit { rate: 1_000_000, burst: 10_000 };
    let request = UpRequest::new(named("web")).with_endpoint(|it| {
        it.limits = AskedLimits { outbound: Some(limit), inbound: None };
        it.publish = vec!["8080:80".parse().expect("ports")];
    });
    let plan = world.take_from_pool(&request, POOLED);
    let record = &world.records.endpoints[0];
    assert_eq!(record.limits.outbound, limit);
    assert!(record.marks.resolv_conf && world.written == [name("web")], "{:?}", plan.ops);
    assert_eq!(world.records.publications.len(), 1);
}

#[test]
fn nothing_is_written_for_what_is_nobodys() {
    let mut world = World::new();
    world.resolv_conf = ResolvConf::Write("nameserver 10.77.0.1\n".into());
    world.prepare(POOLED);
    assert!(world.written.is_empty() && !world.records.endpoints[0].marks.resolv_conf);
    assert_eq!(
        world.plan_up(&UpRequest::new(named(POOLED)).with_endpoint(|it| it.pooled = true)).expect("there").ops,
        []
    );
}

#[test]
fn one_is_given_by_its_own_name_too() {
    let mut world = pooled_world();
    world.up(&UpRequest::new(named(POOLED)));
    assert!(!world.records.endpoints[0].marks.pooled && world.namespaces.contains_key(&name(POOLED)));
}

#[test]
fn what_a_killed_command_left_of_taking_is_completed() {
    // Noted; noted, named and recorded.
    for recorded in [false, true] {
        let mut world = pooled_world();
        let cookie = world.inside(POOLED).cookie;
        world.undo.push(Undo::Netns { name: name("web"), cookie: Some(cookie) });
        if recorded {
            let record = &mut world.records.endpoints[0];
            record.id = named("web").id("eth0");
            record.ns = Some("web".into());
            record.marks.pooled = false;
        }
        let plan = world.take_from_pool(&UpRequest::new(named("web")), POOLED);
        assert_eq!(plan.ops.len(), 1, "{:?}", plan.ops);
        assert_eq!(world.undo.iter().filter(|it| matches!(it, Undo::Netns { .. })).count(), 1, "{:?}", world.undo);
        assert_eq!(world.plan_up(&UpRequest::new(named("web"))).expect("it is up").ops, []);
    }
}

#[test]
fn one_that_cannot_become_what_is_asked_for_does_not_fit() {
    let world = pooled_world();
    let (network, record) = (&world.records.networks[0], &world.records.endpoints[0]);
    let usual = UpRequest::new(named("web"));
    assert!(fits(&usual, network, record));
    assert!(fits(
        &usual.clone().with_endpoint(|it| {
            it.ip = record.address;
            it.attach = Some(Backend::Tcx);
        }),
        network,
        record
    ));
    let other = NetworkRecord { name: "web".into(), ..network.clone() };
    assert!(!fits(&usual, &other, record), "another network");
    // It has the addresses that the network lent when it was made.
    let source = Sources { v4: "198.51.100.2".parse().ok(), v6: None };
    let lends = NetworkRecord { source, ..network.clone() };
    assert!(!fits(&usual, &lends, record), "it would appear behind another");
    assert!(fits(&usual, &lends, &EndpointRecord { source, ..record.clone() }));
    let route = RouteRequest { to: "10.9.0.0/16".parse().expect("a network"), via: None };
    for other in [
        usual.clone().with_endpoint(|it| it.ip = Some("10.77.0.99".parse().expect("an address"))),
        usual.clone().with_endpoint(|it| it.ip6 = Some("fd00::9".parse().expect("an address"))),
        usual.clone().with_endpoint(|it| it.mac = Some("02:00:00:00:00:01".parse().expect("one"))),
        usual.clone().with_endpoint(|it| it.attach = Some(Backend::Clsact)),
        UpRequest { ifname: Some("eth1".into()), ..usual.clone() },
        usual.clone().with_endpoint(|it| it.allow_spoof = true),
        usual.clone().with_endpoint(|it| it.no_default_route = true),
        usual.clone().with_endpoint(|it| it.source = source),
        usual.clone().with_endpoint(|it| it.metric = Some(7)),
        usual.clone().with_endpoint(|it| it.routes = vec![route]),
        usual.clone().with_endpoint(|it| it.pooled = true),
    ] {
        assert!(!fits(&other, network, record), "{other:?}");
    }
    // What is asked for of the network is compared with the network.
    let conflict = world.plan_taking(&usual.with_options(|it| it.mtu = Some(900)), POOLED).expect_err("another MTU");
    assert_eq!(conflict.kind, Kind::Conflict);
}

#[test]
fn one_that_somebody_was_in_is_told() {
    let mut world = pooled_world();
    let record = world.records.endpoints[0].clone();
    assert_eq!(why_changed(&record, world.inside(POOLED)), None);
    let fresh = world.inside(POOLED).clone();
    let eth0 = fresh.net.link("eth0").expect("it is there").clone();
    let mut changes: Vec<(&str, super::super::TargetNetns)> = Vec::new();
    let change = |what, change: &dyn Fn(&mut super::super::TargetNetns)| {
        let mut inside = fresh.clone();
        change(&mut inside);
        (what, inside)
    };
    changes.push(change("another namespace", &|it| it.cookie += 1));
    changes.push(change("lacks eth0", &|it| it.net.links.retain(|link| link.name != "eth0")));
    changes.push(change("hardware address", &|it| it.net.links[1].mac = Some([2; 6])));
    let other = fwd_kernel::netlink::Link { index: 77, name: "tun0".into(), ..eth0.clone() };
    changes.push(change("interface tun0", &|it| it.net.links.push(other.clone())));
    let address = "192.0.2.1/24".parse().expect("an address");
    changes.push(change("192.0.2.1", &|it| it.net.addresses.push((eth0.index, address))));
    for (what, inside) in changes {
        let why = why_changed(&record, &inside).unwrap_or_default();
        assert!(why.contains(what), "{what}: {why}");
    }
}

#[test]
fn files_leave_the_pool_alone_as_long_as_its_network_stays() {
    let mut world = pooled_world();
    world.up(&UpRequest::new(named("a")));
    let exported = export(&world.read_whole(&Desired::default()));
    assert_eq!(exported.endpoints.len(), 1, "the pool is nothing that is declared");
    let plan = world.declare(&exported, true);
    assert_eq!(plan.ops, []);
    // Another MTU: the network is made anew, and what was prepared goes.
    let mut changed = exported.clone();
    changed.networks.get_mut("fwd0").expect("it is declared").mtu = Some(1400);
    world.declare(&changed, false);
    assert!(world.records.endpoints.iter().all(|it| !it.marks.pooled) && world.records.endpoints.len() == 1);
    world.prepare(POOLED);
    let vault = Network { uplink: UplinkChoice::None, ..Network::default() };
    let other = Desired { networks: [("vault".into(), vault)].into(), ..Desired::default() };
    world.declare(&other, true);
    assert!(world.records.endpoints.is_empty());
}

#[test]
fn network_goes_with_its_pool() {
    let mut world = World::new();
    let before = world.snapshot();
    world.prepare(POOLED);
    let network = Some(NetworkScope { name: "fwd0".into(), force: false });
    let plan = world.plan_down(&DownRequest { network, ..DownRequest::default() }).expect("nobody is in it");
    world.run(&plan.ops, usize::MAX);
    assert_eq!(world.snapshot(), before);
    world.prepare(POOLED);
    world.down(None);
    assert_eq!(world.snapshot(), before);
}

#[test]
fn second_name_of_somebodys_namespace_takes_nothing_from_it() {
    let mut world = World::new();
    world.up(&UpRequest::new(named("a")));
    let inside = world.inside("a").clone();
    world.namespaces.insert(name("b"), inside);
    let plan = world.plan_up(&UpRequest::new(named("b"))).expect("it is up");
    assert!(plan.ops.iter().all(|op| !matches!(op.object, Object::EndpointTaken(_))), "{:?}", plan.ops);
}

#[test]
fn what_is_nobodys_is_joined_by_nobody_and_what_is_somebodys_is_not_prepared() {
    let mut world = pooled_world();
    let other =
        UpRequest { network: Some(name("other")), ifname: Some("eth1".into()), ..UpRequest::new(named(POOLED)) };
    let error = world.plan_up(&other).expect_err("it would be taken away");
    assert!(error.kind == Kind::Conflict && error.to_string().contains("of the pool"), "{error}");
    world.add_namespace("theirs");
    let error = world
        .plan_up(&UpRequest::new(named("theirs")).with_endpoint(|it| it.pooled = true))
        .expect_err("a foreign one");
    assert_eq!(error.kind, Kind::Conflict);
}

#[test]
fn one_that_was_given_away_meanwhile_stays() {
    let mut world = pooled_world();
    let request = DownRequest { pooled: Some(world.inside(POOLED).cookie), ..down(Some(POOLED)) };
    assert!(!world.plan_down(&request).expect("it is nobody's").ops.is_empty());
    world.up(&UpRequest::new(named(POOLED)));
    assert_eq!(world.plan_down(&request).expect("it is somebody's").ops, []);
}

#[test]
fn addresses_of_the_pool_are_told_as_such() {
    let mut world = pooled_world();
    let ip = world.records.endpoints[0].address;
    world.add_namespace("theirs");
    let error =
        world.plan_up(&UpRequest::new(named("theirs")).with_endpoint(|it| it.ip = ip)).expect_err("it is taken");
    assert!(error.remedy.is_some_and(|it| it.contains(&format!("fwd down --ns {POOLED}"))));
}

#[test]
fn what_is_exported_changes_no_network_that_a_pool_alone_is_in() {
    let mut world = pooled_world();
    let exported = export(&world.read_whole(&Desired::default()));
    assert_eq!(world.declare(&exported, false).ops, []);
    assert!(!world.records.networks[0].kept);
}
