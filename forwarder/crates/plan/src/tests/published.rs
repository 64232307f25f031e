//! Ports come and go with their endpoint, and belong to one.

use super::super::{
    Desired, Listener, PortRequest, UpRequest, export, plan_ports,
    testing::{World, named},
};
use fwd_base::{Kind, Result};
use fwd_dataplane::{PublishedPorts, Transport};

fn ports(text: &str) -> PublishedPorts {
    text.parse().expect("ports")
}

fn publishing(ns: &str, published: &[&str]) -> UpRequest {
    UpRequest { publish: published.iter().map(|text| ports(text)).collect(), ..UpRequest::new(named(ns)) }
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
    plan_ports(&PortRequest { target: named(ns), add, remove }, &actual)
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
    desired.endpoints[0].publish = vec![ports("443:443")];
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
    refused("b", &["127.0.0.1:90:1"], &[], Kind::Unsupported, &["127.0.0.1:90:1/tcp"]);
    // What is withdrawn by the same command is free.
    let plan = change(&world, "a", &["85:1"], &["80-89:80-89"]).expect("possible");
    assert_eq!(plan.ops.len(), 2);
    assert!(change(&world, "a", &["80-89:80-89"], &[]).expect("possible").ops.is_empty(), "they lead there already");
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
