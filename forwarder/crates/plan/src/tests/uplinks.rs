//! Uplinks that are renamed, deleted, and made anew.

mod later;
mod sources;
mod ways;

use super::super::{
    Datapath, Object, UpRequest, forwarding,
    testing::{World, down, name, named},
};
use fwd_base::Kind;
use fwd_kernel::netlink::Link;

const ADDRESS: &str = "203.0.113.2/24";

fn request(ns: &str, datapath: Datapath) -> UpRequest {
    UpRequest::new(named(ns)).with_options(|it| {
        it.uplink = "eth1".into();
        it.datapath = Some(datapath);
    })
}

/// Two namespaces out by eth1, and one by eth0.
fn world(datapath: Datapath) -> World {
    let mut world = World::new();
    // Where the kernel forwards, a network is made by the uplink of the default route.
    let routes = world.host.net.routes.clone();
    world.host.net.routes.retain(|route| datapath.is_ebpf() || route.gateway.is_none());
    world.up(&request("a", datapath));
    world.host.net.routes.extend(routes.into_iter().filter(|route| !datapath.is_ebpf() && route.gateway.is_some()));
    world.up(&request("b", datapath));
    // Bound, so that it has no need of the other one.
    let other = UpRequest { network: Some(name("other")), ..UpRequest::new(named("c")) };
    world.up(&other.with_options(|it| it.uplink = "eth0".into()));
    world
}

fn assert_leads_through(world: &World, uplink: &str) {
    let index = world.host.net.link(uplink).expect("it exists").index;
    let network = world.records.networks.iter().find(|network| network.name == "fwd0").expect("it is recorded");
    assert_eq!(network.uplink, index);
    let record = world.records.uplinks.iter().find(|record| record.index == index).expect("it is recorded");
    assert_eq!((record.name.as_str(), world.records.uplinks.len()), (uplink, 2));
    assert!(world.records.endpoints.iter().filter(|it| it.network == "fwd0").all(|it| it.uplink == index));
    assert_eq!(world.host.sysctls[&forwarding(uplink)], "1");
    assert_eq!(world.records.uplink_hooks.contains(&index), network.datapath.is_ebpf());
    assert_eq!(world.records.uplink_xdp.contains(&index), network.datapath == Datapath::Xdp);
    let known: Vec<u32> = world.records.uplinks.iter().map(|uplink| uplink.index).collect();
    assert!(world.records.uplink_hooks.iter().all(|index| known.contains(index)), "hooks of what is gone");
}

#[test]
fn renamed_uplink_is_the_same_and_gets_its_forwarding_back() {
    for datapath in Datapath::ALL {
        let mut world = world(datapath);
        world.rename_link("eth1", "wan");
        let mut untouched = world.clone();
        // A command about another network will do.
        let plan = world.up(&UpRequest { network: Some(name("other")), ..UpRequest::new(named("c")) });
        assert!(plan.warnings[0].contains("eth1 is called wan"), "{:?}", plan.warnings);
        assert_leads_through(&world, "wan");
        assert_eq!(world.up(&UpRequest::new(named("a"))).ops, []);
        for mut world in [world, untouched.clone()] {
            world.down(None);
            assert_eq!(world.host.sysctls[&forwarding("wan")], "0");
            assert_eq!(world.undo, []);
        }
        // Somebody else has the name by now.
        untouched.make_uplink_anew("eth1", "192.0.2.2/24");
        untouched.host.sysctls.insert(forwarding("eth1"), "1".into());
        untouched.down(None);
        let value = |name: &str| untouched.host.sysctls[&forwarding(name)].clone();
        assert_eq!((value("wan").as_str(), value("eth1").as_str()), ("0", "1"));
    }
}

#[test]
fn uplink_that_was_made_anew_is_taken_by_the_next_command() {
    for datapath in Datapath::ALL {
        let mut world = world(datapath);
        world.make_uplink_anew("eth1", ADDRESS);
        for mut world in [world.clone(), world.clone()] {
            let plan = world.up(&UpRequest::new(named("c")));
            assert!(plan.warnings[0].contains("eth1 was made anew"), "{:?}", plan.warnings);
            assert_leads_through(&world, "eth1");
            assert_eq!(world.up(&UpRequest::new(named("a"))).ops, []);
            world.down(None);
            assert_eq!((world.host.sysctls[&forwarding("eth1")].as_str(), world.undo.len()), ("0", 0));
        }
        // `down` of a part mends the rest.
        world.down(Some("b"));
        assert_leads_through(&world, "eth1");
        world.down(None);
        assert_eq!((world.host.sysctls[&forwarding("eth1")].as_str(), world.undo.len()), ("0", 0));
    }
}

#[test]
fn mending_that_was_interrupted_is_completed_by_the_next_command() {
    for datapath in Datapath::ALL {
        let mut start = world(datapath);
        start.make_uplink_anew("eth1", ADDRESS);
        let plan = start.plan_up(&UpRequest::new(named("a"))).expect("possible");
        for steps in 0..=plan.ops.len() {
            let mut world = start.clone();
            world.run(&plan.ops, steps);
            let mut all_down = world.clone();
            world.up(&UpRequest::new(named("a")));
            assert_leads_through(&world, "eth1");
            all_down.down(None);
            assert_eq!((all_down.host.sysctls[&forwarding("eth1")].as_str(), all_down.undo.len()), ("0", 0));
            assert_eq!(all_down.records, Default::default());
        }
    }
}

#[test]
fn network_whose_uplink_is_gone_waits_for_it_or_takes_another() {
    let mut world = world(Datapath::Tc);
    world.delete_link("eth1");
    for ns in ["a", "d"] {
        let error = world.plan_up(&UpRequest::new(named(ns))).expect_err("there is no way out");
        let text = format!("{error}; {}", error.remedy.clone().unwrap_or_default());
        assert_eq!(error.kind, Kind::Conflict, "{text}");
        for word in ["eth1 is gone", "--uplink", "eth0"] {
            assert!(text.contains(word), "{word:?} is missing: {text}");
        }
    }
    // Others go on, and everything can go.
    world.up(&UpRequest { network: Some(name("other")), ..UpRequest::new(named("e")) });
    world.down(Some("b"));
    world.clone().down(None);
    // As the remedy says.
    let plan = world.up(&UpRequest::new(named("a")).with_options(|it| it.uplink = "eth0".into()));
    assert!(plan.warnings[0].contains("eth1 was replaced"), "{:?}", plan.warnings);
    assert!(world.records.networks.iter().all(|network| network.uplink == 2) && world.records.uplinks.len() == 1);
    assert_eq!(world.up(&UpRequest::new(named("a"))).ops, []);
    world.down(None);
    assert_eq!((world.host.sysctls[&forwarding("eth0")].as_str(), world.undo.len()), ("0", 0));
}

#[test]
fn uplink_that_is_not_ready_yet_is_not_taken() {
    let mut world = world(Datapath::Tc);
    world.make_uplink_anew("eth1", ADDRESS);
    world.host.net.links.iter_mut().filter(|link| link.name == "eth1").for_each(|link| link.up = false);
    let error = world.plan_up(&UpRequest::new(named("a"))).expect_err("it is down");
    assert!(error.to_string().contains("made anew") && error.to_string().contains("it is down"), "{error}");
    let plan = world.plan_down(&down(Some("b"))).expect("always possible");
    assert!(plan.ops.iter().all(|op| !matches!(op.object, Object::NetworkUplink(_))));
}

/// docker/for-linux#698: what leads through a VRF is not what the host's own routes say.
#[test]
fn uplink_of_a_vrf_is_refused() {
    let mut world = World::new();
    let blue = Link { index: 9, name: "blue".into(), kind: Some("vrf".into()), up: true, ..Link::default() };
    world.host.net.links.push(blue);
    world.host.net.links.iter_mut().filter(|link| link.name == "eth1").for_each(|link| link.controller = Some(9));
    for uplink in ["eth1", "blue"] {
        let request = request("a", Datapath::Tc).with_options(|it| it.uplink = uplink.into());
        let error = world.plan_up(&request).expect_err("it is refused");
        assert_eq!(error.kind, Kind::Unsupported, "{error:?}");
        let told = format!("{error} {}", error.remedy.clone().unwrap_or_default());
        assert!(told.contains("VRF blue") && told.contains("nomaster"), "{told}");
    }
}
