//! The next one of several addresses of the host behind which a flow may appear, where those before have no port left for it: see
//! [`forwarder_common::decide::source`].

use forwarder_common::{
    decide::source::{Pool, TRIES},
    flow::ipv6::fingerprint,
    wire::l4::has_ports,
};

use super::search;
use crate::{
    kernel::{
        fib::{fwd_is_local6, is_local},
        maps::{OPENING, PACKET6, secret},
        packet::skb::Skb,
        records,
        scratch::{Opening, scratch},
    },
    table::{ends, making::Making},
};

global_fn! {
    /// See [`next`].
    pub(super) fn fwd_pool_next(skb: Skb, slot: Making) -> bool = next;
    /// See [`next_v6`].
    pub(super) fn fwd_pool6_next(skb: Skb, slot: Making) -> bool = next_v6;
}

/// Gives the flow that is being made in `slot` the next address that the host has. Whether there is one.
#[inline(always)]
fn next(skb: Skb, slot: Making) -> bool {
    advance(slot, |opening, pool, network| {
        opening.nat_addr = pool.address();
        is_local(skb, u32::from_ne_bytes(pool.address()), network)
    })
}

/// As [`next`], of IPv6: the address stands in the map `PACKET6`, too.
#[inline(always)]
fn next_v6(skb: Skb, slot: Making) -> bool {
    let found = advance(slot, |opening, pool, network| {
        let Some(packet) = scratch(&PACKET6) else { return false };
        let address = pool.address_v6(packet.external);
        (packet.external, packet.to) = (address, address);
        opening.nat_addr = fingerprint(address, &secret());
        fwd_is_local6(skb, network)
    });
    if found {
        ends::write(slot);
    }
    found
}

/// Goes on to the next address that is the host's, as `take` says, which notes it for the flow; `take` is also told by which interface packets of the
/// endpoint come in.
#[inline(always)]
fn advance(slot: Making, take: impl Fn(&mut Opening, Pool, u32) -> bool) -> bool {
    let (Some(opening), Some(half)) = (scratch(&OPENING), slot.fill()) else { return false };
    let Some(network) = records::network_of(opening.endpoint) else { return false };
    if opening.pool.next().is_some() && has_ports(half.outbound.tuple.proto) {
        search::remember_in_vain();
    }
    let mut attempt = 1;
    while attempt < TRIES {
        let Some(pool) = opening.pool.next() else { return false };
        opening.pool = pool;
        if take(opening, pool, network) {
            half.outbound.addr = opening.nat_addr;
            return true;
        }
        attempt = attempt.wrapping_add(1);
    }
    false
}
