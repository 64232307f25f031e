//! Ports come and go with their endpoint, and belong to one.

use super::super::{
    Cgroup, Datapath, Desired, Listener, Object, PortRequest, UpRequest, UplinkChoice, export, plan_ports,
    testing::{World, named},
};
use fwd_base::{Kind, Result};
use fwd_dataplane::{PublishedPorts, Transport};

fn ports(text: &str) -> PublishedPorts {
    text.parse().expect("ports")
}

fn publishing(ns: &str, published: &[&str]) -> UpRequest {
    UpRequest::new(named(ns)).with_endpoint(|it| it.publish = published.iter().map(|text| ports(text)).collect())
}

/// What is published, by the cookie of the namespace, in order.
fn published(world: &World, ns: &str) -> Vec<String> {
    let cookie = world.namespaces[&super::super::testing::name(ns)].cookie;
    let mut found: Vec<String> =
        world.records.publications.iter().filter(|it| it.cookie == cookie).map(|it| it.ports.to_string()).collect();
    found.sort();
    found
}

fn change(world: &World, ns: &str, add: &[&str], remove: &[&str]) -> Result<super::super::Plan> {
    let [add, remove] = [add, remove].map(|all| all.iter().map(|text| ports(text)).collect());
    let mut actual = world.read_whole(&Desired::default());
    actual.target = Some(world.target(&named(ns)));
    plan_ports(&PortRequest { target: named(ns), ifname: None, add, remove }, &actual)
}

#[test]
fn ports_come_last_and_go_first() {
    let mut world = World::new();
    let plan = world.up(&publishing("a", &["80:80", "53:53/udp"]));
    let shown: Vec<String> = plan.ops.iter().map(ToString::to_string).collect();
    assert!(shown.last().is_some_and(|last| last.starts_with("publish 53:53/udp at ")), "{shown:?}");
    assert_eq!(published(&world, "a"), ["53:53/udp", "80:80/tcp"]);
    assert!(world.plan_up(&UpRequest::new(named("a"))).expect("it is up").ops.is_empty(), "they stay");
    assert_eq!(world.up(&publishing("a", &["80:80", "443:443"])).ops.len(), 1, "one more");
    world.down(None);
    assert_eq!(world.records, Default::default());
}

#[test]
fn whole_has_no_other_ports_than_it_says() {
    let mut world = World::new();
    world.up(&publishing("a", &["80:80", "53:53/udp"]));
    let mut desired = export(&world.read_whole(&Desired::default()));
    assert!(world.plan_whole(&desired).expect("it is there").ops.is_empty());
    desired.endpoints[0].options.publish = vec![ports("443:443")];
    world.make_whole(&desired);
    assert_eq!(published(&world, "a"), ["443:443/tcp"]);
}

#[test]
fn ports_follow_a_namespace_whose_veth_pair_was_deleted_unless_they_are_anothers_by_then() {
    let mut world = World::new();
    world.up(&publishing("a", &["80:80", "81:81"]));
    world.up(&UpRequest::new(named("b")));
    let host_if = world.records.endpoints[0].host_if.clone();
    world.delete_link(&host_if);
    world.up(&publishing("b", &["81:8081"]));
    assert_eq!(published(&world, "b"), ["81:8081/tcp"], "what is gone has no ports");
    world.up(&UpRequest::new(named("a")));
    assert_eq!(published(&world, "a"), ["80:80/tcp"]);
}

#[test]
fn ports_of_an_endpoint_that_is_up_are_changed_or_nothing_is() {
    let mut world = World::new();
    world.up(&publishing("a", &["80-89:80-89"]));
    world.up(&UpRequest::new(named("b")));
    let refused = |ns, add: &[&str], remove: &[&str], kind, words: &[&str]| {
        let error = change(&world, ns, add, remove).expect_err("it is refused");
        let said = format!("{error} {}", error.remedy.as_deref().unwrap_or_default());
        assert_eq!(error.kind, kind, "{said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{word:?} is missing: {said}"));
    };
    refused(
        "b",
        &["85:1"],
        &[],
        Kind::Conflict,
        &["85:1/tcp", "80-89:80-89/tcp leads to a", "port rm --ns a -p 80-89:80-89/tcp"],
    );
    refused("b", &["90:1", "90-91:2-3"], &[], Kind::Usage, &["90-91:2-3/tcp", "90:1/tcp"]);
    refused("b", &[], &["80-89:80-89"], Kind::NotFound, &["does not lead to b"]);
    refused("c", &["90:1"], &[], Kind::NotFound, &["not up"]);
    // What is withdrawn by the same command is free.
    let plan = change(&world, "a", &["85:1"], &["80-89:80-89"]).expect("possible");
    assert_eq!(plan.ops.len(), 2);
    assert!(change(&world, "a", &["80-89:80-89"], &[]).expect("possible").ops.is_empty(), "they lead there already");
}

#[test]
fn host_has_its_own_access_while_a_port_is_published() {
    let mut world = World::new();
    let has = |plan: &super::super::Plan, verb: &str| {
        plan.ops.iter().any(|op| op.to_string().starts_with(&format!("{verb} the programs of the host's own access")))
    };
    assert!(!has(&world.up(&UpRequest::new(named("a"))), "attach"));
    assert!(has(&change(&world, "a", &["80:80"], &[]).expect("possible"), "attach"));
    assert!(has(&world.up(&publishing("a", &["127.0.0.1:80:80"])), "attach"));
    assert!(!has(&world.up(&publishing("b", &["81:81"])), "attach"), "they are");
    assert!(!has(&change(&world, "a", &[], &["127.0.0.1:80:80"]).expect("possible"), "detach"), "b needs them");
    assert!(!has(&world.down(Some("b")), "detach"), "a needs them");
    assert!(has(&change(&world, "a", &[], &["127.0.0.1:80:80"]).expect("possible"), "detach"));
    // One cgroup at a time.
    world.host.cgroup = Some(Cgroup { path: "/sys/fs/cgroup/b".into(), id: 2, asked: true });
    let error = change(&world, "a", &["82:82"], &[]).expect_err("it is refused");
    assert_eq!((error.kind, error.to_string().contains("/sys/fs/cgroup/b")), (Kind::Conflict, true), "{error}");
    world.host.cgroup.iter_mut().for_each(|cgroup| cgroup.asked = false);
    assert!(!has(&change(&world, "a", &["82:82"], &[]).expect("possible"), "attach"), "nothing else was said");
    assert!(has(&world.down(None), "detach"));
    assert_eq!(world.records, Default::default());
}

#[test]
fn host_without_access_is_told_and_has_no_ports_of_its_own() {
    let mut world = World::new();
    world.no_host_access = Some("no root of cgroup2 is mounted".into());
    let error = world.plan_up(&publishing("a", &["127.0.0.1:80:80"])).expect_err("it is refused");
    assert_eq!(error.kind, Kind::Unsupported);
    assert!(error.to_string().contains("for the host alone") && error.to_string().contains("cgroup2"), "{error}");
    let plan = world.up(&publishing("a", &["80:80"]));
    assert!(plan.warnings.iter().any(|warning| warning.contains("no root of cgroup2 is mounted")), "{plan:?}");
    assert!(!world.records.host_attached);
}

#[test]
fn resolver_of_the_host_is_no_obstacle_and_localhost_is() {
    let mut world = World::new();
    let listens = |address: &str| {
        let address = address.parse().expect("an address");
        vec![Listener { transport: Transport::Udp, address, port: 53, process: None }]
    };
    world.host.listeners = listens("127.0.0.1");
    assert_eq!(world.plan_up(&publishing("a", &["53:53/udp"])).expect_err("it is taken").kind, Kind::Conflict);
    world.host.listeners = listens("127.0.0.53");
    assert_eq!(world.plan_up(&publishing("a", &["127.0.0.53:53:53/udp"])).expect_err("it is").kind, Kind::Conflict);
    world.up(&publishing("a", &["53:53/udp"]));
}

#[test]
fn socket_of_the_host_keeps_its_port() {
    let mut world = World::new();
    let address = "198.51.100.2".parse().expect("an address");
    let process = Some("nginx (pid 7)".into());
    world.host.listeners = vec![Listener { transport: Transport::Tcp, address, port: 80, process }];
    let error = world.plan_up(&publishing("a", &["80:80"])).expect_err("it is taken");
    assert_eq!(error.kind, Kind::Conflict);
    assert!(error.to_string().contains("nginx (pid 7) has 198.51.100.2:80/tcp"), "{error}");
    world.up(&publishing("a", &["203.0.113.2:80:80", "80:80/udp"]));
    assert_eq!(published(&world, "a").len(), 2);
}

/// Somebody has flushed all rules of nftables: whoever comes makes those of everybody anew, before anything of his own.
#[test]
fn rules_that_are_gone_are_made_anew_for_everybody_by_whoever_comes() {
    let kernel = |ns: &str, published: &[&str]| {
        publishing(ns, published).with_options(|it| it.datapath = Some(Datapath::Kernel))
    };
    let mut world = World::new();
    world.up(&kernel("a", &["80:80"]));
    world.up(&kernel("b", &[]));
    let whole = world.host.clone();
    world.host.isolated.clear();
    world.host.masquerades.clear();
    world.host.port_rules.clear();
    let plan = world.up(&UpRequest::new(named("b")));
    let made: Vec<&Object> = plan.ops.iter().map(|op| &op.object).collect();
    assert!(matches!(made[..], [Object::Isolation(_), Object::Masquerade(_), Object::Published(_)]), "{made:?}");
    assert_eq!(plan.mends, 3, "it stays, whatever comes after it");
    assert!(plan.warnings.iter().any(|note| note.contains("made anew")), "{:?}", plan.warnings);
    assert_eq!(world.host.port_rules, whole.port_rules);
    // Of one endpoint alone: by itself.
    world.host.port_rules.clear();
    assert!(world.up(&UpRequest::new(named("b"))).ops.is_empty());
    assert_eq!(world.up(&UpRequest::new(named("a"))).ops.len(), 1);
    world.down(None);
    assert_eq!(world.records, Default::default());
}

#[test]
fn neighbours_that_do_not_reach_a_port_are_told_of() {
    for (datapath, bridged, told) in
        [(Datapath::Kernel, true, true), (Datapath::Kernel, false, false), (Datapath::Tc, true, false)]
    {
        let mut world = World::new();
        world.host.surroundings.bridged = bridged;
        let plan = world.up(&publishing("a", &["80:80"]).with_options(|it| {
            it.datapath = Some(datapath);
            it.no_icc = true;
        }));
        let said = plan.warnings.iter().any(|it| it.contains("--no-icc") && it.contains("bridge-nf-call-iptables"));
        assert_eq!(said, told, "{datapath:?}: {:?}", plan.warnings);
    }
}

/// Where others come by one uplink alone its name stands in the rules.
#[test]
fn rules_of_ports_name_the_uplink_of_a_network_that_is_bound_and_follow_it() {
    let mut world = World::new();
    world.up(&publishing("a", &["80:80"]).with_options(|it| {
        it.datapath = Some(Datapath::Kernel);
        it.uplink = UplinkChoice::Interface("eth0".into());
    }));
    world.rename_link("eth0", "lan0");
    let plan = world.up(&UpRequest::new(named("a")));
    let named_in = plan.ops.iter().find_map(|op| match &op.object {
        Object::Published(it) => it.kernel.as_ref()?.uplink.clone(),
        _ => None,
    });
    assert_eq!(named_in.as_deref(), Some("lan0"));
}
