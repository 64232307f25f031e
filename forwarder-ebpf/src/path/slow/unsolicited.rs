//! Packets from outside that begin a flow, where a network lets anyone write to its mapped ports (RFC 4787 REQ-8).

use forwarder_common::{
    abi::{External, FlowState, SLOT_NONE, Tuple, endpoint_flags},
    types::direction::Direction,
    wire::l4::{Proto, tcp_flag},
};

use crate::{
    kernel::{
        devices,
        maps::{EXTERNAL, INBOUND},
        packet::skb::Skb,
        records,
        scratch::scratch,
        shared::Shared,
        sock::fwd_host_uses,
    },
    path::route,
    table::{lookup, slot},
};

/// A packet from outside with `tuple` that belongs to no flow: if it is for a mapping that lets anyone in (RFC 4787 REQ-8),
/// makes the flow. Returns its slot, or 0.
#[inline(always)]
pub(crate) fn open(skb: Skb, tuple: &Tuple, tcp_flags: u8) -> u32 {
    if !fwd_unsolicited(skb, tuple, tcp_flags.into()) {
        return SLOT_NONE;
    }
    let Some(out) = scratch(&INBOUND) else { return SLOT_NONE };
    let slot = route::open_inbound(skb, out);
    if slot == SLOT_NONE { SLOT_NONE } else { fwd_opened_for(tuple, slot) }
}

global_fn! {
    /// See [`opened_for`].
    fn fwd_opened_for(tuple: &Tuple, slot: u32) -> u32 = opened_for;
    /// See [`unsolicited`].
    fn fwd_unsolicited(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> bool = unsolicited;
}

/// The slot of a flow that was opened for a packet from outside with `tuple`, if that is its flow; otherwise the mapping has changed
/// meanwhile, nobody needs the flow, and the result is 0.
#[inline(always)]
fn opened_for(tuple: &Tuple, slot: u32) -> u32 {
    let Some(out) = scratch(&INBOUND) else { return SLOT_NONE };
    if !lookup::matches(Direction::Inbound, slot, tuple).is_none() {
        return slot;
    }
    let version = lookup::matches(Direction::Outbound, slot, out);
    if version.state() as u8 == FlowState::HalfOpen as u8 {
        slot::fwd_flow_end(slot, version);
    }
    SLOT_NONE
}

/// Whether a packet from outside with `tuple` may begin a flow; its outbound tuple is then in the map `INBOUND`.
///
/// TCP is let in by a SYN only, and nothing that a socket of the host would get: here the look-up finds those bound to the
/// uplink, too.
#[inline(always)]
fn unsolicited(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> bool {
    let Some(out) = scratch(&INBOUND) else { return false };
    let opens = tcp_flags & u32::from(tcp_flag::SYN | tcp_flag::ACK | tcp_flag::RST) == u32::from(tcp_flag::SYN);
    if tuple.proto != Proto::Udp as u8 && !(tuple.proto == Proto::Tcp as u8 && opens) {
        return false;
    }
    let external = External { addr: tuple.daddr, port: tuple.dport, proto: tuple.proto, _pad: 0 };
    // It may be recycled meanwhile: what is made of it is compared with `tuple` at the end.
    let Some(mapping) = Shared::value(&EXTERNAL, &external) else { return false };
    let internal = mapping.internal().read();
    let Some(endpoint) = records::endpoint(internal.endpoint) else { return false };
    let open_to_all = endpoint.flags & endpoint_flags::NAT_EIF != 0;
    let reachable = internal.uplink == tuple.ifindex && devices::fwd_is_there(internal.endpoint);
    if !open_to_all || !reachable || fwd_host_uses(skb, tuple) {
        return false;
    }
    *out = Tuple {
        saddr: internal.addr,
        daddr: tuple.saddr,
        sport: internal.port,
        dport: tuple.sport,
        ifindex: internal.endpoint,
        proto: tuple.proto,
        query: tuple.query,
        _pad: 0,
    };
    true
}
