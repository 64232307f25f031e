//! The way out of a packet of an endpoint: which route, and whether it is one that the endpoint's packets take.

use forwarder_common::{
    abi::{Endpoint, Tuple},
    decide::route::{self, Lookup},
    types::verdict::{Code, DropReason},
};

use crate::kernel::{
    devices,
    fib::{Route, Sender, look_up},
    global::Answer,
    packet::skb::Skb,
    records,
};

/// What [`way_out`] says; where it leads, [`Route::found`] tells.
#[derive(Clone, Copy)]
pub(super) struct RouteChoice {
    /// What the kernel's tables say of the destination.
    pub(super) lookup: Lookup,
    /// What becomes of the packet: see [`route::egress`].
    pub(super) egress: Code,
    /// The kernel by itself would send it by another interface.
    pub(super) diverted: bool,
}

global_fn! {
    /// See [`way_out`].
    pub(super) fn fwd_way_out(skb: Skb, tuple: &Tuple, endpoint: &Endpoint, only: u32, source: u32) -> RouteChoice = way_out;
}

/// Looks up where a packet of `endpoint` leaves: by the host's own route, or, if it may leave by the uplink `only` alone (where that is not 0)
/// and the host would send it elsewhere, by that of a socket which is bound there, and to the address `source` (network byte order; 0 for
/// that of the uplink).
#[inline(always)]
fn way_out(skb: Skb, tuple: &Tuple, endpoint: &Endpoint, only: u32, source: u32) -> RouteChoice {
    let lookup = look_up(skb, tuple, Sender::Forwarded(endpoint.network));
    let Some(route) = Route::found() else { return RouteChoice::NONE };
    let out_if = route.out_if();
    if !route::is_diverted(lookup, out_if, only, endpoint, || is_bridge(out_if)) {
        return RouteChoice { lookup, egress: egress(lookup, out_if, only, endpoint), diverted: false };
    }
    let source = match source {
        0 => records::uplink_copy(only).map_or(0, |(address, ..)| u32::from_ne_bytes(address)),
        source => source,
    };
    if source == 0 {
        return RouteChoice::NONE;
    }
    let found = look_up(skb, tuple, Sender::Bound(only, source));
    let lookup = if found.is_missing() { Lookup::Elsewhere } else { found };
    let Some(route) = Route::found() else { return RouteChoice::NONE };
    RouteChoice { lookup, egress: egress(lookup, route.out_if(), only, endpoint), diverted: true }
}

/// Whether an interface is the bridge of a network.
#[inline(always)]
fn is_bridge(ifindex: u32) -> bool {
    records::network(ifindex).is_some()
}

#[inline(always)]
fn egress(lookup: Lookup, out_if: u32, only: u32, endpoint: &Endpoint) -> Code {
    // Of its own uplink the records of an endpoint say that it is one.
    let is_guarded = || (out_if == endpoint.uplink || records::is_guarded(out_if)) && devices::fwd_is_there(out_if);
    route::egress(lookup, out_if, only, endpoint, is_guarded, || is_bridge(out_if))
}

impl RouteChoice {
    /// None that can be said at this moment.
    const NONE: Self = Self {
        lookup: Lookup::Refused,
        egress: forwarder_common::types::verdict::Verdict::Dropped(DropReason::Contended).code(),
        diverted: false,
    };
}

/// The code, above it the result of the look-up, and whether it was diverted.
impl Answer for RouteChoice {
    type Raw = u32;

    const ABSENT: u32 = DropReason::Contended as u32 | (Lookup::Refused as u32) << LOOKUP;

    #[inline(always)]
    fn raw(self) -> u32 {
        self.egress.raw() | (self.lookup as u32) << LOOKUP | if self.diverted { DIVERTED } else { 0 }
    }

    #[inline(always)]
    fn decode(raw: u32) -> Self {
        Self {
            lookup: Lookup::of((raw >> LOOKUP) as u8),
            egress: Code::from_raw(raw & 0xff),
            diverted: raw & DIVERTED != 0,
        }
    }
}

const LOOKUP: u32 = 8;
const DIVERTED: u32 = 1 << 16;
