//! Whole connections, one after another, on two CPUs at once: none of their packets is lost, in a table that has room for all of them
//! and in one whose slots are recycled all the time.

use std::{net::SocketAddrV4, ops::RangeInclusive, thread};

use forwarder::{dataplane::Sizes, netns::Netns};
use forwarder_common::{abi::endpoint_flags, wire::l4::Proto};

use super::{
    fixture::{ADDRESS, Fixture, Member, with_endpoints},
    frame::{Frame, destination, source},
    pin_to,
};

/// The ephemeral ports of a namespace: nearly as many as the NAT range has, so that two namespaces take ports over from closed connections.
const EPHEMERAL: RangeInclusive<u16> = 32_768..=60_999;
const REDIRECT: i32 = 7;
const SYN: u8 = 0x02;
const SYN_ACK: u8 = 0x12;
const ACK: u8 = 0x10;
const FIN_ACK: u8 = 0x11;

/// A connection from its first segment to its last: what one side sends, the other gets.
#[track_caller]
fn converse(fixture: &Fixture, client: &Member, inside: SocketAddrV4, server: SocketAddrV4) {
    let out = |flags| {
        let out = fixture.run_from(client, &Frame::new(Proto::Tcp, inside, server).tcp_flags(flags).build());
        assert_eq!((out.verdict, destination(&out.packet)), (REDIRECT, server), "{inside}, flags {flags:#x}");
        source(&out.packet)
    };
    let nat = out(SYN);
    let back = |flags| {
        let back = fixture.run_from_uplink(&Frame::reply(Proto::Tcp, server, nat).tcp_flags(flags).build());
        let what = (back.verdict, destination(&back.packet));
        assert_eq!(what, (REDIRECT, inside), "{inside} behind {nat}, flags {flags:#x}");
    };
    back(SYN_ACK);
    for flags in [ACK, ACK, FIN_ACK] {
        assert_eq!(out(flags), nat, "{inside}: another port");
        back(flags);
    }
    assert_eq!(out(ACK), nat, "{inside}: another port");
}

/// As many connections as there are ephemeral ports on each of two CPUs, from an endpoint with these flags each.
#[track_caller]
fn connections_on_two_cpus(sizes: &Sizes, flags: u32) {
    with_endpoints(sizes, &[flags; 2], |fixture| {
        fixture.know_next_hop();
        let host = &Netns::current().unwrap();
        let server = SocketAddrV4::new(fixture.outside, 9_000);
        thread::scope(|scope| {
            for (cpu, client) in fixture.members.iter().enumerate() {
                scope.spawn(move || {
                    host.enter().unwrap();
                    pin_to(cpu);
                    for port in EPHEMERAL {
                        converse(fixture, client, SocketAddrV4::new(client.address, port), server);
                    }
                });
            }
        });
        assert_eq!(fixture.counted("PortsExhausted"), 0);
    });
}

#[test]
fn connections_on_two_cpus_lose_nothing() {
    connections_on_two_cpus(&Sizes::default(), 0);
}

#[test]
fn connections_on_two_cpus_lose_nothing_where_ports_are_mapped() {
    connections_on_two_cpus(&Sizes::default(), endpoint_flags::NAT_EIM);
}

#[test]
fn connections_on_two_cpus_lose_nothing_while_slots_are_recycled() {
    connections_on_two_cpus(&Sizes { max_flows: 200, max_flows_per_endpoint: 100, ..Sizes::default() }, 0);
}

#[test]
fn connections_of_one_namespace_never_collide() {
    with_endpoints(&Sizes::default(), &[0], |fixture| {
        fixture.know_next_hop();
        let server = SocketAddrV4::new(fixture.outside, 9_000);
        // As Linux numbers sockets: every other port, then the rest.
        for port in EPHEMERAL.step_by(2).chain(EPHEMERAL.skip(1).step_by(2)) {
            converse(fixture, &fixture.members[0], SocketAddrV4::new(ADDRESS, port), server);
        }
        let retries = fixture.dataplane.port_retries().unwrap();
        assert_eq!(retries[0], EPHEMERAL.len() as u64, "each has the first port that was tried: {retries:?}");
    });
}
