//! The kinds of packet that are measured.

use std::{net::SocketAddrV4, ops::Range, thread, time::Duration};

use forwarder::{
    Result,
    dataplane::{Hook, Sizes},
};
use forwarder_common::{
    types::direction::Direction,
    wire::{
        emit::{Ethernet, Packet},
        ethernet::ethertype,
    },
};

use crate::{
    bench::Bench,
    frame::{ICMP, TCP, TTL, UDP, packet},
};

pub(crate) const SYN: u8 = 0x02;
pub(crate) const ACK: u8 = 0x10;
const ECHO: u8 = 8;
const ECHO_REPLY: u8 = 0;
/// A port in the NAT range and one outside of it.
const IN_RANGE: u16 = 8_080;
const EPHEMERAL: u16 = 40_000;
/// The remote port of the host's own conversations: no endpoint has a flow towards it, whatever ports flows are given.
const HOSTS: u16 = 444;
/// The remote port towards which no external port is free.
const CROWDED: u16 = 445;

/// A packet to be measured.
pub(crate) struct Sample {
    pub(crate) hook: Hook,
    /// The interface by which it came in, where that is not the hook's: 0 for the host itself.
    pub(crate) ingress: Option<u32>,
    pub(crate) bytes: Vec<u8>,
}

/// How a kind is measured.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// The program leaves the packet as it was, or (TTL apart) translates it to itself: many runs over one packet.
    Repeated,
    /// A run changes the packet, or what the next run does: one run each, over a new packet.
    Single,
}

/// A kind of packet.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) mode: Mode,
    pub(crate) make: fn(&mut Bench) -> Result<Sample>,
}

pub(crate) const fn repeated(name: &'static str, make: fn(&mut Bench) -> Result<Sample>) -> Case {
    Case { name, mode: Mode::Repeated, make }
}

pub(crate) const fn single(name: &'static str, make: fn(&mut Bench) -> Result<Sample>) -> Case {
    Case { name, mode: Mode::Single, make }
}

/// Every kind, by hook.
pub(crate) const CASES: &[Case] = &[
    repeated("TCP, established", |bench| standing(bench, TCP, Direction::Outbound)),
    repeated("UDP, established", |bench| standing(bench, UDP, Direction::Outbound)),
    repeated("ICMP echo, established", |bench| standing(bench, ICMP, Direction::Outbound)),
    repeated("UDP to a neighbour", |bench| {
        let to = SocketAddrV4::new(bench.neighbour, 53);
        Ok(from_ns(bench, UDP, 0, to))
    }),
    repeated("punted: to the host", |bench| {
        let to = bench.host(53);
        Ok(from_ns(bench, UDP, 0, to))
    }),
    repeated("dropped: spoofed source", |bench| {
        let from = SocketAddrV4::new([10, 77, 0, 99].into(), EPHEMERAL);
        let bytes = bench.frame(bench.inner(), UDP, 0, from, bench.remote(53));
        Ok(Sample { hook: Hook::FromNs, ingress: None, bytes })
    }),
    repeated("dropped: IPv6", |bench| {
        let mut sample = from_ns(bench, UDP, 0, bench.remote(53));
        sample.bytes[12..14].copy_from_slice(&[0x86, 0xdd]);
        Ok(sample)
    }),
    single("TCP, first packet of a flow", |bench| Ok(fresh(bench, TCP, SYN))),
    single("UDP, first packet of a flow", |bench| Ok(fresh(bench, UDP, 0))),
    single("ICMP echo, first packet of a flow", |bench| Ok(fresh(bench, ICMP, ECHO))),
    single("first fragment of UDP", |bench| fragment_of(bench, 0..40)),
    single("later fragment of UDP", |bench| fragment_of(bench, 40..80)),
    single("ESP (no ports)", |bench| {
        let packet = Packet::other(*bench.inside(0).ip(), bench.outside, 50).ttl(TTL).payload(&[7; 40]);
        Ok(Sample { hook: Hook::FromNs, ingress: None, bytes: packet.in_frame(&bench.inner()) })
    }),
    repeated("TCP, established", |bench| standing(bench, TCP, Direction::Inbound)),
    repeated("UDP, established", |bench| standing(bench, UDP, Direction::Inbound)),
    repeated("ICMP echo reply, established", |bench| standing(bench, ICMP, Direction::Inbound)),
    repeated("host's TCP", |bench| Ok(to_host(bench, TCP, EPHEMERAL))),
    repeated("host's UDP", |bench| Ok(to_host(bench, UDP, EPHEMERAL))),
    repeated("host's TCP, port in the NAT range", |bench| Ok(to_host(bench, TCP, IN_RANGE))),
    repeated("host's UDP, port in the NAT range", |bench| Ok(to_host(bench, UDP, IN_RANGE))),
    repeated("host's ICMP echo request", |bench| {
        let bytes = bench.frame(bench.outer(), ICMP, ECHO, bench.remote(7), bench.host(7));
        Ok(Sample { hook: Hook::FromUplink, ingress: None, bytes })
    }),
    repeated("dropped: direct to an endpoint", |bench| {
        let bytes = bench.frame(bench.outer(), TCP, SYN, bench.remote(443), bench.inside(22));
        Ok(Sample { hook: Hook::FromUplink, ingress: None, bytes })
    }),
    single("ICMP error about a flow", |bench| {
        let external = open(bench, UDP)?;
        let about = packet(UDP, 0, bench.host(external), bench.remote(443)).emit();
        // Of the packet it carries the header and 8 bytes.
        let error = Packet::icmp_error(bench.router, bench.nat, 11, 0, &about[..28]).ttl(TTL).fragmentation(0);
        Ok(Sample { hook: Hook::FromUplink, ingress: None, bytes: error.in_frame(&bench.outer()) })
    }),
    repeated("redirected by from_ns", |bench| {
        let bytes = bench.frame(outward(bench), TCP, ACK, bench.host(IN_RANGE), bench.remote(443));
        Ok(Sample { hook: Hook::ToUplink, ingress: Some(bench.host_veth), bytes })
    }),
    repeated("forwarded for others, port in NAT range", |bench| {
        let bytes = bench.frame(outward(bench), TCP, ACK, bench.host(IN_RANGE), bench.remote(443));
        Ok(Sample { hook: Hook::ToUplink, ingress: Some(bench.uplink), bytes })
    }),
    repeated("host's TCP", |bench| Ok(by_host(bench, TCP, ACK, EPHEMERAL))),
    repeated("host's UDP", |bench| Ok(by_host(bench, UDP, 0, EPHEMERAL))),
    repeated("host's TCP, port in the NAT range", |bench| Ok(by_host(bench, TCP, ACK, IN_RANGE))),
    repeated("host's UDP, port in the NAT range", |bench| Ok(by_host(bench, UDP, 0, IN_RANGE))),
    repeated("host's ICMP echo reply", |bench| Ok(by_host(bench, ICMP, ECHO_REPLY, EPHEMERAL))),
    single("forwarded by the kernel for an endpoint", |bench| {
        let port = bench.port();
        bench.open(UDP, port, 443)?;
        let bytes = bench.frame(outward(bench), UDP, 0, bench.inside(port), bench.remote(443));
        Ok(Sample { hook: Hook::ToUplink, ingress: Some(bench.endpoint.network), bytes })
    }),
];

/// First packets towards a destination for which [`take_every_port`] was called: no port is free, and nobody has to give one.
pub(crate) const EXHAUSTED: [Case; 2] = [
    single("dropped: no port is free, searched", |bench| {
        thread::sleep(FORGOTTEN);
        Ok(crowd(bench))
    }),
    single("dropped: no port is free, known", |bench| {
        let Sample { hook, bytes, .. } = crowd(bench);
        bench.run(hook, None, &bytes, 1)?;
        Ok(crowd(bench))
    }),
];
/// Longer than a search in vain is remembered: a jiffy of the slowest clock.
const FORGOTTEN: Duration = Duration::from_millis(15);

fn crowd(bench: &mut Bench) -> Sample {
    let from = bench.port();
    let bytes = bench.frame(bench.inner(), TCP, SYN, bench.inside(from), bench.remote(CROWDED));
    Sample { hook: Hook::FromNs, ingress: None, bytes }
}

/// Has the endpoint take every port of the NAT range towards one destination, by established flows.
pub(crate) fn take_every_port(bench: &Bench) -> Result<()> {
    // Ports of the range itself are translated one to one.
    let (first, last) = Sizes::default().nat_ports;
    (first..=last).try_for_each(|port| bench.open(TCP, port, CROWDED).map(drop))
}

/// The MACs of a frame that leaves by the uplink.
fn outward(bench: &Bench) -> Ethernet {
    bench.outer().reversed()
}

fn standing(bench: &mut Bench, proto: u8, direction: Direction) -> Result<Sample> {
    let port = bench.port();
    let (hook, bytes) = bench.standing(proto, direction, port)?;
    Ok(Sample { hook, ingress: None, bytes })
}

fn open(bench: &mut Bench, proto: u8) -> Result<u16> {
    let port = bench.port();
    bench.open(proto, port, 443)
}

fn from_ns(bench: &Bench, proto: u8, flags: u8, to: SocketAddrV4) -> Sample {
    let bytes = bench.frame(bench.inner(), proto, flags, bench.inside(EPHEMERAL), to);
    Sample { hook: Hook::FromNs, ingress: None, bytes }
}

fn fresh(bench: &mut Bench, proto: u8, flags: u8) -> Sample {
    let from = bench.port();
    let bytes = bench.frame(bench.inner(), proto, flags, bench.inside(from), bench.remote(443));
    Sample { hook: Hook::FromNs, ingress: None, bytes }
}

/// A fragment of a datagram of an established flow: these of its 80 bytes. A later one follows its first.
fn fragment_of(bench: &mut Bench, range: Range<usize>) -> Result<Sample> {
    let port = bench.port();
    bench.open(UDP, port, 443)?;
    let whole = packet(UDP, 0, bench.inside(port), bench.remote(443)).id(port).payload(&[0x55; 72]);
    let make = |range: Range<usize>| {
        let more = range.end < 80;
        bench.inner().around(ethertype::IPV4, &whole.fragment(range, more))
    };
    if range.start != 0 {
        bench.run(Hook::FromNs, None, &make(0..range.start), 1)?;
    }
    Ok(Sample { hook: Hook::FromNs, ingress: None, bytes: make(range) })
}

fn to_host(bench: &Bench, proto: u8, port: u16) -> Sample {
    let bytes = bench.frame(bench.outer(), proto, ACK, bench.remote(HOSTS), bench.host(port));
    Sample { hook: Hook::FromUplink, ingress: None, bytes }
}

fn by_host(bench: &Bench, proto: u8, flags: u8, port: u16) -> Sample {
    let bytes = bench.frame(outward(bench), proto, flags, bench.host(port), bench.remote(HOSTS));
    Sample { hook: Hook::ToUplink, ingress: Some(0), bytes }
}
