//! Any sequence of commands, interruptions and other people's deletions ends well.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::{
    Bridging, Datapath, DownRequest, Network, Op, TargetRef, UpRequest,
    testing::{World, down, name, named},
};
use fwd_dataplane::Backend;
use fwd_kernel::netlink::Link;

/// How many operations are run; and whether the next one is begun.
type Steps = (usize, bool);

#[derive(Clone, Debug)]
enum Event {
    Up { target: usize, network: usize, datapath: Datapath, attach: Option<Backend>, steps: Steps },
    Down { target: Option<usize>, steps: Steps },
    DeleteNamespace(usize),
    AddNamespace(usize),
    DeleteLink(usize),
    DeleteUplink(usize),
    MakeUplinkAnew(usize),
    SetForwarding(bool),
}

const NAMESPACES: [&str; 4] = ["a", "b", "c", "d"];
const NETWORKS: [&str; 3] = ["fwd0", "web", "a-rather-long-network-name"];
const UPLINKS: [&str; 3] = ["eth0", "eth0", "eth1"];
const WAYS_OUT: [(&str, &str); 2] = [("eth0", "198.51.100.2/24"), ("eth1", "203.0.113.2/24")];

fn steps() -> impl Strategy<Value = Steps> {
    prop_oneof![Just((usize::MAX, false)), (0usize..30, any::<bool>())]
}

/// Namespaces by their names, and by processes and paths: one that has a name, too, and one without.
fn targets() -> [TargetRef; 8] {
    let path = |pid: u32| TargetRef::Path(format!("/proc/{pid}/ns/net").into());
    let [a, b, c, d] = NAMESPACES.map(named);
    [a, b, c, d, TargetRef::Pid(1), path(1), TargetRef::Pid(9), path(9)]
}

fn datapath() -> impl Strategy<Value = Datapath> {
    prop_oneof![Just(Datapath::Tc), Just(Datapath::Xdp), Just(Datapath::Netkit), Just(Datapath::Kernel)]
}

fn attach() -> impl Strategy<Value = Option<Backend>> {
    prop_oneof![3 => Just(None), 1 => Just(Some(Backend::Tcx)), 2 => Just(Some(Backend::Clsact))]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..8usize, 0..3usize, datapath(), attach(), steps())
            .prop_map(|(target, network, datapath, attach, steps)| Event::Up { target, network, datapath, attach, steps }),
        3 => (proptest::option::weighted(0.8, 0..8usize), steps())
            .prop_map(|(target, steps)| Event::Down { target, steps }),
        1 => (0..4usize).prop_map(Event::DeleteNamespace),
        1 => (0..4usize).prop_map(Event::AddNamespace),
        1 => (0..6usize).prop_map(Event::DeleteLink),
        1 => (0..2usize).prop_map(Event::DeleteUplink),
        1 => (0..2usize).prop_map(Event::MakeUplinkAnew),
        1 => any::<bool>().prop_map(Event::SetForwarding),
    ]
}

fn run(world: &mut World, ops: &[Op], (steps, begun): Steps) {
    if begun {
        world.run_into(ops, steps);
    } else {
        world.run(ops, steps);
    }
}

fn up(world: &mut World, request: &UpRequest, steps: Steps) {
    let Ok(plan) = world.plan_up(request) else { return };
    run(world, &plan.ops, steps);
    if steps.0 >= plan.ops.len() {
        assert_eq!(world.plan_up(request).expect("it is up").ops, [], "the second run changes nothing");
    }
}

/// The world, and the names of namespaces that the user made.
fn options(network: usize, datapath: Datapath) -> Network {
    let uplink = UPLINKS[network].into();
    let without = network == 2 && matches!(datapath, Datapath::Tc | Datapath::Xdp);
    let bridging = if without { Bridging::None } else { Bridging::Ports };
    Network { uplink, datapath: Some(datapath), dns: network == 1, bridging, ..Network::default() }
}

fn play(world: &mut World, theirs: &mut BTreeSet<&'static str>, event: &Event) {
    match event {
        Event::Up { target, network, datapath, attach, steps } => {
            let target = &targets()[*target];
            if target.name().is_none() && world.resolve(target).is_none() {
                return;
            }
            let request = UpRequest {
                network: Some(name(NETWORKS[*network])),
                options: options(*network, *datapath),
                ..UpRequest::new(target.clone())
            }
            .with_endpoint(|it| it.attach = attach.filter(|_| datapath.takes_attach()));
            up(world, &request, *steps);
        }
        Event::Down { target, steps } => {
            let request = DownRequest { target: target.map(|it| targets()[it].clone()), ..DownRequest::default() };
            let plan = world.plan_down(&request).expect("always possible");
            run(world, &plan.ops, *steps);
        }
        Event::DeleteNamespace(ns) => {
            if world.namespaces.contains_key(&name(NAMESPACES[*ns])) {
                world.delete_namespace(&name(NAMESPACES[*ns]));
                theirs.remove(NAMESPACES[*ns]);
            }
        }
        Event::AddNamespace(ns) => {
            if !world.namespaces.contains_key(&name(NAMESPACES[*ns])) {
                world.add_namespace(NAMESPACES[*ns]);
                theirs.insert(NAMESPACES[*ns]);
            }
        }
        Event::DeleteLink(which) => {
            let owner = world.host.owner;
            let mut ours = world.host.net.links.iter().filter(|link| owner.has_bridge(link) || owner.has_veth(link));
            let ours = ours.nth(*which);
            if let Some(link) = ours.map(|link| link.name.clone()) {
                world.delete_link(&link);
            }
        }
        Event::DeleteUplink(which) => {
            let (name, _) = WAYS_OUT[*which];
            if world.host.net.link(name).is_some() {
                world.delete_link(name);
            }
        }
        Event::MakeUplinkAnew(which) => {
            let (name, address) = WAYS_OUT[*which];
            world.make_uplink_anew(name, address);
        }
        Event::SetForwarding(on) => {
            for (path, value) in &mut world.host.sysctls {
                if path.ends_with("/forwarding") {
                    *value = u8::from(*on).to_string();
                }
            }
        }
    }
}

fn check(world: &World) {
    let mut addresses = BTreeSet::new();
    for endpoint in &world.records.endpoints {
        assert!(addresses.insert((&endpoint.network, endpoint.main_address())), "{endpoint:?} shares its address");
    }
    for network in &world.records.networks {
        assert!(world.records.uplinks.iter().any(|uplink| uplink.index == network.uplink));
    }
}

/// Others in each run; `PROPTEST_CASES=30000 cargo test -p fwd-plan --lib sequences` looks for what one in thousands finds.
fn cases() -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    if asked { ProptestConfig::default() } else { ProptestConfig::with_cases(400) }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn end_in_a_clean_host(events in proptest::collection::vec(event(), 1..14), ipv6: bool) {
        let mut world = if ipv6 { World::with_ipv6() } else { World::new() };
        let mut theirs = BTreeSet::from(["nameless"]);
        world.add_nameless("nameless", 9);
        world.add_ways("a", 1);
        for event in &events {
            play(&mut world, &mut theirs, event);
            check(&world);
        }
        world.down(None);
        let theirs_only = |link: &Link| link.loopback || WAYS_OUT.iter().any(|(name, _)| link.name == *name);
        prop_assert!(world.host.net.links.iter().all(theirs_only), "{:?}", world.host.net.links);
        prop_assert!(world.host.net.neighbours.is_empty());
        prop_assert_eq!(&world.records, &Default::default());
        prop_assert_eq!(&world.undo, &[]);
        let left: BTreeSet<&str> = world.namespaces.keys().map(|name| name.as_str()).collect();
        prop_assert_eq!(left, theirs);
        for inside in world.namespaces.values() {
            prop_assert!(inside.net.links.iter().all(|link| link.loopback));
        }
        prop_assert!(world.host.fdb.is_empty() && world.host.masquerades.is_empty() && world.host.ruled6.is_empty() && world.written.is_empty());
        prop_assert!(world.host.served.is_empty());
        prop_assert_eq!(world.plan_down(&down(None)).expect("possible").ops, []);
    }
}
