//! What files declare: of a host on which others have made things too.

mod anew;
mod left_out;

use proptest::prelude::*;

use super::super::{
    AskedLimits, Change, ChangeKind, Datapath, Desired, Endpoint, EndpointOptions, Nat, Network, Object, RateLimit,
    TargetRef, UpRequest, UplinkChoice, export,
    testing::{World, name, named},
};
use fwd_base::Kind;
use fwd_dataplane::{EndpointId, EndpointOwner};

fn endpoint(target: TargetRef, network: &str) -> Endpoint {
    Endpoint {
        id: target.id("eth0"),
        network: network.into(),
        owner_network: None,
        netns: Some(target),
        options: EndpointOptions {
            policy: Some(Vec::new()),
            limits: AskedLimits { outbound: Some(RateLimit::default()), inbound: Some(RateLimit::default()) },
            ..EndpointOptions::default()
        },
    }
}

/// What a file says: two namespaces in a network, and a network without any.
fn file() -> Desired {
    let web = Network { nat: Some(Nat::Symmetric), ..Network::default() };
    let vault = Network { uplink: UplinkChoice::None, ..Network::default() };
    Desired {
        networks: [("vault".into(), vault), ("web".into(), web)].into(),
        endpoints: vec![endpoint(named("a"), "web"), endpoint(named("b"), "web")],
        ..Desired::default()
    }
}

/// A host with a namespace of somebody else, in which a file was applied.
fn host() -> (World, Desired) {
    let (mut world, desired) = (World::new(), file());
    world.add_namespace("a");
    world.declare(&desired, false);
    (world, desired)
}

fn kinds(changes: &[Change]) -> Vec<(ChangeKind, String)> {
    let label = |change: &Change| change.endpoint.as_ref().map_or_else(|| change.network.clone(), |(ns, _)| ns.clone());
    changes.iter().map(|change| (change.kind, label(change))).collect()
}

#[test]
fn file_is_made_and_then_there_is_nothing_to_do() {
    let (mut world, desired) = (World::new(), file());
    let made = world.declare(&desired, false);
    let expected = ["vault", "web", "a", "b"].map(|what| (ChangeKind::Make, what.to_owned()));
    assert_eq!(kinds(&made.changes), expected);
    let again = world.plan_declared(&desired, true).expect("it is there");
    assert_eq!((again.ops, again.changes), (vec![], vec![]));
}

#[test]
fn what_no_file_names_stays_until_it_is_pruned() {
    let (mut world, mut desired) = host();
    world.up(&UpRequest::new(named("other")));
    world.up(&UpRequest { network: Some(name("web")), ..UpRequest::new(named("by-hand")) });
    let [pod, ..] = world.add_nameless("pod", 7);
    // A runtime's, in a network that a file names.
    let mut cni = endpoint(pod, "web");
    cni.id = EndpointId { owner: EndpointOwner::Cni, id: "0a".into(), ifname: "eth0".into() };
    let mut whole = export(&world.read_whole(&Desired::default()));
    whole.endpoints.push(cni.clone());
    world.make_whole(&whole);

    let plan = world.declare(&desired, false);
    assert_eq!(kinds(&plan.changes), [(ChangeKind::Remove, "by-hand".into())]);
    assert!(plan.warnings.iter().any(|warning| warning.contains("network fwd0") && warning.contains("--prune")));
    assert!(world.namespaces.contains_key(&name("other")) && !world.namespaces.contains_key(&name("by-hand")));
    // Nothing of it is left in the files: only by --prune it goes.
    desired.endpoints.clear();
    desired.networks.clear();
    assert_eq!(world.plan_declared(&desired, false).expect("possible").ops, []);
    let plan = world.declare(&desired, true);
    let gone = ["a", "b", "other", "fwd0", "vault"];
    let mut found: Vec<String> = kinds(&plan.changes).into_iter().map(|(_, what)| what).collect();
    found.sort();
    let mut expected = gone.map(ToOwned::to_owned).to_vec();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(world.records.endpoints.iter().map(|it| it.id.clone()).collect::<Vec<_>>(), [cni.id]);
    assert_eq!(world.records.networks.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["web"]);
}

#[test]
fn what_can_change_in_place_does() {
    let (mut world, mut desired) = host();
    let before = world.records.endpoints.clone();
    let a = &mut desired.endpoints[0];
    a.options.limits.outbound = Some(RateLimit::of_rate(1_000_000));
    a.options.publish = vec!["8080:80".parse().expect("ports")];
    desired.networks.get_mut("web").expect("it is said").allow_networks = ["vault".to_owned()].into();
    let plan = world.declare(&desired, false);
    assert_eq!(kinds(&plan.changes), [(ChangeKind::Change, "web".into()), (ChangeKind::Change, "a".into())]);
    assert!(!plan.ops.iter().any(|op| matches!(op.object, Object::Veth(_) | Object::Endpoint(_))));
    assert!(plan.changes[1].what.iter().any(|what| what.contains("8080")), "{:?}", plan.changes[1].what);
    assert_eq!(world.records.endpoints[0].limits.outbound.rate, 1_000_000);

    // Left out again, it is as before.
    let plan = world.declare(&file(), false);
    assert_eq!(kinds(&plan.changes), [(ChangeKind::Change, "web".into()), (ChangeKind::Change, "a".into())]);
    assert_eq!(world.records.endpoints, before);
    assert_eq!(world.records.publications, []);
}

#[test]
fn what_cannot_is_made_anew_with_its_address_in_the_same_namespace() {
    let changes: [fn(&mut Desired); 4] = [
        |it| it.endpoints[1].options.allow_spoof = true,
        |it| it.endpoints[1].options.mac = Some("02:00:00:00:00:09".parse().expect("an address")),
        |it| it.endpoints[1].options.no_default_route = true,
        |it| it.endpoints[1].options.routes = vec!["10.9.0.0/16".parse().expect("a route")],
    ];
    for change in changes {
        let (mut world, mut desired) = host();
        let (before, cookie) = (world.records.endpoints.clone(), world.namespaces[&name("b")].cookie);
        change(&mut desired);
        for (desired, times) in [(&desired, "first"), (&file(), "back")] {
            let plan = world.declare(desired, false);
            assert_eq!(kinds(&plan.changes), [(ChangeKind::Replace, "b".into())], "{times}");
            assert!(plan.changes[0].why.is_some());
            assert_eq!(world.namespaces[&name("b")].cookie, cookie, "its namespace stays, which was made for it");
            assert_eq!(world.records.endpoints[0], before[0], "the other one is not touched");
            assert_eq!(world.records.endpoints[1].address, before[1].address);
            assert_eq!(world.plan_declared(desired, false).expect("it is there").ops, []);
        }
        world.down(None);
        assert!(world.undo.is_empty() && !world.namespaces.contains_key(&name("b")));
    }
}

#[test]
fn network_that_cannot_change_is_made_anew_with_all_that_is_in_it() {
    let changes: [fn(&mut Network); 6] = [
        |it| it.mtu = Some(1400),
        |it| it.no_icc = true,
        |it| it.nat = Some(Nat::Eim),
        |it| it.uplink = "eth1".into(),
        |it| it.clamp_mss = true,
        |it| it.datapath = Some(Datapath::Kernel),
    ];
    for change in changes {
        let (mut world, mut desired) = host();
        let before = world.records.endpoints.clone();
        let web = desired.networks.get_mut("web").expect("it is said");
        change(web);
        if web.datapath.is_some() {
            web.nat = None;
        }
        let plan = world.declare(&desired, false);
        assert_eq!(kinds(&plan.changes), ["web", "a", "b"].map(|what| (ChangeKind::Replace, what.to_owned())));
        let addresses =
            |world: &World| world.records.endpoints.iter().map(|it| (it.cookie, it.address)).collect::<Vec<_>>();
        assert_eq!(addresses(&world), before.iter().map(|it| (it.cookie, it.address)).collect::<Vec<_>>());
        assert_eq!(world.plan_declared(&desired, false).expect("it is there").ops, []);
    }
}

#[test]
fn replacement_that_was_killed_anywhere_is_completed() {
    let (world, mut desired) = host();
    desired.networks.get_mut("web").expect("it is said").mtu = Some(1400);
    desired.endpoints.reverse();
    let ops = world.plan_declared(&desired, false).expect("possible").ops;
    for step in 0..=ops.len() {
        let mut world = world.clone();
        world.run_into(&ops, step);
        world.declare(&desired, false);
        assert_eq!(world.plan_declared(&desired, false).expect("it is there").ops, [], "after {step}");
        world.down(None);
        assert_eq!(world.records, Default::default(), "after {step}");
        assert!(world.undo.is_empty(), "after {step}");
    }
}

#[test]
fn namespace_that_moves_to_another_network_is_made_anew_there() {
    let (mut world, mut desired) = host();
    desired.endpoints[1].network = "vault".into();
    let plan = world.declare(&desired, false);
    assert_eq!(kinds(&plan.changes), [(ChangeKind::Replace, "b".into())]);
    assert_eq!(world.records.endpoints[1].network, "vault");
    assert_eq!(world.plan_declared(&desired, false).expect("it is there").ops, []);
}

#[test]
fn namespace_is_the_same_however_it_is_given() {
    let mut world = World::new();
    world.add_namespace("a");
    let [pid, ..] = world.add_ways("a", 7);
    world.up(&UpRequest { network: Some(name("web")), ..UpRequest::new(pid) });
    let before = world.records.endpoints.clone();
    let plan = world.declare(&file(), false);
    assert!(
        !kinds(&plan.changes).iter().any(|(kind, what)| *kind != ChangeKind::Make && what == "a"),
        "{:?}",
        plan.changes
    );
    assert_eq!(world.records.endpoints[0], before[0]);
}

#[test]
fn what_a_runtime_has_attached_is_left_to_it() {
    let (mut world, mut desired) = host();
    let mut whole = export(&world.read_whole(&Desired::default()));
    let id = EndpointId { owner: EndpointOwner::Cni, id: "0a".into(), ifname: "eth0".into() };
    whole.endpoints.push(Endpoint { id, ..endpoint(named("pod"), "web") });
    world.make_whole(&whole);
    desired.networks.get_mut("web").expect("it is said").mtu = Some(1400);
    let error = world.plan_declared(&desired, false).expect_err("it would be cut off");
    assert_eq!(error.kind, Kind::Conflict);
    assert!(error.why.contains("MTU") && error.why.contains("cni"), "{error}");
    let mut taken = file();
    taken.endpoints.push(endpoint(named("pod"), "web"));
    let changes = world.plan_declared(&taken, false).expect("the others are as they are to be").changes;
    assert_eq!(kinds(&changes), [(ChangeKind::Refuse, "pod".into())]);
    assert!(changes[0].why.as_ref().is_some_and(|why| why.contains("cni")), "{changes:?}");
}

#[test]
fn what_is_left_open_takes_nothing_that_another_has_asked_for() {
    let mut desired = file();
    desired.networks.get_mut("web").expect("it is said").subnet = "10.77.0.0/24".parse().ok();
    desired.endpoints[1].options.ip = Some("10.77.0.2".parse().expect("an address"));
    let mut world = World::new();
    world.declare(&desired, false);
    let addresses: Vec<String> = world.records.endpoints.iter().map(|it| it.main_address().to_string()).collect();
    assert_eq!(addresses, ["10.77.0.3", "10.77.0.2"]);
    assert_eq!(
        world
            .records
            .networks
            .iter()
            .find(|it| it.name == "vault")
            .and_then(|it| it.subnet())
            .map(|it| it.to_string())
            .as_deref(),
        Some("10.77.1.0/24")
    );
}

#[derive(Clone, Debug)]
struct Said {
    network: usize,
    spoof: bool,
    rate: bool,
    port: bool,
}

fn said() -> impl Strategy<Value = Option<Said>> {
    let said = (0..3usize, any::<bool>(), any::<bool>(), any::<bool>());
    proptest::option::of(said.prop_map(|(network, spoof, rate, port)| Said { network, spoof, rate, port }))
}

/// Files about some of four namespaces and three networks.
fn files() -> impl Strategy<Value = Desired> {
    let networks = proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 3);
    (networks, proptest::collection::vec(said(), 4)).prop_map(|(networks, endpoints)| {
        let names = ["db", "vault", "web"];
        let mut desired = Desired::default();
        for (name, (no_icc, internal, named)) in names.iter().zip(networks) {
            let uplink = if internal { UplinkChoice::None } else { UplinkChoice::Auto };
            let network = Network { no_icc, uplink, ..Network::default() };
            desired.networks.extend(named.then(|| ((*name).to_owned(), network)));
        }
        for (at, said) in endpoints.into_iter().enumerate() {
            let Some(Said { network, spoof, rate, port }) = said else { continue };
            let network = names[network];
            let Some(found) = desired.networks.get(network) else { continue };
            let internal = found.uplink == UplinkChoice::None;
            let ports = format!("{}:80", 8000 + at).parse().expect("ports");
            let limit = if rate { RateLimit::of_rate(1_000_000) } else { RateLimit::default() };
            let mut endpoint = endpoint(named(["a", "b", "c", "d"][at]), network);
            endpoint.options.allow_spoof = spoof;
            endpoint.options.limits.outbound = Some(limit);
            endpoint.options.publish = if port && !internal { vec![ports] } else { Vec::new() };
            desired.endpoints.push(endpoint);
        }
        desired
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever was applied before: then there is nothing to do, and what no file named is as it was.
    #[test]
    fn any_file_can_follow_any_other(first in files(), then in files(), prune: bool) {
        let mut world = World::new();
        world.add_namespace("a");
        world.up(&UpRequest { network: Some(name("own")), ..UpRequest::new(named("x")) });
        let own = world.records.endpoints[0].clone();
        world.declare(&first, false);
        world.declare(&then, prune);
        let again = world.plan_declared(&then, prune).expect("it is there");
        prop_assert_eq!((again.ops, again.changes), (vec![], vec![]));
        prop_assert_eq!(world.records.endpoints.contains(&own), !prune);
        for wanted in &then.endpoints {
            let found = world.records.endpoints.iter().find(|it| it.id == wanted.id).expect("it is there");
            prop_assert_eq!((&found.network, found.allow_spoof), (&wanted.network, wanted.options.allow_spoof));
        }
        // What is said of it is the same again.
        let exported = export(&world.read_whole(&Desired::default()));
        prop_assert_eq!(world.plan_declared(&exported, true).expect("it is there").ops, vec![]);
        world.down(None);
        prop_assert!(world.undo.is_empty());
    }
}
