//! Packets of IPv6 from outside that begin a flow: to a published port, or where a network lets anyone write to its mapped ports. The packet in the map `PACKET6` is turned into what the endpoint would
//! have sent, for which everything is made as for a packet that it has sent, and back.

use forwarder_common::{
    abi::{External, FlowState, FlowVersion, SLOT_NONE, Tuple, feature},
    decide::unsolicited::{self, publish},
    flow::ipv6::fingerprint_of,
    types::{
        direction::Direction,
        verdict::{Code, DropReason},
    },
    wire::ipv6,
};

use crate::{
    kernel::{
        devices,
        global::Answer,
        maps::{EXTERNAL, INBOUND as CAME, PACKET6, config, secret},
        packet::skb::Skb,
        records,
        scratch::scratch,
        shared::Shared,
        sock::fwd_host_gets6,
    },
    path::{published, route::ipv6::inbound},
    table::{lookup, slot, usage::is_published},
};

/// The packet in the map `PACKET6`, which belongs to no flow: if it is for a published port, or for a mapping that lets anyone in, makes the flow. Returns its slot and version; or
/// no version, and [`Code::PASS`], because the packet is the host's, or the code of the reason to drop it.
#[inline(always)]
pub(super) fn open(skb: Skb) -> (u32, FlowVersion) {
    // Who publishes nothing, and lets nobody in, pays for no more than this.
    const BEGINS: u32 = feature::EIF | feature::PUBLISH;
    if config().is_none_or(|config| config.features & BEGINS == 0) {
        return none(Code::PASS);
    }
    fwd_open6_inbound(skb)
}

global_fn! {
    /// See [`open`].
    fn fwd_open6_inbound(skb: Skb) -> (u32, FlowVersion) = open_if_it_may;
    /// See [`for_publication`].
    fn fwd_for_publication6(skb: Skb, at_all: bool) -> Found = for_publication;
    /// See [`for_mapping`].
    fn fwd_for_mapping6(skb: Skb) -> Found = for_mapping;
    /// See [`turn`].
    fn fwd_turn6(host_veth: u32, port: u32) -> bool = turn;
    /// See [`turn_back`].
    fn fwd_turn6_back(slot: u32) -> (u32, FlowVersion) = turn_back;
}

/// No flow, for the reason with this code.
#[inline(always)]
const fn none(code: Code) -> (u32, FlowVersion) {
    (code.raw(), FlowVersion::NONE)
}

/// For whom a packet is, as global functions return it: what, above the port, above the host-side veth.
#[derive(Clone, Copy)]
struct Found(u64);

impl Found {
    /// It is for no endpoint.
    const NOBODYS: u16 = 0;
    /// It is for a published port that its sender may not use.
    const FORBIDDEN: u16 = 1;
    /// It is for a published port of an endpoint.
    const PUBLISHED: u16 = 2;
    /// It is for a mapping of an endpoint: the flow gets the port of that.
    const MAPPED: u16 = 3;

    /// For no endpoint, as far as this look-up knows.
    const NONE: Self = Self::new(Self::NOBODYS, 0, 0);

    /// For `port` (host byte order) of the endpoint behind `host_veth`, by what one of the constants says.
    #[inline(always)]
    const fn new(what: u16, port: u16, host_veth: u32) -> Self {
        Self((what as u64) << 48 | (port as u64) << 32 | host_veth as u64)
    }

    /// One of the constants of this type.
    #[inline(always)]
    const fn what(self) -> u16 {
        (self.0 >> 48) as u16
    }

    #[inline(always)]
    const fn port(self) -> u16 {
        (self.0 >> 32) as u16
    }

    #[inline(always)]
    const fn host_veth(self) -> u32 {
        self.0 as u32
    }
}

impl Answer for Found {
    type Raw = u64;

    const ABSENT: u64 = Self::NONE.0;

    #[inline(always)]
    fn raw(self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn decode(raw: u64) -> Self {
        Self(raw)
    }
}

#[inline(always)]
fn open_if_it_may(skb: Skb) -> (u32, FlowVersion) {
    let Some(packet) = scratch(&PACKET6) else { return none(Code::PASS) };
    let begins = unsolicited::may_begin(packet.tuple.proto, packet.tcp_flags);
    if !begins || !publish::is_host_address_v6(packet.src) {
        return none(Code::PASS);
    }
    let mut found = Found::NONE;
    if is_published(packet.tuple.proto, u16::from_ne_bytes(packet.tuple.dport)) {
        found = fwd_for_publication6(skb, false);
        if found.what() == Found::NOBODYS {
            found = fwd_for_publication6(skb, true);
        }
    }
    if found.what() == Found::NOBODYS {
        found = fwd_for_mapping6(skb);
    }
    if found.what() == Found::FORBIDDEN {
        return none(DropReason::NotPublishedTo.into());
    }
    if found.what() == Found::NOBODYS || !fwd_turn6(found.host_veth(), found.port().into()) {
        return none(Code::PASS);
    }
    let published = found.what() == Found::PUBLISHED;
    let opened = inbound::open_inbound(skb, &packet.tuple, published);
    match fwd_turn6_back(opened.slot()) {
        (_, version) if version.is_none() => none(opened.refusal(!published)),
        found => found,
    }
}

/// Whether the packet is for a port that is published at its very destination, or (`at_all`) at all addresses of the host, and whether its
/// sender may use it.
///
/// As of IPv4, what the host itself has begun stays its own.
#[inline(always)]
fn for_publication(skb: Skb, at_all: bool) -> Found {
    let Some(packet) = scratch(&PACKET6) else { return Found::NONE };
    let Some((publication, endpoint)) = published::find_ipv6(skb, packet, at_all) else { return Found::NONE };
    let elsewhere = !unsolicited::may_come_by(skb.ifindex(), endpoint);
    if skb.is_for_many() || elsewhere || fwd_host_gets6(skb, true) {
        return Found::NONE;
    }
    // From the host's own address comes what a namespace has sent to it: then there is the flow of that, for which was asked who may.
    if ipv6::is_same(packet.src, packet.dst) {
        if lookup::slot_of(Direction::Inbound, &packet.tuple.answer(packet.tuple.ifindex)) == SLOT_NONE {
            return Found::NONE;
        }
    } else if !published::admits_ipv6(publication, packet.src) {
        return Found::new(Found::FORBIDDEN, 0, 0);
    }
    let port = u16::from_be_bytes(publish::port_inside(publication, packet.tuple.dport));
    Found::new(Found::PUBLISHED, port, publication.endpoint)
}

/// Whether the packet is for a mapping that lets anyone in. As of IPv4, nothing is let in that a socket
/// of the host would get.
#[inline(always)]
fn for_mapping(skb: Skb) -> Found {
    let (Some(config), Some(packet)) = (config(), scratch(&PACKET6)) else { return Found::NONE };
    if config.features & feature::EIF == 0 {
        return Found::NONE;
    }
    let Tuple { daddr: addr, dport: port, proto, .. } = packet.tuple;
    // It may be recycled meanwhile: what is made of it is compared with the packet at the end.
    let Some(mapping) = Shared::value(&EXTERNAL, &External { addr, port, proto, _pad: 0 }) else { return Found::NONE };
    let internal = mapping.internal().read();
    let Some(endpoint) = records::endpoint(internal.endpoint) else { return Found::NONE };
    // A socket of another address of the namespace, which only `--allow-spoof` lets it have, is reached by nobody.
    let own = fingerprint_of(ipv6::words(endpoint.v6), &secret()) == u32::from_ne_bytes(internal.addr);
    let is_open = own && unsolicited::is_open(endpoint.flags, &internal, skb.ifindex());
    if !is_open || !devices::fwd_is_there(internal.endpoint) || fwd_host_gets6(skb, false) {
        return Found::NONE;
    }
    Found::new(Found::MAPPED, u16::from_be_bytes(internal.port), internal.endpoint)
}

/// Turns the packet, which is for `port` (host byte order) of the endpoint behind `host_veth`, into the one that the endpoint would have sent.
/// Its own tuple stands in the map `INBOUND` then.
#[inline(always)]
fn turn(host_veth: u32, port: u32) -> bool {
    let (Some(packet), Some(came), Some(endpoint)) =
        (scratch(&PACKET6), scratch(&CAME), records::endpoint_copy(host_veth))
    else {
        return false;
    };
    *came = packet.tuple;
    packet.external = packet.dst;
    packet.dst = packet.src;
    packet.src = endpoint.v6;
    packet.name(Direction::Outbound, ((port as u16).to_be_bytes(), came.sport), host_veth);
    true
}

/// Turns it back. Its flow, if that was made in `slot`, or by another CPU meanwhile if in none. A flow that is not the packet's, because the
/// mapping has changed meanwhile, nobody needs.
#[inline(always)]
fn turn_back(slot: u32) -> (u32, FlowVersion) {
    let (Some(packet), Some(came)) = (scratch(&PACKET6), scratch(&CAME)) else { return none(Code::PASS) };
    let made = lookup::matches(Direction::Outbound, slot, &packet.tuple);
    packet.src = packet.dst;
    packet.dst = packet.external;
    packet.tuple = *came;
    if slot == SLOT_NONE {
        return lookup::fwd_indexed(Direction::Inbound, &packet.tuple, lookup::hash(&packet.tuple));
    }
    let found = lookup::matches(Direction::Inbound, slot, &packet.tuple);
    if found.is_none() && made.state() as u8 == FlowState::HalfOpen as u8 {
        slot::fwd_flow_end(slot, made);
    }
    (slot, found)
}
