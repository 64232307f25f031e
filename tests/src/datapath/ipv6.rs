//! IPv6 through the loaded programs: what a namespace may send goes on to the kernel, and nothing else comes by.

use std::{
    net::{Ipv6Addr, SocketAddrV6},
    process::Command,
};

use forwarder::dataplane::Sizes;
use forwarder_common::{
    abi::endpoint_flags,
    wire::{
        emit::{Discovery, Ethernet, Extension, Ipv6Packet, mac_option},
        ethernet::ethertype,
        icmpv6,
        ndisc::{flag, kind, option},
    },
};

use super::{
    fixture::{ADDRESS_V6, Fixture, GATEWAY_MAC, GATEWAY_V6, MAC, with_fixture, with_ipv6},
    frame::ETHERNET,
};

pub(super) const NEXT: i32 = -1;
const DROP: i32 = 2;
pub(super) const REDIRECT: i32 = 7;
pub(super) const OUTSIDE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
/// An address of the uplink, behind which the kernel masquerades.
const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const NEIGHBOUR: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xf3d, 1, 0, 0, 0, 0, 3);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x77, 0xaff, 0xfe4d, 2);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const NOBODY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

pub(super) fn udp(from: Ipv6Addr, to: Ipv6Addr) -> Ipv6Packet {
    Ipv6Packet::udp(SocketAddrV6::new(from, 40_000, 0, 0), SocketAddrV6::new(to, 53, 0, 0)).payload(b"query")
}

pub(super) fn frame(packet: &Ipv6Packet) -> Vec<u8> {
    packet.in_frame(&ETHERNET)
}

fn discovery(from: Ipv6Addr, kind: u8, target: Ipv6Addr, options: &[u8]) -> Ipv6Packet {
    Ipv6Packet::discovery(from, ALL_NODES, &Discovery::new(kind, target, options))
}

/// The frame goes on to the kernel as it is, counted for `reason`.
#[track_caller]
fn goes_on(fixture: &Fixture, reason: &str, packet: &Ipv6Packet) {
    let (before, frame) = (fixture.counted(reason), frame(packet));
    let run = fixture.run_from_ns(&frame);
    assert_eq!((run.verdict, run.packet), (NEXT, frame), "{packet:?}");
    assert_eq!(fixture.counted(reason), before + 1, "{reason}: {packet:?}");
}

#[track_caller]
fn refused(fixture: &Fixture, reason: &str, packet: &Ipv6Packet) {
    let before = fixture.counted(reason);
    assert_eq!(fixture.run_from_ns(&frame(packet)).verdict, DROP, "{reason}: {packet:?}");
    assert_eq!(fixture.counted(reason), before + 1, "{reason}: {packet:?}");
}

/// A packet for which there is no flow: of SCTP.
fn without_flow(from: Ipv6Addr, to: Ipv6Addr) -> Ipv6Packet {
    Ipv6Packet::other(from, to, 132).payload(&[0; 12])
}

#[test]
fn ipv6_without_a_flow_goes_on_to_the_kernel() {
    with_ipv6(&[0], |fixture| {
        goes_on(fixture, "KernelIpv6", &without_flow(ADDRESS_V6, OUTSIDE));
        goes_on(fixture, "KernelIpv6", &udp(ADDRESS_V6, "fe80::1".parse().unwrap()));
        goes_on(fixture, "Multicast", &udp(LINK_LOCAL, "ff02::fb".parse().unwrap()));
        goes_on(fixture, "TtlExceeded", &udp(ADDRESS_V6, OUTSIDE).hop_limit(1));
        goes_on(fixture, "KernelIpv6", &discovery(ADDRESS_V6, kind::NEIGHBOUR_SOLICITATION, NEIGHBOUR, &[]));
        goes_on(fixture, "KernelIpv6", &discovery(NOBODY, kind::NEIGHBOUR_SOLICITATION, ADDRESS_V6, &[]));
        assert!(fixture.dataplane.flows().unwrap().is_empty());
    });
}

#[test]
fn frames_for_the_gateway_are_addressed_to_the_bridge() {
    with_ipv6(&[0], |fixture| {
        let mut record = fixture.dataplane.endpoint(fixture.host_veth).unwrap().unwrap();
        record.gateway_mac = [2, 0x67, 10, 77, 0, 1];
        fixture.dataplane.put_endpoint(fixture.host_veth, &record).unwrap();
        let sent = without_flow(ADDRESS_V6, OUTSIDE).in_frame(&Ethernet::new(record.gateway_mac, MAC));
        let expected = without_flow(ADDRESS_V6, OUTSIDE).in_frame(&Ethernet::new(GATEWAY_MAC, MAC));
        let run = fixture.run_from_ns(&sent);
        assert_eq!((run.verdict, run.packet), (NEXT, expected));
    });
}

#[test]
fn who_asks_for_the_gateway_is_told_the_address_that_nobody_has() {
    with_ipv6(&[0], |fixture| {
        let mut record = fixture.dataplane.endpoint(fixture.host_veth).unwrap().unwrap();
        record.gateway_mac = [2, 0x67, 10, 77, 0, 1];
        fixture.dataplane.put_endpoint(fixture.host_veth, &record).unwrap();
        let options = mac_option(option::SOURCE_MAC, MAC);
        let question = frame(&discovery(ADDRESS_V6, kind::NEIGHBOUR_SOLICITATION, GATEWAY_V6, &options));
        let told = mac_option(option::TARGET_MAC, record.gateway_mac);
        let flags = flag::ROUTER | flag::SOLICITED | flag::OVERRIDE;
        let message = Discovery { flags, ..Discovery::new(kind::NEIGHBOUR_ADVERTISEMENT, GATEWAY_V6, &told) };
        let answer = Ipv6Packet::discovery(GATEWAY_V6, ADDRESS_V6, &message);
        let expected = answer.in_frame(&Ethernet::new(MAC, record.gateway_mac));
        let run = fixture.run_from_ns(&question);
        assert_eq!((run.verdict, run.packet), (REDIRECT, expected));
        goes_on(fixture, "KernelIpv6", &discovery(ADDRESS_V6, kind::NEIGHBOUR_SOLICITATION, NEIGHBOUR, &options));
    });
}

#[test]
fn neighbours_get_packets_straight_from_each_other() {
    with_ipv6(&[0, 0, endpoint_flags::NO_ICC], |fixture| {
        let [one, other, apart] = [0, 1, 2].map(|number| fixture.members[number]);
        // By whatever hardware address it was sent: the gateway's, here.
        let sent = frame(&udp(one.address_v6(), other.address_v6()));
        let mut expected = sent.clone();
        expected[5] = 3;
        expected[..5].copy_from_slice(&MAC[..5]);
        let run = fixture.run_from(&one, &sent);
        assert_eq!((run.verdict, run.packet), (REDIRECT, expected));
        assert_eq!((fixture.counted("KernelIpv6"), fixture.counted("PeerIsolated")), (0, 0));
        let frame =
            udp(apart.address_v6(), one.address_v6()).in_frame(&Ethernet::new(GATEWAY_MAC, [2, 0x77, 10, 77, 0, 4]));
        assert_eq!((fixture.run_from(&apart, &frame).verdict, fixture.counted("PeerIsolated")), (DROP, 1));
    });
}

#[test]
fn what_leaves_by_no_uplink_is_refused_for_its_reason() {
    with_ipv6(&[endpoint_flags::UPLINK_BOUND], |fixture| {
        let route = |arguments: &[&str]| {
            assert!(Command::new("ip").args(["-6", "route", "add"]).args(arguments).status().unwrap().success());
        };
        goes_on(fixture, "ToHost", &udp(ADDRESS_V6, fixture.host_v6));
        route(&["unreachable", "2001:db8:aaaa::/48"]);
        goes_on(fixture, "Unreachable", &udp(ADDRESS_V6, "2001:db8:aaaa::1".parse().unwrap()));
        let other = ["link", "add", "other0", "type", "bridge"];
        assert!(Command::new("ip").args(other).status().unwrap().success());
        assert!(Command::new("ip").args(["link", "set", "other0", "up"]).status().unwrap().success());
        route(&["2001:db8:bbbb::/48", "dev", "other0"]);
        refused(fixture, "RouteNotViaUplink", &udp(ADDRESS_V6, "2001:db8:bbbb::1".parse().unwrap()));
        let own = udp(ADDRESS_V6, "fd00:f3d:1::77".parse().unwrap());
        route(&["fd00:f3d:1::/64", "dev", "fwd0"]);
        goes_on(fixture, "OwnNetwork", &own);
    });
}

/// A network that follows the host's routes leaves by no interface that no program guards.
#[test]
fn what_no_program_guards_is_refused_and_its_sender_is_told() {
    with_ipv6(&[0], |fixture| {
        for line in ["link add other0 type bridge", "link set other0 up", "-6 route add 2001:db8:bbbb::/48 dev other0"]
        {
            assert!(Command::new("ip").args(line.split(' ')).status().unwrap().success(), "{line}");
        }
        let to = "2001:db8:bbbb::1".parse().unwrap();
        let sent = frame(&udp(ADDRESS_V6, to));
        let run = fixture.run_from_ns(&sent);
        assert_eq!((run.verdict, fixture.counted("UplinkUnguarded")), (REDIRECT, 1));
        assert_eq!((&run.packet[..6], &run.packet[54..56]), (&MAC[..], &[1, 1][..]), "RFC 4443");
        assert_eq!(run.packet[62..], sent[14..62]);
        // Whose socket could not be found is not told.
        refused(fixture, "UplinkUnguarded", &without_flow(ADDRESS_V6, to));
    });
}

#[test]
fn an_endpoint_sends_ipv6_from_its_own_address_alone() {
    with_ipv6(&[0, endpoint_flags::ALLOW_SPOOF], |fixture| {
        for source in [NEIGHBOUR, GATEWAY_V6, OUTSIDE, LINK_LOCAL, NOBODY, Ipv6Addr::LOCALHOST] {
            refused(fixture, "SpoofedSource", &udp(source, OUTSIDE));
        }
        for to in ["::1", "::", "::ffff:127.0.0.1", "ff01::1"] {
            refused(fixture, "Martian", &udp(ADDRESS_V6, to.parse().unwrap()));
        }
        let other_mac = without_flow(ADDRESS_V6, OUTSIDE).in_frame(&Ethernet::new(GATEWAY_MAC, [2; 6]));
        assert_eq!(fixture.run_from_ns(&other_mac).verdict, DROP);
        assert_eq!(fixture.counted("SpoofedMac"), 1);
        let spoofed = |source| fixture.run_from(&fixture.members[1], &frame(&udp(source, OUTSIDE))).verdict;
        assert_eq!((spoofed(OUTSIDE), spoofed(Ipv6Addr::LOCALHOST)), (REDIRECT, DROP));
    });
}

#[test]
fn neighbour_discovery_for_others_is_dropped() {
    with_ipv6(&[0], |fixture| {
        let own_mac = mac_option(option::TARGET_MAC, MAC);
        goes_on(fixture, "KernelIpv6", &discovery(ADDRESS_V6, kind::NEIGHBOUR_ADVERTISEMENT, ADDRESS_V6, &own_mac));
        for target in [GATEWAY_V6, NEIGHBOUR, "fe80::1".parse().unwrap()] {
            refused(fixture, "NdSpoof", &discovery(ADDRESS_V6, kind::NEIGHBOUR_ADVERTISEMENT, target, &own_mac));
            refused(fixture, "NdSpoof", &discovery(NOBODY, kind::NEIGHBOUR_SOLICITATION, target, &[]));
        }
        let other_mac = mac_option(option::SOURCE_MAC, [2; 6]);
        for kind in [kind::NEIGHBOUR_SOLICITATION, kind::NEIGHBOUR_ADVERTISEMENT] {
            refused(fixture, "NdSpoof", &discovery(ADDRESS_V6, kind, ADDRESS_V6, &other_mac));
        }
        refused(fixture, "NdSpoof", &discovery(LINK_LOCAL, kind::ROUTER_SOLICITATION, NOBODY, &other_mac));
        let hidden = discovery(ADDRESS_V6, kind::NEIGHBOUR_ADVERTISEMENT, NEIGHBOUR, &own_mac);
        refused(fixture, "NdSpoof", &hidden.clone().extension(Extension::Destination(vec![0; 14])));
        let first = Extension::Fragment { start: 0, more: true, id: 1 };
        refused(fixture, "ExtensionHeaders", &hidden.extension(first));
        for kind in [kind::ROUTER_ADVERTISEMENT, kind::REDIRECT] {
            refused(fixture, "NdRouter", &discovery(LINK_LOCAL, kind, OUTSIDE, &[]));
        }
        let query = Ipv6Packet::icmp(LINK_LOCAL, ALL_NODES, icmpv6::kind::LISTENER_QUERY, 0).payload(&[0; 20]);
        refused(fixture, "NdRouter", &query.extension(Extension::HopByHop(vec![5, 2, 0, 0])));
    });
}

#[test]
fn an_endpoint_is_no_router_that_tells_what_others_were_sent() {
    with_ipv6(&[0], |fixture| {
        let error = |kind, about: &Ipv6Packet| Ipv6Packet::icmp(ADDRESS_V6, OUTSIDE, kind, 0).payload(&about.emit());
        for kind in [icmpv6::kind::UNREACHABLE, icmpv6::kind::TOO_BIG] {
            goes_on(fixture, "KernelIpv6", &error(kind, &udp(OUTSIDE, ADDRESS_V6)));
            refused(fixture, "IcmpType", &error(kind, &udp(OUTSIDE, HOST)));
            let first = Extension::Fragment { start: 0, more: true, id: 1 };
            refused(fixture, "IcmpType", &error(kind, &udp(OUTSIDE, ADDRESS_V6)).extension(first));
        }
    });
}

#[test]
fn broken_ipv6_is_dropped_for_its_reason() {
    with_ipv6(&[0], |fixture| {
        let many = (0..7).fold(udp(ADDRESS_V6, OUTSIDE), |packet, _| packet.extension(Extension::Destination(vec![])));
        refused(fixture, "ExtensionHeaders", &many);
        refused(fixture, "ExtensionHeaders", &udp(ADDRESS_V6, OUTSIDE).extension(Extension::Destination(vec![0; 200])));
        let routing = Extension::Routing { kind: 0, segments_left: 1, data: vec![0; 20] };
        refused(fixture, "SourceRoute", &udp(ADDRESS_V6, OUTSIDE).extension(routing));
        refused(fixture, "Malformed", &udp(ADDRESS_V6, OUTSIDE).payload_len(14));
        refused(fixture, "Malformed", &udp(ADDRESS_V6, OUTSIDE).payload_len(0));
        refused(fixture, "Truncated", &udp(ADDRESS_V6, OUTSIDE).payload_len(7));
    });
}

#[test]
fn the_programs_of_ipv6_come_with_the_first_network_that_has_it_and_stay_small() {
    const PROGRAMS: [&str; 5] =
        ["from_ns_ipv6", "from_ns_ipv6_slow", "from_uplink_ipv6", "from_uplink_ipv6_slow", "to_uplink_ipv6"];
    let sizes = |fixture: &Fixture| {
        let sizes = fixture.dataplane.program_sizes().unwrap();
        PROGRAMS.map(|name| sizes.iter().find(|size| size.program == name).map(|size| size.verified))
    };
    let memory = std::sync::OnceLock::new();
    with_fixture(&Sizes::default(), |fixture| {
        assert_eq!(sizes(fixture), [None; 5]);
        memory.set(fixture.dataplane.memory().unwrap()).unwrap();
    });
    with_ipv6(&[0], |fixture| {
        for (program, verified) in PROGRAMS.iter().zip(sizes(fixture)) {
            let verified = verified.expect("it is loaded");
            println!("{program}: {verified} instructions verified");
            // The headers behind one another are followed in every order.
            assert!((1..100_000).contains(&verified), "{program}: {verified} instructions verified");
        }
        // A cache line for each slot, and nothing else.
        let more = fixture.dataplane.memory().unwrap() - memory.get().unwrap();
        assert!((8_000_000..9_500_000).contains(&more), "{more} bytes");
    });
}

#[test]
fn an_endpoint_without_ipv6_sends_none() {
    with_fixture(&Sizes::default(), |fixture| {
        refused(fixture, "Ipv6", &udp(ADDRESS_V6, OUTSIDE));
        refused(fixture, "Ipv6", &discovery(NOBODY, kind::NEIGHBOUR_SOLICITATION, LINK_LOCAL, &[]));
    });
}

#[test]
fn what_comes_in_by_an_uplink_is_the_hosts_unless_it_is_to_or_from_an_endpoint() {
    let host_own = [
        udp(OUTSIDE, HOST),
        discovery("fe80::1".parse().unwrap(), kind::ROUTER_ADVERTISEMENT, NOBODY, &[]),
        discovery("fe80::1".parse().unwrap(), kind::NEIGHBOUR_SOLICITATION, HOST, &[]),
        Ipv6Packet::icmp("fe80::1".parse().unwrap(), ALL_NODES, icmpv6::kind::LISTENER_QUERY, 0).payload(&[0; 20]),
    ];
    let run = |fixture: &Fixture, packet: &Ipv6Packet| {
        let run = fixture.run_from_uplink(&frame(packet));
        assert_eq!(run.packet, frame(packet));
        run.verdict
    };
    with_ipv6(&[0], |fixture| {
        for packet in &host_own {
            assert_eq!(run(fixture, packet), NEXT, "{packet:?}");
        }
        assert_eq!((run(fixture, &udp(OUTSIDE, ADDRESS_V6)), fixture.counted("DirectToEndpoint")), (DROP, 1));
        assert_eq!((run(fixture, &udp(ADDRESS_V6, HOST)), fixture.counted("Martian")), (DROP, 1));
    });
    with_fixture(&Sizes::default(), |fixture| {
        for packet in host_own.iter().chain([&udp(OUTSIDE, ADDRESS_V6), &udp(ADDRESS_V6, HOST)]) {
            assert_eq!(run(fixture, packet), NEXT, "no network has that: {packet:?}");
        }
    });
}

#[test]
fn no_address_of_a_network_leaves_by_an_uplink() {
    with_ipv6(&[0], |fixture| {
        let host_own = [
            udp(HOST, OUTSIDE),
            discovery("fe80::2".parse().unwrap(), kind::ROUTER_SOLICITATION, NOBODY, &[]),
            discovery(NOBODY, kind::NEIGHBOUR_SOLICITATION, HOST, &[]),
            discovery(HOST, kind::NEIGHBOUR_ADVERTISEMENT, HOST, &[]),
            Ipv6Packet::icmp("fe80::2".parse().unwrap(), ALL_NODES, icmpv6::kind::LISTENER_REPORT_V2, 0),
        ];
        for (packet, ingress) in host_own.iter().flat_map(|packet| [(packet, 0), (packet, fixture.network)]) {
            let run = fixture.run_to_uplink(ingress, &frame(packet));
            assert_eq!((run.verdict, run.packet), (NEXT, frame(packet)), "{packet:?}");
        }
        for (number, (source, ingress)) in
            (1..).zip([(ADDRESS_V6, fixture.network), (NEIGHBOUR, fixture.network), (GATEWAY_V6, 0)])
        {
            assert_eq!(fixture.run_to_uplink(ingress, &frame(&udp(source, OUTSIDE))).verdict, DROP, "{source}");
            assert_eq!(fixture.counted("Untranslated"), number, "{source}");
        }
        assert_eq!(fixture.run_to_uplink(fixture.network, &frame(&udp(ADDRESS_V6, ALL_NODES))).verdict, DROP);
        assert_eq!(fixture.counted("MulticastOutside"), 1, "what the host's multicast routing would send out");
        let tagged = ETHERNET.tagged(ethertype::VLAN, 5);
        assert_eq!(fixture.run_to_uplink(0, &udp(ADDRESS_V6, OUTSIDE).in_frame(&tagged)).verdict, DROP);
        assert_eq!(fixture.run_to_uplink(0, &udp(HOST, OUTSIDE).in_frame(&tagged)).verdict, NEXT);
    });
}

#[test]
fn into_a_network_comes_what_its_uplink_brings_and_what_is_its_own() {
    with_ipv6(&[0], |fixture| {
        let reply = frame(&udp(OUTSIDE, ADDRESS_V6));
        for ingress in [0, fixture.network, fixture.host_veth, fixture.uplink] {
            assert_eq!(fixture.run_to_network(ingress, &reply).verdict, NEXT, "{ingress}");
        }
        // The host's loopback stands for any other interface.
        assert_eq!((fixture.run_to_network(1, &reply).verdict, fixture.counted("FromOtherInterface")), (DROP, 1));
        let to_group = frame(&udp(OUTSIDE, ALL_NODES));
        assert_eq!(
            (fixture.run_to_network(fixture.uplink, &to_group).verdict, fixture.counted("MulticastOutside")),
            (DROP, 1)
        );
        let to_nobody = frame(&udp(OUTSIDE, NEIGHBOUR));
        assert_eq!(fixture.run_to_network(fixture.uplink, &to_nobody).verdict, DROP);
        assert_eq!(fixture.counted("FromOtherInterface"), 2);
    });
}
