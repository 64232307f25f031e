//! Networks that are there whoever is in them.

use super::super::{
    Bridging, Datapath, DownRequest, Nat, Network, NetworkScope, Object, Plan, UpRequest, UplinkChoice, export,
    forwarding,
    testing::{World, name, named},
};
use fwd_base::{Kind, Result};

fn join(target: &str, network: &str) -> UpRequest {
    UpRequest { network: Some(name(network)), ..UpRequest::new(named(target)) }
}

fn plan_rm(world: &World, name: &str, force: bool) -> Result<Plan> {
    let network = Some(NetworkScope { name: name.into(), force });
    world.plan_down(&DownRequest { network, ..DownRequest::default() })
}

#[track_caller]
fn rm(world: &mut World, name: &str, force: bool) {
    let plan = plan_rm(world, name, force).unwrap_or_else(|error| panic!("{error}"));
    world.run(&plan.ops, usize::MAX);
}

/// One of each kind.
fn kinds() -> [Network; 5] {
    [
        Network::default(),
        Network { uplink: UplinkChoice::None, ..Network::default() },
        Network { datapath: Some(Datapath::Kernel), ..Network::default() },
        Network { bridging: Bridging::None, ..Network::default() },
        Network { uplink: UplinkChoice::Interface("eth1".into()), nat: Some(Nat::Eim), ..Network::default() },
    ]
}

#[test]
fn network_is_there_before_its_first_endpoint_and_after_its_last() {
    for kind in kinds() {
        let mut world = World::new();
        let before = world.snapshot();
        world.add_network("web", kind.clone());
        let alone = world.snapshot();
        assert_eq!(world.plan_network("web", kind).expect("it is there").ops, []);
        world.up(&join("a", "web"));
        world.up(&join("b", "web"));
        world.down(Some("b"));
        world.down(Some("a"));
        let mut after = world.snapshot();
        // Who comes next gets another address.
        after.1.networks[0].last = alone.1.networks[0].last;
        assert_eq!(after.0.net.links.len(), alone.0.net.links.len());
        assert_eq!((after.1, after.4), (alone.1, alone.4));
        rm(&mut world, "web", false);
        assert_eq!(world.snapshot(), before);
    }
}

#[test]
fn everything_goes_with_down_all() {
    let mut world = World::new();
    let before = world.snapshot();
    world.add_network("web", Network::default());
    world.up(&join("a", "web"));
    world.down(None);
    assert_eq!(world.snapshot(), before);
}

#[test]
fn network_that_up_has_made_can_be_kept_from_then_on() {
    let mut world = World::new();
    world.up(&join("a", "web"));
    let plan = world.add_network("web", Network::default());
    assert!(matches!(plan.ops.iter().map(|op| &op.object).collect::<Vec<_>>()[..], [Object::NetworkKept(_)]));
    world.down(Some("a"));
    assert_eq!(world.records.networks.len(), 1);
}

#[test]
fn network_in_use_goes_only_by_force_and_takes_its_endpoints_alone() {
    let mut world = World::new();
    world.add_network("web", Network::default());
    world.up(&join("a", "web"));
    world.up(&join("b", "web"));
    world.up(&join("c", "db"));
    let error = plan_rm(&world, "web", false).expect_err("it is in use");
    assert_eq!(error.kind, Kind::Conflict);
    assert!(error.to_string().contains("namespace a and 1 more"), "{error}");
    assert!(error.remedy.expect("a remedy").contains("fwd network rm web --force"));
    rm(&mut world, "web", true);
    let left: Vec<_> = world.records.endpoints.iter().map(|it| it.network.as_str()).collect();
    assert_eq!((left, world.records.networks.len()), (vec!["db"], 1));
    assert!(!world.namespaces.contains_key(&name("a")) && world.namespaces.contains_key(&name("c")));
    let error = plan_rm(&world, "dbb", false).expect_err("there is none");
    assert_eq!((error.kind, error.remedy.as_deref()), (Kind::NotFound, Some("did you mean `db`?")));
}

#[test]
fn network_that_is_there_is_not_changed() {
    let mut world = World::new();
    world.add_network("web", Network::default());
    let others = [
        Network { uplink: UplinkChoice::None, ..Network::default() },
        Network { nat: Some(Nat::Eim), ..Network::default() },
        Network { subnet: "10.1.0.0/24".parse().ok(), ..Network::default() },
    ];
    for other in others {
        let error = world.plan_network("web", other).expect_err("it is another");
        assert_eq!(error.kind, Kind::Conflict, "{error}");
        assert!(error.remedy.expect("a remedy").contains("fwd network rm web"));
    }
}

#[test]
fn network_that_was_killed_anywhere_is_completed_or_goes() {
    for kind in kinds() {
        let ops = World::new().plan_network("web", kind.clone()).expect("possible").ops;
        for step in 0..=ops.len() {
            let mut world = World::new();
            world.run_into(&ops, step);
            let mut other = world.clone();
            world.add_network("web", kind.clone());
            assert_eq!(world.plan_network("web", kind.clone()).expect("it is there").ops, [], "after {step}");
            other.down(None);
            assert_eq!((other.records, other.undo), Default::default(), "after {step}");
        }
    }
}

#[test]
fn removal_that_was_killed_anywhere_is_completed() {
    let mut there = World::new();
    there.add_network("web", Network::default());
    there.up(&join("a", "web"));
    there.up(&join("b", "db"));
    let ops = plan_rm(&there, "web", true).expect("possible").ops;
    for step in 0..=ops.len() {
        let mut world = there.clone();
        world.run_into(&ops, step);
        // Once its record is gone, the network is none any more.
        match plan_rm(&world, "web", true) {
            Ok(plan) => world.run(&plan.ops, usize::MAX),
            Err(error) => assert_eq!(error.kind, Kind::NotFound, "after {step}: {error}"),
        }
        world.down(Some("b"));
        world.down(None);
        assert_eq!((world.records, world.undo), Default::default(), "after {step}");
    }
}

#[test]
fn whole_says_which_networks_stay() {
    let mut world = World::new();
    world.add_network("web", Network::default());
    world.up(&join("a", "web"));
    world.up(&join("b", "db"));
    let said = export(&world.read_whole(&Default::default()));
    let kept: Vec<_> = said.networks.iter().map(|(name, network)| (name.as_str(), network.kept)).collect();
    assert_eq!(kept, [("db", false), ("web", true)]);
    assert_eq!(world.plan_whole(&said).expect("it is there").ops, []);
}

fn allowing(others: &[&str]) -> Network {
    Network { allow_networks: others.iter().map(|it| (*it).to_owned()).collect(), ..Network::default() }
}

#[test]
fn what_a_network_allows_is_added_to_and_goes_with_it() {
    let mut world = World::new();
    let plan = world.add_network("web", allowing(&["db"]));
    assert!(
        plan.warnings.iter().any(|it| it.contains("fwd network add db --allow-network web")),
        "{:?}",
        plan.warnings
    );
    let plan = world.add_network("db", allowing(&["web"]));
    assert_eq!(plan.warnings, [""; 0], "both have allowed it");
    let plan = world.add_network("web", allowing(&["app"]));
    assert!(matches!(plan.ops.iter().map(|op| &op.object).collect::<Vec<_>>()[..], [Object::NetworkAllows(_)]));
    assert_eq!(world.records.networks[0].allows, ["app", "db"].map(Into::into).into());
    // An `up` says nothing of it, and the whole says all.
    world.up(&join("a", "web"));
    assert_eq!(world.records.networks[0].allows.len(), 2);
    let mut said = export(&world.read_whole(&Default::default()));
    assert_eq!(world.plan_whole(&said).expect("it is there").ops, []);
    said.networks.get_mut("web").expect("it is said").allow_networks.remove("app");
    world.make_whole(&said);
    assert_eq!(world.records.networks[0].allows, [String::from("db")].into());
    // A bridge that somebody has deleted comes again with it.
    world.delete_link("web");
    world.up(&join("a", "web"));
    let web = world.records.networks.iter().find(|it| it.name == "web").expect("it is there again");
    assert_eq!(web.allows, [String::from("db")].into());
}

#[test]
fn what_cannot_be_allowed_is_refused() {
    let mut world = World::new();
    let refused = |world: &World, network: &str, asked: Network, kind, word: &str| {
        let error = world.plan_network(network, asked).expect_err("it is refused");
        assert!(error.kind == kind && error.to_string().contains(word) && error.remedy.is_some(), "{error}");
    };
    refused(&world, "web", allowing(&["web"]), Kind::Usage, "--no-icc");
    let kernel = |others: &[&str]| Network { datapath: Some(Datapath::Kernel), ..allowing(others) };
    world.add_network("db", kernel(&[]));
    refused(&world, "web", allowing(&["db"]), Kind::Unsupported, "the kernel the other");
    let (long, longer) = ("n".repeat(60), "m".repeat(60));
    refused(&world, &long, kernel(&[&longer]), Kind::Usage, "112 bytes, and they have 120");
}

#[test]
fn rules_by_which_networks_reach_each_other_come_and_go_with_both() {
    let kernel = |others: &[&str]| Network { datapath: Some(Datapath::Kernel), ..allowing(others) };
    let mut world = World::new();
    world.add_network("web", kernel(&["db", "gone"]));
    world.add_network("db", kernel(&[]));
    assert!(world.host.pair_rules.is_empty(), "one has allowed it");
    world.add_network("db", kernel(&["web"]));
    assert_eq!(world.host.pair_rules.keys().collect::<Vec<_>>(), ["db with web"]);
    assert_eq!(world.plan_network("db", kernel(&["web"])).expect("it is there").ops, []);
    // Somebody takes a rule away.
    world.host.pair_rules.values_mut().for_each(|count| *count -= 1);
    let plan = world.add_network("web", kernel(&[]));
    assert!(plan.ops.iter().any(|op| matches!(op.object, Object::NetworkPair(_))), "{:?}", plan.ops);
    assert_eq!(world.plan_network("web", kernel(&[])).expect("it is there").ops, []);
    // One allows it no more, and then again.
    let mut said = export(&world.read_whole(&Default::default()));
    said.networks.get_mut("db").expect("it is said").allow_networks.clear();
    world.make_whole(&said);
    assert!(world.host.pair_rules.is_empty());
    world.add_network("db", kernel(&["web"]));
    assert_eq!(world.host.pair_rules.len(), 1);
    // Whichever goes takes them along.
    rm(&mut world, "db", false);
    assert!(world.host.pair_rules.is_empty());
    world.add_network("db", kernel(&["web"]));
    assert_eq!(world.host.pair_rules.len(), 1, "the other has allowed it all the while");
}

#[test]
fn internal_network_forwards_only_while_it_is_one_of_a_pair() {
    let kernel = |internal, others: &[&str]| {
        let uplink = if internal { UplinkChoice::None } else { UplinkChoice::default() };
        Network { datapath: Some(Datapath::Kernel), uplink, ..allowing(others) }
    };
    let mut world = World::new();
    let open = |world: &World| {
        let bridge = &world.records.networks.iter().find(|network| network.name == "vault").expect("it is up").bridge;
        world.host.sysctls.get(&forwarding(bridge)).is_some_and(|value| value == "1")
    };
    world.add_network("vault", kernel(true, &["web"]));
    world.up(&join("a", "vault"));
    assert!(!open(&world), "the other one is not there");
    world.add_network("web", kernel(false, &[]));
    assert!(!open(&world), "the other one has not allowed it");
    let plan = world.add_network("web", kernel(false, &["vault"]));
    assert!(open(&world));
    let made = |is: fn(&Object) -> bool| plan.ops.iter().position(|op| is(&op.object)).expect("it is planned");
    let opened = made(|object| matches!(object, Object::Sysctl(record) if record.path.ends_with("/forwarding")));
    assert!(made(|object| matches!(object, Object::NetworkPair(_))) < opened, "rules first: {:?}", plan.ops);
    assert_eq!(world.plan_network("vault", kernel(true, &[])).expect("it is there").ops, []);
    // One that is opened behind the back of both is closed, whatever has become of the rules.
    let mut said = export(&world.read_whole(&Default::default()));
    said.networks.get_mut("web").expect("it is said").allow_networks.clear();
    world.host.pair_rules.clear();
    world.make_whole(&said);
    assert!(!open(&world), "one has forbidden it");
    world.add_network("web", kernel(false, &["vault"]));
    assert!(open(&world));
    world.host.pair_rules.clear();
    rm(&mut world, "web", false);
    assert!(!open(&world), "the other one has gone");
}

#[test]
fn network_is_without_a_bridge_only_where_programs_are_in_its_place() {
    let asked = |datapath| Network { bridging: Bridging::None, datapath: Some(datapath), ..Network::default() };
    for datapath in [Datapath::Tc, Datapath::Xdp] {
        World::new().plan_network("web", asked(datapath)).expect("they are");
    }
    for datapath in [Datapath::Kernel, Datapath::Netkit] {
        let error = World::new().plan_network("web", asked(datapath)).expect_err("there are none");
        assert_eq!(error.kind, Kind::Unsupported, "{error}");
        assert!(error.remedy.expect("a remedy").contains("--datapath tc"));
    }
    let groups = Network { multicast: true, ..asked(Datapath::Tc) };
    let error = World::new().plan_network("web", groups).expect_err("groups come by ports");
    assert!(error.kind == Kind::Usage && error.to_string().contains("--bridge none"), "{error}");
}
