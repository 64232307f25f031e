//! Packets from outside that begin a flow, where a network lets anyone write to its mapped ports (RFC 4787 REQ-8).

use aya_ebpf::bindings::__sk_buff;
use forwarder_common::{
    abi::{External, FlowState, SLOT_NONE, Tuple, endpoint_flags},
    types::direction::Direction,
    wire::l4::{Proto, tcp_flag},
};

use crate::{
    kernel::{
        argument::given,
        devices,
        maps::{EXTERNAL, INBOUND},
        packet::skb::Skb,
        records,
        sock::host_uses,
    },
    path::route,
    table::{lookup, slot},
};

/// A packet from outside with `tuple` that belongs to no flow: if it is for a mapping that lets anyone in (RFC 4787 REQ-8),
/// makes the flow. Returns its slot, or 0.
#[inline(always)]
pub(crate) fn open(skb: Skb, tuple: &Tuple, tcp_flags: u8) -> u32 {
    if fwd_unsolicited(skb.ptr(), tuple, tcp_flags.into()) == 0 {
        return SLOT_NONE;
    }
    let Some(out) = INBOUND.get_ptr(0) else { return SLOT_NONE };
    // SAFETY: this CPU's element, which `fwd_unsolicited` wrote.
    let out = unsafe { &*out };
    let slot = route::open_inbound(skb, out);
    if slot == SLOT_NONE { SLOT_NONE } else { fwd_opened_for(tuple, slot) }
}

/// The slot of a flow that was opened for a packet from outside with `tuple`, if that is its flow; otherwise the mapping has changed
/// meanwhile, nobody needs the flow, and the result is 0.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_opened_for(tuple: *const Tuple, slot: u32) -> u32 {
    let (Some(tuple), Some(out)) = (given(tuple), INBOUND.get_ptr(0)) else { return SLOT_NONE };
    if !lookup::matches(Direction::Inbound, slot, tuple).is_none() {
        return slot;
    }
    // SAFETY: this CPU's element, which `fwd_unsolicited` wrote.
    let version = lookup::matches(Direction::Outbound, slot, unsafe { &*out });
    if version.state() as u8 == FlowState::HalfOpen as u8 {
        slot::fwd_flow_end(slot, version.raw());
    }
    SLOT_NONE
}

/// Whether a packet from outside with `tuple` may begin a flow; its outbound tuple is then in the map `INBOUND`.
///
/// TCP is let in by a SYN only, and nothing that a socket of the host would get: here the look-up finds those bound to the
/// uplink, too.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_unsolicited(skb: *mut __sk_buff, tuple: *const Tuple, tcp_flags: u32) -> u32 {
    let (Some(tuple), Some(out)) = (given(tuple), INBOUND.get_ptr_mut(0)) else { return 0 };
    let opens = tcp_flags & u32::from(tcp_flag::SYN | tcp_flag::ACK | tcp_flag::RST) == u32::from(tcp_flag::SYN);
    if tuple.proto != Proto::Udp as u8 && !(tuple.proto == Proto::Tcp as u8 && opens) {
        return 0;
    }
    let external = External { addr: tuple.daddr, port: tuple.dport, proto: tuple.proto, _pad: 0 };
    let Some(mapping) = EXTERNAL.get_ptr(&external) else { return 0 };
    // SAFETY: an element of the map. It may be recycled meanwhile: what is made of it is compared with `tuple` at the end.
    let internal = unsafe { (*mapping).internal };
    let Some(endpoint) = records::endpoint(internal.endpoint) else { return 0 };
    let open_to_all = endpoint.flags & endpoint_flags::NAT_EIF != 0;
    let reachable = internal.uplink == tuple.ifindex && devices::is_there(internal.endpoint);
    if !open_to_all || !reachable || host_uses(skb, tuple) {
        return 0;
    }
    // SAFETY: this CPU's element.
    unsafe {
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
    }
    1
}
