//! The host's own packets of protocols without ports. The host wins: what it speaks with a destination, no endpoint does.

use forwarder_common::{
    abi::{SLOT_NONE, Tuple, ZONE_MAIN},
    decide::address_only::{Seen, is_translatable},
    flow::inbound,
    types::direction::Direction,
    wire::{icmp, ipv4, packet::PacketBytes as _},
};

use crate::{
    kernel::{packet::skb::Skb, slots},
    table::{
        create::address_only::fwd_host_protocol_note,
        lookup::{self, slot_of},
        slot,
        usage::any_address_only,
    },
};

/// What [`of_host`] returns besides a slot: the host needs a flow.
pub(crate) const OPEN: u32 = 1 << 30;

/// A packet of the host itself: it claims the answers, and ends the flow of an endpoint that had them. Returns the slot of its
/// flow, [`SLOT_NONE`] if it is none of ours, or [`OPEN`].
#[inline(always)]
pub(crate) fn of_host(tuple: &Tuple) -> u32 {
    if !is_translatable(tuple.proto) {
        return SLOT_NONE;
    }
    note(&inbound(tuple, ZONE_MAIN), Seen::Spoken);
    if !any_address_only() {
        return SLOT_NONE;
    }
    match slot_of(Direction::Outbound, tuple) {
        0 => {
            end_claim(&inbound(tuple, ZONE_MAIN));
            OPEN
        }
        slot => slot,
    }
}

/// A packet that arrives for the host, and belongs to no flow.
#[inline(always)]
pub(crate) fn heard(tuple: &Tuple) {
    note(tuple, Seen::Heard);
}

/// A packet with header `ip` that the host forwards, by now perhaps with its own address: what its tunnels carry for others, or its own
/// NAT translates.
#[inline(always)]
pub(crate) fn forwarded(ip: &ipv4::Header) {
    if is_translatable(ip.proto) {
        note(&inbound(&Tuple::without_ports(ip, 0), ZONE_MAIN), Seen::Heard);
    }
}

/// An ICMP error of the host, with its network header at `l3`, about a packet with header `about`: what the host refuses, an endpoint may
/// speak, however often it arrives.
#[inline(always)]
pub(crate) fn refuses(skb: Skb, l3: usize, about: &ipv4::Header) {
    let bytes = skb.headers();
    let Ok(ip) = ipv4::parse(&bytes, l3) else { return };
    let kind = bytes.load::<2>(ip.payload_off()).unwrap_or_default();
    // Of what is forwarded anybody may be the author.
    if skb.ingress_ifindex() == 0 && is_translatable(about.proto) && icmp::is_refusal(kind) {
        note(&Tuple::without_ports(about, ZONE_MAIN), Seen::Refused);
    }
}

#[inline(always)]
fn note(reply: &Tuple, seen: Seen) {
    fwd_host_protocol_note(reply, seen as u32);
}

/// Ends the flow that has claimed `reply`, if there is one.
#[inline(always)]
fn end_claim(reply: &Tuple) {
    let Some(holder) = lookup::claimant(reply) else { return };
    let Some(slot) = slots::slot(holder) else { return };
    let version = slot.version().read_in_order();
    // The holder is only a candidate: by now its slot may be another flow's.
    if lookup::has(holder, reply) {
        slot::fwd_flow_end(holder, version);
    }
}
