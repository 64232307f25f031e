//! Endpoints that cannot be, and endpoints of which something fails: what becomes of the others.

use super::{endpoint, file, host, kinds};
use crate::{
    Action, Change, ChangeKind, Desired, Object, Op, Plan, Refusal, TargetRef, Undo, UplinkChoice, export,
    testing::{World, name, named},
};
use fwd_base::Kind;
use fwd_dataplane::{EndpointId, EndpointOwner};
use fwd_kernel::netlink::Link;

/// `ip link set eth0 name x0; ip link add eth0 type dummy`, by root inside.
fn occupy(world: &mut World, ns: &str) {
    let inside = world.inside(ns);
    if let Some(link) = inside.net.links.iter_mut().find(|link| link.name == "eth0") {
        link.name = "x0".into();
    }
    inside.net.links.push(Link { index: 900, name: "eth0".into(), ..Link::default() });
}

fn refused(plan: &Plan) -> Vec<&Change> {
    plan.changes.iter().filter(|change| change.kind == ChangeKind::Refuse).collect()
}

#[test]
fn occupied_namespace_is_left_out_and_the_others_are_made() {
    let (mut world, desired) = (World::new(), file());
    world.add_namespace("a");
    occupy(&mut world, "a");
    let plan = world.declare(&desired, false);
    let expected = [
        (ChangeKind::Make, "vault".to_owned()),
        (ChangeKind::Make, "web".into()),
        (ChangeKind::Make, "b".into()),
        (ChangeKind::Refuse, "a".into()),
    ];
    assert_eq!(kinds(&plan.changes), expected);
    let refused = refused(&plan);
    assert!(refused[0].why.as_ref().is_some_and(|why| why.contains("has an interface eth0 of its own")), "{refused:?}");
    assert_eq!(refused[0].what.last().map(String::as_str), Some("it is not up"));
    assert_eq!(world.records.endpoints.len(), 1);
    // Once nothing is in the way, it comes too.
    world.inside("a").net.links.retain(|link| link.name != "eth0");
    assert_eq!(kinds(&world.declare(&desired, false).changes), [(ChangeKind::Make, "a".into())]);
}

#[test]
fn one_that_is_up_stays_but_gets_its_new_rules_and_loses_ports() {
    let (mut world, mut desired) = host();
    desired.endpoints[0].options.publish = vec!["8080:80".parse().expect("ports")];
    world.declare(&desired, false);
    occupy(&mut world, "a");
    // The port is another's now, and nobody may speak with anybody.
    let moved = std::mem::take(&mut desired.endpoints[0].options.publish);
    desired.endpoints[1].options.publish = moved;
    let rule = fwd_dataplane::Rule { verb: fwd_dataplane::Verb::DenyOut, what: "any".parse().expect("a rule") };
    desired.endpoints[0].options.policy = Some(vec![rule]);
    let before = world.records.endpoints.iter().find(|it| it.id == desired.endpoints[0].id).cloned().expect("it is up");
    let plan = world.declare(&desired, false);
    assert_eq!(refused(&plan).len(), 1);
    assert!(refused(&plan)[0].what.iter().any(|what| what.starts_with("it stays as it is")), "{plan:?}");
    let after = world.records.endpoints.iter().find(|it| it.id == before.id).cloned().expect("it is up");
    assert_eq!(after, crate::EndpointRecord { policy: vec![rule], ..before });
    let other = world.records.endpoints.iter().find(|it| it.id != after.id).expect("it is up").index;
    assert_eq!(world.records.publications.iter().map(|it| it.endpoint).collect::<Vec<_>>(), [other]);
    assert!(world.plan_declared(&desired, false).expect("possible").ops.is_empty(), "nothing more can be done");
}

#[test]
fn one_whose_address_is_anothers_or_whose_network_is_made_anew_goes() {
    let changes: [fn(&mut Desired, Option<std::net::Ipv4Addr>); 2] = [
        |it, address| it.endpoints[1].options.ip = address,
        |it, _| it.networks.get_mut("web").expect("it is said").mtu = Some(1300),
    ];
    for change in changes {
        let (mut world, mut desired) = host();
        occupy(&mut world, "a");
        let address =
            world.records.endpoints.iter().find(|it| it.id == desired.endpoints[0].id).expect("it is up").address;
        change(&mut desired, address);
        let plan = world.declare(&desired, false);
        assert!(refused(&plan)[0].what.iter().any(|what| what.starts_with("it is taken down meanwhile")), "{plan:?}");
        assert_eq!(world.records.endpoints.iter().map(|it| &it.id).collect::<Vec<_>>(), [&desired.endpoints[1].id]);
        assert!(world.plan_declared(&desired, false).expect("possible").ops.is_empty());
    }
}

#[test]
fn namespace_that_cannot_be_opened_or_is_a_runtimes_is_left_out() {
    let (mut world, mut desired) = (World::new(), file());
    let [pod, ..] = world.add_nameless("pod", 7);
    let mut cni = endpoint(pod.clone(), "web");
    cni.id = EndpointId { owner: EndpointOwner::Cni, id: "0a".into(), ifname: "eth0".into() };
    cni.options.publish = vec!["8080:80".parse().expect("ports")];
    world.declare(&desired, false);
    let mut whole = export(&world.read_whole(&Desired::default()));
    whole.endpoints.push(cni);
    world.make_whole(&whole);
    let dead = TargetRef::Pid(99);
    desired.endpoints.insert(0, endpoint(dead.clone(), "web"));
    desired.endpoints.insert(1, endpoint(pod, "web"));
    desired.endpoints.push(endpoint(named("c"), "web"));
    let mut actual = world.read_whole(&desired);
    let refusal = Refusal { message: "cannot open process 99: there is no such process".into(), remedy: None };
    actual.unopened.insert(dead, refusal.clone());
    actual.targets.remove(&TargetRef::Pid(99));
    let scope = crate::Scope { declared: Some(crate::Declared { prune: false }), ..crate::Scope::default() };
    let plan = crate::plan(&desired, &actual, &scope).expect("possible");
    assert_eq!(kinds(&plan.changes)[0], (ChangeKind::Make, "c".into()));
    let why: Vec<&str> = refused(&plan).iter().filter_map(|change| change.why.as_deref()).collect();
    assert!(why.len() == 2 && why[0] == refusal.message && why[1].contains("attached by cni"), "{why:?}");
    let of_runtime = world.records.endpoints.iter().find(|it| it.id.owner == EndpointOwner::Cni).expect("it is up");
    assert!(
        !plan.ops.iter().any(|op| op.to_string().contains(&of_runtime.host_if)),
        "its rules and ports are its runtime's"
    );
    // What no file says is refused as ever.
    assert_eq!(
        crate::plan(&desired, &actual, &crate::Scope::default()).expect_err("it is refused").kind,
        Kind::Conflict
    );
}

/// What a file takes away does not depend on whether the namespace lets it.
#[test]
fn one_that_is_to_have_less_goes() {
    let less: [fn(&mut Desired); 3] = [
        |it| it.endpoints[0].network = "vault".into(),
        |it| it.endpoints[0].options.allow_spoof = false,
        |it| it.endpoints[0].options.limits.outbound = Some(crate::RateLimit::of_rate(1_000_000)),
    ];
    for less in less {
        let mut world = World::new();
        let mut desired = file();
        desired.endpoints[0].options.allow_spoof = true;
        world.add_namespace("a");
        world.declare(&desired, false);
        occupy(&mut world, "a");
        less(&mut desired);
        let plan = world.declare(&desired, false);
        assert!(refused(&plan)[0].what.iter().any(|what| what.starts_with("it is taken down meanwhile")), "{plan:?}");
        assert_eq!(world.records.endpoints.iter().map(|it| &it.id).collect::<Vec<_>>(), [&desired.endpoints[1].id]);
    }
}

/// Root inside ends the process by which the namespace was given, while another stays.
#[test]
fn one_whose_process_has_ended_gets_its_rules_and_nobody_has_its_place() {
    let mut world = World::new();
    let [process, ..] = world.add_nameless("pod", 7);
    world.add_namespace("stranger");
    let mut desired = file();
    desired.endpoints.push(endpoint(process.clone(), "web"));
    desired.endpoints[2].options.publish = vec!["8080:80".parse().expect("ports")];
    world.declare(&desired, false);
    let id = desired.endpoints[2].id.clone();
    let before = world.records.endpoints.iter().find(|it| it.id == id).cloned().expect("it is up");
    let rule = fwd_dataplane::Rule { verb: fwd_dataplane::Verb::DenyOut, what: "any".parse().expect("a rule") };
    desired.endpoints[2].options.policy = Some(vec![rule]);
    desired.endpoints[2].options.publish.clear();
    let scope = crate::Scope { declared: Some(crate::Declared { prune: false }), ..crate::Scope::default() };
    for elsewhere in [false, true] {
        let mut actual = world.read_whole(&desired);
        actual.targets.remove(&process);
        if elsewhere {
            world.add_ways("stranger", 7);
            actual = world.read_whole(&desired);
        } else {
            let refusal = Refusal { message: "there is no such process".into(), remedy: None };
            actual.unopened.insert(process.clone(), refusal);
        }
        let plan = crate::plan(&desired, &actual, &scope).expect("it is left out");
        assert_eq!(refused(&plan).len(), 1, "{plan:?}");
        let ops: Vec<String> = plan.ops.iter().map(ToString::to_string).collect();
        let expected = ["withdraw 8080:80/tcp at", "change rules of", "detach the programs of the host's own access"];
        assert!(ops.len() == 3 && ops.iter().zip(expected).all(|(op, words)| op.starts_with(words)), "{ops:?}");
        assert!(ops[..2].iter().all(|op| op.contains(&before.host_if)), "{ops:?}");
    }
}

/// Where a process of the file has ended, its number may by now be that of any other.
#[test]
fn process_that_has_become_the_hosts_or_a_neighbours_keeps_nobody_out() {
    let (mut world, mut desired) = (World::new(), file());
    world.add_namespace("a");
    let ways = world.add_ways("a", 7);
    for at in [0, 2] {
        let mut desired = desired.clone();
        desired.endpoints.insert(at, endpoint(ways[0].clone(), "web"));
        let plan = world.plan_declared(&desired, false).expect("it is left out");
        let refused = refused(&plan);
        assert!(
            refused.len() == 1 && refused[0].why.as_ref().is_some_and(|why| why.contains("said twice")),
            "{refused:?}"
        );
        assert_eq!(kinds(&plan.changes).iter().filter(|(kind, _)| *kind == ChangeKind::Make).count(), 4);
    }
    let of_host = TargetRef::Pid(8);
    desired.endpoints.push(endpoint(of_host.clone(), "web"));
    let mut actual = world.read_whole(&desired);
    let cookie = actual.host.cookie;
    let known = actual.targets.values().find(|target| target.ns.is_some()).cloned().expect("a is there");
    actual.targets.remove(&of_host);
    let ns = known.ns.clone().map(|ns| crate::TargetNetns { cookie, ..ns });
    actual.targets.insert(of_host.clone(), crate::Target { reference: of_host, ns, ..known });
    let scope = crate::Scope { declared: Some(crate::Declared { prune: false }), ..crate::Scope::default() };
    let plan = crate::plan(&desired, &actual, &scope).expect("it is left out");
    assert!(refused(&plan)[0].why.as_ref().is_some_and(|why| why.contains("the host's own")), "{:?}", plan.changes);
    assert_eq!(kinds(&plan.changes).iter().filter(|(kind, _)| *kind == ChangeKind::Make).count(), 4);
}

#[test]
fn one_namespace_by_two_names_is_refused_with_both_places() {
    let mut world = World::new();
    world.add_namespace("pod");
    let [.., container] = world.add_ways("pod", 7);
    let mut desired = file();
    for (target, line) in [(&named("pod"), 3), (&container, 5)] {
        desired.endpoints.push(endpoint(target.clone(), "web"));
        desired.places.note(target.clone(), "eth0".into(), format!("network.toml:{line}:1"));
    }
    let error = world.plan_declared(&desired, false).expect_err("it is refused");
    assert_eq!(error.kind, Kind::Usage);
    let text = error.to_string();
    assert!(text.contains("network.toml:3:1") && text.contains("network.toml:5:1"), "{text}");
    desired.endpoints[3].id.ifname = "eth1".into();
    desired.endpoints[3].network = "vault".into();
    assert!(world.plan_declared(&desired, false).is_ok(), "another interface");
}

/// What goes with a veth pair, and is removed by nothing else in this model.
fn goes_along(object: &Object) -> bool {
    matches!(
        object,
        Object::Port(_)
            | Object::HostSide(_)
            | Object::Fdb(_)
            | Object::LinkUp(_)
            | Object::NsAddress(_)
            | Object::NsLinkUp(_)
            | Object::NsDefaultRoute(_)
            | Object::NsNeighbour(_)
    )
}

/// Runs a plan of which one operation of an endpoint fails, as the engine does: what was made of that endpoint is removed again, and the
/// others go on.
fn run_with_failure(world: &mut World, plan: &Plan, failing: usize) {
    let start = plan.before_groups();
    world.run(&plan.ops[..start], usize::MAX);
    for group in &plan.groups {
        let ops = &plan.ops[group.ops.clone()];
        let Some(at) = group.ops.clone().position(|op| op == failing) else {
            world.run(ops, usize::MAX);
            continue;
        };
        let is_namespace = |op: &&Op| matches!(op.object, Object::Undo(Undo::Netns { .. }));
        let made =
            ops[..at].iter().filter(|op| op.action == Action::Make && !goes_along(&op.object) && !is_namespace(op));
        let undone = made.rev().map(Op::inverse);
        let all: Vec<Op> = ops[..at].iter().cloned().chain(undone).collect();
        world.run(&all, usize::MAX);
        // By now it has a number, by which the engine knows it.
        let noted = |of: &Undo| match of {
            Undo::Netns { name, .. } => ops[..at]
                .iter()
                .any(|op| matches!(&op.object, Object::Undo(Undo::Netns { name: it, .. }) if it == name)),
            _ => false,
        };
        world.undo.retain(|entry| !noted(entry));
    }
}

#[test]
fn failure_of_one_endpoint_leaves_the_others_and_is_mended_by_the_next() {
    let mut desired = file();
    desired.endpoints[0].options.publish = vec!["8080:80".parse().expect("ports")];
    desired.endpoints[1].options.publish = vec!["8081:80".parse().expect("ports")];
    desired.networks.get_mut("web").expect("it is said").uplink = UplinkChoice::Interface("eth0".into());
    let fresh = || {
        let mut world = World::new();
        world.add_namespace("a");
        world
    };
    let plan = fresh().plan_declared(&desired, false).expect("possible");
    assert_eq!(plan.groups.iter().map(|group| group.target.label()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(plan.groups.last().map(|group| group.ops.end), Some(plan.ops.len()));
    for failing in plan.before_groups()..plan.ops.len() {
        let mut world = fresh();
        run_with_failure(&mut world, &plan, failing);
        let [a, b] = [0, 1].map(|at| &desired.endpoints[at].id);
        let failed = if plan.groups[0].ops.contains(&failing) { a } else { b };
        let up: Vec<_> = world.records.endpoints.iter().map(|it| it.id.clone()).collect();
        assert_eq!(up, [if failed == a { b } else { a }.clone()], "operation {failing}: {}", plan.ops[failing]);
        assert!(failed == a || !world.namespaces.contains_key(&name("b")), "its namespace has gone with it");
        world.declare(&desired, false);
        assert!(world.plan_declared(&desired, false).expect("possible").ops.is_empty(), "operation {failing}");
        world.down(None);
        assert_eq!(world.records, Default::default(), "operation {failing}");
    }
}

#[test]
fn plan_that_leaves_some_out_is_completed_wherever_it_was_killed() {
    let (world, mut desired) = host();
    desired.endpoints[1].options.allow_spoof = true;
    desired.endpoints.push(endpoint(named("c"), "web"));
    let mut occupied = world;
    occupy(&mut occupied, "a");
    let ops = occupied.plan_declared(&desired, false).expect("possible").ops;
    for step in 0..=ops.len() {
        let mut world = occupied.clone();
        world.run_into(&ops, step);
        world.declare(&desired, false);
        let again = world.plan_declared(&desired, false).expect("possible");
        assert!(again.ops.is_empty() && refused(&again).len() == 1, "after {step}: {:?}", again.ops);
        assert_eq!(world.records.endpoints.len(), 3, "after {step}");
        world.down(None);
        assert_eq!(world.records, Default::default(), "after {step}");
    }
}
