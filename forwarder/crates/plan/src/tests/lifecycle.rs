//! What `up` and `down` do, once and again.

use forwarder_common::abi::Timeout;

use super::super::{
    Bridging, Datapath, Flows, Nat, Object, ResolvConf, TableRequest, Treatment, UpRequest,
    testing::{World, down, name, named},
};
use fwd_base::Kind;
use fwd_dataplane::Backend;

pub(super) fn text(ops: &[super::super::Op]) -> String {
    let lines = ops.iter().map(|op| {
        let commands = op.equivalent("/run/fwd/bpf/1", None).join("\n    ");
        format!("{op}\n    {commands}\n")
    });
    lines.collect()
}

#[test]
fn first_up_makes_everything_in_order() {
    let mut world = World::new();
    world.resolv_conf = ResolvConf::Write("nameserver 192.0.2.1\n".into());
    let plan = world.up(&UpRequest::new(named("mynet")));
    insta::assert_snapshot!(text(&plan.ops));
}

#[test]
fn second_namespace_needs_only_its_own_part() {
    let mut world = World::new();
    world.up(&UpRequest::new(named("a")));
    let plan = world.up(&UpRequest::new(named("b")));
    insta::assert_snapshot!(text(&plan.ops));
}

#[test]
fn kernel_datapath_has_a_rule_and_no_programs() {
    let mut world = World::new();
    let plan = world.up(&UpRequest::new(named("a")).with_options(|it| it.datapath = Some(Datapath::Kernel)));
    let made = |which: fn(&Object) -> bool| plan.ops.iter().any(|op| which(&op.object));
    assert!(made(|object| matches!(object, Object::Masquerade(_))));
    let programs =
        |object: &Object| matches!(object, Object::Dataplane(_) | Object::UplinkHooks(_) | Object::EndpointHook(_));
    assert!(!made(programs));
    assert!(world.plan_up(&UpRequest::new(named("a"))).expect("it is up").ops.is_empty());
}

#[test]
fn options_are_recorded_and_shown() {
    let mut world = World::new();
    let table = TableRequest {
        nat_ports: Some((2000, 3000)),
        max_flows: Some(1000),
        max_flows_per_ns: Some(100),
        timeouts: vec![(Timeout::UdpHalfOpen, 90)],
    };
    let request = UpRequest { table, ..UpRequest::new(named("a")) }.with_options(|it| {
        it.nat = Some(Nat::EimEif);
        it.clamp_mss = true;
        it.no_icc = true;
        it.flows = Flows::EastWest;
    });
    let request = request
        .with_endpoint(|it| {
            it.allow_spoof = true;
            it.no_default_route = true;
        })
        .with_options(|it| it.ignore_xfrm = true);
    let plan = world.up(&request);
    let shown = text(&plan.ops);
    for line in [
        "# flow table: 1000 flows, 100 of a namespace, ports 2000-3000, ",
        "udp-half-open 1m30s",
        "# with --nat eim-eif, --clamp-mss, --ignore-xfrm, --no-icc, --flows east-west",
        " isolated on",
        "# 10.77.0.2 may send from other addresses (--allow-spoof)",
        "# 10.77.0.2 gets no default route (--no-default-route)",
    ] {
        assert!(shown.contains(line), "{line:?} is missing: {shown}");
    }
    assert!(plan.warnings[0].contains("RFC 4787 REQ-5 asks for (2m)"), "{:?}", plan.warnings);
    let treatment = Treatment {
        nat: Nat::EimEif,
        clamp_mss: true,
        ignore_xfrm: true,
        internal: false,
        no_icc: true,
        flows: Flows::EastWest,
        bridging: Bridging::Ports,
        bound: false,
        dns: false,
        multicast: false,
        routed6: false,
    };
    assert_eq!(world.records.networks[0].treatment, treatment);
    assert!(world.records.endpoints[0].allow_spoof);
    // As they are: given again, and left out.
    for again in [&request, &UpRequest::new(named("a"))] {
        assert!(world.up(again).ops.is_empty());
    }
    // They outlive their veth pair and bridge.
    for link in [world.records.endpoints[0].host_if.clone(), "fwd0".into()] {
        world.delete_link(&link);
        world.up(&UpRequest::new(named("a")));
        assert_eq!(world.records.networks[0].treatment, treatment);
        assert!(world.records.endpoints[0].allow_spoof && world.records.endpoints[0].no_default_route, "{link}");
    }
}

#[test]
fn programs_come_with_the_first_network_that_needs_them_and_go_with_the_last() {
    let mut world = World::new();
    let kernel = UpRequest::new(named("a")).with_options(|it| it.datapath = Some(Datapath::Kernel));
    world.up(&kernel);
    let before = world.snapshot();
    let tc = UpRequest { network: Some(name("fast")), ..UpRequest::new(named("b")) };
    world.up(&tc);
    assert!(world.records.table.is_some());
    world.down(Some("b"));
    assert_eq!(world.snapshot(), before);
    // What an interrupted load left goes too.
    world.records.partly_loaded = true;
    world.down(Some("a"));
    assert!(!world.records.pinned);
}

#[test]
fn kernel_datapath_is_taken_where_programs_cannot_run() {
    let mut world = World::new();
    world.no_tc = Some("no TCX and no clsact".into());
    let plan = world.up(&UpRequest::new(named("a")));
    assert!(plan.warnings[0].contains("no TCX"), "{:?}", plan.warnings);
    assert_eq!(world.records.networks[0].datapath, Datapath::Kernel);
}

#[test]
fn xdp_goes_with_the_last_network_that_wants_it() {
    let mut world = World::new();
    world.up(&UpRequest::new(named("a")));
    let before = world.snapshot();
    let xdp = UpRequest { network: Some(name("fast")), ..UpRequest::new(named("b")) }
        .with_options(|it| it.datapath = Some(Datapath::Xdp));
    let plan = world.up(&xdp);
    let is_xdp = |object: &Object| matches!(object, Object::UplinkXdp(_) | Object::EndpointXdp(_));
    assert_eq!(plan.ops.iter().filter(|op| is_xdp(&op.object)).count(), 2);
    // The interface inside takes frames before anybody may send it any.
    let at = |wanted: &dyn Fn(&Object) -> bool| plan.ops.iter().position(|op| wanted(&op.object));
    let offloads = at(&|object| matches!(object, Object::NsOffloads(_)));
    assert!(offloads.is_some() && offloads < at(&|object| matches!(object, Object::EndpointXdp(_))));
    assert_eq!(world.up(&xdp).ops, []);
    world.inside("b").xdp_ready.clear();
    assert_eq!(world.up(&xdp).ops.len(), 1, "what was turned on by hand is turned off again");
    world.down(Some("b"));
    assert_eq!(world.snapshot(), before);
}

#[test]
fn last_down_takes_everything() {
    let mut world = World::new();
    world.up(&UpRequest::new(named("mynet")));
    let plan = world.down(Some("mynet"));
    insta::assert_snapshot!(text(&plan.ops));
}

#[test]
fn each_up_is_undone_by_its_down() {
    for datapath in Datapath::ALL {
        let mut world = World::new();
        world.resolv_conf = ResolvConf::Write("nameserver 192.0.2.1\n".into());
        world.add_namespace("theirs");
        let before = world.snapshot();
        for ns in ["theirs", "ours", "other"] {
            world.up(&UpRequest::new(named(ns)).with_options(|it| it.datapath = Some(datapath)));
        }
        for ns in ["ours", "theirs", "other"] {
            world.down(Some(ns));
        }
        assert_eq!(world.snapshot(), before, "{datapath:?}");
    }
}

#[test]
fn up_twice_changes_nothing() {
    let mut world = World::new();
    world.resolv_conf = ResolvConf::Write("nameserver 192.0.2.1\n".into());
    let request = UpRequest { network: Some(name("web")), ..UpRequest::new(named("a")) };
    world.up(&request);
    for again in [request.clone(), UpRequest::new(named("a")), request.with_options(|it| it.mtu = Some(1500))] {
        assert_eq!(world.plan_up(&again).expect("it is up").ops, []);
    }
}

#[test]
fn deleted_namespace_is_cleaned_up_and_its_name_is_free_again() {
    let mut world = World::new();
    let before = world.snapshot();
    world.up(&UpRequest::new(named("a")));
    world.delete_namespace(&name("a"));
    let mut again = world.clone();
    again.up(&UpRequest::new(named("a")));
    assert_eq!((again.records.endpoints.len(), again.host.net.neighbours.len()), (1, 1));
    again.down(Some("a"));
    assert_eq!(again.snapshot(), before);
    world.down(Some("a"));
    assert_eq!(world.snapshot(), before);
}

#[test]
fn deleted_veth_is_made_anew_with_the_same_address() {
    let mut world = World::new();
    let before = world.snapshot();
    world.up(&UpRequest::new(named("a")));
    world.up(&UpRequest::new(named("b")));
    let (host_if, address) = (world.records.endpoints[0].host_if.clone(), world.records.endpoints[0].address);
    world.delete_link(&host_if);
    let mut healed = world.clone();
    healed.up(&UpRequest::new(named("a")));
    assert_eq!(healed.host.net.neighbours.len(), 2, "one for each endpoint");
    assert!(healed.records.endpoints.iter().any(|endpoint| endpoint.address == address && endpoint.host_if == host_if));
    for mut world in [world, healed] {
        world.down(Some("b"));
        world.down(Some("a"));
        assert_eq!(world.snapshot(), before);
    }
}

#[test]
fn deleted_bridge_is_made_anew_for_all_its_endpoints() {
    let mut world = World::new();
    let before = world.snapshot();
    world.up(&UpRequest::new(named("a")));
    world.up(&UpRequest::new(named("b")));
    world.delete_link("fwd0");
    let mut healed = world.clone();
    healed.up(&UpRequest::new(named("b")));
    for ns in ["a", "b"] {
        assert_eq!(healed.plan_up(&UpRequest::new(named(ns))).expect("it is up").ops, [], "{ns}");
    }
    assert!(healed.records.endpoints.iter().all(|endpoint| endpoint.network_index == healed.records.networks[0].index));
    for mut world in [world, healed] {
        world.down(None);
        assert_eq!(world.snapshot(), before);
    }
}

#[test]
fn namespace_of_others_stays_unless_told_otherwise() {
    let mut world = World::new();
    world.add_namespace("a");
    world.up(&UpRequest::new(named("a")));
    let mut told = world.clone();
    world.down(Some("a"));
    assert!(world.namespaces.contains_key(&name("a")));
    let mut request = down(Some("a"));
    request.delete_ns = true;
    let plan = told.plan_down(&request).expect("possible");
    told.run(&plan.ops, usize::MAX);
    assert!(told.namespaces.is_empty());
}

#[test]
fn forwarding_that_others_turned_on_stays_on() {
    let mut world = World::new();
    world.up(&UpRequest::new(named("a")));
    for value in world.host.sysctls.values_mut() {
        *value = "1".into();
    }
    world.down(Some("a"));
    assert_eq!(world.host.sysctls["net/ipv4/conf/eth0/forwarding"], "1");
}

#[test]
fn forwarding_that_was_off_at_the_uplink_alone_is_turned_off_again() {
    let mut world = World::new();
    world.host.sysctls.insert(super::super::ALL_FORWARDING.into(), "1".into());
    let before = world.snapshot();
    world.up(&UpRequest::new(named("a")));
    assert_eq!(world.host.sysctls["net/ipv4/conf/eth0/forwarding"], "1");
    world.down(Some("a"));
    assert_eq!(world.snapshot(), before);
}

#[test]
fn changed_address_of_the_uplink_is_noticed() {
    let mut world = World::new();
    world.up(&UpRequest::new(named("a")));
    world.host.net.addresses[0].1 = "198.51.100.99/24".parse().expect("an address");
    let plan = world.up(&UpRequest::new(named("a")));
    assert_eq!(plan.ops.len(), 1, "{:?}", plan.ops);
    assert_eq!(world.records.uplinks[0].address.to_string(), "198.51.100.99");
}

#[test]
fn networks_share_an_uplink_until_the_last_leaves() {
    let mut world = World::new();
    let before = world.snapshot();
    let in_network = |ns: &str, network: &str| UpRequest { network: Some(name(network)), ..UpRequest::new(named(ns)) };
    world.up(&in_network("a", "one"));
    world.up(&in_network("b", "two"));
    world.up(&in_network("c", "three").with_options(|it| it.uplink = "eth1".into()));
    assert_eq!(world.records.uplinks.len(), 2);
    let subnets: Vec<String> =
        world.records.networks.iter().map(|network| network.subnet().expect("it has IPv4").to_string()).collect();
    assert_eq!(subnets, ["10.77.0.0/24", "10.77.1.0/24", "10.77.2.0/24"]);
    world.down(Some("a"));
    assert_eq!(world.records.uplink_hooks.len(), 2);
    world.down(Some("b"));
    assert_eq!(world.records.uplink_hooks.len(), 1);
    world.down(Some("c"));
    assert_eq!(world.snapshot(), before);
}

#[test]
fn addresses_go_on_after_the_last_and_wrap() {
    let mut world = World::new();
    let request = |ns: &str| {
        UpRequest::new(named(ns)).with_options(|it| it.subnet = Some("10.0.0.0/29".parse().expect("a subnet")))
    };
    world.up(&request("keeps"));
    for expected in [3, 4, 5, 6, 3] {
        world.up(&request("x"));
        let address = world.records.endpoints.last().expect("it is up").address;
        assert_eq!(address.expect("it has IPv4").octets(), [10, 0, 0, expected]);
        world.down(Some("x"));
    }
}

#[test]
fn down_of_what_is_absent_does_nothing_and_names_the_nearest() {
    let mut world = World::new();
    assert_eq!(world.down(Some("mynet")).ops, []);
    world.up(&UpRequest::new(named("mynet")));
    let plan = world.down(Some("mynett"));
    assert_eq!((plan.ops, plan.nearest.as_deref()), (vec![], Some("mynet")));
}

#[test]
fn way_to_attach_lasts_until_another_is_asked_for() {
    let mut world = World::new();
    let plain = UpRequest::new(named("a"));
    let by = |backend| plain.clone().with_endpoint(|it| it.attach = Some(backend));
    world.up(&by(Backend::Clsact));
    let index = world.records.endpoints[0].index;
    assert_eq!((world.records.endpoint_hooks.len(), world.records.endpoint_filters.contains(&index)), (0, true));
    for again in [&by(Backend::Clsact), &plain] {
        assert_eq!(world.up(again).ops, []);
    }
    // It outlives its veth pair.
    world.delete_link(&world.records.endpoints[0].host_if.clone());
    world.up(&plain);
    let index = world.records.endpoints[0].index;
    assert!(world.records.endpoint_filters.contains(&index));
    let plan = world.up(&by(Backend::Tcx));
    assert_eq!(plan.ops.len(), 1, "{:?}", plan.ops);
    let shown = (plan.ops[0].to_string(), plan.ops[0].inverse().to_string());
    assert!(shown.0.starts_with("change") && shown.0.ends_with("from clsact to tcx"), "{shown:?}");
    assert!(shown.1.starts_with("revert"), "{shown:?}");
    assert_eq!((world.records.endpoint_hooks.contains(&index), world.records.endpoint_filters.len()), (true, 0));
    assert_eq!(world.up(&plain).ops, []);
}

#[test]
fn kernel_without_tcx_attaches_by_clsact() {
    let mut world = World::new();
    world.no_tcx = true;
    let tcx = UpRequest::new(named("a")).with_endpoint(|it| it.attach = Some(Backend::Tcx));
    let error = world.plan_up(&tcx).expect_err("there is none");
    assert_eq!((error.kind, error.remedy.is_some()), (Kind::Unsupported, true), "{error}");
    world.up(&UpRequest::new(named("a")));
    assert_eq!(world.records.endpoints[0].attach, Backend::Clsact);
}

#[test]
fn up_tells_how_much_room_is_left() {
    let mut world = World::new();
    assert_eq!(world.up(&UpRequest::new(named("a"))).attachments[0].room, 252);
    let again = world.up(&UpRequest::new(named("a")));
    assert_eq!((again.attachments[0].room, again.warnings.len()), (252, 0));
    let mut endpoint = world.records.endpoints[0].clone();
    for host in 3..239 {
        (endpoint.index, endpoint.cookie) = (1000 + host, u64::from(host) + 9_000);
        endpoint.address = Some([10, 77, 0, u8::try_from(host).expect("a byte")].into());
        endpoint.host_if = format!("fwdvx{host}");
        let mut link = world.host.net.links.last().expect("the host-side veth").clone();
        (link.index, link.name) = (endpoint.index, endpoint.host_if.clone());
        world.host.net.links.push(link);
        world.records.devices.insert(endpoint.index);
        world.records.endpoints.push(endpoint.clone());
    }
    let plan = world.plan_up(&UpRequest::new(named("b"))).expect("there is room");
    assert_eq!(plan.attachments[0].room, 15);
    assert!(plan.warnings.iter().any(|warning| warning.contains("room for 15 more")), "{:?}", plan.warnings);
    let large = UpRequest { network: Some(name("large")), ..UpRequest::new(named("b")) }
        .with_options(|it| it.subnet = "10.9.0.0/16".parse().ok());
    assert_eq!(world.plan_up(&large).expect("there is room").attachments[0].room, 1_022, "a bridge takes 1023 ports");
    let small = large.with_options(|it| it.subnet = "10.9.0.0/29".parse().ok());
    let plan = world.plan_up(&small).expect("there is room");
    assert_eq!((plan.attachments[0].room, plan.warnings.len()), (4, 0));
}
