//! Flows from a namespace to a published port by an address of the host (RFC 4787 REQ-9): two of them, one behind the other. The packet leaves
//! the first translated, with an address of the host as its source, and comes in by the uplink as if it were from outside, where the second
//! begins or is found; so does the answer.

use forwarder_common::{
    abi::{HAIRPIN, Tuple},
    decide::unsolicited::{self, publish},
    types::verdict::{Code, PuntReason, Verdict},
};

use super::opening::begin;
use crate::{
    kernel::{
        devices,
        maps::OPENING,
        packet::skb::Skb,
        records,
        scratch::{Opening, scratch},
    },
    path::{networks::in_fwd_network, policy, published},
};

global_fn! {
    /// See [`hairpin`].
    pub(super) fn fwd_hairpin(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> Code = hairpin;
    /// See [`hairpin_to`].
    fn fwd_hairpin_to(skb: Skb, tuple: &Tuple, at_all: bool) -> Code = hairpin_to;
}

/// The way of a flow to an address of the host, and back from there: the packet comes in by the uplink, as if it were from outside. Nothing
/// on it is smaller than the interfaces at its ends.
#[inline(always)]
pub(super) fn hairpins(opening: &mut Opening, nat_addr: [u8; 4]) {
    opening.nat_addr = nat_addr;
    opening.next_hop = HAIRPIN;
    opening.hop = [0; 3];
    opening.mtu = u16::MAX.into();
    opening.tcp_flags = 0;
    opening.inbound = 0;
}

/// The packet is for the host.
pub(super) const TO_HOST: Code = Verdict::Punted(PuntReason::ToHost).code();

/// Prepares the flow of a packet that a namespace sends to a published port of the host (RFC 4787 REQ-9): [`Code::FORWARDED`] if it did,
/// else the code of [`PuntReason::ToHost`], or of what a rule says.
#[inline(always)]
fn hairpin(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> Code {
    if !unsolicited::may_begin(tuple.proto, tcp_flags as u8) || in_fwd_network(tuple.daddr) {
        return TO_HOST;
    }
    match fwd_hairpin_to(skb, tuple, false) {
        TO_HOST => fwd_hairpin_to(skb, tuple, true),
        decided => decided,
    }
}

/// As [`hairpin`], if the port is published at the very address, or (`at_all`) at all of the host's.
#[inline(always)]
fn hairpin_to(skb: Skb, tuple: &Tuple, at_all: bool) -> Code {
    let (Some(opening), Some(endpoint)) = (scratch(&OPENING), records::endpoint_copy(tuple.ifindex)) else {
        return TO_HOST;
    };
    let Some((publication, server)) = published::find(skb, tuple, at_all) else { return TO_HOST };
    // To whom it is not published, the host answers: as if it were not.
    if !published::admits(publication, tuple.saddr) {
        return TO_HOST;
    }
    let port = publish::port_inside(publication, tuple.dport);
    if let Err(denied) = policy::admit_by_host(tuple.ifindex, publication.endpoint, (tuple.proto, port), false) {
        return denied;
    }
    let Some((_, counters_in, counters_out)) = records::uplink_copy(server.uplink) else { return TO_HOST };
    if !devices::fwd_is_there(server.uplink) {
        return TO_HOST;
    }
    begin(opening, tuple.ifindex, endpoint, server.uplink, [counters_in, counters_out]);
    // Of the address that was asked, so that it is the host's whatever the routes say.
    hairpins(opening, tuple.daddr);
    Code::FORWARDED
}
