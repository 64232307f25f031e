//! Namespaces that a runtime makes after the endpoint: nothing is set inside, and they are learned when they are there.

use super::super::super::{
    AskedLimits, Caller, Datapath, DownRequest, Object, Op, RateLimit, UpRequest, testing::World,
};
use fwd_base::Kind;
use fwd_dataplane::{EndpointId, EndpointOwner};

const PATH: &str = "/run/docker/netns/0123";
const WAITS: &str = "fwdp0123";

fn id(ifname: &str) -> EndpointId {
    EndpointId { owner: EndpointOwner::Docker, id: "0123".into(), ifname: ifname.into() }
}

fn request(world: &mut World) -> UpRequest {
    let caller = Some(Caller { id: id(WAITS), network: "front".into() });
    let target = world.add_awaited(PATH);
    let publish = vec!["8080:80".parse().expect("ports")];
    UpRequest { caller, ifname: Some(WAITS.into()), ..UpRequest::new(target) }
        .with_endpoint(|it| it.publish = publish)
        .with_options(|it| it.kept = true)
}

/// Whether an operation acts inside of a namespace.
fn is_inside(op: &Op) -> bool {
    matches!(
        op.object,
        Object::Loopback(_)
            | Object::NsIpv6(_)
            | Object::NsAddress(_)
            | Object::NsLinkUp(_)
            | Object::NsDefaultRoute(_)
            | Object::NsNeighbour(_)
    )
}

#[test]
fn endpoint_is_made_without_anything_inside_and_learned_when_it_has_arrived() {
    let mut world = World::new();
    let request = request(&mut world);
    let plan = world.up(&request);
    assert!(!plan.ops.iter().any(is_inside), "{:?}", plan.ops);
    let endpoint = world.records.endpoints[0].clone();
    assert_eq!((endpoint.id, endpoint.cookie), (id(WAITS), world.host.cookie));
    assert_eq!(endpoint.path.as_deref(), Some(PATH));
    assert_eq!(world.plan_up(&UpRequest { caller: None, ..request }).expect("it is there").ops, []);
    // Not there yet; there, and up.
    assert_eq!(world.plan_arrivals().expect("always possible").ops, []);
    world.make_awaited(PATH, "container", WAITS);
    world.inside("container").net.links.iter_mut().for_each(|link| link.up = false);
    assert_eq!(world.plan_arrivals().expect("always possible").ops, [], "it may get another name");
    world.inside("container").net.links.iter_mut().for_each(|link| link.up = true);
    let plan = world.plan_arrivals().expect("always possible");
    world.run(&plan.ops, usize::MAX);
    let cookie = world.inside("container").cookie;
    let endpoint = &world.records.endpoints[0];
    assert_eq!((&endpoint.id, endpoint.cookie, endpoint.marks.awaited), (&id("eth0"), cookie, false));
    assert_eq!(world.records.publications[0].cookie, cookie, "its ports are its own still");
    assert_eq!(world.plan_arrivals().expect("always possible").ops, [], "it has arrived");
}

#[test]
fn endpoint_goes_whether_its_namespace_has_come_or_not() {
    for (comes, learned) in [(false, false), (true, false), (true, true)] {
        let mut world = World::new();
        let request = request(&mut world);
        world.up(&request);
        if comes {
            world.make_awaited(PATH, "container", WAITS);
        }
        if learned {
            let plan = world.plan_arrivals().expect("always possible");
            world.run(&plan.ops, usize::MAX);
        }
        let ifname = if learned { "eth0" } else { WAITS };
        let scope = DownRequest { endpoint: Some(id(ifname)), ..DownRequest::default() };
        let plan = world.plan_down(&scope).expect("always possible");
        assert!(!plan.ops.iter().any(is_inside), "{:?}", plan.ops);
        world.run(&plan.ops, usize::MAX);
        let records = &world.records;
        assert!(records.endpoints.is_empty() && records.publications.is_empty(), "{comes} {learned}");
        assert_eq!(records.networks.len(), 1, "the network stays");
        world.down(None);
        assert!(!world.records.loaded);
    }
}

#[test]
fn what_would_be_set_inside_is_refused() {
    let mut world = World::new();
    let usual = request(&mut world);
    let limit = RateLimit { rate: 1_000_000, burst: 10_000 };
    for (request, word) in [
        (usual.clone().with_options(|it| it.datapath = Some(Datapath::Xdp)), "xdp"),
        (usual.clone().with_options(|it| it.datapath = Some(Datapath::Netkit)), "netkit"),
        (usual.clone().with_endpoint(|it| it.limits = AskedLimits { outbound: Some(limit), inbound: None }), "rate"),
        (usual.clone().with_endpoint(|it| it.metric = Some(7)), "metric"),
    ] {
        let error = world.plan_up(&request).expect_err("it cannot be set");
        assert!(error.kind == Kind::Unsupported && error.object.contains(word), "{error}");
    }
}
