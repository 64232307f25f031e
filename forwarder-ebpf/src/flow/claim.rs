//! Makes a flow: takes a slot, claims an external port, publishes the tuples.
//!
//! Claim first: inserting the reply's tuple with `BPF_NOEXIST` is the atomic claim of the port. Then the outbound tuple, the
//! same way: of two CPUs with the first packets of one flow, one wins, and the other finds the winner's mapping.

use aya_ebpf::bindings::__sk_buff;
use forwarder_common::{
    abi::{FlowVersion, Tuple},
    direction::Direction,
    verdict::DropReason,
    wire::l4::has_ports,
};

use crate::flow::{
    port::{self, fwd_port_claim},
    slot, store,
    take::fwd_slot_take,
};

/// Everything about a flow to be made, decided before: element 0 of the map `OPENING`.
#[repr(C)]
pub(crate) struct Opening {
    /// Out to where, behind which address, by which interface.
    pub(crate) nat_addr: [u8; 4],
    pub(crate) uplink: u32,
    pub(crate) next_hop: [u32; 4],
    /// See [`FlowHalf::hop`].
    pub(crate) hop: [u8; 12],
    pub(crate) mtu: u32,
    /// The endpoint: 0 for the host itself.
    pub(crate) endpoint: u32,
    pub(crate) endpoint_mtu: u32,
    pub(crate) macs: [u8; 12],
    pub(crate) counters: u32,
    pub(crate) counters_out: u32,
    pub(crate) counters_in: u32,
    /// Flags of the first segment.
    pub(crate) tcp_flags: u32,
    /// See [`port_use`].
    pub(crate) port_use: u32,
    /// Not 0 for a flow that begins from outside.
    pub(crate) inbound: u32,
    /// Not 0 for a socket of the host that keeps its port.
    pub(crate) keeps: u32,
}

/// Makes the flow of `tuple` that was prepared in the map `OPENING`. Returns its slot, or the code of a [`DropReason`] with
/// [`FAILED`] set.
///
/// Global functions one after the other, not one that calls them: the stacks of all callers together are 512 bytes.
#[inline(always)]
pub(crate) fn open(skb: *mut __sk_buff, tuple: &Tuple) -> u64 {
    let taken = fwd_slot_take(tuple);
    let (index, version) = store::unpacked(taken);
    if version.is_none() {
        return FAILED | taken;
    }
    let mut claimed = fwd_port_claim(skb, index);
    let mut attempt = 0_u32;
    while claimed == port::SHORT && attempt < ATTEMPTS {
        claimed = port::take_over(skb, index);
        if claimed == port::SHORT {
            // Another CPU was faster: what is free by now, and who has what?
            claimed = fwd_port_claim(skb, index);
        }
        attempt = attempt.wrapping_add(1);
    }
    if claimed == 0 || claimed == port::SHORT {
        slot::fwd_slot_abandon(index, version.raw());
        let reason = if has_ports(tuple.proto) { DropReason::PortsExhausted } else { DropReason::Ambiguous };
        return FAILED | reason as u64;
    }
    publish(tuple, index, version)
}

/// How often a port is taken over that another CPU takes at the same time.
const ATTEMPTS: u32 = 3;

/// Set in the result of [`open`] when it failed.
pub(crate) const FAILED: u64 = 1 << 32;

/// Makes the flow of `tuple` visible, which is prepared in slot `index`; the result is that of [`open`].
#[inline(always)]
fn publish(tuple: &Tuple, index: u32, version: FlowVersion) -> u64 {
    if slot::fwd_slot_publish(index, version.raw()) != 0 {
        return index.into();
    }
    // Another CPU made this flow meanwhile: theirs counts.
    match store::indexed(Direction::Outbound, tuple, store::hash(tuple)) {
        (_, version) if version.is_none() => FAILED | DropReason::Contended as u64,
        (theirs, _) => theirs.into(),
    }
}
