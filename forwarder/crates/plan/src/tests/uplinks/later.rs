//! Networks of runtimes on hosts that have no way out, or none yet.

use crate::{
    Datapath, UpRequest, UplinkChoice,
    testing::{World, name, named},
};
use fwd_base::{Cause, Kind};
use fwd_dataplane::PublishedPorts;
use fwd_kernel::netlink::Route;

fn ports(text: &str) -> PublishedPorts {
    text.parse().expect("ports")
}

fn up(ns: &str) -> UpRequest {
    let publish = vec![ports(&format!("80{}:80", ns.len()))];
    UpRequest::new(named(ns)).with_endpoint(|it| it.publish = publish).with_options(|it| it.uplink = UplinkChoice::Any)
}

/// By which interface the first network leaves.
fn led_by(world: &World) -> u32 {
    let network = &world.records.networks[0];
    assert!(world.records.endpoints.iter().all(|it| it.network != network.name || it.uplink == network.uplink));
    assert!(!network.treatment.internal && network.follows_routes());
    network.uplink
}

#[test]
fn network_without_a_way_out_is_led_by_the_first_that_comes() {
    for datapath in [Datapath::Tc, Datapath::Kernel] {
        let mut world = World::new();
        let routes = std::mem::take(&mut world.host.net.routes);
        let request = |ns: &str| up(ns).with_options(|it| it.datapath = Some(datapath));
        assert_eq!(world.plan_up(&UpRequest::new(named("a"))).expect_err("no way").kind, Kind::NotFound);
        world.up(&request("a"));
        world.up(&request("ab"));
        assert_eq!((led_by(&world), world.records.uplinks.len(), world.records.publications.len()), (0, 0, 2));
        assert!(!world.records.endpoints[0].no_default_route, "what comes is answered by it");
        assert_eq!(world.up(&UpRequest::new(named("a"))).ops, [], "it is there");
        world.host.net.routes = routes;
        let plan = world.up(&request("abc"));
        assert!(plan.warnings[0].contains("network fwd0 leaves by eth0 now"), "{:?}", plan.warnings);
        assert_eq!(led_by(&world), 2);
        assert_eq!(world.up(&request("abc")).ops, []);
        world.down(None);
        assert_eq!((&world.records, world.undo.len()), (&Default::default(), 0));
    }
}

/// A host in a network of its own.
#[test]
fn network_without_a_default_route_leaves_by_what_other_routes_lead_by() {
    let mut world = World::new();
    world.host.net.routes.clear();
    let route = Route {
        destination: "203.0.113.0/24".parse().expect("a prefix"),
        ifindex: 3,
        gateway: None,
        metric: 0,
        table: 254,
        mtu: None,
    };
    world.host.net.routes.push(route);
    world.up(&up("a"));
    assert_eq!(led_by(&world), 3);
    let internal = UpRequest { network: Some(name("vault")), ..up("b") }.with_endpoint(|it| it.publish = Vec::new());
    world.up(&internal.with_options(|it| it.uplink = UplinkChoice::None));
    assert!(world.records.networks.iter().any(|network| network.name == "vault" && network.treatment.internal));
}

#[test]
fn host_side_veth_is_called_as_it_is_asked_for_where_nobody_is() {
    let mut world = World::new();
    let called =
        |ns: &str, host_if: &str| UpRequest::new(named(ns)).with_endpoint(|it| it.host_if = Some(host_if.into()));
    world.up(&called("a", "veth0"));
    assert_eq!(world.records.endpoints[0].host_if, "veth0");
    assert_eq!(world.up(&called("a", "veth0")).ops, []);
    for taken in ["veth0", "eth0", "fwd0"] {
        let error = world.plan_up(&called("b", taken)).expect_err("it is taken");
        assert_eq!((error.kind, error.cause), (Kind::Conflict, Some(Cause::HostInterfaceTaken)), "{error}");
    }
    assert_eq!(world.plan_up(&called("b", "a/b")).expect_err("no name").kind, Kind::Usage);
    world.up(&called("b", "veth1"));
    world.down(None);
    assert!(world.host.net.link("veth0").is_none() && world.host.net.link("veth1").is_none());
}
