//! Everything at once: what is desired as data, and what there is as data.

use proptest::prelude::*;

use super::super::{
    Action, AskedLimits, Datapath, Desired, Endpoint, EndpointOptions, Nat, Network, RateLimit, ResolvConf, TargetRef,
    UpRequest, UplinkChoice, export,
    testing::{World, down, name, named},
};
use fwd_base::Kind;
use fwd_dataplane::{Backend, EndpointId, EndpointOwner};

fn endpoint(id: &str, network: &str, netns: TargetRef) -> Endpoint {
    let id = EndpointId { owner: EndpointOwner::Cni, id: id.into(), ifname: "eth0".into() };
    Endpoint {
        id,
        network: network.into(),
        netns: Some(netns),
        owner_network: None,
        options: EndpointOptions::default(),
    }
}

/// Two networks of different kinds with three endpoints, and one network without.
fn several() -> Desired {
    let kernel = Network { datapath: Some(Datapath::Kernel), ..Network::default() };
    let eth1 = Network { uplink: UplinkChoice::Interface("eth1".into()), nat: Some(Nat::Eim), ..Network::default() };
    let spare = Network { uplink: UplinkChoice::None, ..Network::default() };
    Desired {
        networks: [("db".into(), kernel), ("spare".into(), spare), ("web".into(), eth1)].into(),
        endpoints: vec![
            endpoint("0a", "web", named("a")),
            endpoint("0b", "web", named("b")),
            endpoint("0c", "db", TargetRef::Pid(7)),
        ],
        ..Desired::default()
    }
}

fn host() -> World {
    let mut world = World::new();
    world.add_namespace("a");
    world.add_nameless("pod", 7);
    world
}

#[test]
fn whole_is_made_by_one_plan_and_then_there_is_nothing_to_do() {
    let (mut world, desired) = (host(), several());
    let plan = world.make_whole(&desired);
    assert_eq!(
        plan.attachments.iter().map(|attachment| attachment.network.as_str()).collect::<Vec<_>>(),
        ["web", "web", "db"]
    );
    assert_eq!(world.records.networks.len(), 3, "one without endpoints, too");
    assert_eq!(world.records.endpoints.iter().map(|it| it.id.id.as_str()).collect::<Vec<_>>(), ["0a", "0b", "0c"]);
    assert_eq!(world.plan_whole(&desired).expect("it is there").ops, []);
    let said = export(&world.read_whole(&desired));
    assert_eq!(world.plan_whole(&said).expect("it is there").ops, []);
    world.down(None);
    assert_eq!(world.records, Default::default());
    assert!(world.undo.is_empty());
}

#[test]
fn what_is_not_desired_goes_and_the_rest_stays() {
    let (mut world, mut desired) = (host(), several());
    world.resolv_conf = ResolvConf::Write("nameserver 192.0.2.1\n".into());
    world.make_whole(&desired);
    let kept = world.records.endpoints[1].clone();
    desired.endpoints.retain(|endpoint| endpoint.id.id == "0b");
    desired.networks.retain(|name, _| name == "web");
    world.make_whole(&desired);
    assert_eq!(world.records.endpoints, [kept]);
    assert_eq!(world.records.networks.len(), 1);
    assert!(world.namespaces.contains_key(&name("b")), "its namespace stays, which was made for it");
    assert_eq!(world.plan_whole(&desired).expect("it is there").ops, []);
    let all = world.plan_down(&down(None)).expect("possible").ops;
    assert_eq!(world.make_whole(&Desired::default()).ops, all);
}

#[test]
fn whole_that_was_killed_anywhere_is_completed() {
    let desired = several();
    let ops = host().plan_whole(&desired).expect("possible").ops;
    for step in 0..=ops.len() {
        let mut world = host();
        world.run_into(&ops, step);
        world.make_whole(&desired);
        assert_eq!(world.plan_whole(&desired).expect("it is there").ops, [], "after {step}");
        world.down(None);
        assert_eq!(world.records, Default::default(), "after {step}");
    }
}

#[test]
fn endpoint_without_its_veth_pair_is_made_anew_with_its_address() {
    let (mut world, desired) = (host(), several());
    world.make_whole(&desired);
    let before = world.records.endpoints[0].clone();
    world.delete_link(&before.host_if);
    world.make_whole(&desired);
    let after = world.records.endpoints.iter().find(|it| it.id == before.id).expect("it is there");
    assert_eq!((after.address, after.cookie), (before.address, before.cookie));
}

#[test]
fn namespace_of_a_former_ones_name_is_another() {
    let (mut world, desired) = (host(), several());
    world.make_whole(&desired);
    // It lives on without its name.
    let former = world.namespaces.remove(&name("a")).expect("it is there");
    let cookie = former.cookie;
    world.namespaces.insert(name("nameless"), former);
    world.nameless.insert(name("nameless"));
    world.add_namespace("a");
    world.make_whole(&desired);
    assert!(world.records.endpoints.iter().all(|endpoint| endpoint.cookie != cookie));
    assert_eq!(world.plan_whole(&desired).expect("it is there").ops, []);
}

#[test]
fn what_is_not_made_yet_is_refused() {
    let refused = |change: fn(&mut Desired)| {
        let mut desired = several();
        change(&mut desired);
        host().plan_whole(&desired).expect_err("it is refused")
    };
    let web = |desired: &mut Desired| desired.networks.get_mut("web").expect("it is said").clone();
    // It maps ports, of which an internal network has none.
    assert_eq!(
        refused(|it| it.networks.get_mut("web").expect("it is said").uplink = UplinkChoice::None).kind,
        Kind::Usage
    );
    let six = |it: &mut Desired| {
        let web = it.networks.get_mut("web").expect("it is said");
        (web.subnet, web.subnet6) = (None, "fd00::/64".parse().ok());
    };
    assert_eq!(refused(six).kind, Kind::Unsupported);
    assert_eq!(
        refused(|it| it.endpoints[0].options.ip6 = Some("fd00::2".parse().expect("one"))).kind,
        Kind::Unsupported
    );
    assert_eq!(refused(|it| it.endpoints[0].netns = None).kind, Kind::NotFound);
    assert_eq!(refused(|it| it.endpoints[0].network = "nowhere".into()).kind, Kind::NotFound);
    assert_eq!(refused(|it| it.endpoints[1].id = it.endpoints[0].id.clone()).kind, Kind::Usage);
    let mut two = several();
    two.endpoints.push(endpoint("0a", "web", named("a")));
    two.endpoints[3].id.ifname = "eth1".into();
    assert_eq!(host().plan_whole(&two).expect_err("one interface").kind, Kind::Conflict);
    assert_eq!(web(&mut several()).nat, Some(Nat::Eim));
}

#[test]
fn desired_is_read_from_text() {
    let text = r#"{
        "table": {"nat_ports": [2000, 3000], "timeouts": {"icmp": 90}},
        "networks": {"web": {"uplink": {"interface": "eth1"}, "subnet": "10.9.0.0/24", "datapath": "tc", "nat": "eim-eif"}},
        "endpoints": [{"id": {"owner": "docker", "id": "0a", "ifname": "eth0"}, "network": "web", "netns": {"pid": 7}, "options": {"attach": "clsact"}}]
    }"#;
    let desired: Desired = serde_json::from_str(text).expect("it is understood");
    assert_eq!(desired.endpoints[0].netns, Some(TargetRef::Pid(7)));
    let again = serde_json::to_string(&desired).expect("text");
    assert_eq!(serde_json::from_str::<Desired>(&again).expect("it is understood"), desired);
    assert!(serde_json::from_str::<Desired>(r#"{"network": {}}"#).is_err(), "a key that is not known");
    assert!(serde_json::from_str::<Desired>(r#"{"table": {"timeouts": {"x": 1}}}"#).is_err());
}

/// A plan knows what its own operations leave.
#[test]
fn model_of_a_plan_agrees_with_that_of_a_host() {
    let (world, desired) = (host(), several());
    let mut actual = world.read_whole(&desired);
    for op in world.plan_whole(&desired).expect("possible").ops {
        if let super::super::Object::Endpoint(spec) = &op.object {
            actual.target = actual.targets.get(&spec.target).cloned();
        }
        actual.apply(&op);
        let outside = op.object.acts() != super::super::Acts::Inside;
        assert!(!outside || actual.has(&op.object) == (op.action == Action::Make), "{op}");
    }
}

fn up() -> impl Strategy<Value = (usize, usize, Datapath, Option<Backend>, bool)> {
    let datapath = prop_oneof![Just(Datapath::Tc), Just(Datapath::Xdp), Just(Datapath::Netkit), Just(Datapath::Kernel)];
    (0..5usize, 0..4usize, datapath, proptest::option::of(Just(Backend::Clsact)), any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn export_is_the_inverse(ups in proptest::collection::vec(up(), 1..8), gone in proptest::option::of(0..4usize)) {
        let mut world = World::new();
        let [pod, path, _] = world.add_nameless("pod", 7);
        let targets = [named("a"), named("b"), named("c"), path, pod];
        for (ns, network, datapath, attach, allow_spoof) in ups {
            let network_of = Some(name(["fwd0", "web", "db", "vault"][network]));
            let request = UpRequest { network: network_of, ..UpRequest::new(targets[ns].clone()) }.with_endpoint(|it| {
                let outbound = (allow_spoof && datapath.is_ebpf()).then(|| RateLimit::of_rate(1_000_000));
                it.limits = AskedLimits { outbound, inbound: None };
                it.no_default_route = allow_spoof;
                it.attach = attach.filter(|_| datapath.takes_attach());
                it.allow_spoof = allow_spoof;
            }).with_options(|it| {
                let uplink = ["eth0", "eth0", "eth1"].get(network);
                it.uplink = uplink.map_or(UplinkChoice::None, |uplink| UplinkChoice::Interface((*uplink).into()));
                it.datapath = Some(datapath);
            });
            if let Ok(plan) = world.plan_up(&request) {
                world.run(&plan.ops, usize::MAX);
            }
        }
        if let Some(gone) = gone {
            world.down_by(Some(&targets[gone]));
        }
        let said = export(&world.read_whole(&Desired::default()));
        prop_assert_eq!(world.plan_whole(&said).expect("it is there").ops, []);
        let text = serde_json::to_string(&said).expect("text");
        let read: Desired = serde_json::from_str(&text).expect("it is understood");
        prop_assert_eq!(&read, &said);

        // Elsewhere the same comes of it.
        let mut other = World::new();
        other.add_nameless("pod", 7);
        other.make_whole(&read);
        let endpoints = |world: &World| {
            let mut all: Vec<_> = world.records.endpoints.iter().map(|it| (it.id.clone(), it.network.clone(), it.address, it.no_default_route)).collect();
            all.sort_by_key(|(id, ..)| id.clone());
            all
        };
        prop_assert_eq!(endpoints(&other), endpoints(&world));
        prop_assert_eq!(other.plan_whole(&read).expect("it is there").ops, []);
    }
}
