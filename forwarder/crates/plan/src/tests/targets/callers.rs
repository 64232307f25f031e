//! Endpoints of runtimes: what is new about them, and that they go by what the runtime calls them.

use std::net::Ipv4Addr;

use super::super::super::{
    Caller, DownRequest, UpRequest,
    testing::{World, named},
};
use fwd_base::{Cause, Kind};
use fwd_dataplane::{Backend, EndpointId, EndpointOwner};

fn id(container: &str) -> EndpointId {
    EndpointId { owner: EndpointOwner::Cni, id: container.into(), ifname: "eth0".into() }
}

fn request(ns: &str, container: &str) -> UpRequest {
    let caller = Some(Caller { id: id(container), network: "front".into() });
    UpRequest { caller, ifname: Some("eth0".into()), ..UpRequest::new(named(ns)) }.with_options(|it| it.kept = true)
}

fn detach(world: &mut World, container: &str) {
    let scope = DownRequest { endpoint: Some(id(container)), ..DownRequest::default() };
    let plan = world.plan_down(&scope).expect("always possible");
    world.run(&plan.ops, usize::MAX);
}

#[test]
fn endpoint_is_called_as_the_runtime_does_and_attached_at_once() {
    let mut world = World::new();
    world.up(&request("a", "0a"));
    let endpoint = &world.records.endpoints[0];
    assert_eq!((&endpoint.id, endpoint.owner_network.as_deref()), (&id("0a"), Some("front")));
    assert_eq!(endpoint.attach, Backend::Clsact);
    let link = world.host.net.link(&endpoint.host_if).expect("it is there");
    assert!(world.host.owner.has_endpoint(link, &id("0a")), "{:?}", link.alias);
    assert!(world.records.networks[0].kept);
    // A second one would promise what the first has.
    let error = world.plan_up(&request("a", "0a")).expect_err("it is there");
    assert_eq!((error.kind, error.cause), (Kind::Conflict, Some(Cause::InterfaceTaken)));
}

#[test]
fn endpoint_goes_by_what_the_runtime_calls_it_and_nothing_else_goes() {
    let mut world = World::new();
    world.up(&request("a", "0a"));
    world.up(&request("b", "0b"));
    let before = world.snapshot();
    world.up(&request("c", "0c"));
    detach(&mut world, "none");
    assert_eq!(world.records.endpoints.len(), 3);
    detach(&mut world, "0c");
    let mut after = world.snapshot();
    assert_eq!(world.records.endpoints.iter().map(|it| it.id.id.as_str()).collect::<Vec<_>>(), ["0a", "0b"]);
    // Which address was given last is remembered; the namespace, which `up` has made here, is the runtime's.
    after.1.networks[0].last = before.1.networks[0].last;
    assert_eq!(after.1, before.1);
    for container in ["0a", "0b"] {
        detach(&mut world, container);
    }
    assert!(world.records.endpoints.is_empty() && world.records.networks.len() == 1, "the network stays");
    world.down(None);
    assert_eq!(world.records, Default::default());
}

#[test]
fn address_is_one_of_the_range_and_not_the_one_before() {
    let mut world = World::new();
    let range = Some((Ipv4Addr::new(10, 77, 0, 8), Ipv4Addr::new(10, 77, 0, 9)));
    let ranged = |ns: &str, container: &str| request(ns, container).with_endpoint(|it| it.range = range);
    let mut given = Vec::new();
    for _ in 0..3 {
        world.up(&ranged("a", "0a"));
        given.push(world.records.endpoints[0].address.expect("it has IPv4").octets()[3]);
        detach(&mut world, "0a");
    }
    assert_eq!(given, [8, 9, 8]);
    world.up(&ranged("a", "0a"));
    world.up(&ranged("b", "0b"));
    let error = world.plan_up(&ranged("c", "0c")).expect_err("all are taken");
    assert_eq!(error.cause, Some(Cause::NoAddressLeft), "{error}");
    assert!(error.why.contains("10.77.0.8 to 10.77.0.9") && error.remedy.is_some(), "{error}");
    // Somebody asks for more than the range, or for less than the subnet has.
    world.up(&request("c", "0c"));
    let taken = request("d", "0d").with_endpoint(|it| it.ip = Some(Ipv4Addr::new(10, 77, 0, 8)));
    assert_eq!(world.plan_up(&taken).expect_err("it is taken").cause, Some(Cause::AddressTaken));
}
