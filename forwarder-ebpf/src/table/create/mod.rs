//! Makes a flow: takes a slot, claims an external port, publishes the tuples.
//!
//! Claim first: inserting the reply's tuple with `BPF_NOEXIST` is the atomic claim of the port. Then the outbound tuple, the
//! same way: of two CPUs with the first packets of one flow, one wins, and the other finds the winner's mapping.

pub(crate) mod address_only;
mod pool;
mod port;
mod search;
mod take;

use forwarder_common::{
    abi::{FlowVersion, Tuple},
    decide::source::TRIES,
    types::{direction::Direction, verdict::DropReason},
    wire::l4::has_ports,
};

use crate::{
    kernel::packet::skb::Skb,
    table::{
        create::{
            pool::{fwd_pool_next, fwd_pool6_next},
            port::fwd_port_claim,
            take::fwd_slot_take,
        },
        ends, lookup,
        making::Making,
        slot,
    },
};

/// Makes the flow of `tuple` that was prepared in the map `OPENING`. Returns its slot, or the code of a [`DropReason`] with
/// [`FAILED`] set.
///
/// Global functions one after the other, not one that calls them: the stacks of all callers together are 512 bytes.
#[inline(always)]
pub(crate) fn open(skb: Skb, tuple: &Tuple) -> u64 {
    open_with(skb, tuple, |_| (), |_| false)
}

/// As [`open`], of what begins inside: where its address has no port left, behind the next one that its endpoint has.
#[inline(always)]
pub(crate) fn open_outbound(skb: Skb, tuple: &Tuple) -> u64 {
    open_with(skb, tuple, |_| (), |slot| fwd_pool_next(skb, slot))
}

/// As [`open`], of IPv6: the addresses are those of the packet in the map `PACKET6`.
#[inline(always)]
pub(crate) fn open_ipv6(skb: Skb, tuple: &Tuple) -> u64 {
    open_with(skb, tuple, ends::write, |_| false)
}

/// As [`open_outbound`], of IPv6.
#[inline(always)]
pub(crate) fn open_outbound_ipv6(skb: Skb, tuple: &Tuple) -> u64 {
    open_with(skb, tuple, ends::write, |slot| fwd_pool6_next(skb, slot))
}

/// As [`open`]; what else is noted of the flow, `note` does before anybody can find it. `next` gives it another address, if there is one.
#[inline(always)]
fn open_with(skb: Skb, tuple: &Tuple, note: impl FnOnce(Making), next: impl Fn(Making) -> bool) -> u64 {
    let (index, version) = fwd_slot_take(tuple);
    if version.is_none() {
        return FAILED | u64::from(index);
    }
    let slot = Making::taken(index);
    note(slot);
    let mut claimed = fwd_port_claim(skb, slot);
    let mut attempt = 1_u32;
    // Before anybody has to give a port.
    while claimed == port::SHORT && attempt < TRIES && next(slot) {
        claimed = fwd_port_claim(skb, slot);
        attempt = attempt.wrapping_add(1);
    }
    attempt = 0;
    while claimed == port::SHORT && attempt < ATTEMPTS {
        claimed = port::take_over(skb, slot);
        if claimed == port::SHORT {
            // Another CPU was faster: what is free by now, and who has what?
            claimed = fwd_port_claim(skb, slot);
        }
        attempt = attempt.wrapping_add(1);
    }
    if claimed == 0 || claimed == port::SHORT {
        slot::fwd_slot_abandon(index, version);
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
    if slot::fwd_slot_publish(index, version) {
        return index.into();
    }
    // Another CPU made this flow meanwhile: theirs counts.
    match lookup::fwd_indexed(Direction::Outbound, tuple, lookup::hash(tuple)) {
        (_, version) if version.is_none() => FAILED | DropReason::Contended as u64,
        (theirs, _) => theirs.into(),
    }
}
