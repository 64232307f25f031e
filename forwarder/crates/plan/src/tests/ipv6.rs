//! IPv6 of networks: addresses, forwarding of the host, and what it must not lose.

mod alone;
mod routed;
mod settings;

use proptest::prelude::*;

use super::super::{
    ALL_FORWARDING6, Action, Datapath, Desired, Ipv4, Ipv6, Object, Op, Undo, UpRequest, UplinkChoice, accept_ra,
    disable_ipv6, export,
    testing::{World, down, name, named},
};
use fwd_base::Kind;

fn request(ns: &str) -> UpRequest {
    UpRequest::new(named(ns)).with_options(|it| it.datapath = Some(Datapath::Kernel))
}

fn text(ops: &[Op]) -> String {
    let lines = ops.iter().map(|op| {
        let commands = op.equivalent("/run/fwd/bpf/1", None).join("\n    ");
        format!("{op}\n    {commands}\n")
    });
    lines.collect()
}

#[track_caller]
fn refused(world: &World, request: &UpRequest, kind: Kind, words: &[&str]) {
    let error = world.plan_up(request).expect_err("it is refused");
    assert_eq!(error.kind, kind, "{error}");
    let text = format!("{error}; {}", error.remedy.as_deref().expect("a remedy"));
    for word in words {
        assert!(text.contains(word), "{word:?} is missing: {text}");
    }
}

#[test]
fn dual_stack_network_is_made_in_order() {
    let plan = World::with_ipv6().up(&request("a"));
    assert_eq!(plan.warnings, [""; 0]);
    insta::assert_snapshot!(text(&plan.ops));
}

#[test]
fn endpoint_has_the_number_of_its_ipv4_address() {
    let mut world = World::with_ipv6();
    world.up(&request("a"));
    world.up(&request("b"));
    let network = &world.records.networks[0];
    let gateway = network.gateway6.expect("it has IPv6");
    assert_eq!((gateway.prefix_len(), gateway.addr().segments()[7]), (64, 1));
    assert_eq!(gateway.addr().octets()[0], 0xfd, "a unique local address (RFC 4193)");
    for endpoint in &world.records.endpoints {
        let (v4, v6) = (endpoint.address.expect("it has IPv4").octets(), endpoint.address6.expect("it has IPv6"));
        assert!(gateway.contains(&v6));
        assert_eq!(u16::from(v4[3]), v6.segments()[7]);
    }
    // Another network has another subnet of the same /48.
    world.up(&UpRequest { network: Some(name("web")), ..request("c") });
    let other = world.records.networks[1].gateway6.expect("it has IPv6");
    assert_eq!(other.addr().octets()[..6], gateway.addr().octets()[..6]);
    assert_ne!(other.trunc(), gateway.trunc());
}

#[test]
fn small_subnet_gives_the_next_free_address_until_it_is_full() {
    let mut world = World::with_ipv6();
    let small = |ns| request(ns).with_options(|it| it.subnet6 = "fd00:77::/126".parse().ok());
    for ns in ["a", "b"] {
        world.up(&small(ns));
    }
    let addresses: Vec<_> = world.records.endpoints.iter().filter_map(|it| it.address6).collect();
    assert_eq!(addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["fd00:77::2", "fd00:77::3"]);
    refused(&world, &small("c"), Kind::Failed, &["all of fd00:77::/126 is taken", "--subnet6"]);
}

/// Whether operations are about IPv6, but for what each port of a bridge is told where there is any.
fn concerns_ipv6(ops: &[Op]) -> bool {
    text(ops).lines().any(|line| line.contains("ipv6") && !line.contains("sysctl -ew"))
}

#[test]
fn host_without_ipv6_gets_none_unless_it_is_asked_for() {
    let mut world = World::new();
    let plan = world.up(&request("a"));
    assert!(!concerns_ipv6(&plan.ops) && world.records.networks[0].gateway6.is_none());
    assert_eq!(plan.warnings, [""; 0]);
    let asked =
        UpRequest { network: Some(name("web")), ..request("b") }.with_options(|it| it.ipv6 = Some(Ipv6::Masquerade));
    refused(&world, &asked, Kind::Unsupported, &["this kernel has no IPv6", "--ipv6 off"]);
}

#[test]
fn ipv6_that_cannot_be_is_refused_with_the_remedy_or_left_out() {
    type Change = fn(&mut World);
    let cases: [(Change, &[&str]); 4] = [
        (
            |world| drop(world.host.sysctls.insert(disable_ipv6("eth0"), "1".into())),
            &["switched off at the uplink eth0", "net.ipv6.conf.eth0.disable_ipv6=0"],
        ),
        (
            |world| world.host.net.addresses.retain(|(_, address)| address.addr().is_ipv4()),
            &["no IPv6 address but for its own link", "ip -6 addr add ADDRESS/64 dev eth0"],
        ),
        (|world| world.host.net.links[1].mtu = 1_279, &["1280", "1279", "--mtu"]),
        (|world| world.no_ipv6_nat = Some("this kernel has no nf_tables".into()), &["no nf_tables", "nft_masq"]),
    ];
    for (change, words) in cases {
        let mut world = World::with_ipv6();
        change(&mut world);
        refused(&world, &request("a").with_options(|it| it.ipv6 = Some(Ipv6::Masquerade)), Kind::Unsupported, words);
        refused(
            &world,
            &request("a").with_options(|it| it.subnet6 = "fd00::/64".parse().ok()),
            Kind::Unsupported,
            words,
        );
        let plan = world.up(&request("a"));
        assert!(world.records.networks[0].gateway6.is_none());
        let [warning] = &plan.warnings[..] else { panic!("it is said: {:?}", plan.warnings) };
        assert!(warning.contains("has no IPv6") && words.iter().all(|word| warning.contains(word)), "{warning}");
        assert!(world.up(&request("a")).warnings.is_empty(), "once");
    }
}

#[test]
fn default_route_by_another_interface_is_none_of_the_uplinks() {
    let by = |ipv6| {
        UpRequest::new(named("a")).with_options(|it| {
            it.uplink = "eth1".into();
            it.ipv6 = ipv6;
        })
    };
    let mut world = World::with_ipv6();
    world.host.net.addresses.push((3, "2001:db8:1::2/64".parse().expect("an address")));
    for routes in 0..2 {
        let plan = world.plan_up(&by(None)).expect("IPv4 is enough");
        let told = "fwd0 has no IPv6, because the host's IPv6 default route leaves by eth0, not by the uplink eth1";
        assert!(plan.warnings.iter().any(|warning| warning.contains(told)), "{routes}: {:?}", plan.warnings);
        // One that is not used.
        world.learn_route6("eth1");
        world.host.net.routes.last_mut().expect("it").metric = 2048;
    }
    let plan = world.up(&by(Some(Ipv6::Masquerade)));
    let told = "only what is behind eth1 is reached";
    assert!(plan.warnings.iter().any(|warning| warning.contains(told)), "{:?}", plan.warnings);
    assert!(world.records.networks[0].gateway6.is_some());
}

#[test]
fn host_takes_no_ipv6_from_a_network_without_it() {
    let mut world = World::with_ipv6();
    world.up(&request("a").with_options(|it| it.ipv6 = Some(Ipv6::Off)));
    let internal =
        UpRequest { network: Some(name("inner")), ..request("b") }.with_options(|it| it.uplink = UplinkChoice::None);
    world.up(&internal);
    for bridge in ["fwd0", "inner"] {
        assert_eq!(world.host.sysctls[&disable_ipv6(bridge)], "1");
    }
    assert_eq!(world.plan_up(&internal).expect("it is up").ops, []);
    // A link that is too narrow has no such setting.
    let narrow = UpRequest { network: Some(name("web")), ..request("c") }.with_options(|it| it.mtu = Some(1_279));
    assert!(!concerns_ipv6(&world.plan_up(&narrow).expect("IPv4 is enough").ops));
}

#[test]
fn endpoint_without_default_route_has_none_of_either_family() {
    let mut world = World::with_ipv6();
    let plan = world.up(&request("a").with_endpoint(|it| it.no_default_route = true));
    assert!(!text(&plan.ops).contains("default via") && world.records.endpoints[0].address6.is_some());
}

#[test]
fn namespaces_that_must_not_reach_each_other_have_a_rule_for_it() {
    let plan = World::with_ipv6().up(&request("a").with_options(|it| it.no_icc = true));
    for verdict in ["ct status dnat accept", "drop"] {
        let rule = format!(r#"nft 'add rule ip6 fwd_nat forward oifname "fwd0" iifname "fwd0" {verdict}'"#);
        assert!(text(&plan.ops).contains(&rule), "{}", text(&plan.ops));
    }
}

#[test]
fn subnets_that_cannot_be_are_refused() {
    let world = World::with_ipv6();
    let asked = |text: &str| request("a").with_options(|it| it.subnet6 = text.parse().ok());
    for (subnet, kind, words) in [
        ("fd00::/63", Kind::Usage, "64 to 126"),
        ("fd00::/127", Kind::Usage, "64 to 126"),
        ("fd00::1/64", Kind::Usage, "inside a subnet"),
        ("fe80::/64", Kind::Usage, "cannot be routed"),
        ("ff02::/64", Kind::Usage, "cannot be routed"),
        ("::/64", Kind::Usage, "cannot be routed"),
        ("2001:db8::/64", Kind::Conflict, "eth0 has the address 2001:db8::2/64"),
    ] {
        refused(&world, &asked(subnet), kind, &[words]);
    }
    let both = asked("fd00::/64").with_options(|it| it.ipv6 = Some(Ipv6::Off));
    refused(&world, &both, Kind::Usage, &["--ipv6 off"]);
    let internal = asked("fd00::/64").with_options(|it| {
        it.uplink = UplinkChoice::None;
        it.ipv6 = Some(Ipv6::Masquerade);
    });
    refused(&world, &internal, Kind::Usage, &["--internal", "--ipv6 route", "leave one of the two out"]);
}

#[test]
fn option_that_differs_from_the_network_is_a_conflict() {
    let mut world = World::with_ipv6();
    world.up(&request("a"));
    refused(
        &world,
        &request("b").with_options(|it| it.ipv6 = Some(Ipv6::Off)),
        Kind::Conflict,
        &["its IPv6 is masquerade"],
    );
    let other = request("b").with_options(|it| it.subnet6 = "fd00:77::/64".parse().ok());
    refused(&world, &other, Kind::Conflict, &["its subnet of IPv6 is fd"]);
    world.up(&request("b").with_options(|it| it.ipv6 = Some(Ipv6::Masquerade)));
    let off = UpRequest { network: Some(name("web")), ..request("c") }.with_options(|it| it.ipv6 = Some(Ipv6::Off));
    world.up(&off);
    assert!(world.records.networks[1].gateway6.is_none() && world.records.endpoints[2].address6.is_none());
    let on =
        UpRequest { network: Some(name("web")), ..request("d") }.with_options(|it| it.ipv6 = Some(Ipv6::Masquerade));
    refused(&world, &on, Kind::Conflict, &["its IPv6 is off, not masquerade"]);
}

#[test]
fn route_learnt_by_advertisements_stays_and_everything_is_put_back() {
    for datapath in Datapath::ALL {
        let mut world = World::with_ipv6();
        let before = world.snapshot();
        for ns in ["a", "b"] {
            world.up(&UpRequest::new(named(ns)).with_options(|it| it.datapath = Some(datapath)));
        }
        assert!(world.has_route6(), "{datapath:?}");
        assert_eq!(world.host.sysctls[&accept_ra("eth0")], "2");
        assert_eq!(world.host.sysctls[&accept_ra("fwd0")], "0", "no namespace tells the host where to go");
        assert_eq!(world.host.sysctls[ALL_FORWARDING6], "1");
        world.down(Some("a"));
        assert_eq!(world.host.sysctls[ALL_FORWARDING6], "1", "another needs it");
        world.down(Some("b"));
        assert!(world.has_route6());
        assert_eq!(world.snapshot(), before, "{datapath:?}");
    }
}

#[test]
fn interrupted_commands_are_completed_or_cleared_away() {
    let steps = World::with_ipv6().up(&request("a")).ops.len();
    for step in 0..=steps {
        let mut world = World::with_ipv6();
        let before = world.snapshot();
        let plan = world.plan_up(&request("a")).expect("possible");
        world.run_into(&plan.ops, step);
        let mut other = world.clone();
        world.up(&request("a"));
        assert_eq!(world.plan_up(&request("a")).expect("it is up").ops, [], "after {step}");
        assert!(world.has_route6() && world.records.endpoints[0].address6.is_some(), "after {step}");
        other.down(Some("a"));
        assert_eq!(other.snapshot(), before, "after {step}");
        let plan = world.plan_down(&down(Some("a"))).expect("possible");
        for step in 0..=plan.ops.len() {
            let mut world = world.clone();
            world.run_into(&plan.ops, step);
            world.down(None);
            assert!(world.has_route6(), "after {step}");
            assert_eq!(world.snapshot(), before, "after {step}");
        }
    }
}

#[test]
fn forwarding_that_somebody_else_switched_on_is_theirs() {
    let mut world = World::with_ipv6();
    for path in world.host.sysctls.keys().filter(|path| path.ends_with("/forwarding")).cloned().collect::<Vec<_>>() {
        world.host.sysctls.insert(path, "1".into());
    }
    let before = world.snapshot();
    world.up(&request("a"));
    assert_eq!(world.host.sysctls[&accept_ra("eth0")], "1", "a router heeds none, and that was so before");
    assert!(world.undo.iter().all(|entry| !matches!(entry, Undo::Sysctl(_))));
    world.down(None);
    assert_eq!(world.snapshot(), before);
}

#[test]
fn forwarding_that_somebody_switched_off_is_switched_on_again() {
    let mut world = World::with_ipv6();
    world.up(&request("a"));
    world.host.sysctls.insert(ALL_FORWARDING6.into(), "0".into());
    let plan = world.up(&request("a"));
    let told = "somebody has switched off forwarding of IPv6 (net.ipv6.conf.all.forwarding): it is switched on again";
    assert_eq!(plan.warnings, [told]);
    assert!(
        matches!(&plan.ops[..], [Op { action: Action::Make, object: Object::Sysctl(it) }] if it.path == ALL_FORWARDING6)
    );
}

#[test]
fn advertisements_are_heeded_at_an_uplink_that_was_made_anew() {
    let mut world = World::with_ipv6();
    world.up(&request("a"));
    world.make_uplink_anew("eth0", "198.51.100.2/24");
    world.up(&request("a"));
    assert_eq!(world.host.sysctls[&accept_ra("eth0")], "2");
    world.down(None);
    assert_eq!(world.host.sysctls[&accept_ra("default")], "1");
    // Of its own it has had nothing else, so there is nothing to put back.
    assert_eq!(world.host.sysctls[&accept_ra("eth0")], "2");
}

#[test]
fn renamed_uplink_keeps_its_rules_and_gets_its_settings_back() {
    let mut world = World::with_ipv6();
    let bound = |uplink: &str| request("a").with_options(|it| it.uplink = uplink.into());
    world.up(&bound("eth0"));
    world.rename_link("eth0", "wan0");
    let plan = world.up(&bound("wan0"));
    let renamed = |op: &Op| matches!(&op.object, Object::Rules6(rules) if rules.uplink.as_deref() == Some("wan0"));
    assert!(plan.ops.iter().any(renamed), "{:?}", plan.ops);
    world.down(None);
    assert_eq!(world.host.sysctls[&accept_ra("wan0")], "1");
    assert_eq!(world.host.sysctls[ALL_FORWARDING6], "0");
}

#[test]
fn former_endpoint_comes_back_with_both_addresses() {
    let mut world = World::with_ipv6();
    world.add_namespace("a");
    world.up(&request("a"));
    world.up(&request("b"));
    let address = world.records.endpoints[0].address6;
    for link in [world.records.endpoints[0].host_if.clone(), "fwd0".into()] {
        world.delete_link(&link);
        world.up(&request("a"));
        let found = world.records.endpoints.iter().find(|it| it.ns.as_deref() == Some("a")).expect("it is up");
        assert_eq!(found.address6, address, "{link}");
        assert_eq!(world.plan_up(&request("a")).expect("it is up").ops, []);
    }
    // What others had on the bridge is healed, too.
    assert_eq!(world.host.net.neighbours.iter().filter(|it| it.address.is_ipv6()).count(), 2);
}

#[test]
fn namespace_with_ipv6_of_its_own_is_not_attached() {
    let mut world = World::with_ipv6();
    world.add_namespace("a");
    let net = &mut world.inside("a").net;
    let route = fwd_kernel::netlink::Route {
        destination: "::/0".parse().expect("a route"),
        ifindex: 1,
        gateway: None,
        metric: 0,
        table: fwd_kernel::netlink::TABLE_MAIN,
        mtu: None,
    };
    net.routes.push(route);
    refused(&world, &request("a"), Kind::Conflict, &["default route of its own", "ip -6 route delete default"]);
    world.up(&request("a").with_options(|it| it.ipv6 = Some(Ipv6::Off)));
}

fn ups() -> impl Strategy<Value = (usize, usize, usize)> {
    (0..4usize, 0..3usize, 0..5usize)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn export_is_the_inverse_for_both_families(ups in proptest::collection::vec(ups(), 1..8)) {
        let mut world = World::with_ipv6();
        for (ns, network, ipv6) in ups {
            let asked = UpRequest { network: Some(name(["fwd0", "web", "db"][network])), ..request(["a", "b", "c", "d"][ns]) }.with_options(|it| {
                // A part of what is on the link of the uplink, of which the host has an address too.
                it.subnet6 = (ipv6 == 3).then(|| format!("2001:db8::{network}:0/112").parse().expect("a subnet")); it.ipv4 = (ipv6 == 4).then_some(Ipv4::Off); it.ipv6 = [None, Some(Ipv6::Masquerade), Some(Ipv6::Off), Some(Ipv6::Route), None][ipv6]; });
            if let Ok(plan) = world.plan_up(&asked) {
                world.run(&plan.ops, usize::MAX);
            }
        }
        let desired = export(&world.read_whole(&Desired::default()));
        let again = serde_json::from_str(&serde_json::to_string(&desired).expect("text")).expect("what was written");
        prop_assert_eq!(&desired, &again);
        prop_assert_eq!(world.plan_whole(&desired).expect("it is there").ops, []);
        let mut fresh = World::with_ipv6();
        fresh.make_whole(&desired);
        prop_assert_eq!(export(&fresh.read_whole(&desired)), desired);
    }
}
