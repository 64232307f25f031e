//! What networks and endpoints may do less than others.

use super::{
    super::{
        AskedLimits, Datapath, Limits, Nat, Object, Plan, RateLimit, UpRequest, UplinkChoice,
        testing::{World, name, named},
    },
    lifecycle::text,
    refusals::{refused, request},
};
use fwd_base::Kind;
use fwd_dataplane::Rule;

#[test]
fn internal_network_has_neither_uplink_nor_default_route() {
    for datapath in [Datapath::Tc, Datapath::Kernel] {
        let mut world = World::new();
        let plan = world.up(&UpRequest::new(named("a")).with_options(|it| {
            it.uplink = UplinkChoice::None;
            it.datapath = Some(datapath);
        }));
        let shown = text(&plan.ops);
        assert!(shown.contains("# with --internal") && shown.contains("net.ipv4.conf.fwd0.forwarding=0"), "{shown}");
        for absent in ["eth0:", "default via", "masquerade of", "uplink"] {
            assert!(!shown.contains(absent), "{absent:?} is there: {shown}");
        }
        assert_eq!(world.records.networks[0].uplink, 0);
        assert!(world.up(&UpRequest::new(named("a"))).ops.is_empty());
        world.up(&UpRequest::new(named("b")));
        world.down(None);
        assert_eq!((&world.records, world.undo.len()), (&Default::default(), 0));
    }
}

#[test]
fn what_an_internal_network_has_not() {
    let mut world = World::new();
    let internal = request().with_options(|it| it.uplink = UplinkChoice::None);
    let usage = |world: &World, request: UpRequest, words: &[&str]| refused(world, &request, Kind::Usage, words);
    usage(&world, internal.clone().with_options(|it| it.nat = Some(Nat::Eim)), &["--nat eim", "--internal"]);
    usage(&world, internal.clone().with_options(|it| it.clamp_mss = true), &["--clamp-mss", "--internal"]);
    usage(&world, internal.clone().with_options(|it| it.ignore_xfrm = true), &["--ignore-xfrm", "--internal"]);
    usage(
        &world,
        internal.clone().with_options(|it| it.datapath = Some(Datapath::Xdp)),
        &["--datapath xdp", "--internal"],
    );
    usage(&world, internal.clone().with_options(|it| it.mtu = Some(70_000)), &["65535", "1500"]);
    world.clone().up(&internal.clone().with_options(|it| it.mtu = Some(9_000)));
    world.up(&internal);
    let eth1 = UpRequest::new(named("b")).with_options(|it| it.uplink = "eth1".into());
    refused(&world, &eth1, Kind::Conflict, &["network fwd0", "none (--internal)", "eth1"]);
    let other = UpRequest { network: Some(name("other")), ..UpRequest::new(named("c")) };
    world.up(&other);
    refused(
        &world,
        &other.with_options(|it| it.uplink = UplinkChoice::None),
        Kind::Conflict,
        &["network other", "eth0", "--internal"],
    );
}

#[test]
fn endpoint_that_has_a_default_route() {
    let mut world = World::new();
    world.up(&request());
    refused(&world, &request().with_endpoint(|it| it.no_default_route = true), Kind::Conflict, &["--no-default-route"]);
}

fn limited(outbound: RateLimit) -> UpRequest {
    request().with_endpoint(|it| it.limits = AskedLimits { outbound: Some(outbound), inbound: None })
}

#[test]
fn limits_are_changed_while_an_endpoint_is_up_and_stay_otherwise() {
    let mut world = World::new();
    let (fast, slow) = (RateLimit::of_rate(1_000_000_000), RateLimit::of_rate(100_000));
    assert_eq!((fast.burst, slow.burst), (6_250_000, 65_536));
    assert_eq!((RateLimit::of_rate(8_000).burst, RateLimit::of_rate(0)), (10_000, RateLimit::default()));
    let shown = text(&world.up(&limited(fast)).ops);
    assert!(shown.contains("# --rate-out 1G --burst 6250000"), "{shown}");
    assert!(world.up(&request()).ops.is_empty(), "left out, it is as it is");
    let ops = world.up(&limited(slow)).ops;
    assert!(matches!(&ops[..], [op] if matches!(op.object, Object::EndpointLimits(_))), "{ops:?}");
    assert!(text(&ops).contains("100k out, none in") && text(&ops).contains("# --rate-out 100k --burst 65536"));
    let expected = Limits { outbound: slow, inbound: RateLimit::default() };
    assert_eq!(world.records.endpoints[0].limits, expected);
    // They outlive the veth pair.
    world.delete_link(&world.records.endpoints[0].host_if.clone());
    world.up(&request());
    assert_eq!(world.records.endpoints[0].limits, expected);
    world.up(&limited(RateLimit::default()));
    assert_eq!(world.records.endpoints[0].limits, Limits::default());
    assert!(world.up(&limited(RateLimit::default())).ops.is_empty());
}

#[test]
fn queues_are_as_fast_as_the_limit_says_and_hold_a_packet() {
    assert_eq!(RateLimit::default().shaper(1_500), None);
    let usual = RateLimit::of_rate(100_000_000).shaper(1_500).expect("a queue");
    assert_eq!(usual.words(), "tbf rate 100866658bit burst 50000 limit 625000");
    // Frames are 14 bytes longer: what is left of it is a little less than the limit.
    let of_packets = usual.rate * 1_500 / 1_514;
    assert!((99_900_000..100_000_000).contains(&of_packets), "{of_packets}");
    for (rate, mtu) in [(8_000, 1_500), (8_000, 65_535), (1_000_000_000_000, 68)] {
        let shaper = RateLimit::of_rate(rate).shaper(mtu).expect("a queue");
        assert!(shaper.burst > mtu + 14 && shaper.limit >= shaper.burst, "{shaper:?}");
    }
}

#[test]
fn limits_out_of_range_or_without_a_program_that_counts() {
    let world = World::new();
    let usage = |limit, words: &[&str]| refused(&world, &limited(limit), Kind::Usage, words);
    usage(RateLimit { rate: 7_999, burst: 1_500 }, &["--rate-out 7999", "8000", "100M"]);
    usage(RateLimit::of_rate(1_000_000_000_001), &["--rate-out 1000000000001"]);
    usage(
        RateLimit { rate: 8_000_000, burst: 1_499 },
        &["--burst 1499", "at 8Mbit/s", "1500", "65536 bytes are taken"],
    );
    usage(RateLimit { rate: 8_000_000, burst: 10_000_001 }, &["--burst 10000001", "10000000 bytes", "10 seconds"]);
    let by_kernel = |rate| limited(RateLimit::of_rate(rate)).with_options(|it| it.datapath = Some(Datapath::Kernel));
    let words = ["--rate-out 101G", "datapath kernel", "100 Gbit/s", "--datapath tc"];
    refused(&world, &by_kernel(101_000_000_000), Kind::Unsupported, &words);
    let kernel = by_kernel(100_000_000_000);
    let mut without = world.clone();
    without.no_shaper = true;
    let limit = limited(RateLimit::of_rate(100_000_000));
    refused(&without, &limit, Kind::Unsupported, &["--rate-out 100M", "sch_tbf", "CONFIG_NET_SCH_TBF"]);
    let inbound = AskedLimits { inbound: Some(RateLimit::of_rate(100_000_000)), outbound: Some(RateLimit::default()) };
    world.clone().up(&kernel.with_endpoint(|it| it.limits = inbound));
}

fn ruled(rules: &[&str]) -> UpRequest {
    let rule = |text: &&str| Rule::try_from((*text).to_owned()).expect("a rule");
    request().with_endpoint(|it| it.policy = Some(rules.iter().map(rule).collect()))
}

#[test]
fn rules_are_written_before_the_endpoint_is_attached_and_changed_without_it() {
    let mut world = World::new();
    world.up(&ruled(&["allow-out 10.0.0.0/8", "allow-out 10.0.0.0/8", "deny-in 0.0.0.0/0"]));
    let texts =
        |world: &World| -> Vec<String> { world.records.endpoints[0].policy.iter().map(ToString::to_string).collect() };
    assert_eq!(texts(&world), ["allow-out 10.0.0.0/8", "deny-in 0.0.0.0/0"]);
    assert!(world.up(&request()).ops.is_empty(), "what is not said stays");
    let ops = world.up(&ruled(&["deny-in 0.0.0.0/0"])).ops;
    assert!(matches!(&ops[..], [op] if matches!(op.object, Object::EndpointPolicy(_))), "{ops:?}");
    assert_eq!(texts(&world), ["deny-in 0.0.0.0/0"]);
    world.up(&ruled(&[]));
    assert!(texts(&world).is_empty());
}

#[test]
fn rules_are_those_of_nftables_where_the_kernel_forwards() {
    let mut world = World::new();
    let kernel = |rules: &[&str]| ruled(rules).with_options(|it| it.datapath = Some(Datapath::Kernel));
    let mut without = world.clone();
    without.no_bridge_filter = true;
    let words = ["--deny-out 10.0.0.0/8", "bridge", "br_netfilter"];
    refused(&without, &kernel(&["deny-out 10.0.0.0/8"]), Kind::Unsupported, &words);
    without.up(&kernel(&[]));
    world.up(&kernel(&["deny-out 10.0.0.0/8", "allow-in 192.0.2.0/24:80"]));
    let count = |world: &World| world.host.policy_rules.values().sum::<usize>();
    assert!(count(&world) > 0 && world.up(&request()).ops.is_empty(), "what is not said stays");
    let objects = |plan: &Plan| plan.ops.iter().map(|op| op.object.clone()).collect::<Vec<_>>();
    let changed = world.up(&ruled(&["deny-out 10.0.0.0/8"]));
    // The records last: until then the rules are written once more.
    let found = objects(&changed);
    assert!(matches!(&found[..], [Object::KernelPolicy(_), Object::EndpointPolicy(_)]), "{found:?}");
    world.host.policy_rules.clear();
    let mended = objects(&world.up(&request()));
    assert!(matches!(&mended[..], [Object::KernelPolicy(_)]), "{mended:?}");
    let mut bare = world.clone();
    bare.up(&ruled(&[]));
    assert_eq!(count(&bare), 0);
    world.down(Some("a"));
    assert_eq!(count(&world), 0, "they go with their endpoint");
}
