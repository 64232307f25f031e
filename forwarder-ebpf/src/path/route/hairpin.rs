//! Flows from a namespace to a published port by an address of the host (RFC 4787 REQ-9): two of them, one behind the other. The packet leaves
//! the first translated, with an address of the host as its source, and comes in by the uplink as if it were from outside, where the second
//! begins or is found; so does the answer.

use forwarder_common::{abi::Tuple, decide::unsolicited};

use super::opening::begin;
use crate::{
    kernel::{
        devices,
        maps::OPENING,
        packet::skb::Skb,
        records,
        redirect::HAIRPIN,
        scratch::{Opening, scratch},
    },
    path::{networks::in_fwd_network, published},
};

global_fn! {
    /// See [`hairpin`].
    pub(super) fn fwd_hairpin(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> bool = hairpin;
    /// See [`hairpin_to`].
    fn fwd_hairpin_to(skb: Skb, tuple: &Tuple, at_all: bool) -> bool = hairpin_to;
}

/// The way of a flow to an address of the host, and back from there: the packet comes in by the uplink, as if it were from outside. Nothing
/// on it is smaller than the interfaces at its ends.
#[inline(always)]
pub(super) fn hairpins(opening: &mut Opening, nat_addr: [u8; 4]) {
    opening.nat_addr = nat_addr;
    opening.next_hop = HAIRPIN;
    opening.hop = [0; 12];
    opening.mtu = u16::MAX.into();
    opening.tcp_flags = 0;
    opening.inbound = 0;
}

/// Prepares the flow of a packet that a namespace sends to a published port of the host (RFC 4787 REQ-9). Whether it did.
#[inline(always)]
fn hairpin(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> bool {
    if !unsolicited::may_begin(tuple.proto, tcp_flags as u8) || in_fwd_network(tuple.daddr) {
        return false;
    }
    fwd_hairpin_to(skb, tuple, false) || fwd_hairpin_to(skb, tuple, true)
}

/// As [`hairpin`], if the port is published at the very address, or (`at_all`) at all of the host's.
#[inline(always)]
fn hairpin_to(skb: Skb, tuple: &Tuple, at_all: bool) -> bool {
    let (Some(opening), Some(endpoint)) = (scratch(&OPENING), records::endpoint_copy(tuple.ifindex)) else {
        return false;
    };
    let Some((publication, server)) = published::find(skb, tuple, at_all) else { return false };
    // To whom it is not published, the host answers: as if it were not.
    if !published::admits(publication, tuple.saddr) {
        return false;
    }
    let Some((_, counters_in, counters_out)) = records::uplink_copy(server.uplink) else { return false };
    if !devices::fwd_is_there(server.uplink) {
        return false;
    }
    begin(opening, tuple.ifindex, endpoint, server.uplink, [counters_in, counters_out]);
    // Of the address that was asked, so that it is the host's whatever the routes say.
    hairpins(opening, tuple.daddr);
    true
}
