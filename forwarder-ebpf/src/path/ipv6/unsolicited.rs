//! Packets of IPv6 from outside that begin a flow: to a published port. The packet in the map `PACKET6` is turned into what the endpoint would
//! have sent, for which everything is made as for a packet that it has sent, and back.

use forwarder_common::{
    abi::{FlowVersion, SLOT_NONE},
    decide::unsolicited::{self, publish},
    types::{
        direction::Direction,
        verdict::{Code, DropReason},
    },
    wire::ipv6,
};

use crate::{
    kernel::{
        maps::{INBOUND as CAME, PACKET6},
        packet::skb::Skb,
        records,
        scratch::scratch,
        sock::fwd_host_converses6,
    },
    path::{published, route::ipv6::inbound},
    table::{lookup, usage::is_published},
};

/// The packet in the map `PACKET6`, which belongs to no flow: if it is for a published port, makes the flow. Returns its slot and version; or
/// no version, and [`Code::PASS`], because the packet is the host's, or the code of the reason to drop it.
#[inline(always)]
pub(super) fn open(skb: Skb) -> (u32, FlowVersion) {
    fwd_open6_inbound(skb)
}

global_fn! {
    /// See [`open`].
    fn fwd_open6_inbound(skb: Skb) -> (u32, FlowVersion) = open_if_it_may;
    /// See [`for_publication`].
    fn fwd_for_publication6(skb: Skb, at_all: bool) -> u64 = for_publication;
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

/// What [`for_publication`] says: the packet is for no endpoint.
const NOBODYS: u64 = 0;
/// It is for a published port that its sender may not use.
const FORBIDDEN: u64 = 1;
/// It is for the endpoint behind the host-side veth in the low half, and the port above that.
const FOUND: u64 = 1 << 63;

#[inline(always)]
fn open_if_it_may(skb: Skb) -> (u32, FlowVersion) {
    let Some(packet) = scratch(&PACKET6) else { return none(Code::PASS) };
    let begins = unsolicited::may_begin(packet.tuple.proto, packet.tcp_flags)
        && is_published(packet.tuple.proto, u16::from_ne_bytes(packet.tuple.dport))
        && publish::is_host_address_v6(packet.src);
    if !begins {
        return none(Code::PASS);
    }
    let mut found = fwd_for_publication6(skb, false);
    if found == NOBODYS {
        found = fwd_for_publication6(skb, true);
    }
    if found == FORBIDDEN {
        return none(DropReason::NotPublishedTo.into());
    }
    if found == NOBODYS || !fwd_turn6(found as u32, (found >> 32) as u16 as u32) {
        return none(Code::PASS);
    }
    let opened = inbound::open_inbound(skb, &packet.tuple);
    match fwd_turn6_back(opened.slot()) {
        (_, version) if version.is_none() => none(if opened.is_dropped() { opened.code() } else { Code::PASS }),
        found => found,
    }
}

/// Whether the packet is for a port that is published at its very destination, or (`at_all`) at all addresses of the host: [`NOBODYS`],
/// [`FORBIDDEN`], or [`FOUND`].
///
/// As of IPv4, what the host itself has begun stays its own.
#[inline(always)]
fn for_publication(skb: Skb, at_all: bool) -> u64 {
    let Some(packet) = scratch(&PACKET6) else { return NOBODYS };
    let Some((publication, endpoint)) = published::find_ipv6(skb, packet, at_all) else { return NOBODYS };
    let elsewhere = !unsolicited::may_come_by(skb.ifindex(), endpoint);
    if skb.is_for_many() || elsewhere || fwd_host_converses6(skb) {
        return NOBODYS;
    }
    // From the host's own address comes what a namespace has sent to it: then there is the flow of that, for which was asked who may.
    if ipv6::is_same(packet.src, packet.dst) {
        if lookup::slot_of(Direction::Inbound, &packet.tuple.answer(packet.tuple.ifindex)) == SLOT_NONE {
            return NOBODYS;
        }
    } else if !published::admits_ipv6(publication, packet.src) {
        return FORBIDDEN;
    }
    let port = u16::from_be_bytes(publish::port_inside(publication, packet.tuple.dport));
    FOUND | u64::from(port) << 32 | u64::from(publication.endpoint)
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

/// Turns it back. Its flow, if that was made in `slot`, or by another CPU meanwhile if in none.
#[inline(always)]
fn turn_back(slot: u32) -> (u32, FlowVersion) {
    let (Some(packet), Some(came)) = (scratch(&PACKET6), scratch(&CAME)) else { return none(Code::PASS) };
    packet.src = packet.dst;
    packet.dst = packet.external;
    packet.tuple = *came;
    if slot == SLOT_NONE {
        return lookup::fwd_indexed(Direction::Inbound, &packet.tuple, lookup::hash(&packet.tuple));
    }
    (slot, lookup::matches(Direction::Inbound, slot, &packet.tuple))
}
