//! Makes the flow of a packet from outside.

use forwarder_common::{
    abi::{FROM_OUTSIDE, SLOT_NONE, Tuple, port_use},
    types::verdict::{Code, DropReason, Verdict},
};

use super::{
    fwd_prepare,
    hairpin::hairpins,
    opening::{INBOUND, begin},
    way::{RouteChoice, fwd_way_out},
};
use crate::{
    kernel::{
        maps::OPENING,
        packet::skb::Skb,
        records,
        scratch::{KEEPS, scratch},
    },
    table::create::{self, FAILED},
};

global_fn! {
    /// See [`prepare_inbound`].
    fn fwd_prepare_inbound(skb: Skb, tuple: &Tuple, external: u64) -> Result<(), Code> = prepare_inbound;
    /// See [`prepare_hairpin`].
    fn fwd_prepare_hairpin(tuple: &Tuple) -> Result<(), Code> = prepare_hairpin;
}

/// The flow of a packet from outside, of either family: its slot, or [`FAILED`] and the code of the reason for which there is none.
#[derive(Clone, Copy)]
pub(crate) struct Opened(u64);

impl Opened {
    /// What [`create::open`] returned.
    #[inline(always)]
    pub(super) const fn of(result: u64) -> Self {
        Self(result)
    }

    /// None, for the reason with this code.
    #[inline(always)]
    pub(super) const fn refused(code: Code) -> Self {
        Self(FAILED | code.raw() as u64)
    }

    /// The slot; 0 if there is none.
    #[inline(always)]
    pub(crate) const fn slot(self) -> u32 {
        if self.0 & FAILED == 0 { self.0 as u32 } else { SLOT_NONE }
    }

    /// Why there is none.
    #[inline(always)]
    pub(crate) const fn code(self) -> Code {
        Code::from_raw(self.0 as u32)
    }

    /// What becomes of the packet where there is none: it is dropped, or the host's own. What is sent `to_mapping` is dropped only if a rule
    /// forbids it: the host may know the port, too.
    #[inline(always)]
    pub(crate) fn refusal(self, to_mapping: bool) -> Code {
        const DENIED: Code = Verdict::Dropped(DropReason::DeniedIn).code();
        let is_dropped = self.0 & FAILED != 0 && self.code().is_drop();
        if is_dropped && (!to_mapping || self.code() == DENIED) { self.code() } else { Code::PASS }
    }
}

/// Makes the flow of a packet from outside, which would look like `tuple` if the endpoint had begun it. `external` is the socket of the host
/// that the packet was sent to, as [`external`] has it, if the flow has to have that one.
#[inline(always)]
pub(crate) fn open_inbound(skb: Skb, tuple: &Tuple, external: u64) -> Opened {
    match fwd_prepare_inbound(skb, tuple, external) {
        Ok(()) => Opened::of(create::open(skb, tuple)),
        Err(code) => Opened::refused(code),
    }
}

/// The destination of a packet from outside with `tuple`, as one number: the address, above it the port, and [`EXTERNAL`].
#[inline(always)]
pub(crate) const fn external(tuple: &Tuple) -> u64 {
    EXTERNAL | (u16::from_be_bytes(tuple.dport) as u64) << 32 | u32::from_ne_bytes(tuple.daddr) as u64
}

/// Set in what [`external`] returns.
const EXTERNAL: u64 = 1 << 48;

/// Prepares it, if answers can leave by the uplink by which the packet has come.
#[inline(always)]
fn prepare_inbound(skb: Skb, tuple: &Tuple, external: u64) -> Result<(), Code> {
    let Some(endpoint) = records::endpoint(tuple.ifindex) else { return Err(DropReason::NoEndpoint.into()) };
    // The publication was read from another look-up of the record.
    if external & EXTERNAL != 0 && endpoint.v4 != tuple.saddr {
        return Err(DropReason::Contended.into());
    }
    if external & EXTERNAL != 0 && external as u32 == u32::from_ne_bytes(tuple.daddr) {
        // From a namespace, by an address of the host.
        fwd_prepare_hairpin(tuple)?;
    } else {
        let asked = if external & EXTERNAL == 0 { 0 } else { external as u32 };
        let RouteChoice { egress, .. } = fwd_way_out(skb, tuple, endpoint, skb.ifindex(), asked);
        if egress != Code::FORWARDED {
            return Err(egress);
        }
        fwd_prepare(skb, tuple, INBOUND)?;
    }
    let Some(opening) = scratch(&OPENING) else { return Err(DropReason::Contended.into()) };
    opening.counters |= FROM_OUTSIDE;
    if external & EXTERNAL != 0 {
        opening.nat_addr = (external as u32).to_ne_bytes();
        opening.keeps = KEEPS | (external >> 32) as u16 as u32;
        opening.port_use = port_use::BY_TUPLE.into();
    }
    Ok(())
}

/// Prepares the flow of a packet that a namespace sends to this one, by an address of the host.
#[inline(always)]
fn prepare_hairpin(tuple: &Tuple) -> Result<(), Code> {
    let (Some(endpoint), Some(opening)) = (records::endpoint_copy(tuple.ifindex), scratch(&OPENING)) else {
        return Err(DropReason::NoEndpoint.into());
    };
    if endpoint.v4 != tuple.saddr {
        return Err(DropReason::Contended.into());
    }
    let Some((_, counters_in, counters_out)) = records::uplink_copy(endpoint.uplink) else {
        return Err(DropReason::NoUplinkAddress.into());
    };
    begin(opening, tuple.ifindex, endpoint, endpoint.uplink, [counters_in, counters_out]);
    hairpins(opening, tuple.daddr);
    opening.inbound = INBOUND;
    Ok(())
}
