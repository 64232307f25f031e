//! Packets of IPv6.

use std::net::{Ipv6Addr, SocketAddrV6};

use forwarder::{Error, Kind, Result, dataplane::Hook};
use forwarder_common::types::direction::Direction;

use crate::{
    bench::Bench,
    cases::{ACK, Case, SYN, Sample, repeated, single},
    frame::{TCP, UDP, packet_v6},
};

const REMOTE: u16 = 443;

/// Every kind, by hook.
pub(crate) const CASES: &[Case] = &[
    repeated("IPv6: TCP, established", |bench| standing(bench, TCP, Direction::Outbound)),
    repeated("IPv6: UDP, established", |bench| standing(bench, UDP, Direction::Outbound)),
    single("IPv6: TCP, first packet of a flow", |bench| Ok(fresh(bench, TCP))),
    single("IPv6: UDP, first packet of a flow", |bench| Ok(fresh(bench, UDP))),
    repeated("IPv6: TCP, established", |bench| standing(bench, TCP, Direction::Inbound)),
    repeated("IPv6: UDP, established", |bench| standing(bench, UDP, Direction::Inbound)),
    repeated("IPv6: host's TCP", |bench| {
        let packet = packet_v6(TCP, ACK, remote(bench), host(bench, 40_000));
        Ok(Sample { hook: Hook::FromUplink, ingress: None, bytes: packet.in_frame(&bench.outer()) })
    }),
    repeated("IPv6: redirected by from_ns", |bench| {
        let packet = packet_v6(TCP, ACK, host(bench, 8_080), remote(bench));
        let bytes = packet.in_frame(&bench.outer().reversed());
        Ok(Sample { hook: Hook::ToUplink, ingress: Some(bench.host_veth), bytes })
    }),
    repeated("IPv6: host's TCP", |bench| {
        let packet = packet_v6(TCP, ACK, host(bench, 40_000), remote(bench));
        let bytes = packet.in_frame(&bench.outer().reversed());
        Ok(Sample { hook: Hook::ToUplink, ingress: Some(0), bytes })
    }),
];

fn socket(addr: Ipv6Addr, port: u16) -> SocketAddrV6 {
    SocketAddrV6::new(addr, port, 0, 0)
}

fn remote(bench: &Bench) -> SocketAddrV6 {
    socket(bench.ipv6.outside, REMOTE)
}

fn host(bench: &Bench, port: u16) -> SocketAddrV6 {
    socket(bench.ipv6.address, port)
}

fn inside(bench: &Bench, port: u16) -> SocketAddrV6 {
    socket(bench.endpoint.v6.into(), port)
}

fn fresh(bench: &mut Bench, proto: u8) -> Sample {
    let port = bench.port();
    let packet = packet_v6(proto, SYN, inside(bench, port), remote(bench));
    Sample { hook: Hook::FromNs, ingress: None, bytes: packet.in_frame(&bench.inner()) }
}

/// A frame of an established flow that looks the same after its translation, but for the hop limit.
fn standing(bench: &mut Bench, proto: u8, direction: Direction) -> Result<Sample> {
    let port = bench.port();
    let (inside, remote) = (inside(bench, port), remote(bench));
    let out =
        |flags| bench.run(Hook::FromNs, None, &packet_v6(proto, flags, inside, remote).in_frame(&bench.inner()), 1);
    let first = out(SYN)?;
    let external = host(bench, u16::from_be_bytes([first.packet[14 + 40], first.packet[14 + 41]]));
    let reply = packet_v6(proto, SYN | ACK, remote, external).in_frame(&bench.outer());
    let back = bench.run(Hook::FromUplink, None, &reply, 1)?;
    if (first.verdict, back.verdict) != (7, 7) {
        return Err(Error::new(Kind::Failed, "open", format!("a flow of protocol {proto}"), "it was not answered"));
    }
    out(ACK)?;
    let (hook, ethernet, from, to) = match direction {
        Direction::Outbound => (Hook::FromNs, bench.inner(), inside, remote),
        Direction::Inbound => (Hook::FromUplink, bench.outer(), remote, external),
    };
    bench.dataplane.translate_to_itself_v6(proto, (from, to), direction)?;
    let bytes = packet_v6(proto, ACK, from, to).in_frame(&ethernet);
    Ok(Sample { hook, ingress: None, bytes })
}
